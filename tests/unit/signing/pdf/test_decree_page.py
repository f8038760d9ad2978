"""The page by Decree 30, measured at 300 dpi: signature and seal where and as the annex wants them (SIG-1 to SIG-6)."""

import datetime as dt
import random
import struct
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from server.demo import paper
from signing.pdf import appearance
from signing.pdf.appearance import DEFAULT_FONT, VIETNAMESE_LETTERS, StampFont, stamp_font
from signing.pdf.compare import Expected, compare
from signing.pdf.errors import PdfError
from signing.pdf.locate import find_space, fit
from signing.pdf.placement import FieldKind, Place, over_left
from signing.pdf.prepare import RouteField, StampText, prepare
from signing.pdf.reader import open_document
from signing.pdf.stamp_image import MAX_PNG, Ink, StampImage, read_stamp_image
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs, stamp_pngs
from tests.fakes.pdfs import HONEST
from tests.fakes.stamp_pngs import DPI, PER_MM, draw, inked

DAY = dt.date(2026, 11, 18)
PERSON = StampText(paper.LEADER, "CHỦ TỊCH")
AGENCY = StampText(paper.AGENCY, "Văn thư: Lê Thử Nghiệm")


@pytest.fixture(scope="module")
def signature() -> StampImage:
    return read_stamp_image(stamp_pngs.signature(), Ink.BLUE)


@pytest.fixture(scope="module")
def seal() -> StampImage:
    return read_stamp_image(stamp_pngs.seal(), Ink.RED)


def _written(tmp_path: Path) -> Path:
    parent = tmp_path / "decision.pdf"
    parent.write_bytes(paper.decision(DAY).pdf)
    return parent


def _signed(
    tmp_path: Path, parent: Path, signature: StampImage, seal: StampImage, diameter: float
) -> tuple[Path, Path]:
    """The decision with its leader's image, and with the seal's behind it."""
    space = find_space(parent, paper.LEADER, ["Chủ tịch"])
    assert space is not None
    place = fit(space, signature.aspect)
    with open_document(parent) as document:
        beside = over_left(document.head.page(place.page), place, diameter)
    route = (RouteField("A", FieldKind.PERSON, place), RouteField("S", FieldKind.SEAL, beside))
    one, two = tmp_path / "one.pdf", tmp_path / "two.pdf"
    first = prepare(parent, fakes.request(0, route=route, stamp=PERSON, image=signature), one)
    compare(parent, one, Expected.of(first))
    holder = fakes.issue("Mẫu", None)
    signed, _ = fakes.sign(parent, tmp_path, fakes.request(0, route=route, stamp=PERSON, image=signature), holder)
    wanted = fakes.request(1, route=route, stamp=AGENCY, image=seal, diameter_mm=diameter)
    second = prepare(signed, wanted, two)
    compare(signed, two, Expected.of(second))
    return one, two


@pytest.mark.parametrize("diameter", [36.0, 42.0])
def test_signature_and_seal_stand_as_the_annex_says(
    tmp_path: Path, signature: StampImage, seal: StampImage, diameter: float
) -> None:
    parent = _written(tmp_path)
    one, two = _signed(tmp_path, parent, signature, seal, diameter)
    assert inked(draw(parent), 0, 360)[1] == set()
    # SIG-1: blue, in the middle between the position's line and the name's.
    blue, hues = inked(draw(one), 180, 280)
    assert blue is not None
    assert min(hues) >= 195
    assert max(hues) <= 270
    assert inked(draw(one), -30, 60)[1] == set()
    lines = fakes.run("pdftotext", "-bbox", parent, "-").splitlines()
    words = [
        dict(part.split("=") for part in line.split(">")[0].split()[1:]) | {"said": line}
        for line in lines
        if "<word" in line
    ]
    title = next(word for word in reversed(words) if ">TỊCH<" in word["said"])
    name = next(word for word in reversed(words) if ">Nguyễn<" in word["said"])
    edges = (float(title["yMax"].strip('"')), float(name["yMin"].strip('"')))
    middle = ((blue[0] + blue[2]) / 2 / PER_MM, (blue[1] + blue[3]) / 2 / PER_MM)
    wanted = (paper.decision(DAY).signature.x_mm + 30, sum(edges) / 2 * 25.4 / 72)
    assert abs(middle[0] - wanted[0]) <= 2
    assert abs(middle[1] - wanted[1]) <= 2
    assert edges[0] * DPI / 72 < blue[1]
    assert blue[3] < edges[1] * DPI / 72
    # SIG-2: red, of the real seal's size, over the left third of the signature.
    red, hues = inked(draw(two), -25, 25)
    assert red is not None
    assert all(hue <= 20 or hue >= 335 for hue in hues)
    for side in (red[2] - red[0], red[3] - red[1]):
        assert abs(side / PER_MM - diameter) <= 0.5
    assert red[0] < blue[0]
    assert 0.28 <= (red[2] - blue[0]) / (blue[2] - blue[0]) <= 0.38
    assert abs((red[1] + red[3]) - (blue[1] + blue[3])) / 2 <= 2 * PER_MM


