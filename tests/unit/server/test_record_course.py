"""The course of handling as XML and PDF: every event is found in it, whatever its texts hold and however many there are (REC-4)."""

import hashlib
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from server.preservation import course
from signing.pdf import sheet
from tests.fakes.pdf_signing import run

PEOPLE = {"p1": "Trần Thị Mẫu, Văn thư"}


def events(count: int, **body: Any) -> list[dict[str, Any]]:
    said = msgspec.json.encode({"reason": "Sai thể thức", **body})
    return [
        {"id": f"{number:032x}", "at_us": 1_795_000_000_000_000 + number, "kind": "arrival.returned", "subject": "s", "actor": "p1", "position": number, "body": said}
        for number in range(count)
    ]  # fmt: skip


def test_a_long_course_goes_into_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is left out; the accesses stand at the end of the last."""
    monkeypatch.setattr(sheet, "MAX_PAGES", 3)
    long = events(24, **{f"x{number}": "đánh dấu " * 20 for number in range(5)})
    told = {"told": [{"person": "p1", "name": "Lê Văn Mẫu", "told_at": "2026-11-22T00:00:00Z", "fetched_at": None, "read_at": None, "acknowledged_at": None}]}  # fmt: skip
    files = course.as_pdfs("118/CV · mẫu", long, PEOPLE, told)  # type: ignore[arg-type]
    assert len(files) > 1
    text = ""
    for number, pdf in enumerate(files):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(pdf)
        text += unicodedata.normalize("NFC", run("pdftotext", "-layout", str(path), "-"))
        assert ("LƯỢT TRUY CẬP" in text) == (number == len(files) - 1)
    assert all(one["id"] in text for one in long)
    assert text.count("Trả lại nơi gửi") == len(long)


def test_texts_that_no_xml_may_hold_do_not_break_it() -> None:
    """REC-4, B6: what senders wrote is escaped or replaced, never lost with the rest."""
    row = events(1, reason='<a b="&amp;">\ufffe ]]> \u0000', receiver="X02")
    found = ET.fromstring(course.as_xml('"s"', row, PEOPLE))  # type: ignore[arg-type]
    [event] = list(found)
    assert event.get("name") == PEOPLE["p1"]
    assert msgspec.json.decode(event.text or "")["reason"] == '<a b="&amp;">\ufffd ]]> \u0000'


def test_a_direction_stands_in_it_with_its_words_and_whom_it_names(tmp_path: Path) -> None:
    """REC-1: the log has ids and digests; whoever reads the course of handling needs neither."""
    digest = hashlib.sha256("Tham mưu trả lời".encode()).hexdigest()
    row = events(1, text=digest, lead="p2", coordinators=["u1", "p9"], due="2026-11-27")
    names = PEOPLE | {"p2": "Phạm Thị Mẫu", "u1": "Phòng Mẫu", digest: "Tham mưu trả lời"}
    (pdf,) = course.as_pdfs("118/CV", [row[0] | {"kind": "directive.given"}], names, {})  # type: ignore[list-item]
    path = tmp_path / "log.pdf"
    path.write_bytes(pdf)
    text = unicodedata.normalize("NFC", run("pdftotext", "-layout", str(path), "-"))
    for said in ("Ý kiến chỉ đạo", "Tham mưu trả lời", "Phạm Thị Mẫu", "Phòng Mẫu; p9"):
        assert said in text
    assert digest not in text
