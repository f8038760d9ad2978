"""The applicant's page at /f/{secret}: Vietnamese with English beneath; no script, no cookie, nothing fetched from elsewhere, nobody's name."""

import base64
import hashlib
from datetime import date
from html import escape
from typing import Final

from server.notices.calendar import local_day
from server.onestop.model import WORDS, WORKING, Late
from server.onestop.service import Shown

__all__ = ["POLICY", "missing", "shown", "wait"]

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2330;--soft:#4b5567;--back:#f4f5f7;--card:#fff;--line:#d5d9e0;--ok:#0a6b2d;--no:#b3131f}
@media(prefers-color-scheme:dark){:root{--ink:#eceff4;--soft:#b4bccb;--back:#14171d;--card:#1e232c;--line:#39414f;--ok:#6fd493;--no:#ff9aa1}}
body{font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0}
main{max-width:32rem;margin:0 auto;padding:1.25rem min(1rem,4vw) 2rem}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 1rem}
[lang=en]{display:block;font-size:.875rem;font-weight:400;color:var(--soft)}
dl{background:var(--card);border:1px solid var(--line);border-radius:.75rem;margin:0;overflow-wrap:anywhere}
dl div{padding:.8rem min(1rem,4vw);border-top:1px solid var(--line)}dl div:first-child{border:0}
dt{font-size:.875rem;color:var(--soft)}dt [lang=en]{display:inline}
dd{margin:.15rem 0 0;font-size:1.1rem;font-weight:600}
.late,.intime{border-radius:.75rem;padding:.8rem min(1rem,4vw);margin:0 0 1rem;font-weight:600;background:var(--card);border:1px solid;border-left-width:.4rem}
.late{color:var(--no)}.intime{color:var(--ok)}
footer{margin-top:1.25rem;font-size:.875rem;color:var(--soft)}footer [lang=en]{margin-bottom:.75rem}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

_TITLE: Final = ("Tình trạng hồ sơ", "Where your dossier stands")
_LATE: Final = {
    Late.PROMISED: ("Quá hạn trả kết quả", "Later than promised"),
    Late.UNHANDLED: ("Chậm: chưa có người xử lý bước này", "Late: nobody handles this step yet"),
}
_IN_TIME: Final = ("Trong hạn", "In time")


def shown(found: Shown) -> str:
    """Step, unit, promised date, whether it is late. Dates are Vietnam's."""
    step = found.step
    rows = [
        (("Bước hiện tại", "Current step"), WORDS[step.code]),
        (("Đơn vị giải quyết", "Unit"), (found.unit.name, found.unit.name_en)),
        (
            ("Ngày hẹn trả kết quả", "Promised date"),
            ("Chưa hẹn", "Not yet set") if step.promised is None else (_day(step.promised), ""),
        ),
        (("Ở bước này từ ngày", "In this step since"), (_day(local_day(found.since_us)), "")),
    ]
    table = "".join(
        f'<div><dt>{vi} <span lang="en">· {en}</span></dt><dd>{_both(value, value_en)}</dd></div>'
        for (vi, en), (value, value_en) in rows
    )
    status = ""
    # Where the office waits for the applicant, or is done, nothing here knows whether it was in time.
    if step.code in WORKING:
        words = _IN_TIME if found.late is None else _LATE[found.late]
        status = f'<p class="{"intime" if found.late is None else "late"}">{_both(*words)}</p>'
    foot = _both(
        "Giữ kín đường liên kết này: ai có nó cũng xem được trang này.",
        "Keep this link to yourself: whoever has it sees this page.",
    )
    return _page(_TITLE, f"{status}<dl>{table}</dl><footer>{foot}</footer>")


def missing() -> str:
    """The same for a link that never was, that was replaced, and that is over."""
    said = _both(
        "Đường liên kết không đúng hoặc không còn dùng được. Hãy hỏi bộ phận một cửa nơi đã nhận hồ sơ.",
        "The link is wrong or works no more. Ask the one-stop office that took your dossier.",
    )
    return _page(("Không tìm thấy hồ sơ", "No such dossier"), f"<p>{said}</p>")


def wait() -> str:
    said = _both("Có quá nhiều lượt xem. Hãy thử lại sau một phút.", "Too many visits. Try again in a minute.")
    return _page(("Xin chờ một lát", "Please wait"), f"<p>{said}</p>")


def _page(title: tuple[str, str], body: str) -> str:
    return (
        '<!doctype html><html lang="vi"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex,nofollow"><meta name="referrer" content="no-referrer">'
        f"<title>{title[0]}</title><style>{_STYLE}</style></head><body><main><h1>{_both(*title)}</h1>{body}</main></body></html>"
    )


def _both(vi: str, en: str) -> str:
    return escape(vi) + (f' <span lang="en">{escape(en)}</span>' if en else "")


def _day(day: date) -> str:
    return f"{day.day:02}/{day.month:02}/{day.year}"
