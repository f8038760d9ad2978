"""Objects, filters and the chain of revisions: what is read, what is refused, and that any bytes end in `PdfError`."""

import base64
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing.pdf import filters
from signing.pdf.errors import CODES, PdfError
from signing.pdf.objects import MAX_DEPTH, Name, Real, Ref, dictionary_spans, parse_object
from signing.pdf.reader import Document, Revision, open_document
from tests.fakes.pdfs import HONEST
from tests.shared import SAMPLES, needs_samples


def parse(text: bytes) -> object:
    value, end = parse_object(text, 0)
    assert end == len(text)
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b"-0017", -17),
        (b"+5", 5),
        (b"-.5", -0.5),
        (b"4.", 4.0),
        (b"/A#20B", "A B"),
        (b"/", ""),
        (b"(a(b)c)", b"a(b)c"),
        (
            rb"(\(\101\7x\
y\n)",
            b"(A\x07xy\n",
        ),
        (b"(a\r\nb\rc)", b"a\nb\nc"),
        (b"<48 65 6>", b"He`"),
        (b"[1 2 0 R 3]", [1, Ref(2, 0), 3]),
        (b"<</K[1]/L%c\n<</M null>>>>", {"K": [1], "L": {"M": None}}),
        (b"12 0 R", Ref(12, 0)),
    ],
)
def test_objects_read_as_the_standard_says(text: bytes, value: object) -> None:
    assert parse(text) == value


def test_a_real_keeps_its_token() -> None:
    real = parse(b"1.500")
    assert isinstance(real, Real)
    assert (real, real.token) == (1.5, b"1.500")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"(open",
        b"<4G>",
        b"[1",
        b"<</A>>",
        b"<</A 1/A 2>>",
        b"<<1 2>>",
        b"1.2.3",
        b"--5",
        b"truely",
        b"/A#Z1",
        b">>",
        b"9" * 40,
        b"{}",
    ],
)
def test_what_two_readers_might_read_differently_is_refused(text: bytes) -> None:
    # B9: duplicate keys, odd numbers and the like have no single meaning.
    with pytest.raises(PdfError) as caught:
        parse_object(text, 0)
    assert caught.value.code == "broken-structure"


def test_nesting_is_bounded() -> None:
    with pytest.raises(PdfError) as caught:
        parse_object(b"[" * 100_000, 0)
    assert caught.value.code == "too-large"
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 511, 512, 767, 768, 769, 20_000])
@pytest.mark.parametrize("space", ["", " ", "\n", "\0"])
def test_a_hexadecimal_string_is_read_to_its_end_however_long(length: int, space: str) -> None:
    raw = bytes(number % 251 for number in range(length))
    digits = raw.hex(space, 16) if space else raw.hex()
    text = f"<{digits}> 7 0 R>".encode()
    assert parse_object(text, 0) == (raw, len(digits) + 2)
    if raw and raw[-1] % 16 == 0:  # the last digit of an odd number is followed by a zero
        assert parse_object(f"<{digits[:-1]}>".encode(), 0)[0] == raw
    for broken in (f"<{digits}", f"<{digits}x>", f"<{digits}<>", f"<x{digits}>"):
        with pytest.raises(PdfError) as caught:
            parse_object(broken.encode(), 0)
        assert caught.value.code == "broken-structure"


def test_spans_cover_keys_and_values() -> None:
    text = b"<< /A (x) /B [1 2] /C << /D 1 >> >>"
    spans = [(key, text[start:end]) for key, _at, start, end in dictionary_spans(text, 0)]
    assert spans == [("A", b"(x)"), ("B", b"[1 2]"), ("C", b"<< /D 1 >>")]


_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**15), 10**15),
        st.binary(max_size=20),
        st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=8).map(Name),
        st.builds(Ref, st.integers(0, 10**7), st.integers(0, 65535)),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=6).map(Name), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def _write(value: object) -> bytes:
    match value:
        case None:
            return b"null"
        case bool():
            return b"true" if value else b"false"
        case Ref():
            return b"%d %d R" % value
        case int():
            return b"%d" % value
        case bytes():
            return b"<" + value.hex().encode() + b">"
        case Name():
            return b"/" + b"".join(b"#%02x" % byte for byte in value.encode("latin-1"))
        case list():
            return b"[" + b" ".join(map(_write, value)) + b"]"
        case dict():
            return b"<<" + b" ".join(_write(key) + b" " + _write(item) for key, item in value.items()) + b">>"
    raise AssertionError(value)


@given(_values)
def test_whatever_is_written_is_read_back(value: object) -> None:
    assert parse(_write(value)) == value


