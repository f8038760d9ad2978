"""The only place that turns errors into RFC 9457 problem documents.

A typed `Refused(code, **fields)` becomes the row of `PROBLEMS` with that code; what is not typed becomes `internal` and shows
no detail (threat C18). Texts are Vietnamese and English, chosen by `Accept-Language`. `openapi/problems.json` is this table.
The module is long because the table is the contract of the API and must be read in one place.
"""

import errno
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from server.advice import ADVICE
from server.db import DatabaseError, DatabaseUnavailable, OutcomeUnknown, StorageFailed, StorageFull
from server.errors import HoatocError, Refused

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """One problem type. `retry`: whether the same request may succeed later without being changed."""

    code: str
    status: int
    title_vi: str
    title_en: str
    cause: str
    retry: bool = False


def _table(*rows: Problem) -> dict[str, Problem]:
    return {row.code: row for row in rows}


PROBLEMS = _table(
    # The request itself.
    Problem(
        "invalid-request",
        400,
        "Yêu cầu không đúng mẫu",
        "The request is malformed",
        "A field is missing, unknown, or of the wrong type or length.",
    ),
    Problem(
        "not-found",
        404,
        "Không tìm thấy",
        "Not found",
        "There is no such thing, or you may not see it: both answer alike (C1).",
    ),
    Problem(
        "method-not-allowed",
        405,
        "Phương thức không được hỗ trợ",
        "Method not allowed",
        "The path exists, but not with this method.",
    ),
    Problem(
        "too-large", 413, "Nội dung quá lớn", "The content is too large", "The body or the file is over the limit."
    ),
    Problem(
        "unsupported-media-type",
        415,
        "Kiểu nội dung không được hỗ trợ",
        "Unsupported media type",
        "The Content-Type is not the one that this route takes.",
    ),
    Problem(
        "idempotency-key-reused",
        422,
        "Khóa chống lặp đã dùng cho yêu cầu khác",
        "The Idempotency-Key was used for another request",
        "The key is known with another body (C16).",
    ),
    Problem(
        "idempotency-key-missing",
        400,
        "Thiếu Idempotency-Key",
        "Idempotency-Key is missing",
        "This route changes something and needs the header, 16 to 128 printable characters.",
    ),
    Problem(
        "conflict",
        409,
        "Trạng thái đã thay đổi",
        "The state has changed",
        "Somebody else changed the thing in the meantime; read it again.",
    ),
    Problem(
        "deputy-unusable",
        422,
        "Người thay không dùng được",
        "This person cannot stand in",
        "A deputy is another person of the same organisation who is in office.",
    ),
    Problem(
        "notice-rules-unusable",
        422,
        "Quy tắc thông báo không dùng được",
        "These rules cannot be used",
        "Working hours end after they begin, and each grade has one policy at most.",
    ),
    Problem(
        "escalation-ends-with-nobody",
        422,
        "Chuỗi báo khẩn phải kết thúc ở một người",
        "An escalation must end at a person",
        "Each policy has a step to a duty officer who is in office, after which at most the sender is told (NOT-4).",
    ),
    Problem(
        "rate-limited",
        429,
        "Quá nhiều yêu cầu, xin chờ rồi thử lại",
        "Too many requests, wait and try again",
        "A limit of calls a minute is used up (C7); nothing was done. Retry-After and `retry_after` say in how many seconds to ask again.",
        retry=True,
    ),
    Problem(
        "busy",
        503,
        "Hệ thống đang bận, xin thử lại",
        "The service is busy, please try again",
        "A bounded queue is full; nothing was done.",
        retry=True,
    ),
    Problem(
        "internal",
        500,
        "Lỗi hệ thống",
        "Internal error",
        "A defect on our side; the trace id finds it in the log.",
        retry=True,
    ),
    Problem(
        "insufficient-storage",
        507,
        "Hết dung lượng lưu trữ",
        "Insufficient storage",
        "The disk is (nearly) full; nothing was stored (D8).",
        retry=True,
    ),
    Problem(
        "temporarily-unavailable",
        503,
        "Tạm thời không phục vụ được",
        "Temporarily unavailable",
        "A part that this request needs does not answer; nothing was done.",
        retry=True,
    ),
    Problem(
        "outcome-unknown",
        503,
        "Chưa biết kết quả, vui lòng gửi lại yêu cầu này",
        "The outcome is not known, please repeat this request",
        "The database was lost while it stored the change: it took place wholly or not at all. Repeating the request with its Idempotency-Key tells; after an approval the document does (D10).",
        retry=True,
    ),
    # Identity.
    Problem(
        "authentication-required",
        401,
        "Cần đăng nhập",
        "Authentication is required",
        "No token, or one that is unknown, expired or revoked.",
    ),
    Problem("forbidden", 403, "Không có quyền", "Not permitted", "Your role or scope does not allow this."),
    Problem(
        "proof-invalid",
        401,
        "Bằng chứng thiết bị (DPoP) không hợp lệ",
        "The DPoP proof is not valid",
        "The proof of the device key is missing, malformed, for another request or token, too old or used before; `reason` names the part (RFC 9449 §4.3, C5).",
    ),
    Problem(
        "host-unknown", 421, "Sai tên máy chủ", "Unknown host", "The Host header names none of the configured origins."
    ),
    Problem(
        "pairing-code-invalid",
        422,
        "Mã ghép thiết bị không dùng được",
        "The pairing code cannot be used",
        "It is unknown, older than its life, or was used by another device; ask for a new one.",
    ),
    Problem(
        "device-key-known",
        409,
        "Khóa thiết bị đã được đăng ký",
        "The device key is already registered",
        "A key that any device ever had is not admitted again; the phone makes new keys.",
    ),
    Problem(
        "refresh-invalid",
        401,
        "Phiên làm việc đã kết thúc",
        "The session has ended",
        "The refresh token is unknown, ended, used before or bound to another key; start a session with the approval key (C4).",
    ),
    Problem(
        "client-invalid",
        401,
        "Thông tin hệ thống gọi không đúng",
        "The client is not valid",
        "The client id or secret is wrong, or the client was revoked: all alike (C6).",
    ),
    Problem(
        "scope-invalid",
        400,
        "Phạm vi quyền không hợp lệ",
        "The scope is not valid",
        "A scope is unknown, or the client was not given it.",
    ),
    Problem(
        "push-address-invalid",
        422,
        "Địa chỉ thông báo không hợp lệ",
        "The push address is not valid",
        "The token or subscription is malformed, or its host is not a configured push service (C10).",
    ),
    Problem(
        "organisation-known",
        409,
        "Mã cơ quan đã tồn tại",
        "The organisation exists",
        "An organisation with this exchange code is there already.",
    ),
    Problem(
        "last-administrator",
        409,
        "Phải còn ít nhất một quản trị viên",
        "The last administrator must stay",
        "An organisation without an administrator could not be managed any more.",
    ),
    # The document at intake.
    Problem(
        "secret-document",
        422,
        "Văn bản mật không được đưa vào hệ thống này",
        "State secrets may not enter this system",
        "The declared grade or a mark on the first page says secret (SEC-1).",
    ),
    Problem(
        "too-many-pages",
        422,
        "Văn bản có quá nhiều trang",
        "The document has too many pages",
        "More pages than the limit.",
    ),
    Problem(
        "cannot-be-checked",
        422,
        "Không kiểm tra được tệp PDF",
        "The PDF could not be checked",
        "The limited process that reads the file ended without a verdict: the file asks for too much (B3).",
    ),
    Problem(
        "route-invalid",
        422,
        "Luồng ký không hợp lệ",
        "The signing route is not valid",
        "A person is unknown, may not sign, or stands twice; or there is nobody to sign.",
    ),
    Problem(
        "authority-required",
        422,
        "Cần giấy ủy quyền hoặc phân công ký trên hệ thống",
        "A grant of authority is required",
        "The route writes a line such as KT. or TUQ. without naming a grant, and this system takes no written ones (AUT-6).",
    ),
    # Authority.
    Problem(
        "grant-invalid",
        422,
        "Giấy giao quyền ký không hợp lệ",
        "The grant of authority is not valid",
        "Not signed by its grantor's admitted device, malformed, or not for these positions; `reason` names the part (AUT-1 to AUT-5).",
    ),
    Problem(
        "authority-missing",
        409,
        "Không có quyền ký thay cho văn bản này",
        "There is no authority for this signature",
        "The grant is unknown, another person's, revoked, not yet or no longer in force, out of scope or passed on; `reason` says which (AUT-6). Nothing was signed.",
    ),
    Problem(
        "receiver-unknown",
        422,
        "Không rõ nơi nhận",
        "A receiver is unknown",
        "A receiver's code is missing or malformed.",
    ),
    # Meetings.
    Problem(
        "meeting-over",
        409,
        "Cuộc họp đã bắt đầu hoặc đã hủy",
        "The meeting has started or was cancelled",
        "Nothing is changed, answered or told once a meeting has started; who came is written down from two hours before its start to a week after its end (MTG-5).",
    ),
    Problem(
        "meeting-changed",
        409,
        "Cuộc họp vừa thay đổi",
        "The meeting has changed",
        "An answer and a change are for the newest revision; `sequence` is its number (MTG-5).",
    ),
    Problem(
        "attendee-unknown",
        422,
        "Có người không thuộc cơ quan hoặc không có trong thành phần họp",
        "An attendee is unknown",
        "The chair and every attendee are active members of the organisation (MTG-6); only who is on the list can be checked in.",
    ),
    Problem(
        "person-unknown",
        422,
        "Có người không thuộc cơ quan",
        "A person is unknown",
        "Everybody who is named is an active member of the organisation.",
    ),
    Problem(
        "unit-unknown",
        422,
        "Chưa khai báo đơn vị",
        "The unit is unknown",
        "A dossier's step is with a unit of the organisation: `PUT /api/v1/onestop/units/{code}` comes first.",
    ),
    Problem(
        "dossier-known",
        409,
        "Mã hồ sơ đã có",
        "The dossier is known",
        "An open dossier of this client has the reference. Steps of it are posted to its id; a new link is asked for there.",
    ),
    Problem(
        "dossier-closed",
        409,
        "Hồ sơ đã kết thúc",
        "The dossier is closed",
        "Nothing follows not_received, stopped and returned.",
    ),
    Problem(
        "answer-invalid",
        422,
        "Trả lời giấy mời chưa hợp lệ",
        "The answer is not valid",
        "`reason`: answer, reason (a refusal says why), substitute (an active member of the organisation who is not on the list), substitute-of-substitute (MTG-6).",
    ),
    # Directions.
    Problem(
        "directive-over",
        409,
        "Ý kiến chỉ đạo đã kết thúc",
        "The direction is over",
        "It was completed or withdrawn, or this place on it was: nothing is changed, reported or directed onwards.",
    ),
    Problem(
        "directive-changed",
        409,
        "Ý kiến chỉ đạo vừa thay đổi",
        "The direction has changed",
        "A report and a change are for the newest revision; `sequence` is its number. Also where somebody else reported at the same moment.",
    ),
    Problem(
        "directive-open-below",
        409,
        "Phần việc đã chuyển tiếp chưa hoàn thành",
        "Something that was directed onwards is not completed",
        "Whoever directed onwards completes his part after that is completed or withdrawn.",
    ),
    Problem(
        "assignee-unknown",
        422,
        "Người hoặc đơn vị được giao không hợp lệ",
        "Somebody who is named is unknown",
        "The lead and the coordinators are other active members of the organisation, or organisations of this installation below it.",
    ),
    # Approval.
    Problem(
        "not-your-turn",
        409,
        "Chưa đến lượt của bạn",
        "It is not your turn",
        "The document does not wait for you in its present state.",
    ),
    Problem(
        "prepared-expired",
        409,
        "Bản trình ký đã hết hạn, xin mở lại",
        "The prepared revision has expired, open the sheet again",
        "It lives 15 minutes and dies when the document changes (A11).",
    ),
    Problem(
        "pages-unopened",
        409,
        "Chưa mở hết các trang của văn bản",
        "Not every page of the document was opened",
        "The document is signed only by who has had every page of it and of its annexes on his screen; `pages` names those of `document` that are missing, the first hundred.",
    ),
    Problem(
        "document-signing",
        409,
        "Văn bản đang được ký",
        "The document is being signed",
        "It cannot be replaced or recalled until the signature is settled.",
    ),
    # What came over the exchange.
    Problem(
        "arrival-not-judged",
        409,
        "Chữ ký của văn bản đến đang được kiểm tra",
        "The signatures of the arrival are still being verified",
        "No document is registered before its files were judged (EXC-2).",
        retry=True,
    ),
    Problem(
        "arrival-not-valid",
        409,
        "Chữ ký của văn bản đến không hợp lệ",
        "The arrival's signatures are not valid",
        "Return it with a reason, or register it with `despite` saying why (EXC-2, EXC-3).",
    ),
    Problem(
        "arrival-asked-back",
        409,
        "Nơi gửi đang yêu cầu thu hồi văn bản này",
        "Its sender asks this document back",
        "Answer the request first (EXC-5).",
    ),
    Problem(
        "credential-unavailable",
        409,
        "Chưa có chứng thư ký số dùng được",
        "There is no usable signing credential",
        "No active credential with a certificate within its dates.",
    ),
    Problem(
        "certificate-revoked",
        409,
        "Chứng thư chữ ký số đã bị thu hồi hoặc tạm dừng",
        "The certificate was revoked or suspended",
        "Its issuer says so (SW-8); no PIN is asked and nothing is signed. `revoked_at` tells since when.",
    ),
    Problem(
        "certificate-status-unavailable",
        503,
        "Chưa kiểm tra được trạng thái chứng thư",
        "The certificate's status cannot be had",
        "Neither OCSP nor a revocation list answered for longer than the grace that is set (SW-4, D6).",
        retry=True,
    ),
    Problem(
        "approval-invalid",
        422,
        "Phê duyệt không hợp lệ",
        "The approval is not valid",
        "It does not name exactly this challenge, key, document digest and manifest, or its signature does not verify.",
    ),
    Problem(
        "approval-used", 409, "Phê duyệt đã được dùng", "The approval was already used", "An approval signs once (A10)."
    ),
    Problem(
        "challenge-expired",
        409,
        "Yêu cầu ký đã hết hạn, xin thử lại",
        "The challenge has expired, try again",
        "A challenge lives 120 seconds.",
    ),
    Problem(
        "pin-wrong",
        403,
        "Sai mã PIN",
        "The PIN is wrong",
        "The signer could not open the key. `tries_left` says how many tries remain before the lock.",
    ),
    Problem(
        "pin-locked",
        423,
        "Mã PIN đang bị khóa",
        "The PIN is locked",
        "Too many wrong tries; `locked_until` says when it opens.",
    ),
    Problem("pin-weak", 422, "Mã PIN quá dễ đoán", "The PIN is too easy to guess", "It stands on the blocklist (A9)."),
    Problem(
        "key-destroyed",
        410,
        "Khóa ký đã bị hủy",
        "The signing key was destroyed",
        "Nine wrong tries. A new key and certificate are issued in person.",
    ),
    Problem(
        "key-frozen",
        423,
        "Khóa ký đang bị tạm khóa",
        "The signing key is frozen",
        "Its owner or the duty officer froze it.",
    ),
    Problem(
        "device-not-admitted",
        403,
        "Thiết bị chưa được phép ký",
        "The device may not sign",
        "The signer knows no approval key of this device for the credential.",
    ),
    Problem(
        "voucher-invalid",
        422,
        "Phiếu cấp khóa không hợp lệ",
        "The voucher is not valid",
        "Not signed by a trusted officer, for another person or key, used or expired.",
    ),
    Problem(
        "certificate-invalid",
        422,
        "Chứng thư không phù hợp",
        "The certificate does not fit",
        "Other key, other subject, outside its dates, or it does not chain to a configured root.",
    ),
    Problem(
        "time-stamps-overdue",
        503,
        "Dịch vụ dấu thời gian ngừng quá lâu",
        "Time stamps are overdue",
        "The oldest signature without a time stamp is older than the set period; signing stops (D5).",
        retry=True,
    ),
    Problem(
        "signer-unavailable",
        503,
        "Dịch vụ ký tạm thời không phục vụ",
        "The signer is unavailable",
        "The signer process does not answer; nothing was signed. If the answer was lost, the outcome is found by itself.",
        retry=True,
    ),
    Problem(
        "signer-busy",
        409,
        "Bộ ký đang bận, chưa ký gì; xin ký lại",
        "The signer is busy, nothing was signed; sign again",
        "Too many sign at this moment, or the same person does twice. No try was charged. The approval is spent: ask for a new challenge.",
    ),
    Problem(
        "file-pending",
        409,
        "Tệp chưa sẵn sàng",
        "The file is not ready",
        "The time stamp is awaited; the file has no final bytes yet.",
    ),
    Problem(
        "cannot-be-shown",
        422,
        "Không hiển thị được trang này",
        "This page cannot be shown",
        "The limited process that draws pages gave up on this file (B3).",
    ),
    Problem(
        "personal-signature-missing",
        409,
        "Chưa có chữ ký của người có thẩm quyền",
        "The personal signature is missing",
        "The seal comes after a valid personal signature (SIG-7).",
    ),
    Problem(
        "office-device-required",
        403,
        "Chỉ đóng dấu từ thiết bị của cơ quan",
        "Sealing needs an office device",
        "The organisation's signature is applied at the office (SIG-8).",
    ),
    Problem(
        "changed-beyond-signature",
        500,
        "Bản trình ký thay đổi nhiều hơn chữ ký",
        "The prepared revision changes more than a signature",
        "The comparison of the prepared file with its parent found a change that nobody approved; nothing was shown for approval.",
        retry=True,
    ),
    Problem(
        "webhook-url-invalid",
        422,
        "Địa chỉ webhook không được phép",
        "The webhook URL is not allowed",
        "Not https on port 443, or its host resolves to a private address (C10).",
    ),
    # PDF refusals at intake: never repaired silently (B2, B3, B9; tests/vectors/pdf_refusals.json).
    Problem(
        "broken-structure",
        422,
        "Tệp PDF bị hỏng cấu trúc",
        "The PDF's structure is broken",
        "Two readers may show two things; the file is refused, not repaired.",
    ),
    Problem(
        "encrypted",
        422,
        "Tệp PDF được mã hóa",
        "The PDF is encrypted",
        "A document that nobody can open cannot be put before a signer.",
    ),
    Problem(
        "script", 422, "Tệp PDF chứa mã kịch bản", "The PDF contains scripts", "JavaScript may change what is shown."
    ),
    Problem(
        "active-content",
        422,
        "Tệp PDF chứa nội dung tự động",
        "The PDF contains active content",
        "An action or annotation that does more than navigate (B5).",
    ),
    Problem(
        "embedded-file",
        422,
        "Tệp PDF chứa tệp đính kèm bên trong",
        "The PDF contains embedded files",
        "The signer cannot see what is embedded.",
    ),
    Problem(
        "optional-content",
        422,
        "Tệp PDF có lớp ẩn hiện",
        "The PDF has optional content",
        "Layers that a reader may switch on or off (B2).",
    ),
    Problem(
        "parsers-disagree",
        422,
        "Hai bộ đọc hiểu tệp PDF khác nhau",
        "Two parsers read the PDF differently",
        "Pages or text differ between two independent readers (B9).",
    ),
    Problem(
        "secrecy-mark",
        422,
        "Văn bản có dấu chỉ độ mật",
        "The document carries a secrecy mark",
        "State secrets may not enter this system (SEC-1).",
    ),
    Problem("xfa", 422, "Tệp PDF dùng biểu mẫu XFA", "The PDF uses XFA forms", "XFA is drawn by scripts."),
    Problem(
        "hidden-content",
        422,
        "Tệp PDF có nội dung ẩn",
        "The PDF hides content",
        "Content that is there but not shown (B2).",
    ),
    Problem(
        "external-content",
        422,
        "Tệp PDF lấy nội dung từ bên ngoài",
        "The PDF draws on outside content",
        "What is shown would come from outside the file.",
    ),
    Problem(
        "locked-by-signature",
        422,
        "Chữ ký có sẵn không cho ký thêm",
        "An existing signature forbids another",
        "Certified without changes, or a lock covers what would be added.",
    ),
    Problem(
        "no-room-for-signature",
        422,
        "Tệp đã chứng thực không còn ô ký",
        "The certified file has no field left",
        "A certified file can only be signed in empty fields that it already has.",
    ),
    Problem(
        "placement-required",
        422,
        "Cần chỉ rõ vị trí chữ ký và con dấu trên trang",
        "Say where signature and seal stand on the page",
        "The text layer does not show the lines of position and name once, or there is no room for the seal: nothing is guessed (SIG-1, SIG-2). Give rectangles with the route.",
    ),
    Problem(
        "image-refused",
        422,
        "Ảnh chữ ký hoặc con dấu không dùng được",
        "The image of a signature or seal cannot be used",
        "`reason`: not-a-png, too-large, not-readable, too-small, background (not transparent), colour (blue for persons, red for seals), not-round.",
    ),
    Problem(
        "form-appearance",
        422,
        "Ô biểu mẫu hiển thị khác giá trị",
        "A form field shows another value",
        "A filled field has no appearance, or one that differs from its value.",
    ),
    Problem(
        "unsupported-filter",
        422,
        "Tệp PDF dùng bộ nén không hỗ trợ",
        "The PDF uses an unsupported filter",
        "A stream is encoded in a way that cannot be checked.",
    ),
    Problem(
        "not-the-route",
        409,
        "Ô ký của luồng không còn khớp",
        "The route's field does not fit the file",
        "The field of this step is missing or filled.",
    ),
    Problem(
        "integrity-failed",
        500,
        "Dữ liệu lưu trữ bị hỏng",
        "Stored data is damaged",
        "The bytes read are not the bytes stored (D17). Nothing was shown or signed.",
    ),
)


