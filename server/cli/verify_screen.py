"""How `hoatoc verify` and `hoatoc edxml inspect` say what they found: on the screen, and as JSON.

Nothing that a file or a certificate holds reaches the screen but as printable text.

Longer than most: half of it is texts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from server.verification import PdfReport, ReceiptReport, Step
    from signing.pdf.compare import RevisionChange
    from signing.pdf.validation import SignatureResult

__all__ = ["NOT_VALID", "UNREADABLE", "VALID", "VERDICTS", "Answer", "as_json", "plain", "show", "show_packet"]

VALID, NOT_VALID, UNREADABLE = 0, 1, 2
VERDICTS = {
    VALID: ("valid", "HỢP LỆ", "valid"),
    NOT_VALID: ("not_valid", "KHÔNG HỢP LỆ", "not valid"),
    UNREADABLE: ("unreadable", "KHÔNG KIỂM TRA ĐƯỢC", "cannot be checked"),
}
_VIETNAM = timezone(timedelta(hours=7))


class Answer:
    """What was found: the steps, and the report of a PDF or a receipt."""

    def __init__(self, kind: str, steps: "Sequence[Step]") -> None:
        self.kind = kind
        self.steps = steps
        self.sha256 = ""
        self.pdf: PdfReport | None = None
        self.receipt: ReceiptReport | None = None

    @property
    def exit_code(self) -> int:
        from server.verification import Outcome

        outcomes = {step.outcome for step in self.steps}
        if Outcome.FAILED in outcomes or (self.pdf is not None and not self.pdf.result.valid):
            return NOT_VALID
        return UNREADABLE if Outcome.UNKNOWN in outcomes else VALID


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_json(answer: Answer) -> dict[str, Any]:
    import msgspec

    said: dict[str, Any] = {"kind": answer.kind, "verdict": VERDICTS[answer.exit_code][0]}
    if answer.pdf is not None:
        said |= {
            "sha256": answer.sha256,
            "signatures": [_signature_json(one) for one in answer.pdf.result.signatures],
            "revisions": msgspec.to_builtins(answer.pdf.chain),
        }
    if answer.receipt is not None:
        report = answer.receipt
        said |= {
            "document": report.receipt.document, "revision": report.receipt.revision, "tbs": report.receipt.tbs,
            "manifest": report.receipt.manifest, "log_key": report.log_key, "approval_key": report.approval_key,
            "event": report.event_kind, "event_at": _iso(report.event_at_us), "head_at": _iso(report.head_at_us),
            "signature": _signature_json(report.signature),
        }  # fmt: skip
    said["steps"] = [_step_json(step) for step in answer.steps]
    said["revocation"] = _revocation(answer)
    return said


def _signature_json(found: "SignatureResult") -> dict[str, Any]:
    import msgspec

    from server.verification import intact, valid_then
    from server.verification_texts import text

    said: dict[str, Any] = msgspec.to_builtins(found)
    for name in ("time_us", "not_before_us", "not_after_us"):
        said[name.removesuffix("_us")] = _iso(said.pop(name))
    said["reasons"] = [dict(zip(("code", "vi", "en"), (code, *text(code)), strict=True)) for code in found.reasons]
    said["integrity"], said["valid_at_signing"] = intact(found), valid_then(found)
    return said


def _revocation(answer: Answer) -> str:
    """Nothing is looked up here: "embedded" where the file's own validation data were judged, else "not-checked"."""
    found = [] if answer.pdf is None else answer.pdf.result.signatures
    return "embedded" if any(one.revocation != "not-checked" for one in found) else "not-checked"


def _step_json(step: "Step") -> dict[str, str]:
    from server.verification_texts import text

    vi, en = text(step.code)
    said = {"name": step.name, "outcome": step.outcome.value, "code": step.code, "vi": vi, "en": en}
    return said | ({"detail": plain(step.detail)} if step.detail else {})


# --- screen ----------------------------------------------------------------------------------------------------------


def _iso(at_us: int | None) -> str | None:
    """RFC 3339 in UTC; None for no time, and for one that no calendar has."""
    try:
        return None if at_us is None else datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def _local(at_us: int | None) -> str:
    try:
        return (
            "—"
            if at_us is None
            else datetime.fromtimestamp(at_us / 1_000_000, _VIETNAM).strftime("%d/%m/%Y %H:%M:%S +07:00")
        )
    except (ValueError, OverflowError, OSError):
        return "—"


