"""Initials (ký nháy): a small mark where the text ends, signed like a signature and told from one by whoever reads the file (SIG-10)."""

import datetime as dt
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from server.demo import paper
from signing.pdf.appearance import INITIALS
from signing.pdf.compare import Expected, compare
from signing.pdf.locate import find_end, find_space, fit
from signing.pdf.objects import Ref
from signing.pdf.placement import FieldKind, Place, automatic, user_from_seen
from signing.pdf.prepare import RouteField, StampText, prepare
from signing.pdf.reader import Page
from signing.pdf.stamp_image import Ink, read_stamp_image
from signing.pdf.validation import Trust, validate
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs, stamp_pngs
from tests.fakes.stamp_pngs import DPI, PER_MM, draw, inked

DRAFTER = StampText("Phạm Văn Mẫu")


def decision(folder: Path) -> Path:
    path = folder / "decision.pdf"
    path.write_bytes(paper.decision(dt.date(2026, 11, 18)).pdf)
    return path


def words(path: Path) -> list[tuple[str, float, float, float, float]]:
    """(word, left, top, right, bottom) in millimetres, as poppler reads them."""
    found = []
    for line in fakes.run("pdftotext", "-bbox", path, "-").splitlines():
        if "<word" in line:
            said = dict(part.split("=") for part in line.split(">")[0].split()[1:])
            box = (float(said[name].strip('"')) * 25.4 / 72 for name in ("xMin", "yMin", "xMax", "yMax"))
            found.append((line.split(">")[1].split("<")[0], *box))
    return found  # type: ignore[return-value]


def in_mm(place: Place) -> tuple[float, float, float, float]:
    return place.left * 210, place.top * 297, (place.left + place.width) * 210, (place.top + place.height) * 297


def apart(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] >= two[2] - 1e-6 or two[0] >= one[2] - 1e-6 or one[1] >= two[3] - 1e-6 or two[1] >= one[3] - 1e-6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_marks_stand_where_the_text_ends_and_over_no_text(count: int, tmp_path: Path) -> None:
    path = decision(tmp_path)
    places = find_end(path, count)
    assert places is not None
    said = words(path)
    end = next(word for word in said if word[0].endswith("./."))
    for place in places:
        box = in_mm(place)
        assert all(apart(box, word[1:]) for word in said)
        assert box[2] <= 210
        # Behind the last line, or right below it.
        assert box[1] < end[4] + 2
        assert box[3] > end[2]
    assert all(apart(in_mm(one), in_mm(two)) for one, two in combinations(places, 2))
    assert [place.page for place in places] == [0] * count


def test_without_one_end_of_the_text_nothing_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    for data in (pdfs.plain(), pdfs.scan()):
        path.write_bytes(data)
        assert find_end(path, 1) is None
    page = pdfs.Pdf()
    page.page(pdfs.lines(("Het phan mot./.", "Het phan hai./.")))
    path.write_bytes(page.classic())
    assert find_end(path, 1) is None
    page = pdfs.Pdf()
    page.page(pdfs.lines(("Het phan mot./.", "Noi nhan")))
    path.write_bytes(page.classic())
    assert find_end(path, 1) is not None
    # More marks than there is room for.
    assert find_end(path, 60) is None


