"""What states and codes of the exchange are called, in the words of the regulation and in English, for every client alike."""

from typing import Final

import msgspec

from server.exchange.delivery import State


class Words(msgspec.Struct, frozen=True):
    vi: str
    en: str

    def told(self, locale: str) -> str:
        """In the language of a person."""
        return self.en if locale == "en" else self.vi


_STATES: Final = {
    State.QUEUED: Words("Đang gửi", "On its way"),
    State.SENDING: Words("Đang gửi", "On its way"),
    State.RETRY_WAIT: Words("Đang gửi", "On its way"),
    State.FAILED: Words("Không gửi được", "Could not be sent"),
    State.ACCEPTED_BY_EXCHANGE: Words("Trục liên thông đã nhận", "Taken by the exchange"),
    State.DELIVERED: Words("Đã đến hệ thống nơi nhận", "Delivered"),
    State.ARRIVED: Words("Đã đến", "Arrived"),
    State.ACCEPTED: Words("Đã tiếp nhận", "Accepted"),
    State.ASSIGNED: Words("Đã phân công xử lý", "Assigned"),
    State.IN_PROGRESS: Words("Đang xử lý", "In progress"),
    State.FINISHED: Words("Đã hoàn thành", "Finished"),
    State.REJECTED: Words("Từ chối tiếp nhận", "Refused"),
    State.TAKE_BACK_REQUESTED: Words("Đã yêu cầu thu hồi", "Asked back"),
    State.TAKEN_BACK: Words("Đã đồng ý thu hồi", "Recall agreed"),
}

_CODES: Final = {
    "01": Words("Đã đến", "Arrived"),
    "02": Words("Từ chối tiếp nhận", "Refused"),
    "03": Words("Đã tiếp nhận", "Accepted"),
    "04": Words("Phân công xử lý", "Assigned"),
    "05": Words("Đang xử lý", "In progress"),
    "06": Words("Hoàn thành", "Finished"),
    "13": Words("Yêu cầu lấy lại", "Asked back"),
    "15": Words("Đồng ý cập nhật, lấy lại", "Change agreed"),
    "16": Words("Từ chối cập nhật, lấy lại", "Change refused"),
    "new": Words("Gửi bổ sung nơi nhận", "Sent to a further receiver"),
    "replace": Words("Văn bản thay thế", "Replacement"),
    "revoke": Words("Yêu cầu thu hồi", "Recall"),
    "update": Words("Cập nhật văn bản", "Update"),
    "take_back": Words("Yêu cầu lấy lại", "Asked back"),
}


def of_state(state: State) -> Words:
    return _STATES[state]


def of_code(code: str) -> Words:
    """A status code or a kind of business; an unknown code stands for itself."""
    return _CODES.get(code, Words(code, code))


_PARKED: Final = {
    "unreadable": Words("Không đọc được gói tin", "The packet cannot be read"),
    "unaddressed": Words("Gói tin không gửi cho cơ quan này", "The packet is addressed to nobody here"),
    "unfetched": Words("Trục không giao gói tin", "The exchange does not hand the packet over"),
    "unproven": Words("Không chứng minh được nơi gửi", "Its sender is not proven"),
}


def of_parked(state: str) -> Words:
    """Why a packet that came was put aside."""
    return _PARKED[state]


_REFUSALS: Final = {
    "10": Words("Gói tin không hợp lệ", "The packet is not valid"),
    "18": Words("Nơi nhận không tồn tại trên trục", "The exchange knows no such receiver"),
    "19": Words("Cơ quan gửi chưa đăng ký", "The sender is not registered"),
    "20": Words("Trục báo lỗi hệ thống", "The exchange reports an error of its own"),
    "21": Words("Trục không xử lý được tệp", "The exchange cannot handle the file"),
    "22": Words("Gói tin không đúng chuẩn edXML", "The packet is not the edXML that the exchange wants"),
    "23": Words("Nơi nhận đã bị khóa", "The receiver is locked"),
    "field-too-long": Words("Có trường dài hơn quy định", "A field is longer than the rules allow"),
    "personal-signature-missing": Words("Chữ ký không hợp lệ", "Its signatures are not valid"),
    "recalled": Words("Văn bản đã thu hồi", "The document was recalled"),
}
_NO = Words("Trục từ chối", "The exchange refused")


def of_refusal(code: str) -> Words:
    """Why something was not sent: the axis' code (reference §9) or one of ours."""
    return _REFUSALS.get(code.removeprefix("axis-"), _NO)