def test_images_leave_the_text_as_it_was(tmp_path: Path, signature: StampImage, seal: StampImage) -> None:
    parent = _written(tmp_path)
    said = [
        unicodedata.normalize("NFC", fakes.run("pdftotext", path, "-"))
        for path in (parent, *_signed(tmp_path, parent, signature, seal, 36))
    ]
    assert said[0] == said[1] == said[2]


def test_images_bring_no_transparency(tmp_path: Path, signature: StampImage, seal: StampImage) -> None:
    # PDF/A-1 input stays PDF/A-1: an explicit mask of one bit, no soft mask (ISO 19005-1, 6.4).
    _one, two = _signed(tmp_path, _written(tmp_path), signature, seal, 36)
    added = two.read_bytes()[len(_written(tmp_path).read_bytes()) :]
    assert b"/ImageMask true" in added
    assert not any(word in added for word in (b"/SMask", b"/ExtGState", b"/Group", b"/BM", b"/ca "))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b"/ImageMask true", b"/ImageMask null"),
        (b"/ImageMask true /BitsPerComponent 1", b"/ImageMask true /BitsPerComponent 2"),
        (b"/ColorSpace /DeviceRGB", b"/ColorSpace /DeviceGra"),
        (b"/BitsPerComponent 8 /Mask", b"/BitsPerComponent 8 /SMas"),
        (b"/Resources << /XObject <<", b"/Resources << /Pattern <<"),
    ],
)
def test_an_image_of_another_kind_is_none_of_ours(
    tmp_path: Path, signature: StampImage, ours: bytes, theirs: bytes
) -> None:
    # B2: the closed list names every key of the image and of its mask.
    parent, out = _written(tmp_path), tmp_path / "out.pdf"
    route = (RouteField("A", FieldKind.PERSON, Place(0, 0.5, 0.6, 0.3, 0.1)),)
    made = prepare(parent, fakes.request(0, route=route, stamp=PERSON, image=signature), out)
    compare(parent, out, Expected.of(made))
    data = out.read_bytes()
    assert data.count(ours) == 1
    out.write_bytes(data.replace(ours, theirs))
    with pytest.raises(PdfError) as caught:
        compare(parent, out, Expected.of(made))
    assert caught.value.code == "changed-beyond-signature"


def test_a_seal_larger_than_its_rectangle_is_refused(tmp_path: Path, seal: StampImage) -> None:
    route = (RouteField("S", FieldKind.SEAL, Place(0, 0.3, 0.5, 0.15, 0.15)),)
    with pytest.raises(PdfError) as caught:
        prepare(_written(tmp_path), fakes.request(0, route=route, stamp=AGENCY, image=seal), tmp_path / "out.pdf")
    assert caught.value.code == "placement-required"


# Where the signature belongs.


def _decomposed(font: StampFont) -> StampFont:
    """The font with a text layer in NFD: a letter with its marks reads as several characters."""
    lines = [
        b"<%04X> <%s>" % (glyph, unicodedata.normalize("NFD", char).encode("utf-16-be").hex().upper().encode())
        for char, glyph in font.glyphs.items()
    ]
    plain = zlib.decompress(font.to_unicode)
    head, _, _rest = plain.partition(b"endcodespacerange\n")
    _before, _, tail = plain.rpartition(b"endbfchar\n")
    blocks = b"".join(
        b"%d beginbfchar\n%s\nendbfchar\n" % (len(part), b"\n".join(part))
        for part in (lines[at : at + 100] for at in range(0, len(lines), 100))
    )
    whole = head + b"endcodespacerange\n" + blocks + tail
    return msgspec.structs.replace(font, to_unicode=zlib.compress(whole))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_space_is_found_in_composed_and_decomposed_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    if form == "NFD":
        monkeypatch.setattr(paper, "stamp_font", lambda path, texts: _decomposed(stamp_font(path, texts)))
    made = paper.decision(DAY)
    (tmp_path / "made.pdf").write_bytes(made.pdf)
    said = fakes.run("pdftotext", tmp_path / "made.pdf", "-")
    assert (unicodedata.normalize("NFD", paper.LEADER) in said) == (form == "NFD")
    for wanted in ("NFC", "NFD"):
        space = find_space(
            tmp_path / "made.pdf",
            unicodedata.normalize(wanted, paper.LEADER),
            [unicodedata.normalize(wanted, "Chủ tịch")],
        )
        assert space is not None
        assert abs(space.middle - made.signature.x_mm - 30) < 1
        assert abs(space.top - made.signature.y_mm) < 3
        assert 30 < space.bottom - space.top < 40


