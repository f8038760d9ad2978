"""The course of handling in order of time (REC-1, REC-4): as JSON, as XML, and as a PDF whose Vietnamese text can be searched.

What happened stands in the log's events; who was told of it, fetched it, read it, in the notices (REC-4: statistics of accesses).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from server.arrivals.model import JUDGEMENTS, Judgement
from server.db import Row
from server.exchange.words import Words, of_code
from server.validations.words import when
from server.wire import iso, iso_or_none

__all__ = ["accesses", "as_json", "as_pdfs", "as_xml", "directions"]

_EVENTS: Final = {
    "document.received": Words("Tiếp nhận từ hệ thống quản lý văn bản", "Taken in from the management system"),
    "document.replaced": Words("Thay bằng bản mới", "Replaced by a new text"),
    "document.initialed": Words("Ký nháy", "Initialled"),
    "document.co_signed": Words("Ký, còn người ký tiếp theo", "Signed, further signers follow"),
    "document.signed": Words("Ký", "Signed"),
    "document.handed_over": Words("Chuyển người khác ký", "Handed over to another signer"),
    "document.to_seal": Words(
        "Văn bản chính đã đóng dấu, phụ lục chờ đóng dấu", "Its main document is sealed, the annex waits for the seal"
    ),
    "document.sealed": Words("Đóng dấu cơ quan", "Sealed"),
    "document.sealed_pending_archive": Words("Đóng dấu cơ quan, chờ dữ liệu lưu trữ", "Sealed, archival data follow"),
    "document.signer_revoked": Words(
        "Chứng thư của người ký đã bị thu hồi trước khi ký", "A signer's certificate was revoked before he signed"
    ),
    "document.stamp_revoked": Words(
        "Chứng thư cấp dấu thời gian của chữ ký đã bị thu hồi",
        "The certificate behind a signature's time stamp was revoked",
    ),
    "document.archived": Words("Bổ sung dữ liệu lưu trữ", "Archival data added"),
    "document.returned": Words("Trả lại", "Returned"),
    "document.refused": Words("Nơi nhận từ chối", "Refused by a receiver"),
    "document.forwarded": Words("Gửi lên trục liên thông", "Sent to the exchange"),
    "document.delivered": Words("Đã đến mọi nơi nhận", "Delivered to all"),
    "document.accepted": Words("Mọi nơi nhận đã tiếp nhận", "Accepted by all"),
    "document.recalled": Words("Thu hồi", "Recalled"),
    "document.superseded": Words("Được văn bản khác thay thế", "Superseded by another document"),
    "document.receivers_changed": Words("Thay đổi nơi nhận", "Receivers changed"),
    "document.overdue": Words("Quá hạn xử lý", "Overdue"),
    "document.deadline_missed": Words("Quá hạn theo quy định", "Deadline of a rule missed"),
    "exchange.packet_built": Words("Lập gói tin gửi đi", "Packet built"),
    "exchange.readdressed": Words(
        "Gửi cho cơ quan kế thừa của nơi nhận", "Addressed to who has the receivers' units now"
    ),
    "exchange.forward_failed": Words("Không gửi được", "Could not be sent"),
    "exchange.accepted_after_recall": Words("Trục nhận sau khi đã thu hồi", "Taken by the exchange after its recall"),
    "exchange.recall_asked": Words("Yêu cầu nơi nhận thu hồi", "Receivers asked for it back"),
    "exchange.message_sent": Words("Đã gửi thông báo qua trục", "Message sent over the exchange"),
    "exchange.message_failed": Words("Không gửi được thông báo qua trục", "Message could not be sent"),
    "exchange.requeued": Words("Gửi lại sau khi bị từ chối", "Offered again after a refusal"),
    "exchange.packet_taken_up": Words("Tiếp nhận lại gói tin đã giữ", "Parked packet taken up again"),
    "exchange.incoming_alarm": Words("Cảnh báo về gói tin đến", "Alarm about a packet that came"),
    "arrival.arrived": Words("Văn bản đến qua trục liên thông", "Arrived over the exchange"),
    "arrival.registered": Words("Vào sổ văn bản đến", "Registered"),
    "arrival.returned": Words("Trả lại nơi gửi", "Returned to its sender"),
    "arrival.answered": Words("Trả lời yêu cầu của nơi gửi", "Its sender's request answered"),
    "arrival.numbered": Words("Ghi số đến của hệ thống quản lý văn bản", "Number of the management system"),
    "arrival.recalled": Words("Nơi gửi thu hồi", "Recalled by its sender"),
    "arrival.replaced": Words("Nơi gửi thay thế", "Replaced by its sender"),
    "arrival.deadline_missed": Words("Quá hạn theo quy định", "Deadline of a rule missed"),
    "arrival.handled": Words("Báo nơi gửi tình trạng xử lý", "Its sender told how far it is"),
    "directive.given": Words("Ý kiến chỉ đạo", "Directed"),
    "directive.changed": Words("Thay đổi ý kiến chỉ đạo", "Direction changed"),
    "directive.in_work": Words("Báo cáo tiến độ", "Progress reported"),
    "directive.completed": Words("Báo cáo hoàn thành", "Completion reported"),
    "directive.withdrawn": Words("Rút ý kiến chỉ đạo", "Direction withdrawn"),
    "directive.late": Words("Quá hạn xử lý", "Deadline of a direction missed"),
    "directive.linked": Words("Văn bản được lập theo chỉ đạo", "A document was written because of it"),
}
_FIELDS: Final = {
    "reason": "Lý do", "receiver": "Nơi nhận", "status_code": "Mã trạng thái", "number": "Số đến", "year": "Năm", "despite": "Lý do vào sổ",
    "sender": "Nơi gửi", "from": "Từ trạng thái", "to": "Sang trạng thái", "head": "Bản (SHA-256)", "revision": "Bản (SHA-256)",
    "packet": "Gói tin (SHA-256)", "axis_id": "Mã trên trục", "rule": "Quy định", "due": "Hạn", "what": "Loại thông báo", "step": "Bước",
    "before": "Trước đó", "kind": "Loại", "agreed": "Đồng ý", "text": "Nội dung", "lead": "Chủ trì",
    "coordinators": "Phối hợp", "assignee": "Người thực hiện", "progress": "Tiến độ (%)", "sequence": "Lần sửa", "document": "Văn bản", "judgement": "Kết quả kiểm tra chữ ký",
    "authority": "Thẩm quyền",
}  # fmt: skip
_CODED: Final = frozenset({"status_code", "what", "kind"})
_NAMED: Final = frozenset({"lead", "assignee", "text"})
_IDS: Final = frozenset({"message"})
_SYSTEM: Final = Words("Hệ thống", "The system")
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST: Final = 1000
_TOO_LARGE: Final = "too-large"


def as_json(events: Sequence[Row], people: Mapping[str, str]) -> bytes:
    said = [
        {
            "id": row["id"],
            "at": iso(row["at_us"]),
            "kind": row["kind"],
            "subject": row["subject"],
            "actor": row["actor"],
            "name": people.get(row["actor"], ""),
            "position": row["position"],
            "body": msgspec.json.decode(row["body"]),
        }
        for row in events
    ]
    return msgspec.json.format(msgspec.json.encode(said))


def as_xml(subject: str, events: Sequence[Row], people: Mapping[str, str]) -> bytes:
    """The body of each event stands in it as the JSON that was logged."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<log document={quoteattr(subject)}>"]
    for row in events:
        place = "" if row["position"] is None else f' position="{row["position"]}"'
        name = people.get(row["actor"], "")
        lines.append(
            f'  <event id={quoteattr(row["id"])} at="{iso(row["at_us"])}" kind={quoteattr(row["kind"])} subject={quoteattr(row["subject"])}'
            f" actor={quoteattr(row['actor'])} name={quoteattr(name)}{place}>{escape(bytes(row['body']).decode())}</event>"
        )
    return (_NO_XML.sub("\ufffd", "\n".join([*lines, "</log>"])) + "\n").encode()


