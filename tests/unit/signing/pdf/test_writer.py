"""The appended bytes: tokens copied, sections of the parent's form, nothing else touched."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.pdf.errors import PdfError
from signing.pdf.fields import decode_text
from signing.pdf.objects import Name, Ref, parse_object
from signing.pdf.reader import Document
from signing.pdf.writer import Addition, edit_array, edit_dictionary, name_token, number_token, text_string
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST


def test_edited_dictionaries_keep_all_other_tokens() -> None:
    text = b"<</A 007/B(x)% why\n/C[1  2]/D/E>>"
    edited = edit_dictionary(text, 0, len(text), {"C": b"5", "B": None, "New": b"[0]"})
    assert edited == b"<</A 007% why\n/C 5/D/E /New [0] >>"
    assert parse_object(edited, 0)[0] == {"A": 7, "C": 5, "D": "E", "New": [0]}


_KEYS = st.sampled_from(["A", "B", "C", "D"])
_TOKENS = st.sampled_from([b"1", b"/N", b"(s)", b"[1 2]", b"<< /K 1 >>", b"5 0 R", b"<00>"])


@given(
    st.dictionaries(_KEYS, _TOKENS),
    st.dictionaries(_KEYS, st.one_of(st.none(), _TOKENS)),
    st.sampled_from([b"", b" ", b"\n"]),
)
def test_edits_mean_what_they_say(before: dict[str, bytes], changes: dict[str, bytes | None], gap: bytes) -> None:
    def between(tokens: bytes) -> bytes:
        return gap if gap or tokens[:1] in b"/([<" else b" "

    text = b"<<" + b" ".join(b"/" + k.encode() + between(v) + v + gap for k, v in before.items()) + b">>"
    found, _end = parse_object(edit_dictionary(text, 0, len(text), changes), 0)
    merged = before | {key: value for key, value in changes.items() if value is not None}
    wanted = {k: parse_object(v, 0)[0] for k, v in merged.items() if changes.get(k, b"") is not None}
    assert found == wanted


def test_arrays_are_extended_behind_their_tokens() -> None:
    assert edit_array(b"[1 0 R% x\n]", [Ref(7), Ref(8)]) == b"[1 0 R% x\n 7 0 R 8 0 R]"


@given(st.text(max_size=40))
def test_text_strings_are_read_back(text: str) -> None:
    raw, _end = parse_object(text_string(text), 0)
    assert isinstance(raw, bytes)
    assert decode_text(raw) == text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20))
def test_names_are_read_back(text: str) -> None:
    assert parse_object(name_token(text), 0)[0] == text


@given(st.floats(-1e6, 1e6))
def test_numbers_are_short_and_close(value: float) -> None:
    found, _end = parse_object(number_token(value), 0)
    assert isinstance(found, int | float)
    assert abs(found - value) <= 0.00005001


@pytest.mark.parametrize("name", ["plain", "object-streams", "hybrid", "carriage-returns", "two-revisions"])
def test_an_addition_is_a_revision(name: str, tmp_path: Path) -> None:
    parent = HONEST[name]()
    document = Document(parent)
    addition = Addition(document.head)
    fresh = addition.add(b"(new)")
    addition.edit(document.head.root, {"Lang": b"(vi)"})
    tail, offsets = addition.render(len(parent), b"" if parent.endswith((b"\n", b"\r")) else b"\n")
    data = parent + tail
    child = Document(data)
    assert len(child.revisions) == len(document.revisions) + 1
    assert child.revisions[-2].end <= len(parent)
    assert child.get(fresh) == b"new"
    assert child.catalog == document.catalog | {"Lang": b"vi"}
    assert data[offsets[fresh] :].startswith(b"(new)")
    # No object number that the parent left unused is taken (pdf.md).
    assert fresh.num >= document.head.size
    assert child.head.kind == ("table" if document.head.kind == "hybrid" else document.head.kind)
    old, new = document.trailer, child.trailer
    assert new[Name("Root")] == old[Name("Root")]
    if Name("ID") in old:
        assert child.resolve(new[Name("ID")])[0] == document.resolve(old[Name("ID")])[0]  # type: ignore[index]
    out = tmp_path / "child.pdf"
    out.write_bytes(data)
    fakes.qpdf_check(out)


def test_unknown_trailer_keys_stay_and_info_is_not_touched() -> None:
    plain = HONEST["plain"]()
    # The added entries stand behind all objects, so that no offset changes.
    parent = plain.replace(b"trailer\n<<", b"trailer\n<< /Odd#20Key [ 01 (x) ]", 1)
    document = Document(parent)
    addition = Addition(document.head)
    addition.add(b"1")
    tail, _offsets = addition.render(len(parent))
    assert b"/Odd#20Key [ 01 (x) ]" in tail
    assert b"/Info" not in tail or b"/Info" in plain
    assert Document(parent + tail).trailer[Name("Odd Key")] == [1, b"x"]


def test_the_same_addition_renders_the_same_bytes() -> None:
    parent = HONEST["plain"]()

    def render() -> bytes:
        addition = Addition(Document(parent).head)
        addition.add(b"(same)")
        return addition.render(len(parent))[0]

    assert render() == render()


def test_one_object_is_changed_once() -> None:
    # A form that is the catalog itself, or an array of annotations that two pages share, would lose the first change.
    document = Document(HONEST["plain"]())
    addition = Addition(document.head)
    addition.edit(document.head.root, {"A": b"1"})
    with pytest.raises(PdfError):
        addition.edit(document.head.root, {"B": b"1"})
