"""The stamp as a reader sees it: every Vietnamese letter, the right text, upright, inside its box, without background."""

import unicodedata
from pathlib import Path

import pytest
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from signing.pdf.appearance import (
    DEFAULT_FONT,
    VIETNAMESE_LETTERS,
    SealStamp,
    TextStamp,
    check_font,
    draw_seal,
    draw_text,
    stamp_font,
)
from signing.pdf.errors import PdfError
from signing.pdf.placement import FieldKind, Place
from signing.pdf.prepare import RouteField, StampText, prepare
from signing.pdf.reader import open_document
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST


def test_there_are_134_vietnamese_letters() -> None:
    assert len(VIETNAMESE_LETTERS) == len(set(VIETNAMESE_LETTERS)) == 134
    assert set("ăâđêôơưẮỰỹ") <= set(VIETNAMESE_LETTERS)


def test_the_default_font_has_them_all() -> None:
    check_font(DEFAULT_FONT)


def _without(tmp_path: Path, missing: str, *, blank: bool = False) -> Path:
    font = TTFont(DEFAULT_FONT)
    if blank:
        # As fonts-liberation 1.07 does it: the letter has a glyph, and the glyph is empty.
        glyph = font["glyf"][font.getBestCmap()[ord(missing)]]
        glyph.numberOfContours = 0
        for name in ("coordinates", "flags", "endPtsOfContours", "components"):
            if hasattr(glyph, name):
                delattr(glyph, name)
    else:
        cutter = subset.Subsetter(subset.Options(layout_features=[]))
        cutter.populate(unicodes=[code for code in font.getBestCmap() if chr(code) != missing])
        cutter.subset(font)
    out = tmp_path / "font.ttf"
    font.save(out)
    return out


@pytest.mark.parametrize(("missing", "blank"), [("ử", False), ("Ặ", True), ("k", False)])
def test_a_font_that_lacks_one_letter_is_refused(tmp_path: Path, missing: str, *, blank: bool) -> None:
    with pytest.raises(PdfError) as caught:
        check_font(_without(tmp_path, missing, blank=blank))
    assert caught.value.code == "bad-font"


def test_what_is_no_font_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.ttf").write_bytes(b"not a font")
    for path in (tmp_path / "no.ttf", tmp_path / "absent.ttf"):
        with pytest.raises(PdfError) as caught:
            check_font(path)
        assert caught.value.code == "bad-font"


def test_the_subset_is_made_once() -> None:
    first = stamp_font(DEFAULT_FONT, ["Nguyễn Văn Mẫu"])
    assert stamp_font(DEFAULT_FONT, ["Trần Thị Ví Dụ", "18/11/2026"]) is first
    assert stamp_font(DEFAULT_FONT, ["Đặng § Thử"]) is not first


def _signed(tmp_path: Path, text: StampText, kind: FieldKind, place: Place, source: str = "plain") -> Path:
    parent = tmp_path / "parent.pdf"
    parent.write_bytes(HONEST[source]())
    out = tmp_path / "out.pdf"
    out.unlink(missing_ok=True)
    route = (RouteField("A", kind, place),)
    prepare(parent, fakes.request(0, route=route, stamp=text), out)
    return out


def _words(path: Path, page: int = 1) -> str:
    said = fakes.run("pdftotext", "-raw", "-f", page, "-l", page, path, "-")
    return " ".join(unicodedata.normalize("NFC", said).split())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_all_letters_can_be_read_back(tmp_path: Path, form: str) -> None:
    lines = [VIETNAMESE_LETTERS[at : at + 34] for at in range(0, 134, 34)]
    given = StampText(*(unicodedata.normalize(form, line) for line in lines))
    out = _signed(tmp_path, given, FieldKind.PERSON, Place(0, 0.1, 0.5, 0.8, 0.3))
    words = _words(out)
    assert all(line in words for line in lines)