def test_initials_signature_and_seal_are_valid_in_every_judge(tmp_path: Path) -> None:
    parent = decision(tmp_path)
    places = find_end(parent, 1)
    space = find_space(parent, paper.LEADER, ["Chủ tịch"])
    assert places is not None
    assert space is not None
    leader = fit(space, 180 / 64)
    route = (
        RouteField("HT_S1", FieldKind.INITIALS, places[0]),
        RouteField("HT_S2", FieldKind.PERSON, leader),
        RouteField("HT_SEAL", FieldKind.SEAL, Place(0, 0.4, 0.8, 0.17, 0.12)),
    )
    stamps = (DRAFTER, fakes.STAMPS[0], fakes.STAMPS[2])
    current = parent
    for signer, holder in enumerate((fakes.issue("Sample Drafter", fakes.root()), fakes.leader(), fakes.clerk())):
        wanted = fakes.request(signer, route=route, stamp=stamps[signer], reason=INITIALS if signer == 0 else "")
        before = current
        current, info = fakes.sign(current, tmp_path, wanted, holder)
        compare(before, current, Expected.of(info))
        fakes.qpdf_check(current)
        fakes.openssl_verifies(current, info, tmp_path)
        verdicts = fakes.pdfsig(current)
        assert len(verdicts) == signer + 1
        assert all(verdict.valid for verdict in verdicts)
        if signer == 0:
            initialed = current
    trusted = ValidationContext(trust_roots=[_asn1(fakes.root().der)], allow_fetching=False)
    with current.open("rb") as file:
        for signature in PdfFileReader(file).embedded_regular_signatures:
            status = validate_pdf_signature(signature, trusted, ts_validation_context=trusted)
            assert status.bottom_line, status.pretty_print_details()
    result = validate(current, Trust((fakes.root().der,), timestamp_roots=(fakes.root().der,)), fakes.NOW_US + 10**9)
    assert result.valid
    # Whoever has the file alone sees which of them are initials; the word is under its signature.
    assert [found.purpose for found in result.signatures] == [INITIALS, "", ""]
    forged = tmp_path / "forged.pdf"
    raw = current.read_bytes()
    at = raw.index(b"/Reason")
    forged.write_bytes(raw[: at + 20] + bytes([raw[at + 20] ^ 1]) + raw[at + 21 :])
    assert not validate(forged, Trust((fakes.root().der,), timestamp_roots=(fakes.root().der,)), fakes.NOW_US).valid
    # SIG-11: blue, within its small rectangle, without a frame, and readable.
    box, hues = inked(draw(initialed), 180, 280)
    left, top, right, bottom = in_mm(places[0])
    assert box is not None
    assert left - 0.2 <= box[0] / PER_MM
    assert box[2] / PER_MM <= right + 0.2
    assert top - 0.2 <= box[1] / PER_MM
    assert box[3] / PER_MM <= bottom + 0.2
    assert {210, 220, 230} & hues
    shown = [
        word
        for word, x0, y0, x1, y1 in words(initialed)
        if left <= (x0 + x1) / 2 <= right and top <= (y0 + y1) / 2 <= bottom
    ]
    assert sorted(shown) == sorted(["Ký", "nháy", "Phạm", "Văn", "Mẫu"])


def test_an_image_keeps_its_form_in_the_small_mark(tmp_path: Path) -> None:
    image = read_stamp_image(stamp_pngs.signature(), Ink.BLUE)
    parent, out = decision(tmp_path), tmp_path / "out.pdf"
    places = find_end(parent, 1)
    assert places is not None
    route = (RouteField("A", FieldKind.INITIALS, places[0]), RouteField("B", FieldKind.PERSON))
    info = prepare(parent, fakes.request(0, route=route, stamp=DRAFTER, image=image, reason=INITIALS), out)
    compare(parent, out, Expected.of(info))
    box, _hues = inked(draw(out), 180, 280)
    assert box is not None
    wide, high = (box[2] - box[0]) * 25.4 / DPI, (box[3] - box[1]) * 25.4 / DPI
    assert wide / high == pytest.approx(image.width / image.height, rel=0.05)
    assert high == pytest.approx(7.0, abs=0.3)


@given(st.integers(0, 9), st.integers(1, 3), st.floats(300, 1200), st.floats(300, 1700))
def test_without_a_place_marks_stand_clear_of_signatures(marks: int, people: int, width: float, height: float) -> None:
    page = Page(Ref(1), 0, {}, {}, (0, 0, width, height), (0, 0, width, height), 0, 1.0)
    kinds = [*[FieldKind.INITIALS] * marks, *[FieldKind.PERSON] * people, FieldKind.SEAL]
    places = automatic(page, kinds)
    for place in places:
        user_from_seen(page, place)
    boxes = [(p.left, p.top, p.left + p.width, p.top + p.height) for p in places[:-1]]
    assert all(apart(one, two) for one, two in combinations(boxes, 2))


def _asn1(der: bytes) -> object:
    from asn1crypto import x509

    return x509.Certificate.load(der)