def accesses(told: Sequence[Row], opened: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Who was told and what became of it (NOT-4), and whose devices said that they showed pages."""
    return {
        "told": [
            {
                "person": row["person"],
                "name": row["name"],
                "kind": row["kind"],
                "told_at": iso(row["created_us"]),
                "fetched_at": iso_or_none(row["fetched_us"]),
                "read_at": iso_or_none(row["read_us"]),
                "acknowledged_at": iso_or_none(row["acknowledged_us"]),
            }
            for row in told
        ],
        "opened": [
            {
                "person": row["person"],
                "name": row["name"],
                "pages": row["pages"],
                "first_at": iso(row["first_us"]),
                "last_at": iso(row["last_us"]),
            }
            for row in opened
        ],
    }


def directions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What was directed and reported, in full: the log has the SHA-256 of each text alone (A14)."""
    return [
        {
            "directive": row["directive"],
            "sequence": row["sequence"],
            "kind": row["kind"],
            "at": iso(row["at_us"]),
            "by": row["name"] or "",
            "assignee": row["assignee"] or "",
            "text": row["text"],
            "due_date": row["due_date"],
            "progress": row["progress"],
        }
        for row in rows
    ]


def as_pdfs(
    title: str, events: Sequence[Row], people: Mapping[str, str], seen: Mapping[str, list[dict[str, Any]]]
) -> list[bytes]:
    """One PDF, or several where a log is too long for one; the accesses stand at the end of the last. Blocks.

    `people`: names by id; what was directed and reported, by the SHA-256 that the log has of it.
    """
    from signing.pdf.errors import PdfError

    try:
        return [_sheet(title, events, people, seen)]
    except PdfError as error:
        if error.code != _TOO_LARGE or len(events) + sum(map(len, seen.values())) < 2:
            raise
    half = (len(events) + 1) // 2
    if half == len(events):  # nothing is left to part but the accesses
        lists = {name: (rows[: len(rows) // 2], rows[len(rows) // 2 :]) for name, rows in seen.items()}
        first, last = ({name: both[place] for name, both in lists.items()} for place in (0, 1))
        return [*as_pdfs(title, events, people, first), *as_pdfs(title, [], people, last)]
    nobody: dict[str, list[dict[str, Any]]] = {}
    return [*as_pdfs(title, events[:half], people, nobody), *as_pdfs(title, events[half:], people, seen)]


def _sheet(
    title: str, events: Sequence[Row], people: Mapping[str, str], seen: Mapping[str, list[dict[str, Any]]]
) -> bytes:
    from signing.pdf.sheet import Sheet

    sheet = Sheet("Quá trình xử lý văn bản", "Hỏa Tốc – quá trình xử lý văn bản")
    sheet.line("QUÁ TRÌNH XỬ LÝ VĂN BẢN", 16, bold=True)
    sheet.line("The course of handling", 11)
    sheet.gap(4)
    sheet.line(title, 11, bold=True)
    for row in events:
        said = _EVENTS.get(row["kind"], Words(row["kind"], row["kind"]))
        sheet.gap(6)
        sheet.rule()
        sheet.line(f"{when(iso(row['at_us']))} · {said.vi} · {said.en}", 11, bold=True)
        sheet.pair("Người thực hiện · By", people.get(row["actor"]) or _actor(row["actor"]))
        for label, value in _fields(msgspec.json.decode(row["body"]), people):
            sheet.pair(label, value, 9.5)
        place = "" if row["position"] is None else f" · {row['position'] + 1}"
        sheet.pair("Nhật ký · Log", f"{row['kind']} · {row['id']}{place}", 9.5)
    if any(seen.values()):
        sheet.gap()
        sheet.line("LƯỢT TRUY CẬP · ACCESSES", 13, bold=True)
    for one in seen.get("told", ()):
        times = (("báo · told", "told_at"), ("nhận · fetched", "fetched_at"), ("đọc · read", "read_at"), ("xác nhận · acknowledged", "acknowledged_at"))  # fmt: skip
        sheet.pair(one["name"] or one["person"], "; ".join(f"{label} {when(one[key])}" for label, key in times if one[key]), 9.5)  # fmt: skip
    for one in seen.get("opened", ()):
        sheet.pair(one["name"] or one["person"], f"mở {one['pages']} trang · pages opened: {when(one['first_at'])} – {when(one['last_at'])}", 9.5)  # fmt: skip
    return sheet.pdf()


def _actor(actor: str) -> str:
    return f"{_SYSTEM.vi} · {_SYSTEM.en}" if actor == "system" else actor


def _fields(body: dict[str, Any], people: Mapping[str, str]) -> list[tuple[str, str]]:
    """What an event says, one row a value; what is nested stands as JSON. Of a direction: who is named, and its words, in full."""
    shown = {name: value for name, value in body.items() if name not in _IDS and value not in (None, "", [], {})}
    return [
        (_FIELDS.get(name, name), _value(name, _named(name, value, people))[:_LONGEST]) for name, value in shown.items()
    ]


def _named(name: str, value: Any, people: Mapping[str, str]) -> Any:
    if name == "coordinators" and isinstance(value, list):
        return "; ".join(people.get(one, one) for one in value)
    return people.get(value, value) if name in _NAMED and isinstance(value, str) else value


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "Có · yes" if value else "Không · no"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    said = (
        JUDGEMENTS[Judgement(text)] if name == "judgement" else of_code(text) if name in _CODED else Words(text, text)
    )
    return text if said.vi == text else f"{text} · {said.vi} · {said.en}"