def plain(text: str) -> str:
    """Printable characters only: names come from certificates and files, and could steer the terminal or turn the line round."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)[:400]


def show(file: Path, answer: Answer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=False)
    _, vi, en = VERDICTS[answer.exit_code]
    colour = {VALID: "bold green", NOT_VALID: "bold red", UNREADABLE: "bold yellow"}[answer.exit_code]
    console.print(Text.assemble((f"{vi}", colour), f" · {en}  ", (plain(file.name), "dim")))
    if answer.pdf is not None:
        _show_pdf(console, answer)
    if answer.receipt is not None:
        _show_receipt(console, answer.receipt)
    if answer.steps:
        console.print(_steps_table(answer.steps))
    console.print(
        Text(
            "Không tra cứu thu hồi trực tuyến; chỉ xét dữ liệu kèm trong tệp · Revocation is not looked up online; only what the file carries is judged.",
            style="dim",
        )
    )


def _show_pdf(console: "Console", answer: Answer) -> None:
    from rich.text import Text

    from server.verification_texts import text

    assert answer.pdf is not None
    if not answer.pdf.result.signatures:
        console.print(Text(" · ".join(text("no-signature"))))
    for number, found in enumerate(answer.pdf.result.signatures, start=1):
        console.print(_signature_table(f"Chữ ký {number} · Signature {number}: {plain(found.field)}", found))
    console.print(_chain_table(answer.pdf.chain))
    console.print(Text(f"SHA-256 {answer.sha256}", style="dim"))


def _show_receipt(console: "Console", report: "ReceiptReport") -> None:
    table = _pairs("Biên nhận · Receipt")
    _pair(table, "Văn bản · Document", report.receipt.document)
    _pair(table, "Bản đã ký · Revision (SHA-256)", report.receipt.revision)
    _pair(table, "Ghi nhật ký lúc · Logged at", _local(report.event_at_us))
    _pair(table, "Khóa nhật ký · Log key", report.log_key)
    _pair(table, "Khóa phê duyệt · Approval key", report.approval_key)
    console.print(table)
    console.print(_signature_table("Chữ ký · Signature", report.signature))


def _pairs(title: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", show_header=False, expand=False)
    table.add_column(style="dim", no_wrap=False, min_width=24)
    table.add_column(overflow="fold")
    return table


def _pair(table: "Table", name: str, value: str, style: str = "") -> None:
    from rich.text import Text

    table.add_row(Text(name), Text(plain(value) or "—", style=style))


def _signature_table(title: str, found: "SignatureResult") -> "Table":
    """The fields that SW-7 asks for, and the words of EN 319 102-1."""
    from server.verification import intact, valid_then
    from server.verification_texts import text
    from signing.pdf.validation import Indication

    passed = found.indication is Indication.PASSED
    table = _pairs(title)
    vi, en = ("HỢP LỆ", "valid") if passed else ("KHÔNG HỢP LỆ", "not valid")
    words = " / ".join(filter(None, (found.indication.value, found.sub_indication)))
    _pair(table, "Kết luận · Verdict", f"{vi} · {en} ({words})", "green" if passed else "red")
    for code in found.reasons:
        _pair(table, "Lý do · Reason", " · ".join(text(code)), "red")
    _pair(table, "Người ký · Signer", found.signer)
    if found.purpose:
        _pair(table, "Người ký ghi lý do · Reason given", found.purpose)
    _pair(table, "Cơ quan quản lý · Managing unit", found.organisation)
    _pair(table, "Tổ chức cấp · Issuer", found.issuer)
    _pair(table, "Thời gian ký · Signing time", _when(found))
    whole = _three(intact(found), "Nguyên vẹn · intact", "KHÔNG nguyên vẹn · NOT intact")
    _pair(table, "Tính toàn vẹn · Integrity", whole)
    validity = _three(valid_then(found), "Có hiệu lực · valid", "KHÔNG có hiệu lực · NOT valid")
    _pair(table, "Hiệu lực khi ký · Validity then", validity)
    period = f"{_local(found.not_before_us)} – {_local(found.not_after_us)}" if found.not_after_us else ""
    _pair(table, "Thời hạn chứng thư · Period", period)
    _pair(table, "Thu hồi · Revocation", " · ".join(text(f"revocation-{found.revocation}")))
    _pair(table, "Thuật toán · Algorithm", " ".join(filter(None, (found.algorithm, found.level))))
    return table


def _three(value: bool | None, yes: str, no: str) -> str:  # noqa: FBT001 - a finding, not a switch
    return "Chưa xác định được · undetermined" if value is None else yes if value else no


def _when(found: "SignatureResult") -> str:
    if found.time_us is not None:
        return f"{_local(found.time_us)} (dấu thời gian · time stamp)"
    return "Không có dấu thời gian tin cậy · no trusted time stamp"


def _chain_table(chain: "Sequence[RevisionChange]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Các bản · Revisions"), title_justify="left", title_style="bold")
    table.add_column("#", justify="right")
    table.add_column("byte", justify="right")
    table.add_column("Thay đổi · Changes", overflow="fold")
    for row in chain:
        table.add_row(str(row.index + 1), f"{row.length:,}".replace(",", "."), Text(plain(_change(row))))
    return table


def _change(row: "RevisionChange") -> str:
    if row.change is None:
        if not row.reason:
            return "Bản gốc · the beginning"
        return f"Ngoài danh mục được phép · beyond the closed list ({row.reason})"
    change = row.change
    parts = []
    if change.signature is not None and not change.timestamp:
        parts.append(f"chữ ký · signature {change.signature}")
    if change.timestamp:
        parts.append("dấu thời gian văn bản · document time stamp")
    created = [field.name for field in change.fields if field.created and not field.filled]
    if created:
        parts.append(f"ô ký trống · empty fields {', '.join(created[:10])}")
    if change.validation_data:
        parts.append("dữ liệu xác thực · validation data")
    if change.certifies:
        parts.append("khóa nội dung · certifies")
    if change.touched_pages:
        parts.append(f"trang · pages {', '.join(str(page + 1) for page in change.touched_pages[:20])}")
    return "; ".join(parts) or "không đổi · nothing"


def _steps_table(steps: "Sequence[Step]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from server.verification_texts import STEPS, text

    marks = {"passed": ("✓", "green"), "failed": ("✗", "red"), "unknown": ("?", "yellow"), "noted": ("i", "cyan")}
    table = Table(title=Text("Các bước · Steps"), title_justify="left", title_style="bold", show_lines=False)
    table.add_column("")
    table.add_column("Bước · Step")
    table.add_column("Kết quả · Result", overflow="fold")
    for step in steps:
        mark, colour = marks[step.outcome.value]
        vi, en = text(step.code)
        said = Text.assemble((vi, colour if mark != "✓" else ""), "\n", (en, "dim"))
        if step.detail:
            said.append(f"\n{plain(step.detail)}", style="dim")
        table.add_row(Text(mark, style=colour), Text("\n".join(STEPS.get(step.name, (step.name,)))), said)
    return table


# --- edXML ---

_PACKET_FIELDS = {
    "kind": "Loại gói · Kind", "code": "Số, ký hiệu · Code", "type_name": "Loại văn bản · Type", "subject": "Trích yếu · Subject",
    "from": "Nơi gửi · From", "to": "Nơi nhận · To", "promulgated": "Ngày ban hành · Promulgated", "priority": "Độ khẩn · Urgency",
    "business": "Nghiệp vụ · Business", "reason": "Lý do · Reason", "about": "Về văn bản · About", "document_id": "Mã văn bản · Document id", "status": "Trạng thái · Status",
    "description": "Mô tả · Description", "at": "Lúc · At",
}  # fmt: skip

_GRADES = (
    "Thường · normal",
    "Khẩn · urgent",
    "Thượng khẩn · very urgent",
    "Hỏa tốc · express",
    "Hỏa tốc hẹn giờ · express, timed",
)
_BUSINESS = ("Văn bản mới · new", "Thu hồi · revocation", "Cập nhật · update", "Thay thế · replacement")

_FINDINGS = {
    "text-corrupted": "Tệp hỏng: đã bị chuyển mã như văn bản",
    "magic-mismatch": "Nội dung không đúng với phần mở rộng",
    "wrong-content-type": "Loại khai báo không đúng với phần mở rộng",
}
_REPAIRS = {
    "junk-before-xml": "Có dữ liệu thừa trước phần khai báo XML",
    "junk-after-xml": "Có dữ liệu thừa sau phần tử gốc",
    "missing-prefix": "Thiếu tiền tố edXML:",
    "unbound-prefix": "Tiền tố chưa được khai báo",
    "no-namespace": "Không có không gian tên",
    "business-spelling": "Viết Business thay cho Bussiness",
    "old-element-name": "Tên phần tử theo bản cũ",
    "literal-null": "Giá trị là chữ null, đọc là trống",
    "unreadable-value": "Ngày, giờ hoặc số không đọc được, để trống",
    "no-trace": "Không có dấu vết đường đi (TraceHeader)",
    "receiver-without-code": "Nơi nhận không có mã định danh, bỏ qua",
    "status-without-zero": "Mã trạng thái thiếu số 0 ở đầu",
    "repeated-entry": "Mục lặp lại, chỉ giữ một",
    "reference-without-attachment": "Danh mục có tệp không đính kèm",
    "attachment-without-reference": "Tệp không có trong danh mục",
    "zip-not-declared": "Tệp nén nhưng không khai báo là zip",
    "not-zipped": "Khai báo là zip nhưng tệp không nén",
}


_UNREADABLE = {
    "empty": "Tệp rỗng",
    "too-large": "Gói tin quá lớn",
    "doctype-refused": "Có khai báo DOCTYPE, không được phép",
    "encoding-refused": "Bảng mã không phải UTF-8 hay UTF-16",
    "not-xml": "Không phải XML đúng cú pháp",
    "not-edxml": "Phần tử gốc không phải edXML",
    "too-deep": "Các phần tử lồng nhau quá sâu",
    "too-many-elements": "Quá nhiều phần tử",
    "too-many-attachments": "Quá nhiều tệp đính kèm",
    "attachment-too-large": "Tệp đính kèm quá lớn",
    "text-too-long": "Văn bản trong phần tử quá dài",
    "token-too-long": "Thẻ hoặc ghi chú quá dài",
    "bad-base64": "Nội dung tệp đính kèm không phải base64",
    "nonstandard-attachments": "Tệp đính kèm không theo quy chuẩn",
    "missing-element": "Thiếu phần tử bắt buộc",
    "ambiguous": "Phần tử lặp lại, không rõ cái nào đúng",
    "bad-status": "Mã trạng thái không phải hai chữ số",
    "zip-bomb": "Tệp nén bung ra quá lớn",
    "zip-broken": "Tệp nén hỏng",
    "zip-entry-refused": "Tệp nén chứa mục không được phép",
}


def show_packet(file: Path, found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not found["readable"]:
        where = f" (dòng · line {found['line']})" if found["line"] else ""
        console.print(Text(f"KHÔNG ĐỌC ĐƯỢC · cannot be read: {plain(file.name)}", style="bold red"))
        console.print(Text(_UNREADABLE.get(found["code"], ""), style="yellow"))
        console.print(Text(plain(f"{found['code']}{where}: {found['reason']}")))
        return
    table = _pairs(f"Gói edXML · Packet: {plain(file.name)}")
    for name, label in _PACKET_FIELDS.items():
        value = found.get(name)
        if value not in (None, "", []):
            _pair(table, label, ", ".join(map(str, value)) if isinstance(value, list) else _coded(name, value))
    for field in found.get("too_long", ()):
        said = f"{field['element']}: {field['length']} > {field['limit']}"
        _pair(table, "Quá dài · Too long", said, "yellow")
    console.print(table)
    if found.get("attachments"):
        console.print(_attachments_table(found["attachments"]))
    if found["repairs"]:
        console.print(_repairs_table(found["repairs"]))


def _coded(name: str, value: Any) -> str:
    """A code of the regulation with what it means; an unknown one is said to be so, never taken for the normal one."""
    from server.exchange.words import of_code

    if name == "status":
        words = of_code(value)
        said = "" if words.vi == value else f"{words.vi} · {words.en}"
    elif name in {"priority", "business"}:
        known = _GRADES if name == "priority" else _BUSINESS
        said = known[value] if 0 <= value < len(known) else ""
    else:
        return str(value)
    return f"{value} · {said or 'không rõ · unknown'}"


def _attachments_table(attachments: "Sequence[dict[str, Any]]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Tệp đính kèm · Attachments"), title_justify="left", title_style="bold", show_lines=True)
    for label in ("Tên, SHA-256 · Name, SHA-256", "Loại thật · Real type"):
        table.add_column(label, overflow="fold")
    table.add_column("byte", justify="right")
    table.add_column("Dấu hiệu lạ · Findings", overflow="fold")
    for file in attachments:
        findings = [f"{_FINDINGS.get(code, '')}\n{code}".strip() for code in file["findings"]]
        table.add_row(
            Text.assemble(plain(file["name"]), "\n", (file["sha256"], "dim")),
            Text(plain(file["real_type"])),
            f"{file['size']:,}".replace(",", "."),
            Text("\n".join(findings), style="yellow"),
        )
    return table


def _repairs_table(repairs: "Sequence[dict[str, Any]]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Đã sửa để đọc · Repaired"), title_justify="left", title_style="bold")
    table.add_column("Dòng · Line", justify="right")
    table.add_column("Phần tử · Element", overflow="fold")
    table.add_column("Lỗi · What was wrong", overflow="fold")
    for repair in repairs:
        said = Text.assemble((_REPAIRS.get(repair["code"], ""), "yellow"), "\n", (repair["code"], "dim"))
        table.add_row(str(repair["line"] or ""), Text(plain(repair["element"])), said)
    return table
