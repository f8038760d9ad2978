"""Tables for spreadsheets: RFC 4180, with a byte-order mark, so that Vietnamese text opens as it is."""

import csv
import io
from collections.abc import Iterable

MEDIA_TYPE = "text/csv"

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""The last four are full-width: programs set up for East Asian text take them for the others."""


def table(rows: Iterable[Iterable[str | int | float]]) -> bytes:
    """UTF-8 with a byte-order mark, lines end with CR LF. A text that a spreadsheet would take for a formula is shown as what it is (OWASP)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([_safe(value) for value in row] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _safe(value: str | float) -> str | float:
    """Numbers are ours and stay numbers, also below zero."""
    if not isinstance(value, str):
        return value
    starts = value.startswith(("\t", "\r", "\n")) or value.lstrip().startswith(_FORMULA)
    return f"'{value}" if starts else value