def test_the_stamp_says_who_when_and_under_which_number(tmp_path: Path) -> None:
    text = StampText("Nguyễn Văn Mẫu", "PHÓ CHỦ TỊCH", "KT. CHỦ TỊCH", "Số: 12/QĐ-UBND")
    words = _words(_signed(tmp_path, text, FieldKind.PERSON, Place(0, 0.5, 0.7, 0.4, 0.1)))
    # SIG-5: date, time and +07:00; 1 795 000 000 s is 18 November 2026, 18:06:40 in Vietnam.
    expected = "KT. CHỦ TỊCH PHÓ CHỦ TỊCH Nguyễn Văn Mẫu Số: 12/QĐ-UBND Ký số: 18/11/2026 18:06:40 +07:00"
    assert expected in words


def test_the_seal_names_organisation_and_clerk(tmp_path: Path) -> None:
    # SIG-8: every seal names the person who applied it.
    text = StampText("Ủy ban nhân dân\nxã Ví Dụ", "Văn thư: Lê Thử Nghiệm")
    words = _words(_signed(tmp_path, text, FieldKind.SEAL, Place(0, 0.3, 0.6, 0.2, 0.15)))
    assert "ỦY BAN NHÂN DÂN XÃ VÍ DỤ" in words
    assert "Văn thư: Lê Thử Nghiệm" in words
    assert "18/11/2026 18:06:40 +07:00" in words


def test_long_names_shrink_into_their_box() -> None:
    font = stamp_font(DEFAULT_FONT, ["x"])
    long = "Ban Chỉ đạo thực hiện các chương trình mục tiêu quốc gia giai đoạn 2026 - 2030 tỉnh Ví Dụ"
    for drawn in (
        draw_text(font, TextStamp(long, (long, long), (long,)), 150, 40),
        draw_seal(font, SealStamp(long, (long,)), 80, 80),
    ):
        sizes = [float(line.split()[1]) for line in drawn.split(b"\n") if line.startswith(b"/F0")]
        places = [line.split()[8:10] for line in drawn.split(b"\n") if line.startswith(b"/F0")]
        assert min(sizes) > 0.5
        for line in drawn.split(b"\n"):
            if line.startswith(b"/F0"):
                at = line.split()
                assert float(at[7]) >= 0
                assert float(at[8]) >= 0
        assert places


def _ink(path: Path, tmp_path: Path, page: int) -> Image.Image:
    fakes.run("pdftoppm", "-png", "-r", 72, "-f", page, "-l", page, "-singlefile", path, tmp_path / "page")
    return Image.open(tmp_path / "page.png").convert("RGB")


@pytest.mark.parametrize("page", [0, 1, 2, 3])
def test_the_stamp_is_upright_on_turned_pages_and_nothing_else_changes(tmp_path: Path, page: int) -> None:
    place = Place(page, 0.55, 0.6, 0.35, 0.12)
    out = _signed(tmp_path, fakes.STAMPS[0], FieldKind.PERSON, place, "rotated")
    after = _ink(out, tmp_path, page + 1)
    before = _ink(tmp_path / "parent.pdf", tmp_path, page + 1)
    wide, high = after.size
    left, top = place.left * wide - 1, place.top * high - 1
    right, bottom = left + place.width * wide + 3, top + place.height * high + 3
    outside = [
        (x, y)
        for x in range(wide)
        for y in range(high)
        if before.getpixel((x, y)) != after.getpixel((x, y)) and not (left <= x <= right and top <= y <= bottom)
    ]
    assert outside == []
    inside = after.crop((round(left) + 3, round(top) + 3, round(right) - 3, round(bottom) - 3))
    blue = [p for p in inside.get_flattened_data() if p[2] > p[0] + 60]
    assert len(blue) > 150
    # No background: most of the box is still paper.
    paper = sum(p == (255, 255, 255) for p in inside.get_flattened_data())
    assert paper > 0.6 * inside.width * inside.height
    # Upright as seen: the text comes out in reading order.
    assert "Nguyễn Văn Mẫu" in _words(out, page + 1)


def test_the_appearance_uses_no_transparency(tmp_path: Path) -> None:
    # PDF/A-1 input stays PDF/A-1 (pdf.md): no soft mask, no blend mode, no group.
    out = _signed(tmp_path, fakes.STAMPS[0], FieldKind.PERSON, Place(0, 0.5, 0.5, 0.3, 0.1), "pdfa-1b")
    with open_document(out) as document:
        added = document.data[document.revisions[-2].end :]
    assert not any(word in added for word in (b"/SMask", b"/ExtGState", b"/Group", b"/BM", b"/ca "))
