"""The public page at /verify: one form, one answer; no script, no cookie, nothing fetched from elsewhere (threats C8, C9)."""

import base64
import hashlib
from html import escape
from typing import Final

from server.errors import Refused
from server.validations.model import Report, Sentence, SignatureReport
from server.validations.words import FIELDS, when

__all__ = ["POLICY", "answer", "form", "refusal"]

_STYLE: Final = """
:root{color-scheme:light dark;--ok:#0a6b2d;--no:#b00020}
@media(prefers-color-scheme:dark){:root{--ok:#6fd493;--no:#ff8a93}}
body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:1.6rem}
form,section{border:1px solid #8886;border-radius:.6rem;padding:1rem;margin:1rem 0}
label{display:block;font-weight:600;margin-bottom:.5rem}input[type=file]{width:100%;margin-bottom:1rem}
button{font:inherit;padding:.6rem 1rem;min-height:44px;border-radius:.5rem;border:1px solid #8888;margin:0 .5rem .5rem 0;cursor:pointer}
dl{display:grid;grid-template-columns:minmax(8rem,1fr) 2fr;gap:.25rem 1rem;margin:.5rem 0}dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:30rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}}
.valid{color:var(--ok)}.not_valid{color:var(--no)}strong{font-size:1.3rem}small{opacity:.8}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_WORDS: Final = {
    "vi": {
        "title": "Kiểm tra chữ ký số trên tệp PDF",
        "file": "Tệp PDF (tối đa 50 MB)",
        "check": "Kiểm tra",
        "pdf": "Tải báo cáo PDF",
        "json": "Tải báo cáo JSON",
        "kept": "Tệp được kiểm tra rồi xóa ngay; hệ thống không lưu tệp và không lưu kết quả.",
        "other": "English",
        "again": "Kiểm tra tệp khác",
        "signature": "Chữ ký",
        "stamp": "Dấu thời gian văn bản",
        "later": "Có bản sau chữ ký này; các thay đổi đã được xét.",
    },
    "en": {
        "title": "Verify digital signatures of a PDF",
        "file": "PDF file (at most 50 MB)",
        "check": "Verify",
        "pdf": "Report as PDF",
        "json": "Report as JSON",
        "kept": "The file is checked and deleted at once; neither it nor the result is kept.",
        "other": "Tiếng Việt",
        "again": "Verify another file",
        "signature": "Signature",
        "stamp": "Document time stamp",
        "later": "Revisions follow this signature; their changes were judged.",
    },
}
_REFUSALS: Final = {
    "too-large": ("Tệp quá lớn.", "The file is too large."),
    "busy": ("Hệ thống đang bận, xin thử lại.", "The service is busy, please try again."),
}  # fmt: skip


def _page(lang: str, body: str) -> str:
    words = _WORDS[lang]
    other = "en" if lang == "vi" else "vi"
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex,nofollow"><title>{words["title"]}</title><style>{_STYLE}</style></head>'
        f'<body><p><a href="/verify?lang={other}" hreflang="{other}">{words["other"]}</a></p><h1>{words["title"]}</h1>{body}</body></html>'
    )


def form(lang: str) -> str:
    lang = "en" if lang == "en" else "vi"
    words = _WORDS[lang]
    return _page(
        lang,
        '<form method="post" action="/verify" enctype="multipart/form-data">'
        f'<label for="file">{words["file"]}</label><input id="file" name="file" type="file" accept="application/pdf,.pdf" required>'
        f'<input type="hidden" name="lang" value="{lang}">'
        f'<button name="answer" value="page">{words["check"]}</button>'
        f'<button name="answer" value="pdf">{words["pdf"]}</button>'
        f'<button name="answer" value="json">{words["json"]}</button>'
        f"<p><small>{words['kept']}</small></p></form>",
    )


def refusal(lang: str, refused: Refused) -> str:
    vi, en = _REFUSALS.get(refused.code, _REFUSALS["busy"])
    return _page(lang, f'<p role="alert">{vi if lang == "vi" else en}</p>{_again(lang)}')


def _again(lang: str) -> str:
    return f'<p><a href="/verify?lang={lang}">{_WORDS[lang]["again"]}</a></p>'


def answer(lang: str, report: Report) -> str:
    said = report.vi if lang == "vi" else report.en
    reasons = "".join(f"<p>{_said(lang, reason)}</p>" for reason in report.reasons)
    notes = "".join(f"<p><small>{_said(lang, note)}</small></p>" for note in report.notes)
    shown = "".join(_signature(lang, number, found) for number, found in enumerate(report.signatures, 1))
    facts = f"<p><small>SHA-256 {report.sha256}<br>{when(report.checked_at)}</small></p>"
    head = f'<section role="status"><p><strong class="{report.verdict}">{said}</strong></p>{reasons}{notes}{facts}</section>'
    return _page(lang, head + shown + _again(lang))


def _said(lang: str, one: Sentence) -> str:
    return escape(one.vi if lang == "vi" else one.en)


def _signature(lang: str, number: int, found: SignatureReport) -> str:
    words = _WORDS[lang]
    kind = words["stamp"] if found.kind == "document_timestamp" else words["signature"]
    rows = "".join(
        f"<dt>{vi if lang == 'vi' else en}</dt><dd>{escape(value(found, lang))}</dd>"
        for vi, en, value in FIELDS
        if value(found, lang)
    )
    later = "" if found.whole_file else f"<p><small>{words['later']}</small></p>"
    return f"<section><h2>{kind} {number}</h2><dl>{rows}</dl>{later}</section>"