def _lettered(tmp_path: Path, lines: list[tuple[float, float, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with these lines, each (middle in points, y, text)."""

    def written(sheet: object, _y: float) -> float:
        for middle, y, text in lines:
            sheet.centred(middle, y, text, 13)  # type: ignore[attr-defined]
        return 0.0

    with monkeypatch.context() as patched:
        patched.setattr(paper, "_foot", written)
        made = paper.decision(DAY).pdf
    path = tmp_path / "page.pdf"
    path.write_bytes(made)
    return path


def test_every_vietnamese_letter_is_found_in_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    for at in range(0, 134, 9):
        name = "Lê " + VIETNAMESE_LETTERS[at : at + 9]
        path = _lettered(tmp_path, [(400, 250, "GIÁM ĐỐC"), (400, 150, name)], monkeypatch)
        assert find_space(path, name, ["Giám đốc"]) is not None, name
        assert find_space(path, name + "x", ["Giám đốc"]) is None
        found += len(name) - 3
    assert found == 134


@pytest.mark.parametrize(
    ("lines", "is_found"),
    [
        ([(400, 250, "KT. CHỦ TỊCH"), (400, 235, "PHÓ CHỦ TỊCH"), (400, 150, "Trần Thị Ví Dụ")], True),
        ([(400, 250, "PHÓ CHỦ TỊCH"), (400, 150, "Trần Thị Ví Dụ (đã ký)")], False),
        ([(400, 150, "Trần Thị Ví Dụ")], False),
        ([(400, 250, "CHÁNH VĂN PHÒNG"), (400, 150, "Trần Thị Ví Dụ")], False),
        ([(400, 250, "PHÓ CHỦ TỊCH"), (400, 240, "Trần Thị Ví Dụ")], False),  # no room between them
        ([(200, 250, "PHÓ CHỦ TỊCH"), (450, 150, "Trần Thị Ví Dụ")], False),  # another column
        (
            [
                (160, 250, "PHÓ CHỦ TỊCH"),
                (160, 150, "Trần Thị Ví Dụ"),
                (430, 250, "PHÓ CHỦ TỊCH"),
                (430, 150, "Trần Thị Ví Dụ"),
            ],
            False,  # which of the two?
        ),
    ],
)
def test_nothing_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[tuple[float, float, str]], *, is_found: bool
) -> None:
    path = _lettered(tmp_path, lines, monkeypatch)
    assert (find_space(path, "Trần Thị Ví Dụ", ["Phó Chủ tịch"]) is not None) == is_found


def test_a_scan_has_no_space(tmp_path: Path) -> None:
    for name in ("scan", "rotated"):
        path = tmp_path / f"{name}.pdf"
        path.write_bytes(HONEST[name]())
        assert find_space(path, paper.LEADER, ["Chủ tịch"]) is None


# Annexes and copies.


@pytest.mark.parametrize("kind", [FieldKind.ANNEX, FieldKind.COPY])
def test_annexes_and_copies_are_noted_in_the_corner(tmp_path: Path, seal: StampImage, kind: FieldKind) -> None:
    parent = _written(tmp_path)
    text = StampText("Văn phòng Ủy ban nhân dân xã Mẫu", "SAO Y", reference="15/QĐ-UBND")
    image = seal if kind is FieldKind.COPY else None
    out = tmp_path / "noted.pdf"
    made = prepare(parent, fakes.request(0, route=(RouteField("N", kind),), stamp=text, image=image), out)
    compare(parent, out, Expected.of(made))
    area = made.rects[0]
    assert area.page_index == 0
    assert area.seen.left + area.seen.width > 0.97
    assert area.seen.top < 0.02
    said = " ".join(unicodedata.normalize("NFC", fakes.run("pdftotext", "-raw", out, "-")).split())
    time = "18/11/2026 18:06:40 +07:00"  # SIG-5
    wanted = f"15/QĐ-UBND {time}" if kind is FieldKind.ANNEX else f"SAO Y Văn phòng Ủy ban nhân dân xã Mẫu {time}"
    assert wanted in said
    fakes.run("pdftoppm", "-png", "-r", DPI, "-singlefile", out, tmp_path / "drawn")
    drawn = Image.open(tmp_path / "drawn.png").convert("RGB")
    red, page_mm = inked(drawn, -25, 25)[0], drawn.width / PER_MM
    if kind is FieldKind.ANNEX:
        assert red is None  # SIG-4: no image of the seal
    else:
        assert red is not None
        assert abs((red[2] - red[0]) / PER_MM - 36) <= 0.5  # SIG-6: of its real size
        assert page_mm - red[2] / PER_MM <= 6  # in the corner
        assert red[1] / PER_MM >= 5 + 3 * 12 / 72 * 25.4 - 0.5  # below the three lines, which stand in the margin
    added = out.read_bytes()[len(parent.read_bytes()) :]
    assert b"/F0 10 Tf" in added
    assert b"0 0 0 rg" in added


def test_a_note_takes_no_more_room_than_its_lines(tmp_path: Path) -> None:
    """A longer name makes it wider, not higher, as above a document's head there is the margin alone; on a narrow page it breaks."""
    name = "Văn phòng Hội đồng nhân dân và Ủy ban nhân dân huyện Mẫu, tỉnh Mẫu"
    route = (RouteField("N", FieldKind.COPY),)
    made = {}
    for source in ("decision", "small"):
        parent = _written(tmp_path)
        if source == "small":
            page = pdfs.Pdf()
            page.page(pdfs.lines(("Trang nho",)), MediaBox="[0 0 230 500]")
            parent = tmp_path / "small.pdf"
            parent.write_bytes(page.classic())
        request = fakes.request(0, route=route, stamp=StampText(name, "Trích sao"))
        made[source] = prepare(parent, request, tmp_path / f"{source}-noted.pdf").rects[0].box
    assert made["decision"][1] == pytest.approx(3 * 12, abs=0.5)
    assert 200 < made["decision"][0] < 150 / 25.4 * 72 + 1
    assert made["small"][0] < 230 - 2 * 14
    assert made["small"][1] >= 4 * 12


def test_a_note_never_shrinks() -> None:
    font = stamp_font(DEFAULT_FONT, [VIETNAMESE_LETTERS])
    with pytest.raises(PdfError) as caught:
        appearance.draw_note(font, [VIETNAMESE_LETTERS], 10, 100, 60)
    assert caught.value.code == "bad-request"


def test_a_note_says_every_letter(tmp_path: Path) -> None:
    name = " ".join(VIETNAMESE_LETTERS[at : at + 17] for at in range(0, 134, 17))
    out = tmp_path / "noted.pdf"
    stamp = StampText("x", reference=unicodedata.normalize("NFD", name))
    prepare(_written(tmp_path), fakes.request(0, route=(RouteField("N", FieldKind.ANNEX),), stamp=stamp), out)
    assert name in " ".join(unicodedata.normalize("NFC", fakes.run("pdftotext", "-raw", out, "-")).split())


# What may be uploaded.


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


BAD: dict[str, tuple[Callable[[], bytes], Ink, str]] = {
    "jpeg": (lambda: b"\xff\xd8\xff\xe0" + b"0" * 100, Ink.BLUE, "not-a-png"),
    "empty": (lambda: b"", Ink.BLUE, "not-a-png"),
    "cut": (lambda: stamp_pngs.signature()[:600], Ink.BLUE, "not-readable"),
    "bomb": (_bomb, Ink.BLUE, "too-large"),
    "heavy": (lambda: stamp_pngs.signature() + b"0" * MAX_PNG, Ink.BLUE, "too-large"),
    "paper": (lambda: stamp_pngs.signature(ground=(255, 255, 255, 255)), Ink.BLUE, "background"),
    "black": (lambda: stamp_pngs.signature((10, 10, 10)), Ink.BLUE, "colour"),
    "red signature": (stamp_pngs.seal, Ink.BLUE, "colour"),
    "blue seal": (lambda: stamp_pngs.seal(stamp_pngs.BLUE), Ink.RED, "colour"),
    "oval seal": (lambda: stamp_pngs.seal(squeeze=0.8), Ink.RED, "not-round"),
    "nothing": (lambda: stamp_pngs.png(Image.new("RGBA", (300, 300), (0, 0, 0, 0))), Ink.BLUE, "too-small"),
    "dot": (lambda: stamp_pngs.png(Image.new("RGBA", (40, 40), (200, 0, 0, 255))), Ink.RED, "too-small"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_with_its_reason(name: str) -> None:
    make, ink, reason = BAD[name]
    with pytest.raises(PdfError) as caught:
        read_stamp_image(make(), ink)
    assert (caught.value.code, caught.value.reason) == ("bad-image", reason)


def test_a_damaged_image_is_refused_or_read() -> None:
    whole = bytearray(stamp_pngs.signature())
    chance = random.Random(30)
    for _ in range(60):
        bad = bytearray(whole)
        for _ in range(3):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        try:
            read_stamp_image(bytes(bad), Ink.BLUE)
        except PdfError as error:
            assert error.code == "bad-image"  # noqa: PT017 -- a damaged byte may also be one that changes nothing


def test_an_image_is_cut_to_its_ink(signature: StampImage, seal: StampImage) -> None:
    assert abs(signature.aspect - 600 / 240) < 0.03
    assert seal.aspect == 1
    assert len(zlib.decompress(signature.colours)) == signature.width * signature.height * 3
    assert len(zlib.decompress(signature.mask)) == (signature.mask_width + 7) // 8 * signature.mask_height