def language(accept: str | None) -> str:
    """`vi` unless English is preferred."""
    best, weight = "vi", 0.0
    for part in (accept or "").split(","):
        tag, _, parameters = part.strip().partition(";")
        quality = 1.0
        if parameters.strip().startswith("q="):
            try:
                quality = float(parameters.strip()[2:])
            except ValueError:
                quality = 0.0
        primary = tag.strip().lower().split("-")[0]
        if primary in {"vi", "en"} and quality > weight:
            best, weight = primary, quality
    return best


def document(
    code: str, accept_language: str | None, trace_id: str, fields: dict[str, Any] | None = None
) -> tuple[int, bytes]:
    """Status and encoded problem document of one code."""
    row = PROBLEMS.get(code) or PROBLEMS["internal"]
    english = language(accept_language) == "en"
    body: dict[str, Any] = {
        "type": f"/problems/{row.code}",
        "title": row.title_en if english else row.title_vi,
        "status": row.status,
        "code": row.code,
        "trace_id": trace_id,
        "retry": row.retry,
    }
    if row.code in ADVICE:
        body["detail"] = ADVICE[row.code][english]
    body.update({name: value for name, value in (fields or {}).items() if name not in body or name == "detail"})
    return row.status, msgspec.json.encode(body)


_BY_STATUS = {
    401: "authentication-required",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    503: "busy",
}


