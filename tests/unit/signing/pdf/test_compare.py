"""What a revision may change: the closed list, attacked piece by piece (architecture 6.4, A11, B1, B2)."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing.pdf.compare import Expected, chain, compare
from signing.pdf.errors import CODES, PdfError
from signing.pdf.objects import Name, Ref
from signing.pdf.prepare import Prepared, prepare
from signing.pdf.reader import Document, open_document
from signing.pdf.writer import Addition
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdf_tamper, pdfs
from tests.fakes.pdf_tamper import Bodies

CATALOG, PAGES, FONT, CONTENT, PAGE = (Ref(num) for num in (1, 2, 3, 4, 5))


def prepared(parent: Path, out: Path, signer: int = 0, **changes: object) -> Prepared:
    return prepare(parent, fakes.request(signer, **changes), out)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    path = tmp_path / "parent.pdf"
    path.write_bytes(pdfs.plain())
    return path


def refusal(parent: Path, child: Path, expected: Expected) -> str:
    with pytest.raises(PdfError) as caught:
        compare(parent, child, expected)
    assert caught.value.code == "changed-beyond-signature", str(caught.value)
    return caught.value.reason


# Files in which something stands that only an existing empty field or nothing may be added to.
CERTIFIED = {"certified-2", "certified-3", "locked-exclude-named"}


@pytest.mark.parametrize("certify", [False, True], ids=["approve", "certify"])
@pytest.mark.parametrize("name", sorted(set(pdfs.HONEST) - CERTIFIED))
def test_every_revision_of_an_honest_route_is_accepted(name: str, certify: bool, tmp_path: Path) -> None:
    current = tmp_path / "0.pdf"
    current.write_bytes(pdfs.HONEST[name]())
    before = len(chain(current))
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())):
        unsigned = tmp_path / f"{signer}.unsigned.pdf"
        info = prepared(current, unsigned, signer, certify=certify)
        found = compare(current, unsigned, Expected.of(info))
        assert found.touched_pages == info.touched_pages
        assert set(found.touched_pages) | set(found.unchanged_pages) == set(range(found.page_count))
        assert found.signature == info.field_name
        assert found.certifies == info.certified
        signed, _info = fakes.sign(current, tmp_path, fakes.request(signer, certify=certify), holder)
        compare(current, signed, Expected.of(info))
        current = signed
    assert [bool(step.change) for step in chain(current)][before:] == [True, True, True]


def objects(number: Ref, edit: Callable[[bytes], bytes]) -> Callable[[Bodies, Document, Addition], None]:
    """Change an object of the parent, or one that the honest revision writes."""

    def change(bodies: Bodies, after: Document, addition: Addition) -> None:
        found = after.head.indirect(number)
        assert found is not None
        body = bodies.get(number, bytes(found.tokens))
        changed = edit(body)
        assert changed != body
        bodies[number] = changed

    return change


def end_of(addition: bytes) -> Callable[[bytes], bytes]:
    """Add entries at the end of a dictionary."""
    return lambda body: body[: body.rindex(b">>")] + addition + b" >>"


def new(kind: bytes, old: bytes, text: bytes) -> Callable[[Bodies, Document, Addition], None]:
    """Replace a text in the first new object that has `kind` in it."""

    def change(bodies: Bodies, _after: Document, _addition: Addition) -> None:
        ref = next(ref for ref, body in bodies.items() if ref.num > 5 and kind in body)
        assert old in bodies[ref]
        bodies[ref] = bodies[ref].replace(old, text, 1)

    return change


def overlay(bodies: Bodies, _after: Document, addition: Addition) -> None:
    ref = addition.add(pdfs.stream(b"1 1 1 rg 0 0 595 842 re f"))
    bodies[PAGE] = bodies[PAGE].replace(b"/Contents 4 0 R", b"/Contents [4 0 R %d 0 R]" % ref.num)


def overlay_annotation(bodies: Bodies, _after: Document, addition: Addition) -> None:
    form = addition.add(pdfs.stream(b"1 1 1 rg 0 0 500 300 re f", "/Type /XObject /Subtype /Form /BBox [0 0 500 300]"))
    stamp = b"<< /Type /Annot /Subtype /Stamp /F 4 /Rect [50 500 550 800] /AP << /N %d 0 R >> >>" % form.num
    ref = addition.add(stamp)
    bodies[PAGE] = re.sub(rb"/Annots \[", b"/Annots [%d 0 R " % ref.num, bodies[PAGE])


def overlay_annotation_last(bodies: Bodies, after: Document, addition: Addition) -> None:
    overlay_annotation(bodies, after, addition)
    bodies[PAGE] = re.sub(rb"/Annots \[(\d+ 0 R) ([^\]]*)\]", rb"/Annots [\2 \1]", bodies[PAGE])


def swapped_tree(bodies: Bodies, _after: Document, addition: Addition) -> None:
    page = addition.add(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>")
    bodies[PAGES] = b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % page.num


def new_tree(bodies: Bodies, after: Document, addition: Addition) -> None:
    page = addition.reserve()
    tree = addition.add(b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % page.num)
    addition.put(page, b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] >>" % tree.num)
    objects(CATALOG, lambda body: body.replace(b"/Pages 2 0 R", b"/Pages %d 0 R" % tree.num))(bodies, after, addition)


def second_signature(bodies: Bodies, _after: Document, addition: Addition) -> None:
    value = next(body for body in bodies.values() if b"/ByteRange" in body)
    ref = addition.add(value)
    field = next(ref for ref, body in bodies.items() if b"(HT_SIG2)" in body)
    bodies[field] = end_of(b"/V %d 0 R" % ref.num)(bodies[field])


def unreached(_bodies: Bodies, _after: Document, addition: Addition) -> None:
    addition.add(b"<< /Type /Catalog /Pages 2 0 R >>")


def drawn_empty_field(bodies: Bodies, _after: Document, _addition: Addition) -> None:
    field = next(body for body in bodies.values() if b"(HT_SIG2)" in body)
    form = re.search(rb"/N (\d+) 0 R", field)
    assert form
    ref = Ref(int(form[1]))
    head = bodies[ref].partition(b"\nstream\n")[0].replace(b"/Length 0", b"/Length 18")
    bodies[ref] = head + b"\nstream\n1 g 0 0 99 99 re f \nendstream"


SIGNATURE, FIELD, LOOK = b"/ByteRange", b"(HT_SIG1)", b"/Subtype /Form"

ATTACKS: dict[str, Callable[[Bodies, Document, Addition], None]] = {
    "overlay": overlay,
    "overlay-annotation": overlay_annotation,
    "overlay-annotation-last": overlay_annotation_last,
    "swapped-page-tree": swapped_tree,
    "new-page-tree": new_tree,
    "second-signature": second_signature,
    "unreached-object": unreached,
    "drawn-empty-field": drawn_empty_field,
    "content-replaced": lambda b, _a, _n: b.update({CONTENT: pdfs.stream(pdfs.lines(("DOC KHAC",)))}),
    "font-replaced": objects(FONT, lambda body: body.replace(b"/Helvetica", b"/Symbol")),
    "page-turned": objects(PAGE, end_of(b"/Rotate 90")),
    "page-cropped": objects(PAGE, end_of(b"/CropBox [0 0 300 300]")),
    "page-action": objects(PAGE, end_of(b"/AA << >>")),
    "page-resources": objects(PAGE, lambda body: body.replace(b"/F1 3 0 R", b"/F1 1 0 R")),
    "open-action": objects(CATALOG, end_of(b"/OpenAction << /S /JavaScript /JS (x) >>")),
    "layers": objects(CATALOG, end_of(b"/OCProperties << /OCGs [] >>")),
    "metadata": objects(CATALOG, end_of(b"/Metadata 4 0 R")),
    "names": objects(CATALOG, end_of(b"/Names << >>")),
    "extension": objects(CATALOG, lambda body: body.replace(b"/ESIC <<", b"/EVIL << >> /ESIC <<")),
    "version": objects(CATALOG, lambda body: body.replace(b"/Version /1.7", b"/Version /1.9")),
    "false-certification": objects(CATALOG, end_of(b"/Perms << /DocMDP 6 0 R >>")),
    "signature-key": new(SIGNATURE, b"/Type /Sig", b"/Type /Sig /Cert (x)"),
    "signature-kind": new(SIGNATURE, b"/ETSI.CAdES.detached", b"/adbe.pkcs7.detached"),
    "field-key": new(FIELD, b"/FT /Sig", b"/FT /Sig /AA << >>"),
    "field-kind": new(FIELD, b"/FT /Sig", b"/FT /Tx"),
    "field-hidden": new(FIELD, b"/F 132", b"/F 2"),
    "field-page": new(FIELD, b"/P 5 0 R", b"/P 4 0 R"),
    "field-moved": new(FIELD, b"/Rect [", b"/Rect [1"),
    "look-larger": new(LOOK, b"/BBox [0 0 ", b"/BBox [0 0 9"),
    "look-shifted": new(LOOK, b"/BBox [0 0 ", b"/BBox [-9 0 "),
    "look-matrix": new(LOOK, b"/Subtype /Form", b"/Subtype /Form /Matrix [9 0 0 9 0 0]"),
    "look-group": new(LOOK, b"/Subtype /Form", b"/Subtype /Form /Group << /S /Transparency >>"),
    "look-layer": new(LOOK, b"/Subtype /Form", b"/Subtype /Form /OC 1 0 R"),
    "look-borrowed-font": new(LOOK, b"/F0 ", b"/F1 3 0 R /F0 "),
    "font-unembedded": new(b"/FontDescriptor /FontName", b"/FontFile2", b"/FontFile9"),
    "font-program-external": new(b"/Length1", b"/Length1", b"/F (x) /Length1"),
}


def test_a_revision_written_anew_without_a_change_is_accepted(parent: Path, tmp_path: Path) -> None:
    info = prepared(parent, tmp_path / "child.pdf")
    again = pdf_tamper.rebuild(parent, tmp_path / "child.pdf", lambda *_: None, tmp_path / "again.pdf")
    assert compare(parent, again, Expected.of(info)).signature == info.field_name


# Words of the reasons, so that each attack is refused for what it does and not for a slip of the test's own.
REASONS = {
    "overlay": "beyond what a signature touches",
    "swapped-page-tree": "that no signature touches",
    "content-replaced": "that no signature touches",
    "font-replaced": "that no signature touches",
    "second-signature": "not one field was filled",
    "unreached-object": "nothing leads to",
    "drawn-empty-field": "an empty field is drawn",
    "version": "the version",
    "extension": "beyond what a signature touches",
    "false-certification": "certifies",
    "signature-kind": "a signature of another kind",
    "field-moved": "elsewhere than the manifest says",
    "look-larger": "elsewhere than the manifest says",
    "look-shifted": "at the origin",
    "look-matrix": "turned in an unusual way",
    "look-borrowed-font": "no new object",
    "field-kind": "something else than ours",
    "field-hidden": "something else than ours",
    "field-page": "something else than ours",
}
BY_PREFIX = {"page": "beyond what a signature touches", "open": "beyond what a signature touches"}
BY_PREFIX |= dict.fromkeys(("layers", "metadata", "names", "new"), "beyond what a signature touches")
BY_PREFIX |= dict.fromkeys(("overlay", "signature", "field", "look", "font"), "other keys than ours")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_change_beyond_the_closed_list_is_refused(attack: str, parent: Path, tmp_path: Path) -> None:
    info = prepared(parent, tmp_path / "child.pdf")
    changed = pdf_tamper.rebuild(parent, tmp_path / "child.pdf", ATTACKS[attack], tmp_path / "changed.pdf")
    wanted = REASONS.get(attack) or BY_PREFIX[attack.partition("-")[0]]
    assert wanted in refusal(parent, changed, Expected.of(info))


@pytest.mark.parametrize("key", [b"/Info 4 0 R", b"/Encrypt 4 0 R", b"/Sample 1"])
def test_a_new_trailer_key_is_refused(key: bytes, parent: Path, tmp_path: Path) -> None:
    info = prepared(parent, tmp_path / "child.pdf")
    trailer = (b"trailer\n<<", b"trailer\n<< " + key)
    out = pdf_tamper.rebuild(parent, tmp_path / "child.pdf", lambda *_: None, tmp_path / "changed.pdf", trailer=trailer)
    with pytest.raises(PdfError) as caught:
        compare(parent, out, Expected.of(info))
    assert caught.value.code in {"changed-beyond-signature", "encrypted"}


@pytest.mark.parametrize(
    ("old", "text"),
    [(b"xref\n", b"% a remark\nxref\n"), (b"\nendobj\n", b"\nendobj\n77 0 obj\nnull\nendobj\n")],
    ids=["comment", "unlisted-object"],
)
def test_bytes_between_the_objects_are_refused(old: bytes, text: bytes, parent: Path, tmp_path: Path) -> None:
    info = prepared(parent, tmp_path / "child.pdf")
    data = (tmp_path / "child.pdf").read_bytes()
    at = data.rindex(old, 0, data.rindex(b"trailer"))
    data = data[:at] + text + data[at + len(old) :]
    place = data.rindex(b"xref\n", 0, data.rindex(b"trailer"))
    data = re.sub(rb"startxref\n\d+\n%%EOF\n\Z", b"startxref\n%d\n%%%%EOF\n" % place, data)
    out = tmp_path / "changed.pdf"
    out.write_bytes(pdf_tamper.right_range(data, parent.stat().st_size))
    assert "belong to no object" in refusal(parent, out, Expected.of(info))


def test_a_freed_object_and_a_number_below_the_size_are_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent.pdf"
    parent.write_bytes(pdfs.plain().replace(b"/Size 6", b"/Size 9"))
    info = prepared(parent, tmp_path / "child.pdf")

    def take(bodies: Bodies, _after: Document, addition: Addition) -> None:
        bodies[Ref(7)] = b"<< /Type /Catalog /Pages 2 0 R >>"

    out = pdf_tamper.rebuild(parent, tmp_path / "child.pdf", take, tmp_path / "taken.pdf")
    assert "unused number" in refusal(parent, out, Expected.of(info))
    data = (tmp_path / "child.pdf").read_bytes()
    length = parent.stat().st_size
    freed = tmp_path / "freed.pdf"
    freed.write_bytes(data[:length] + re.sub(rb" 00000 n\r\n", b" 00001 f\r\n", data[length:], count=1))
    assert refusal(parent, freed, Expected.of(info))


def test_the_child_must_extend_its_parent_by_exactly_one_revision(parent: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.pdf"
    info = prepared(parent, child)
    expected = Expected.of(info)
    assert refusal(parent, parent, expected)
    one_byte = tmp_path / "byte.pdf"
    data = bytearray(child.read_bytes())
    data[300] ^= 1
    one_byte.write_bytes(data)
    assert "begin with its parent" in refusal(parent, one_byte, expected)
    more = tmp_path / "more.pdf"
    more.write_bytes(pdfs.append(child.read_bytes(), {4: pdfs.stream(pdfs.lines(("DOC KHAC",)))}))
    assert refusal(parent, more, expected)
    other = tmp_path / "other.pdf"
    other.write_bytes(pdfs.vietnamese())
    assert refusal(other, child, expected)


def test_the_manifest_and_the_revision_must_name_the_same(parent: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.pdf"
    expected = Expected.of(prepared(parent, child))
    first, *rest = expected.fields
    replace = msgspec.structs.replace
    x0, y0, x1, y1 = first.rect
    wrong = {
        "place": replace(first, rect=(x0 + 1, y0, x1 + 1, y1)),
        "size": replace(first, box=(first.box[0] + 1, first.box[1])),
        "page": replace(first, page_index=1),
        "name": replace(first, name="HT_SIG9"),
        "filled": replace(first, filled=False),
        "created": replace(first, created=False),
    }
    for field in wrong.values():
        assert refusal(parent, child, Expected((field, *rest), expected.certify))
    assert refusal(parent, child, Expected(tuple(rest), expected.certify))
    assert refusal(parent, child, Expected(expected.fields, certify=True))


def test_b1_filling_a_form_is_no_harmless_change(tmp_path: Path) -> None:
    path = tmp_path / "form.pdf"
    path.write_bytes(pdfs.form())
    signed, _info = fakes.sign(path, tmp_path, fakes.request(), fakes.leader())
    with open_document(signed) as document:
        fields = document.head.array(document.head.dictionary(document.catalog[Name("AcroForm")])[Name("Fields")])
        found = document.indirect(fields[0])
        assert found is not None
        changed = bytes(found.tokens).replace(b"(Nguyen Van Mau)", b"(Tran Van Khac)")
        root = {"Root": f"{document.head.root} R"}
    signed.write_bytes(pdfs.append(signed.read_bytes(), {found.ref.num: changed}, root))
    assert [bool(step.change) for step in chain(signed)] == [False, True, False]


def test_a_seal_that_locks_leaves_no_later_signature(parent: Path, tmp_path: Path) -> None:
    route = (fakes.ROUTE[0], msgspec.structs.replace(fakes.ROUTE[2], locks=True))
    current = parent
    for signer, holder in enumerate((fakes.leader(), fakes.clerk())):
        current, _info = fakes.sign(current, tmp_path, fakes.request(signer, route=route), holder)
    with pytest.raises(PdfError) as caught:
        prepared(current, tmp_path / "late.pdf", route=(msgspec.structs.replace(fakes.ROUTE[0], field_name="Late"),))
    assert caught.value.code == "locked-by-signature"
    assert all(step.change for step in chain(current)[1:])


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_random_change_of_the_appended_bytes_never_changes_more_than_the_manifest_says(
    parent: Path, tmp_path: Path, data: st.DataObject
) -> None:
    child = tmp_path / "child.pdf"
    child.unlink(missing_ok=True)
    info = prepared(parent, child)
    seed = bytearray(child.read_bytes())
    low = info.parent_length
    places = [at for at in (low, info.hole_start - 400, info.hole_start + info.hole_length) if at < len(seed) - 1]
    begin = data.draw(st.sampled_from(places))
    at = data.draw(st.integers(begin, min(begin + 3000, len(seed) - 1)))
    seed[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    child.write_bytes(seed)
    try:
        found = compare(parent, child, Expected.of(info))
    except PdfError as error:
        assert error.code in CODES  # noqa: PT017 - a refusal is one of two good ends
    else:
        # What got through (a letter of the stamp, white space) stays inside what the manifest names.
        assert found.touched_pages == info.touched_pages
        assert {field.name for field in found.fields} >= {rect.field_name for rect in info.rects}