_spaces = st.sampled_from([b" ", b"\n", b"\r\n ", b"\t", b"\0", b"\f"])


@given(
    st.lists(st.integers(0, 10**15) | st.builds(Ref, st.integers(0, 10**7), st.integers(0, 65535)), max_size=6),
    st.data(),
)
def test_an_array_reads_the_same_however_it_is_spaced(items: list[int | Ref], data: st.DataObject) -> None:
    """Arrays of numbers alone or of references alone are read all at once, others token by token."""
    text = b"["
    for item in items:
        for token in _write(item).split():
            text += token + data.draw(_spaces)
        text += data.draw(st.sampled_from([b"", b"%12 0 R]\n"]))
    text += b"]/Next"
    assert parse_object(text, 0) == (items, len(text) - len(b"/Next"))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        parse_object(data, 0)
    except PdfError as error:
        assert error.code in CODES  # noqa: PT017 -- most inputs raise, some do not


# Filters


@pytest.mark.parametrize(
    ("name", "encoded", "plain"),
    [
        ("FlateDecode", zlib.compress(b"hello"), b"hello"),
        ("ASCIIHexDecode", b"68 65 6C6c 6F>", b"hello"),
        ("ASCII85Decode", base64.a85encode(b"hello") + b"~>", b"hello"),
        ("RunLengthDecode", b"\x01he\xfel\x00o\x80", b"helllo"),
        # The example of ISO 32000-1, 7.4.4.2.
        ("LZWDecode", bytes.fromhex("800B6050220C0C8501"), bytes([45, 45, 45, 45, 45, 65, 45, 45, 45, 66])),
    ],
)
def test_filters_undo_their_encoding(name: str, encoded: bytes, plain: bytes) -> None:
    assert filters.decode(encoded, [(name, {})]) == plain


@pytest.mark.parametrize("kind", range(5))
def test_png_predictors_are_undone(kind: int) -> None:
    rows = [bytes(range(at, at + 12)) for at in (3, 40, 90)]
    encoded, above = b"", bytes(12)
    for row in rows:
        left = bytes(3) + row[:-3]
        corner = bytes(3) + above[:-3]
        guess = {
            0: bytes(12),
            1: left,
            2: above,
            3: bytes((a + b) // 2 for a, b in zip(left, above, strict=True)),
            4: bytes(_paeth(*three) for three in zip(left, above, corner, strict=True)),
        }[kind]
        encoded += bytes([kind]) + bytes((a - b) & 255 for a, b in zip(row, guess, strict=True))
        above = row
    parms = {"Predictor": 15, "Colors": 3, "Columns": 4}
    assert filters.decode(zlib.compress(encoded), [("FlateDecode", parms)]) == b"".join(rows)


def _paeth(a: int, b: int, c: int) -> int:
    return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]


def test_a_deflate_bomb_stops_at_the_bound() -> None:
    # B3
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    with pytest.raises(PdfError) as caught:
        filters.decode(zlib.compress(bomb), [("FlateDecode", {}), ("FlateDecode", {})], 1_000_000)
    assert caught.value.code == "too-large"


@given(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(["LZWDecode", "RunLengthDecode", "ASCIIHexDecode", "ASCII85Decode", "FlateDecode"]), max_size=3
    ),
    st.integers(-1, 20),
)
def test_any_encoded_bytes_are_bounded_or_refused(data: bytes, names: list[str], predictor: int) -> None:
    try:
        found = filters.decode(data, [(name, {"Predictor": predictor}) for name in names], 4096)
    except PdfError as error:
        assert error.code in CODES  # noqa: PT017 -- most inputs raise, some do not
    else:
        assert len(found) <= 4096 or not names


# Files


def walk(document: Document) -> int:
    """Read everything that there is to read."""
    pages = list(document.pages())
    assert len(pages) == document.page_count
    assert all(document.head.page(number) == page for number, page in enumerate(pages))
    for view in document.revisions:
        _touch(view)
    return len(pages)


def _touch(view: Revision) -> None:
    seen: set[Ref] = set()
    todo: list[object] = [view.trailer.get(Name("Root"))]
    while todo:
        value = todo.pop()
        if isinstance(value, Ref) and value not in seen:
            seen.add(value)
            value = view.get(value)
        if hasattr(value, "dictionary"):
            view.decode(value)
            value = value.dictionary
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_files_are_read_whole(name: str) -> None:
    walk(Document(HONEST[name]()))


