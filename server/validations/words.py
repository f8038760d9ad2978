"""Rule SW-7's fields as rows of two columns, for the page and for the sheet, each in both languages."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

from server.validations.model import SignatureReport
from server.verification_texts import text

__all__ = ["FIELDS", "when"]

_VIETNAM: Final = timezone(timedelta(hours=7))
Value = Callable[[SignatureReport, str], str]


def when(at: str | None) -> str:
    """RFC 3339 in UTC as a reader in Vietnam writes it."""
    if at is None:
        return "—"
    return datetime.fromisoformat(at).astimezone(_VIETNAM).strftime("%d/%m/%Y %H:%M:%S +07:00")


def _pick(lang: str, vi: str, en: str) -> str:
    return vi if lang == "vi" else en


def _verdict(found: SignatureReport, lang: str) -> str:
    said = (
        _pick(lang, "HỢP LỆ", "Valid")
        if found.indication == "TOTAL-PASSED"
        else _pick(lang, "KHÔNG HỢP LỆ", "Not valid")
    )
    words = " / ".join(filter(None, (found.indication, found.sub_indication)))
    return f"{said} ({words})"


def _reasons(found: SignatureReport, lang: str) -> str:
    return " ".join(_pick(lang, one.vi, one.en) for one in found.reasons)


def _three(value: bool | None, lang: str, yes: tuple[str, str], no: tuple[str, str]) -> str:  # noqa: FBT001 - a finding
    return _pick(lang, *(("Chưa xác định được", "undetermined") if value is None else yes if value else no))


def _time(found: SignatureReport, lang: str) -> str:
    if found.time is None:
        return _pick(lang, "Không có dấu thời gian tin cậy", "no trusted time stamp")
    return when(found.time)


def _period(found: SignatureReport, _lang: str) -> str:
    return f"{when(found.not_before)} – {when(found.not_after)}" if found.certificate_sha256 else ""


FIELDS: Final[tuple[tuple[str, str, Value], ...]] = (
    ("Kết luận", "Verdict", _verdict),
    ("Lý do", "Reasons", _reasons),
    ("Người ký", "Signer", lambda found, _: found.signer),
    ("Cơ quan quản lý", "Managing unit", lambda found, _: found.organisation),
    ("Tổ chức cấp chứng thư", "Issuer", lambda found, _: found.issuer),
    ("Thời gian ký", "Time of signing", _time),
    ("Tính toàn vẹn", "Integrity", lambda found, lang: _three(found.integrity, lang, ("Nguyên vẹn", "intact"), ("KHÔNG nguyên vẹn", "NOT intact"))),
    ("Hiệu lực khi ký", "Validity at signing", lambda found, lang: _three(found.valid_at_signing, lang, ("Có hiệu lực", "valid"), ("KHÔNG có hiệu lực", "NOT valid"))),
    ("Thu hồi", "Revocation", lambda found, lang: _pick(lang, *text(f"revocation-{found.revocation}"))),
    ("Thời hạn chứng thư", "Certificate's period", _period),
    ("Số hiệu chứng thư", "Serial number", lambda found, _: found.serial),
    ("Thuật toán, mức", "Algorithm, level", lambda found, _: " ".join(filter(None, (found.algorithm, found.level)))),
    ("Người ký ghi lý do", "Reason given by the signer", lambda found, _: found.purpose),
    ("Ô ký", "Field", lambda found, _: found.field),
)  # fmt: skip
