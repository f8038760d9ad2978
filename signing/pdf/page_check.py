"""The layout checker: what a document's first page lacks of Decree 30's form. It warns with rule ids and refuses nothing.

Run it in a limited child process only, on files that passed `safety.inspect`; pdfium is imported on use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signing.pdf.locate import fold

__all__ = ["URGENCY_MARKS", "check_first_page"]

URGENCY_MARKS: Final = ("", "KHẨN", "THƯỢNG KHẨN", "HỎA TỐC", "HỎA TỐC")
"""By urgency 0 to 4 (SIG-12)."""

_NATION: Final = ("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Độc lập - Tự do - Hạnh phúc")


def check_first_page(path: Path, number: str, urgency: int) -> list[str]:
    """Names of what is missing on page one: `DOC-3` no text layer, `DOC-2` national name or motto, `DOC-6` number and
    symbol, `SIG-12` a mark of urgency other than the declared one.
    """
    import pypdfium2

    document = pypdfium2.PdfDocument(str(path))
    try:
        page = document[0]
        text_page = page.get_textpage()
        lines = [fold(line) for line in text_page.get_text_range().splitlines()]
        text_page.close()
        page.close()
    finally:
        document.close()
    together = _squeezed(" ".join(lines))
    if not together:
        return ["DOC-3"]
    found = []
    if not all(_squeezed(text) in together for text in _NATION):
        found.append("DOC-2")
    if _squeezed(number) not in together:
        found.append("DOC-6")
    marks = {mark for mark in URGENCY_MARKS if mark and fold(mark) in lines}
    if marks != {URGENCY_MARKS[urgency]} - {""}:
        found.append("SIG-12")
    return found


def _squeezed(text: str) -> str:
    """Without white space and with one kind of dash, as layouts space and break lines in their own ways."""
    return "".join(fold(text).replace("–", "-").split())