# name: (pages, ends of its revisions, form of the newest section)
FACTS = {
    "01-plain-libreoffice": (1, [12609], "table"),
    "03-acroform": (1, [34186], "table"),
    "04-pdfa": (1, [16368], "table"),
    "05-117-pages-linearized": (117, [1793479], "table"),
    "06-rotated-rtl": (4, [15860], "table"),
    "07-scan-like-image": (1, [40115], "table"),
    "08-hybrid-xref": (30, None, "hybrid"),
    "09-signed-linearized": (1, [68846], "stream"),
    "10-signed-twice": (1, [26384, 50827], "stream"),
    "11-pades-lta-dss": (1, [739, 1393, 25853, 46212, 46884], "table"),
}


@needs_samples
@pytest.mark.parametrize("name", sorted(FACTS))
def test_reference_samples_are_read_whole(name: str) -> None:
    pages, ends, kind = FACTS[name]
    with open_document(SAMPLES / "pdf" / f"{name}.pdf") as document:
        assert walk(document) == pages
        assert document.head.kind == kind
        assert ends is None or [view.end for view in document.revisions] == ends


@needs_samples
def test_each_revision_has_its_own_view() -> None:
    data = (SAMPLES / "pdf" / "11-pades-lta-dss.pdf").read_bytes()
    for view in Document(data).revisions:
        alone = Document(data[: view.end])
        assert alone.catalog == view.catalog
        assert alone.head.numbers() == view.numbers()


@needs_samples
def test_page_turns_are_read() -> None:
    with open_document(SAMPLES / "pdf" / "06-rotated-rtl.pdf") as document:
        assert [page.rotate for page in document.pages()] == [90, 180, 270, 0]


@needs_samples
@pytest.mark.parametrize(
    ("name", "code"), [("02-encrypted-user-password", "encrypted"), ("12-broken-xref", "broken-structure")]
)
def test_bad_samples_are_refused(name: str, code: str) -> None:
    with pytest.raises(PdfError) as caught, open_document(SAMPLES / "pdf" / f"{name}.pdf"):
        pass
    assert caught.value.code == code


def test_bytes_outside_the_file_are_refused() -> None:
    # B9: junk before the header or behind the last end.
    good = HONEST["plain"]()
    for bad in (b"x" + good, good + b"% more\n", good[:-7], b"", good.replace(b"%PDF-1.", b"%PDF-9.")):
        with pytest.raises(PdfError) as caught:
            Document(bad)
        assert caught.value.code == "broken-structure"


def test_sections_in_a_circle_end() -> None:
    good = HONEST["plain"]()
    at = good.rindex(b"startxref")
    offset = good[at:].split()[1]
    looped = good.replace(b"trailer\n<<", b"trailer\n<< /Prev " + offset, 1)
    with pytest.raises(PdfError) as caught:
        Document(looped)
    assert caught.value.code == "broken-structure"


def test_a_page_tree_in_a_circle_ends() -> None:
    data = HONEST["plain"]()
    document = Document(data)
    tree = document.catalog[Name("Pages")]
    assert isinstance(tree, Ref)
    kid = document.head.array(document.head.dictionary(tree)[Name("Kids")])[0]
    looped = data.replace(b"/Kids [%d 0 R]" % kid.num, b"/Kids [%d 0 R]" % tree.num)
    assert looped != data
    for read in (lambda d: list(d.pages()), lambda d: d.head.page(0)):
        with pytest.raises(PdfError):
            read(Document(looped))


def _mutations() -> st.SearchStrategy[tuple[str, list[tuple[int, int]]]]:
    return st.tuples(
        st.sampled_from(["plain", "object-streams", "hybrid", "form", "two-revisions", "rotated"]),
        st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=6),
    )


_FILES: dict[str, bytes] = {}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_mutations())
def test_damaged_files_are_read_or_refused(mutation: tuple[str, list[tuple[int, int]]]) -> None:
    # B4: no other exception leaves the reader, whatever the bytes.
    name, changes = mutation
    data = bytearray(_FILES.setdefault(name, HONEST[name]()))
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        walk(Document(bytes(data)))
    except PdfError as error:
        assert error.code in CODES  # noqa: PT017 -- most inputs raise, some do not


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pdf"
    empty.touch()
    with pytest.raises(PdfError), open_document(empty):
        pass


def test_an_object_listed_twice_in_one_section_is_refused() -> None:
    # B9: one reader takes the first line, another the last.
    data = HONEST["plain"]()
    at = data.rindex(b"trailer")
    doubled = data[:at] + b"1 1\n0000000015 00000 n \n" + data[at:]
    with pytest.raises(PdfError) as caught:
        Document(doubled)
    assert caught.value.code == "broken-structure"