_DAMAGED = frozenset({"blob-damaged", "blob-missing"})
# The order matters: a full volume is a failed one too. What is not here is a defect of ours (D8, D10, A15).
_OF_DATABASE: tuple[tuple[type[DatabaseError], str], ...] = (
    (StorageFull, "insufficient-storage"),
    (StorageFailed, "temporarily-unavailable"),
    (DatabaseUnavailable, "temporarily-unavailable"),
    (OutcomeUnknown, "outcome-unknown"),
)


def code_of(error: Exception) -> tuple[str, dict[str, Any]]:
    """The problem type of any exception, with its public fields."""
    if isinstance(error, Refused):
        return error.code, error.fields
    if isinstance(error, HoatocError) and error.code in _DAMAGED:
        return "integrity-failed", {}
    if isinstance(error, DatabaseError):
        return next((code for kind, code in _OF_DATABASE if isinstance(error, kind)), "internal"), {}
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "insufficient-storage", {}
    if isinstance(error, msgspec.ValidationError | msgspec.DecodeError):
        return "invalid-request", {"detail": str(error)}
    if isinstance(error, RecursionError):  # msgspec's answer to JSON that is nested without end
        return "invalid-request", {"detail": "nested too deeply"}
    if isinstance(error, HTTPException):
        code = _BY_STATUS.get(error.status_code, "invalid-request" if error.status_code < 500 else "internal")
        fields: dict[str, Any] = {}
        if code == "invalid-request":
            fields["detail"] = error.detail
            if isinstance(error.extra, list):
                fields["errors"] = [
                    {"field": str(item.get("key", "")), "message": str(item.get("message", ""))}
                    for item in error.extra
                    if isinstance(item, dict)
                ]
        return code, fields
    return "internal", {}


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for every error of every route."""
    code, fields = code_of(error)
    trace_id = str(request.scope.get("trace_id", ""))
    status, body = document(code, request.headers.get("accept-language"), trace_id, fields)
    if status >= 500:
        # The traceback goes to the log (redacted there), never to the caller. A path may hold a secret, its template none.
        log.error(
            "request-failed",
            code=code,
            path=request.scope.get("path_template"),
            exc_info=error if code == "internal" else None,
        )
    headers = {"Cache-Control": "no-store"}
    if status in {429, 503}:
        headers["Retry-After"] = str(fields.get("retry_after", 2))
    if status == 401:
        headers["WWW-Authenticate"] = 'DPoP algs="ES256"'
    return Response(content=body, status_code=status, media_type=MEDIA_TYPE, headers=headers)
