"""What a prepared revision holds, where stamps stand, and which parents are refused.

Longer than most: stamps are placed and refused by one request.
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing.pdf.errors import PdfError
from signing.pdf.fields import form_fields, permissions
from signing.pdf.objects import Name, Ref
from signing.pdf.placement import FieldKind, Place, automatic, matrix, seen_from_user, seen_size, user_from_seen
from signing.pdf.prepare import Prepared, RouteField, StampText, prepare, unused_field_names
from signing.pdf.reader import Document, Page, open_document
from signing.pdf.writer import Addition, dictionary_value, edit_dictionary
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST
from tests.shared import SAMPLES, needs_samples


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    source = tmp_path / "plain.pdf"
    source.write_bytes(HONEST["plain"]())
    return source


def prepared(source: Path, **changes: object) -> tuple[Prepared, bytes]:
    out = source.with_name("out.pdf")
    out.unlink(missing_ok=True)
    signer = changes.pop("signer", 0)
    assert isinstance(signer, int)
    info = prepare(source, fakes.request(signer, **changes), out)
    return info, out.read_bytes()


def refused(source: Path, **changes: object) -> str:
    with pytest.raises(PdfError) as caught:
        prepared(source, **changes)
    assert not source.with_name("out.pdf").exists()
    return caught.value.code


def test_the_digests_and_the_hole_are_what_they_say(plain: Path) -> None:
    info, data = prepared(plain)
    parent = plain.read_bytes()
    start, length = info.hole_start, info.hole_length
    assert data.startswith(parent)
    assert info.parent_length == len(parent)
    assert info.parent_digest == hashlib.sha256(parent).digest()
    assert info.size == len(data)
    assert data[start : start + length] == b"<" + b"0" * (length - 2) + b">"
    a, b, c, d = info.byte_range
    assert (a, b, c, c + d) == (0, start, start + length, len(data))
    assert info.tbs == hashlib.sha256(data[:b] + data[c:]).digest()
    signature = Document(data).head.dictionary(_value(data, "HT_SIG1"))
    assert signature[Name("ByteRange")] == list(info.byte_range)
    # The hole holds the CMS and twice the largest token, in bytes (pdf.md).
    assert info.capacity == 4096 + 16 * 1024
    assert prepared(plain, largest_token=10_000)[0].capacity == 4096 + 20_000


def _value(data: bytes, name: str) -> object:
    return next(field.value for field in form_fields(Document(data).head) if field.name == name)


def test_the_first_revision_places_the_whole_route(plain: Path) -> None:
    info, data = prepared(plain)
    head = Document(data).head
    fields = form_fields(head)
    assert [field.name for field in fields] == ["HT_SIG1", "HT_SIG2", "HT_SEAL", "HT_DTS1"]
    assert [field.is_filled for field in fields] == [True, False, False, False]
    # Drawing order is the order of /Annots: the seal lies over the leader's stamp (SIG-2, SIG-10).
    assert head.page(0).dictionary[Name("Annots")] == [field.ref for field in fields]
    assert head.dictionary(fields[3].ref)[Name("Rect")] == [0, 0, 0, 0]
    assert head.version == "1.7"  # DOC-4
    assert head.catalog[Name("Extensions")] == {"ESIC": {"BaseVersion": "1.7", "ExtensionLevel": 1}}
    assert head.dictionary(head.catalog[Name("AcroForm")])[Name("SigFlags")] == 3
    signature = head.dictionary(fields[0].value)
    assert signature[Name("SubFilter")] == "ETSI.CAdES.detached"
    assert signature[Name("M")] == b"D:20261118180640+07'00'"
    assert set(signature) == {"Type", "Filter", "SubFilter", "M", "ByteRange", "Contents"}
    assert info.touched_pages == (0,)
    assert [rect.field_name for rect in info.rects] == ["HT_SIG1", "HT_SIG2", "HT_SEAL"]
    assert [rect.filled for rect in info.rects] == [True, False, False]


def test_later_revisions_only_fill_their_field(plain: Path, tmp_path: Path) -> None:
    first, _info = fakes.sign(plain, tmp_path, fakes.request(0), fakes.leader())
    info, data = prepared(first, signer=1)
    document = Document(data)
    fields = {field.name: field for field in form_fields(document.head)}
    before = {field.name: field for field in form_fields(document.revisions[-2])}
    changed = [num for num in document.head.sections[0].numbers() if num < document.revisions[-2].size]
    assert changed == [before["HT_SIG2"].ref.num]
    assert set(fields["HT_SIG2"].dictionary) ^ set(before["HT_SIG2"].dictionary) == {"V"}
    assert info.touched_pages == (0,)
    assert [rect.created for rect in info.rects] == [False] * 3


def test_a_file_of_pdf_2_keeps_its_version(tmp_path: Path) -> None:
    """DOC-4: 1.7 is the least; the extension is of 1.7 alone (EN 319 142-1, 5.6)."""
    parent, out = tmp_path / "in.pdf", tmp_path / "out.pdf"
    parent.write_bytes(HONEST["pdf-2.0"]())
    info = prepare(parent, fakes.request(), out)
    added = out.read_bytes()[info.parent_length :]
    assert b"/Version" not in added
    assert b"/ESIC" not in added
    fakes.qpdf_check(out)


def test_reason_and_place_are_optional(plain: Path) -> None:
    _info, data = prepared(plain, reason="Phê duyệt", location="Hà Nội")
    signature = Document(data).head.dictionary(_value(data, "HT_SIG1"))
    assert signature[Name("Reason")] == b"\xfe\xff" + "Phê duyệt".encode("utf-16-be")
    assert signature[Name("Location")] == b"\xfe\xff" + "Hà Nội".encode("utf-16-be")


def test_certifying_happens_only_on_unsigned_input(plain: Path, tmp_path: Path) -> None:
    info, data = prepared(plain, certify=True)
    head = Document(data).head
    assert info.certified
    found = permissions(head, form_fields(head))
    assert (found.certified, found.level) == (True, 2)
    certified, _info = fakes.sign(plain, tmp_path, fakes.request(0, certify=True), fakes.leader())
    # P=2 of ours leaves the route open: its fields exist.
    second, info = fakes.sign(certified, tmp_path, fakes.request(1, certify=True), fakes.leader())
    assert not info.certified
    assert all(verdict.valid for verdict in fakes.pdfsig(second))
    # A certified file without a field for the route has no room, unless the signature may be invisible.
    route = (RouteField("OTHER", FieldKind.PERSON),)
    assert refused(certified, route=route) == "no-room-for-signature"
    info, _data = prepared(certified, route=route, allow_invisible=True)
    assert info.rects[0].rect == (0, 0, 0, 0)


def test_a_lock_forbids_what_comes_after(plain: Path, tmp_path: Path) -> None:
    route = (RouteField("A", FieldKind.PERSON), RouteField("B", FieldKind.SEAL, locks=True))
    current, _info = fakes.sign(plain, tmp_path, fakes.request(0, route=route), fakes.leader())
    current, _info = fakes.sign(current, tmp_path, fakes.request(1, route=route), fakes.clerk())
    assert all(verdict.valid for verdict in fakes.pdfsig(current))
    assert refused(current, route=(RouteField("C", FieldKind.PERSON),)) == "locked-by-signature"


def test_other_form_fields_are_locked_by_the_first_signature(tmp_path: Path) -> None:
    source = tmp_path / "form.pdf"
    source.write_bytes(HONEST["form"]())
    signed, _info = fakes.sign(source, tmp_path, fakes.request(0), fakes.leader())
    with open_document(signed) as document:
        found = permissions(document.head, form_fields(document.head))
        assert found.level is None
        assert [found.forbids(name) for name in ("ho_ten", "dong_y", "HT_SIG2", "HT_SEAL", "HT_DTS1")] == [
            *(True, True),
            *(False, False, False),
        ]
    # A stranger's later field is covered by the lock, the route's are not.
    assert refused(signed, route=(RouteField("LATE", FieldKind.PERSON),)) == "locked-by-signature"
    fakes.sign(signed, tmp_path, fakes.request(1), fakes.leader())


@pytest.mark.parametrize("name", ["certified-2", "locked-exclude-named", "signed-with-empty-field"])
def test_existing_empty_fields_named_in_the_route_are_filled(name: str, tmp_path: Path) -> None:
    source = tmp_path / "prepared-by-others.pdf"
    source.write_bytes(HONEST[name]())
    with open_document(source) as document:
        view = document.head
        (empty,) = [field for field in form_fields(view) if field.is_signature and not field.is_filled]
        rect = view.dictionary(empty.widgets[0])[Name("Rect")]
    info, data = prepared(source, route=(RouteField(empty.name, FieldKind.PERSON),))
    child = Document(data)
    filled = {field.name for field in form_fields(child.head) if field.is_filled}
    assert empty.name in filled
    assert list(info.rects[0].rect) == rect
    # Nothing is created, so neither the form nor the catalog changes.
    assert child.catalog == child.revisions[-2].catalog
    assert info.rects[0].created is False


def test_annotations_allowed_still_forbid_a_new_visible_field(tmp_path: Path) -> None:
    source = tmp_path / "certified.pdf"
    source.write_bytes(HONEST["certified-3"]())
    assert refused(source) == "no-room-for-signature"
    info, _data = prepared(source, allow_invisible=True)
    assert {rect.rect for rect in info.rects} == {(0, 0, 0, 0)}


def test_need_appearances_is_removed(tmp_path: Path) -> None:
    source = tmp_path / "form.pdf"
    data = HONEST["form"]()
    parent = Document(data)
    addition = Addition(parent.head)
    found = addition.tokens(parent.head.root)
    span = dictionary_value(found, "AcroForm")
    assert span is not None
    wanting = edit_dictionary(found.data, *span, {"NeedAppearances": b"true"})
    addition.edit(parent.head.root, {"AcroForm": wanting})
    source.write_bytes(data + addition.render(len(data))[0])
    _info, out = prepared(source)
    form = Document(out).head.dictionary(Document(out).catalog[Name("AcroForm")])
    assert Name("NeedAppearances") not in form
    assert Name("DR") in form


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signer": 1}, "not-the-route"),
        ({"route": ()}, "bad-request"),
        ({"route": (fakes.ROUTE[0], fakes.ROUTE[0])}, "bad-request"),
        ({"route": (RouteField("A.B", FieldKind.PERSON),)}, "bad-request"),
        ({"route": (RouteField("A", FieldKind.PERSON, locks=True), fakes.ROUTE[1])}, "bad-request"),
        ({"route": (RouteField("A", FieldKind.PERSON, Place(0, 0.9, 0.1, 0.2, 0.1)),)}, "bad-request"),
        ({"route": (RouteField("A", FieldKind.PERSON, Place(7, 0.1, 0.1, 0.2, 0.1)),)}, "bad-request"),
        ({"cms_size": 0}, "bad-request"),
        ({"stamp": StampText(" ")}, "bad-request"),
        ({"stamp": StampText("名")}, "bad-font"),
    ],
)
def test_requests_that_make_no_sense_are_refused(plain: Path, changes: dict[str, object], code: str) -> None:
    assert refused(plain, **changes) == code


def test_a_filled_field_is_never_filled_again(plain: Path, tmp_path: Path) -> None:
    signed, _info = fakes.sign(plain, tmp_path, fakes.request(0), fakes.leader())
    assert refused(signed, signer=0) == "not-the-route"
    with open_document(signed) as document:
        assert unused_field_names(document, "HT_SIG", 2) == ("HT_SIG3", "HT_SIG4")


def test_an_existing_output_is_never_overwritten(plain: Path) -> None:
    out = plain.with_name("out.pdf")
    out.write_text("mine")
    with pytest.raises(PdfError) as caught:
        prepare(plain, fakes.request(), out)
    assert caught.value.code == "disk"
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", ["rotated", "crop-and-unit", "inherited"])
def test_rectangles_equal_the_file(name: str, tmp_path: Path) -> None:
    source = tmp_path / "page.pdf"
    source.write_bytes(HONEST[name]())
    with open_document(source) as document:
        count = document.page_count
    for page_index in range(count):
        route = (
            RouteField("A", FieldKind.PERSON, Place(page_index, 0.5, 0.6, 0.4, 0.1)),
            RouteField("B", FieldKind.SEAL, Place(page_index, 0.4, 0.5, 0.2, 0.2)),
        )
        info, data = prepared(source, route=route)
        head = Document(data).head
        page = head.page(page_index)
        assert info.touched_pages == tuple(sorted({page_index, count - 1}))
        for field, rect in zip(form_fields(head), info.rects, strict=False):
            widget = head.dictionary(field.ref)
            assert [float(number) for number in widget[Name("Rect")]] == pytest.approx(rect.rect)  # type: ignore[union-attr]
            x0, y0, x1, y1 = page.crop_box
            assert x0 <= rect.rect[0] < rect.rect[2] <= x1
            assert y0 <= rect.rect[1] < rect.rect[3] <= y1
            normal = head.dictionary(widget[Name("AP")])[Name("N")]
            form = head.dictionary(normal)
            assert form[Name("BBox")] == [0, 0, *(pytest.approx(side) for side in rect.box)]
            assert form.get(Name("Matrix"), [1, 0, 0, 1, 0, 0]) == list(matrix(page.rotate))


_TOKEN = re.compile(rb"/[A-Za-z0-9]+|\d+ \d+ R|\d+|\[[^\[\]]{0,40}\]|\([^()]{0,40}\)|<<[^<>]{0,60}>>")
_OTHERS = [
    b"null",
    b"true",
    b"-1",
    b"7",
    b"/X",
    b"[]",
    b"[[]]",
    b"()",
    b"<<>>",
    b"<</A 1>>",
    b"1.5",
    b"1 0 R",
    b"9 0 R",
]
_SMALL = ["plain", "form", "hybrid", "inherited", "crop-and-unit", "certified-2", "locked-exclude-named", "signed"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(_SMALL),
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(_OTHERS)), min_size=1, max_size=2),
)
def test_values_of_another_type_are_refused_or_signed(
    tmp_path: Path, name: str, swaps: list[tuple[int, bytes]]
) -> None:
    # B4: whatever stands where a value is expected, nothing but a `PdfError` leaves; what is written can be read.
    data = HONEST[name]()
    for place, other in swaps:
        found = list(_TOKEN.finditer(data))
        at = found[place % len(found)]
        if len(other) <= at.end() - at.start():
            data = data[: at.start()] + other.ljust(at.end() - at.start()) + data[at.end() :]
    source = tmp_path / "swapped.pdf"
    source.write_bytes(data)
    try:
        _info, out = prepared(source)
    except PdfError:
        return
    assert form_fields(Document(out).head)


_BOXES = st.tuples(st.floats(-500, 500), st.floats(-500, 500), st.floats(100, 3000), st.floats(100, 3000))
_PAGES = st.builds(
    lambda box, turn, unit: Page(
        Ref(1), 0, {}, {}, *(((box[0], box[1], box[0] + box[2], box[1] + box[3]),) * 2), turn, unit
    ),
    _BOXES,
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from([0.5, 1.0, 2.0]),
)


@given(_PAGES, st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0.05, 0.3), st.floats(0.05, 0.3))
def test_user_space_and_what_is_seen_are_inverse(
    page: Page, left: float, top: float, width: float, height: float
) -> None:
    place = Place(0, left, top, width, height)
    back = seen_from_user(page, user_from_seen(page, place))
    for name in ("left", "top", "width", "height"):
        assert getattr(back, name) == pytest.approx(getattr(place, name), abs=0.0003)


@given(_PAGES, st.lists(st.sampled_from(FieldKind), min_size=1, max_size=12))
def test_automatic_places_stand_on_the_page(page: Page, kinds: list[FieldKind]) -> None:
    kinds = [*sorted(kinds)[:9], FieldKind.SEAL]
    places = automatic(page, kinds)
    people = [place for place, kind in zip(places, kinds, strict=True) if kind is FieldKind.PERSON]
    for place in places:
        user_from_seen(page, place)
    for one in range(len(people)):
        for two in range(one):
            a, b = people[one], people[two]
            apart = a.left >= b.left + b.width - 1e-9 or b.left >= a.left + a.width - 1e-9
            assert apart or a.top >= b.top + b.height - 1e-9 or b.top >= a.top + a.height - 1e-9


def test_the_seal_covers_a_third_of_the_leaders_stamp_on_its_left() -> None:
    # SIG-2
    page = Page(Ref(1), 0, {}, {}, (0, 0, 595, 842), (0, 0, 595, 842), 0, 1.0)
    person, seal = automatic(page, [FieldKind.PERSON, FieldKind.SEAL])
    overlap = seal.left + seal.width - person.left
    assert overlap / person.width == pytest.approx(1 / 3)
    assert seal.left < person.left
    assert seal.width * 595 == pytest.approx(36 / 25.4 * 72, abs=0.1)
    assert person.left + person.width > 0.9
    assert seen_size(page) == (595, 842)


@needs_samples
def test_a_small_page_scales_all_down(tmp_path: Path) -> None:
    source = tmp_path / "small.pdf"
    source.write_bytes((SAMPLES / "pdf" / "10-signed-twice.pdf").read_bytes())
    info, _data = prepared(source)
    for rect in info.rects:
        assert 0 <= rect.rect[0] < rect.rect[2] <= 300
        assert 0 <= rect.rect[1] < rect.rect[3] <= 144


_MEMORY = """
import sys
from pathlib import Path
from tests.fakes import pdf_signing as fakes
from signing.pdf.prepare import prepare
from signing.pdf.assemble import assemble
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
small, big = folder / "small.pdf", source
def once(parent, name):
    info = prepare(parent, fakes.request(), folder / f"{name}.p")
    assemble(folder / f"{name}.p", info, fakes.cms_for(fakes.leader(), info.tbs), folder / f"{name}.out")
once(small, "small")
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
before = status("VmRSS:")
once(big, "big")
print(status("VmHWM:") - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "small.pdf").write_bytes(HONEST["plain"]())
    plain = HONEST["plain"]()
    parent = Document(plain)
    addition = Addition(parent.head)
    addition.add_stream(b"/Type /XObject /Subtype /Image", bytes(25_000_000))
    big = tmp_path / "big.pdf"
    big.write_bytes(plain + addition.render(len(plain))[0])
    grown = subprocess.run(
        [sys.executable, "-c", _MEMORY, big, tmp_path],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[4],
    )
    # KiB; the whole allowance for a 25 MB scan is 16 MiB.
    assert int(grown.stdout) <= 16 * 1024
