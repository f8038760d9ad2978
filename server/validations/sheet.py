"""The report of a validation as a PDF of its own, in Vietnamese with English beside it (rule SW-7)."""

import asyncio

from server.validations.model import Report
from server.validations.words import FIELDS, when

__all__ = ["render"]


async def render(report: Report) -> bytes:
    """An A4 file; the font's first cut takes a while, so a thread does it."""
    return await asyncio.to_thread(_render, report)


def _render(report: Report) -> bytes:
    from signing.pdf.sheet import Sheet

    sheet = Sheet("Kết quả kiểm tra chữ ký số", "Hỏa Tốc – kết quả kiểm tra chữ ký số, không thay cho văn bản đã ký")
    sheet.line("KẾT QUẢ KIỂM TRA CHỮ KÝ SỐ", 16, bold=True)
    sheet.line("Report of signature validation", 11)
    sheet.gap()
    sheet.line(f"{report.vi} – {report.en}", 14, bold=True)
    for one in (*report.reasons, *report.notes):
        sheet.line(f"{one.vi} {one.en}", 10.5)
    sheet.gap(6)
    sheet.pair("SHA-256 của tệp · of the file", report.sha256)
    sheet.pair("Dung lượng · Size", f"{report.size} byte")
    sheet.pair("Số bản trong tệp · Revisions", str(report.revisions))
    sheet.pair("Kiểm tra lúc · Checked at", when(report.checked_at))
    for number, found in enumerate(report.signatures, 1):
        sheet.gap()
        sheet.rule()
        kind = (
            ("Chữ ký", "Signature") if found.kind == "signature" else ("Dấu thời gian văn bản", "Document time stamp")
        )
        sheet.line(f"{kind[0]} {number} · {kind[1]} {number}", 12, bold=True)
        for vi, en, value in FIELDS:
            said, other = value(found, "vi"), value(found, "en")
            if said:
                sheet.pair(f"{vi} · {en}", said if said == other else f"{said} · {other}")
    return sheet.pdf()
