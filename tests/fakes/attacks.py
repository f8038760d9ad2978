"""Attacks on signed files, by class: each variant attacks another object, and keeps a CMS that verifies over its byte range (threats
B1, B2).

`CLASSES` maps a class to a function that yields (name, bytes). Every variant is made from a file that is honest and signed,
without the signer's key; only "byte-range" and "contents" are files that a careless signer's software really signed. `naive` is the
checker that all of them fool: it looks for byte ranges and verifies the CMS over what they name. The module is one catalogue.

Longer than most: it is one catalogue of cases.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import Pdf, lines, object_stream, startxref, stream

HOLE = 6000
Variants = Iterator[tuple[str, bytes]]


class Signed(NamedTuple):
    """A signed file and the numbers of its objects by name."""

    data: bytes
    at: Mapping[str, int]


# --- honest files ----------------------------------------------------------------------------------------------------


def _rich(signature: str, *, catalog: str = "", empty_field: bool = True) -> tuple[Pdf, dict[str, int]]:
    """A document with one of everything that a page draws with, a form, and things that nothing leads to."""
    pdf, at = Pdf("1.7"), {}
    at["encoding"] = pdf.add("<< /Type /Encoding /BaseEncoding /WinAnsiEncoding >>")
    at["unicode"] = pdf.stream("/CIDInit /ProcSet findresource begin begincmap endcmap end")
    pdf.objects[pdf.font] = (
        f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding {at['encoding']} 0 R /ToUnicode {at['unicode']} 0 R >>"
    ).encode()
    at["font"] = pdf.font
    at["mask"] = pdf.stream(
        b"\x80", "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    at["palette"] = pdf.add("[/Indexed /DeviceRGB 1 <ffffff000000>]")
    at["image"] = pdf.stream(
        b"\x00",
        f"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace {at['palette']} 0 R /BitsPerComponent 8 /SMask {at['mask']} 0 R",
    )
    at["drawing"] = pdf.stream(
        lines(("Phu luc",), top=300),
        f"/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /Font << /F1 {pdf.font} 0 R >> >>",
    )
    at["overlay"] = pdf.stream("1 1 1 rg 60 200 400 60 re f", "/Type /XObject /Subtype /Form /BBox [0 0 595 842]")
    at["state"] = pdf.add("<< /Type /ExtGState /ca 1 /CA 1 >>")
    at["pattern"] = pdf.stream(
        "0 0 5 5 re f",
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 9 /YStep 9 /Resources << >>",
    )
    at["fonts"] = pdf.add(f"<< /F1 {pdf.font} 0 R >>")
    at["late"] = pdf.add("null")
    at["xobjects"] = pdf.add(f"<< /I {at['image']} 0 R /D {at['drawing']} 0 R /O {at['overlay']} 0 R /Z 400 0 R >>")
    at["resources"] = pdf.add(
        f"<< /Font {at['fonts']} 0 R /XObject {at['xobjects']} 0 R /ExtGState << /G {at['state']} 0 R >>"
        f" /Pattern << /P {at['pattern']} 0 R >> >>"
    )
    at["box"], at["turn"] = pdf.add("[0 0 595 842]"), pdf.add("0")
    at["first"] = pdf.stream(
        "/G gs q 50 0 0 50 400 700 cm /I Do Q\n" + lines(("QUYET DINH so 01", "So tien: 100 dong"))
    )
    at["second"] = pdf.stream("/D Do\n/O Do\n" + lines(("Dieu 2. Hieu luc",), top=500))
    at["contents"] = pdf.add(f"[{at['first']} 0 R {at['second']} 0 R]")
    for kind, top in (("text", 600), ("check", 570), ("choice", 540)):
        shown = pdf.stream(
            "BT /F1 9 Tf 2 2 Td (100) Tj ET",
            f"/Type /XObject /Subtype /Form /BBox [0 0 90 18] /Resources {at['resources']} 0 R",
        )
        at[f"{kind}-look"] = shown
        body = {
            "text": f"/FT /Tx /V (100) /DA (/F1 9 Tf 0 g) /AP << /N {shown} 0 R >>",
            "check": f"/FT /Btn /V /Yes /AS /Yes /AP << /N << /Yes {shown} 0 R >> >>",
            "choice": f"/FT /Ch /V (100) /Opt [(100) (900)] /DA (/F1 9 Tf 0 g) /AP << /N {shown} 0 R >>",
        }[kind]
        at[kind] = pdf.add(
            f"<< /Type /Annot /Subtype /Widget /T ({kind}) /Rect [72 {top} 162 {top + 18}] /F 4 {body} >>"
        )
    at["link"] = pdf.add(
        "<< /Type /Annot /Subtype /Link /Rect [72 100 200 120] /Border [0 0 0] /A << /S /URI /URI (https://mau.example/) >> >>"
    )
    at["signature"] = pdf.add(signature)
    at["field"] = pdf.add(
        f"<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig1) /F 132 /Rect [0 0 0 0] /V {at['signature']} 0 R >>"
    )
    fields = ["text", "check", "choice", "field"]
    if empty_field:
        at["empty"] = pdf.add("<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig2) /F 132 /Rect [300 60 500 120] >>")
        fields.append("empty")
    annots = " ".join(f"{at[name]} 0 R" for name in (*fields, "link"))
    at["annots"] = pdf.add(f"[{annots}]")
    at["page"] = pdf.add(b"")
    pdf.pages.append((
        at["page"],
        {
            "Type": "/Page", "Parent": "2 0 R", "MediaBox": f"{at['box']} 0 R", "Rotate": f"{at['turn']} 0 R", "Resources": f"{at['resources']} 0 R",
            "Contents": f"{at['contents']} 0 R", "Annots": f"{at['annots']} 0 R",
        },
    ))  # fmt: skip
    at["page2"] = pdf.page(lines(("TRANG HAI",)))
    at["fields"] = pdf.add(f"[{' '.join(f'{at[name]} 0 R' for name in fields)}]")
    at["defaults"] = pdf.add(f"<< /Font << /F1 {pdf.font} 0 R >> >>")
    at["form"] = pdf.add(f"<< /Fields {at['fields']} 0 R /SigFlags 3 /DR {at['defaults']} 0 R /DA (/F1 9 Tf 0 g) >>")
    at["info"] = pdf.add("<< /Title (Quyet dinh) /Producer (mau) >>")
    at["metadata"] = pdf.stream("<x/>", "/Type /Metadata /Subtype /XML")
    at["outline"] = pdf.add("<< /Type /Outlines >>")
    at["shadow"] = pdf.stream(lines(("QUYET DINH so 99", "So tien: 900 dong")))
    at["shadow-page"] = pdf.add(
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources {at['resources']} 0 R /Contents {at['shadow']} 0 R >>"
    )
    at["shadow-tree"] = pdf.add(f"<< /Type /Pages /Kids [{at['shadow-page']} 0 R] /Count 1 >>")
    at["shadow-catalog"] = pdf.add(f"<< /Type /Catalog /Pages {at['shadow-tree']} 0 R /AcroForm {at['form']} 0 R >>")
    at["catalog"], at["tree"] = 1, 2
    pdf.trailer["Info"] = f"{at['info']} 0 R"
    pdf.catalog |= {
        "AcroForm": f"{at['form']} 0 R",
        "Metadata": f"{at['metadata']} 0 R",
        "Outlines": f"{at['outline']} 0 R",
    }
    if catalog:
        key, value = catalog.split(" ", 1)
        pdf.catalog[key] = value.replace("SIG", str(at["signature"]))
    return pdf, at


def _signature(more: str = "", *, subfilter: str = "ETSI.CAdES.detached") -> str:
    """A signature dictionary with room for its byte range and its CMS."""
    room = "0 0000000000 0000000000 0000000000"
    return f"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /{subfilter} /ByteRange [{room}] /Contents <{'0' * HOLE}> {more} >>"


def complete(data: bytes, ranges: Callable[[int, int, int], tuple[int, ...]] | None = None) -> bytes:
    """Fill the last hole: write its byte range (`ranges` of hole start, end and file length) and sign what it names."""
    start = data.rindex(b"<" + b"0" * HOLE + b">")
    end = start + HOLE + 2
    numbers = ranges(start, end, len(data)) if ranges else (0, start, end, len(data) - end)
    room = b"[0 0000000000 0000000000 0000000000]"
    at = data.rindex(room)
    text = b"[%s]" % b" ".join(b"%d" % n for n in numbers)
    assert len(text) <= len(room)
    data = data[:at] + text[:-1].ljust(len(room) - 1) + b"]" + data[at + len(room) :]
    covered = data[numbers[0] : numbers[0] + numbers[1]] + data[numbers[2] : numbers[2] + numbers[3]]
    der = fakes.cms_for(fakes.leader(), hashlib.sha256(covered).digest())
    filled = b"<" + der.hex().encode().ljust(HOLE, b"0") + b">"
    return data[:start] + filled + data[end:]


@cache
def base() -> Signed:
    pdf, at = _rich(_signature())
    return Signed(complete(pdf.classic()), at)


@cache
def certified(level: int = 2) -> Signed:
    reference = f"/Reference [<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /V /1.2 /P {level} >> >>]"
    pdf, at = _rich(_signature(reference), catalog="Perms << /DocMDP SIG 0 R >>")
    return Signed(complete(pdf.classic()), at)


@cache
def packed() -> Signed:
    """All that is no stream stands in an object stream, but for the signature."""
    pdf, at = _rich(_signature())
    objects = pdf.close()
    plain = {n: b for n, b in objects.items() if b"endstream" in b or n == at["signature"]}
    inner = [n for n in sorted(objects) if n not in plain]
    container = max(objects) + 1
    plain[container] = object_stream(objects, inner)
    at["container"] = container
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    entries = {n: (2, container, place) for place, n in enumerate(inner)}
    for number in sorted(plain):
        entries[number] = (1, len(out), 0)
        out += b"%d 0 obj\n" % number + plain[number] + b"\nendobj\n"
    keys = {"Root": "1 0 R", **pdf.trailer}
    return Signed(complete(bytes(_xref_stream(out, entries, keys))), at)


# --- what an attacker appends ----------------------------------------------------------------------------------------


def _entries(out: bytearray, objects: Mapping[int, bytes]) -> dict[int, tuple[int, int, int]]:
    entries = {}
    for number in sorted(objects):
        entries[number] = (1, len(out), 0)
        out += b"%d 0 obj\n" % number + objects[number] + b"\nendobj\n"
    return entries


def _xref_stream(out: bytearray, entries: dict[int, tuple[int, int, int]], keys: Mapping[str, str]) -> bytearray:
    start, own = len(out), max(max(entries, default=0), 500) + 1
    entries = {**entries, own: (1, start, 0)}
    rows = b"".join(struct.pack(">BIH", *entries[n]) for n in sorted(entries))
    index = " ".join(f"{n} 1" for n in sorted(entries))
    text = f"/Type /XRef /Size {own + 1} /W [1 4 2] /Index [{index}] " + " ".join(f"/{k} {v}" for k, v in keys.items())
    out += b"%d 0 obj\n" % own + stream(rows, text, compress=True) + b"\nendobj\n"
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return out


def _trailer(data: bytes) -> dict[str, str]:
    found = {"Root": "1 0 R", "Prev": str(startxref(data))}
    for key in ("Info", "ID"):
        value = re.findall(rb"/%s (\d+ 0 R|\[<[0-9a-f]+> <[0-9a-f]+>\])" % key.encode(), data)
        if value:
            found[key] = value[0].decode()
    return found


def append(
    data: bytes,
    objects: Mapping[int, bytes | str],
    *,
    entries: Mapping[int, tuple[int, int, int]] | None = None,
    trailer: Mapping[str, str | None] | None = None,
    as_stream: bool = False,
) -> bytes:
    """One more revision. `entries` are set as they are, beside those of the objects: (0, next, generation), (1, offset, generation) or
    (2, container, index). `trailer` replaces keys; None leaves one out.
    """
    out = bytearray(data if data.endswith(b"\n") else data + b"\n")
    found = _entries(out, {n: b if isinstance(b, bytes) else b.encode("latin-1") for n, b in objects.items()})
    found |= dict(entries or {})
    keys = {k: v for k, v in {**_trailer(data), **(trailer or {})}.items() if v is not None}
    if as_stream:
        return bytes(_xref_stream(out, found, keys))
    start = len(out)
    out += b"xref\n"
    for number, (kind, where, generation) in sorted(found.items()):
        assert kind < 2
        out += b"%d 1\n%010d %05d %s \n" % (number, where, generation, b"n" if kind else b"f")
    size = max([int(n) for n in re.findall(rb"/Size (\d+)", data)] + [n + 1 for n in found])
    text = " ".join(f"/{k} {v}" for k, v in {"Size": str(size), **keys}.items())
    out += f"trailer\n<< {text} >>\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
    return bytes(out)


FORGED = lines(("QUYET DINH so 99", "So tien: 900 dong"))


def body_of(signed: Signed, name: str) -> bytes:
    """The object as it stands in the file, between `obj` and `endobj`."""
    head = b"\n%d 0 obj\n" % signed.at[name]
    start = signed.data.index(head) + len(head)
    return signed.data[start : signed.data.index(b"\nendobj", start)]


def changed_bodies(signed: Signed) -> dict[str, bytes]:
    """For each object by name, a body that shows something else."""
    at = signed.at

    def edit(name: str, old: bytes, new: bytes) -> bytes:
        body = body_of(signed, name)
        assert old in body, (name, old)
        return body.replace(old, new)

    page = body_of(signed, "page")
    return {
        "first": stream(FORGED),
        "second": stream(FORGED),
        "contents": f"[{at['shadow']} 0 R]".encode(),
        "encoding": b"<< /Type /Encoding /BaseEncoding /WinAnsiEncoding /Differences [48 /nine] >>",
        "unicode": stream(
            "/CIDInit /ProcSet findresource begin begincmap 1 beginbfchar <30> <0039> endbfchar endcmap end"
        ),
        "font": edit("font", b"/Helvetica", b"/Symbol"),
        "mask": edit("mask", b"\x80", b"\xff"),
        "palette": b"[/Indexed /DeviceRGB 1 <000000ffffff>]",
        "image": edit("image", b"stream\n\x00", b"stream\n\x01"),
        "drawing": stream(
            lines(("Phu luc khac",), top=300), body_of(signed, "drawing").split(b"/Length")[0][2:].decode()
        ),
        "overlay": stream("", "/Type /XObject /Subtype /Form /BBox [0 0 595 842]"),
        "state": b"<< /Type /ExtGState /ca 0 /CA 0 >>",
        "pattern": edit("pattern", b"0 0 5 5", b"0 0 8 8"),
        "fonts": f"<< /F1 {at['font']} 0 R /F2 {at['font']} 0 R >>".encode(),
        "xobjects": f"<< /I {at['image']} 0 R /D {at['overlay']} 0 R /O {at['overlay']} 0 R >>".encode(),
        "resources": edit("resources", b"/G ", b"/H "),
        "box": b"[0 0 595 400]",
        "turn": b"180",
        "page": page.replace(b"/Contents %d 0 R" % at["contents"], b"/Contents %d 0 R" % at["shadow"]),
        "page2": edit("page2", b"/Type /Page", b"/Rotate 180 /Type /Page"),
        "tree": f"<< /Type /Pages /Kids [{at['shadow-page']} 0 R {at['page2']} 0 R] /Count 2 >>".encode(),
        "catalog": edit("catalog", b"/Pages 2 0 R", b"/Pages %d 0 R" % at["shadow-tree"]),
        "annots": f"[{at['field']} 0 R]".encode(),
        "text": edit("text", b"/V (100)", b"/V (900)"),
        "text-look": edit("text-look", b"(100)", b"(900)"),
        "check": edit("check", b"/V /Yes /AS /Yes", b"/V /Off /AS /Off"),
        "check-look": edit("check-look", b"(100)", b"(900)"),
        "choice": edit("choice", b"/V (100)", b"/V (900)"),
        "choice-look": edit("choice-look", b"(100)", b"(900)"),
        "link": edit("link", b"mau.example", b"gia.example"),
        "fields": f"[{at['field']} 0 R]".encode(),
        "defaults": b"<< /Font << >> >>",
        "outline": f"<< /Type /Outlines /First {at['link']} 0 R >>".encode(),
        "field": edit("field", b"/Rect [0 0 0 0]", b"/Rect [60 500 500 800]"),
    }


def incremental_saving() -> Variants:
    signed = base()
    for name, body in changed_bodies(signed).items():
        yield name, append(signed.data, {signed.at[name]: body})


def shadow_replace() -> Variants:
    """What the signer saw stays; what a name leads to is another thing afterwards, also where a resource was left open."""
    signed = base()
    at, data = signed.at, signed.data
    for name in (
        *("encoding", "unicode", "font", "mask", "palette", "image", "drawing", "state", "pattern", "fonts", "xobjects", "resources"),
        *("text-look", "check-look", "choice-look", "defaults"),
    ):  # fmt: skip
        metadata = {at["metadata"]: stream("<y/>", "/Type /Metadata /Subtype /XML")}
        yield (
            f"{name}-with-metadata",
            append(data, {at[name]: changed_bodies(signed)[name], **metadata}, as_stream=True),
        )
    drawn = stream(FORGED, "/Type /XObject /Subtype /Form /BBox [0 0 595 842]")
    yield "dangling-xobject", append(data, {400: drawn})
    yield "dangling-xobject-in-stream", append(data, {400: drawn}, as_stream=True)
    yield "null-object", append(data, {at["late"]: drawn})
    for key, name in (("Info", "first"), ("Info", "shadow"), ("Info", "text-look")):
        yield (
            f"info-is-{name}",
            append(
                data, {at[name]: changed_bodies(signed).get(name, stream(FORGED))}, trailer={key: f"{at[name]} 0 R"}
            ),
        )
    metadata = body_of(signed, "catalog").replace(
        b"/Metadata %d 0 R" % at["metadata"], b"/Metadata %d 0 R" % at["first"]
    )
    yield (
        "metadata-is-content",
        append(data, {1: metadata, at["first"]: stream(FORGED, "/Type /Metadata /Subtype /XML")}),
    )


_HIDERS = (
    "overlay",
    "mask",
    "image",
    "state",
    "drawing",
    "pattern",
    "second",
    "text-look",
    "check-look",
    "choice-look",
    "link",
    "font",
)


def shadow_hide() -> Variants:
    """What covered the truth is taken away: freed, emptied, or left out of the list that named it."""
    signed = base()
    at, data = signed.at, signed.data
    for name in _HIDERS:
        yield f"{name}-freed", append(data, {}, entries={at[name]: (0, 0, 1)})
    for name in ("overlay", "image", "drawing", "second", "text-look", "check-look", "choice-look"):
        empty = stream("", body_of(signed, name).split(b"/Length")[0][2:].decode("latin-1"))
        yield f"{name}-emptied", append(data, {at[name]: empty})
    for name in ("text", "check", "choice", "link"):
        body = body_of(signed, "annots").replace(b"%d 0 R" % at[name], b"")
        yield f"{name}-out-of-annots", append(data, {at["annots"]: body})
    yield (
        "overlay-out-of-resources",
        append(data, {at["xobjects"]: body_of(signed, "xobjects").replace(b"/O ", b"/Q ")}),
    )
    yield "overlay-null", append(data, {at["overlay"]: "null"})


def shadow_hide_and_replace() -> Variants:
    """The other version lies in the signed bytes already; the update is a cross-reference section and nothing else."""
    names = list(changed_bodies(base()))
    pdf, at = _rich(_signature())
    signed = base()
    cover = [b"%d 0 obj\n" % signed.at[name] + body + b"\nendobj\n" for name, body in changed_bodies(signed).items()]
    pdf.stream(b"".join(cover).replace(b"endstream", b"endstrean"))
    data = complete(pdf.classic())
    for name, text in zip(names, cover, strict=True):
        head = text[:40].replace(b"endstream", b"endstrean")
        offset = data.index(head, data.index(b"%d 0 obj" % max(pdf.objects)))
        yield name, append(data, {}, entries={at[name]: (1, offset, 0)})
    for name in ("shadow-catalog",):
        yield "root", append(data, {}, trailer={"Root": f"{at[name]} 0 R"})


_ANNOTATIONS = (
    *("FreeText", "Stamp", "Square", "Circle", "Line", "Polygon", "PolyLine", "Highlight", "Underline", "StrikeOut", "Squiggly", "Ink"),
    *("Text", "Link", "Popup", "Caret", "Redact", "Watermark", "PrinterMark", "FileAttachment", "Screen", "Widget"),
)  # fmt: skip


def evil_annotation() -> Variants:
    """On a certified file that allows annotations, and on one that allows form filling."""
    for number, kind in enumerate(_ANNOTATIONS):
        signed = certified(2 + number % 2)
        at = signed.at
        look = stream("1 1 1 rg 0 0 400 200 re f", "/Type /XObject /Subtype /Form /BBox [0 0 400 200]")
        body = f"<< /Type /Annot /Subtype /{kind} /Rect [60 600 460 800] /F 4 /Contents (x) /AP << /N 601 0 R >> >>"
        annots = body_of(signed, "annots")[:-1] + b" 600 0 R]"
        yield f"{kind}-p{2 + number % 2}", append(signed.data, {600: body, 601: look, at["annots"]: annots})


def sneaky_signature() -> Variants:
    """A signature field that paints over the certified page, or a certified field that is not what it was."""
    pictures = {
        "white": "1 1 1 rg 0 0 400 200 re f",
        "text": "BT /F1 12 Tf 10 10 Td (900 dong) Tj ET",
        "polygon": "1 1 1 rg 0 0 m 400 0 l 400 200 l 0 200 l h f",
        "curve": "1 1 1 rg 0 0 m 400 0 400 0 400 200 c 0 200 l h f",
        "stroke": "1 1 1 RG 300 w 0 100 m 400 100 l S",
        "image": "400 0 0 200 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \xff EI",
    }
    for level in (2, 3):
        signed = certified(level)
        at = signed.at
        font = f"/Resources << /Font << /F1 {at['font']} 0 R >> >>"
        for name, content in pictures.items():
            look = stream(content, f"/Type /XObject /Subtype /Form /BBox [0 0 400 200] {font}")
            body = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Moi) /Rect [60 600 460 800] /F 132 /P %d 0 R /AP << /N 601 0 R >> %s >>"
            lists = {
                at["annots"]: body_of(signed, "annots")[:-1] + b" 600 0 R]",
                at["fields"]: body_of(signed, "fields")[:-1] + b" 600 0 R]",
            }
            yield f"unsigned-{name}-p{level}", append(signed.data, {600: body % (at["page"], ""), 601: look, **lists})
            data = append(signed.data, {600: body % (at["page"], "/V 602 0 R"), 601: look, 602: _signature(), **lists})
            yield f"signed-{name}-p{level}", complete(data)


def signature_wrapping() -> Variants:
    """The second signed part moves to the end of the file and keeps its digest; its `startxref` still names the old offset, where the
    attacker's own cross-reference now stands. A copy of the signature names the new place.
    """
    signed = base()
    at, data = signed.at, signed.data
    first, second = _parts(data)
    old_table = startxref(data)
    inner = body_of(signed, "signature")
    place = re.search(rb"/ByteRange \[[^\]]*\]", inner)
    assert place is not None
    offsets = {int(found[1]): found.start(1) for found in re.finditer(rb"(?:^|(?<=\n))(\d+) 0 obj\n", data)}
    size = max(offsets) + 1
    for name, body in changed_bodies(signed).items():
        out = bytearray(data[:second].ljust(old_table))
        table_length = len(b"xref\n") + sum(len(b"%d 1\n" % n) + 20 for n in offsets)
        text = " ".join(f"/{k} {v}" for k, v in _trailer(data).items() if k != "Prev")
        foot = f"trailer\n<< /Size {size} {text} >>\nstartxref\n{old_table}\n%%EOF\n".encode()
        injected = bytearray()
        begins = old_table + table_length + len(foot)
        moved_objects = {}
        for number, content in ((at[name], body), (at["signature"], inner)):
            moved_objects[number] = begins + len(injected)
            injected += b"%d 0 obj\n" % number + content + b"\nendobj\n"
        moved = begins + len(injected)
        # The numbers take the room that they took before, so that nothing moves.
        numbers = b"/ByteRange [0 %d %d %d" % (first, moved, len(data) - second)
        forged = inner[: place.start()] + numbers.ljust(len(place[0]) - 1) + b"]" + inner[place.end() :]
        shift = moved - second
        entries = {n: where + (shift if where >= second else 0) for n, where in offsets.items()} | moved_objects
        out += b"xref\n" + b"".join(b"%d 1\n%010d 00000 n \n" % (n, entries[n]) for n in sorted(offsets)) + foot
        assert len(out) == begins
        yield name, bytes(out + injected.replace(inner, forged)) + data[second:]


def _parts(data: bytes) -> tuple[int, int]:
    found = re.search(rb"/ByteRange \[0 (\d+) (\d+) (\d+) *\]", data)
    assert found is not None
    return int(found[1]), int(found[2])


def universal_forgery() -> Variants:
    """The signature's dictionary is redefined so that a lenient reader has nothing to check, or something else."""
    signed = base()
    at, body = signed.at, body_of(signed, "signature")
    forged = {at["first"]: stream(FORGED)}
    byte_range = re.search(rb"/ByteRange \[[^\]]*\]", body)
    contents = re.search(rb"/Contents <[^>]*>", body)
    assert byte_range is not None
    assert contents is not None
    for name, value in {
        "missing": b"", "null": b"/ByteRange null", "empty": b"/ByteRange []", "zeros": b"/ByteRange [0 0 0 0]", "negative": b"/ByteRange [0 -1 0 -1]",
        "one": b"/ByteRange [0 100]", "name": b"/ByteRange /All", "string": b"/ByteRange (0 1 2 3)", "huge": b"/ByteRange [0 9999999999 9999999999 1]",
        "reals": b"/ByteRange [0.0 1.0 2.0 3.0]", "reference": b"/ByteRange 400 0 R",
    }.items():  # fmt: skip
        yield f"range-{name}", append(signed.data, {at["signature"]: body.replace(byte_range[0], value), **forged})
    for name, value in {
        "missing": b"", "null": b"/Contents null", "empty": b"/Contents <>", "zero": b"/Contents <00>", "zeros": b"/Contents <" + b"0" * 600 + b">",
        "text": b"/Contents (x)", "name": b"/Contents /X", "number": b"/Contents 0", "array": b"/Contents []", "reference": b"/Contents 400 0 R",
    }.items():  # fmt: skip
        yield f"contents-{name}", append(signed.data, {at["signature"]: body.replace(contents[0], value), **forged})
    for key, old, new in (
        ("type", b"/Type /Sig", b"/Type /Catalog"), ("filter", b"/Adobe.PPKLite", b"/Khac"), ("subfilter", b"/ETSI.CAdES.detached", b"/Khac"),
    ):  # fmt: skip
        yield key, append(signed.data, {at["signature"]: body.replace(old, new), **forged})
    field = body_of(signed, "field")
    for name, value in (("null", b"/V null"), ("inline", b"/V << >>"), ("other", b"/V %d 0 R" % at["info"])):
        yield f"value-{name}", append(signed.data, {at["field"]: re.sub(rb"/V \d+ 0 R", value, field), **forged})


def form_filling() -> Variants:
    """Nothing of it is harmless: a number in a form is what was decided."""
    signed = base()
    at = signed.at
    keys = {
        "text": {
            "V": b"(900)", "DV": b"(900)", "RV": b"(900)", "DA": b"(/F1 1 Tf 1 g)", "Q": b"2", "MaxLen": b"1", "Ff": b"8192", "F": b"2", "Rect": b"[0 0 1 1]",
            "AS": b"/X", "TU": b"(khac)", "T": b"(khac)", "MK": b"<< /BG [0 0 0] >>", "BS": b"<< /W 90 >>", "OC": b"<< /Type /OCG /Name (x) >>",
        },
        "check": {"V": b"/Off", "AS": b"/Off", "F": b"2", "Rect": b"[0 0 1 1]"},
        "choice": {"V": b"(900)", "Opt": b"[(900)]", "I": b"[1]", "TI": b"1", "Ff": b"131072"},
    }  # fmt: skip
    for name, values in keys.items():
        body = body_of(signed, name)
        for key, value in values.items():
            old = re.search(rb"/%s (\([^)]*\)|\[[^\]]*\]|/\w+|\d+)(?= )" % key.encode(), body)
            new = b"/%s %s" % (key.encode(), value)
            data = body.replace(old[0], new, 1) if old else body[:-2] + new + b" >>"
            yield f"{name}-{key}", append(signed.data, {at[name]: data}, as_stream=key == "V")
    form = body_of(signed, "form")
    yield "need-appearances", append(signed.data, {at["form"]: form[:-2] + b"/NeedAppearances true >>"})
    yield "xfa", append(signed.data, {at["form"]: form[:-2] + b"/XFA (<x/>) >>"})
    yield "calculation", append(signed.data, {at["form"]: form[:-2] + b"/CO [%d 0 R] >>" % at["text"]})


def xref_games() -> Variants:
    """The page's content is replaced, each time found by another trick of the cross-reference."""
    signed = base()
    at, data = signed.at, signed.data
    content = {at["first"]: stream(FORGED)}
    out = bytearray(data)
    place = len(out)
    out += b"%d 0 obj\n" % at["first"] + content[at["first"]] + b"\nendobj\n"
    carried = bytes(out)
    yield "table", append(data, content)
    yield "stream", append(data, content, as_stream=True)
    yield "no-prev", append(data, content, trailer={"Prev": None})
    yield "prev-zero", append(data, content, trailer={"Prev": "0"})
    yield (
        "prev-itself",
        append(
            data,
            content,
            trailer={"Prev": str(len(data) + len(b"%d 0 obj\n" % at["first"]) + len(content[at["first"]]) + 8)},
        ),
    )
    yield "prev-real", append(data, content, trailer={"Prev": f"{startxref(data)}.0"})
    yield "prev-twice", append(data, content, trailer={"Prev": f"{startxref(data)} /Prev 0"})
    yield "root-other", append(data, {}, trailer={"Root": f"{at['shadow-catalog']} 0 R"})
    yield "root-direct", append(data, {}, trailer={"Root": "<< /Type /Catalog /Pages 2 0 R >>"})
    yield "size-low", append(data, content, trailer={"Size": "3"})
    yield "generation", append(carried, {}, entries={at["first"]: (1, place, 7)})
    yield "no-startxref", append(data, content).rsplit(b"startxref", 1)[0]
    yield "old-startxref-last", append(data, content) + b"startxref\n%d\n%%%%EOF\n" % startxref(data)
    yield "junk-behind-the-end", append(data, content) + b"QUYET DINH so 99\n"
    yield "comment-behind-the-end", append(data, content) + b"% QUYET DINH so 99\n"
    yield "freed-then-made", append(append(data, {}, entries={at["first"]: (0, 0, 1)}), content)
    yield (
        "made-then-put-back",
        append(append(data, content), {}, entries={at["first"]: (1, data.index(b"\n%d 0 obj" % at["first"]) + 1, 0)}),
    )
    both = bytearray(append(data, content, as_stream=True))
    beside = startxref(bytes(both))
    yield "hybrid", append(data, {}, trailer={"XRefStm": "0"})
    table = len(both)
    text = " ".join(f"/{k} {v}" for k, v in _trailer(data).items())
    both += f"xref\n0 0\ntrailer\n<< /Size 600 {text} /XRefStm {beside} >>\nstartxref\n{table}\n%%EOF\n".encode()
    yield "hybrid-hides", bytes(both)
    yield "empty-section", append(data, {})
    yield "wrong-offset", append(data, {}, entries={at["first"]: (1, data.index(b"\n%d 0 obj" % at["second"]) + 1, 0)})
    yield "id-changed", append(data, content, trailer={"ID": "[<ff> <ff>]"})


def object_stream_shadowing() -> Variants:
    """Objects of an object stream are replaced from another one, or with the stream that holds them."""
    signed = packed()
    at, data = signed.at, signed.data
    classic = base()
    bodies = changed_bodies(classic)
    inside = [name for name in bodies if b"endstream" not in bodies[name]]
    for name in inside:
        holder = object_stream({at[name]: bodies[name]}, [at[name]])
        yield f"{name}-new-stream", append(data, {700: holder}, entries={at[name]: (2, 700, 0)}, as_stream=True)
    listed = [n for n in sorted(_pdf_objects(classic)) if n != at["signature"]]
    inner = {n: b for n, b in _pdf_objects(classic).items() if n in listed and b"endstream" not in b}
    for name in inside[:6]:
        holder = object_stream({**inner, at[name]: bodies[name]}, sorted(inner))
        yield f"{name}-container-again", append(data, {at["container"]: holder}, as_stream=True)
        yield f"{name}-container-again-table", append(data, {at["container"]: holder})
    for name, other in (("page", "shadow-page"), ("tree", "shadow-tree"), ("box", "turn")):
        place = sorted(inner).index(at[other])
        yield f"{name}-other-index", append(data, {}, entries={at[name]: (2, at["container"], place)}, as_stream=True)


def _pdf_objects(signed: Signed) -> dict[int, bytes]:
    return {
        int(found[1]): found[2] for found in re.finditer(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", signed.data, re.DOTALL)
    }


def validation_data_abuse() -> Variants:
    """A revision that says it only adds validation data, and does something else."""
    signed = base()
    at, data = signed.at, signed.data
    root = body_of(signed, "catalog")[:-2]
    der = fakes.root().der
    parts = {611: b"<< /Certs [612 0 R] >>", 612: stream(der)}
    with_dss = {1: root + b"/DSS 611 0 R >>", **parts}
    for name in (
        "first",
        "second",
        "image",
        "drawing",
        "page",
        "tree",
        "text",
        "text-look",
        "annots",
        "contents",
        "box",
    ):
        yield f"with-{name}", append(data, {**with_dss, at[name]: changed_bodies(signed)[name]})
    for name in ("first", "drawing", "image", "unicode"):
        claimed = {611: b"<< /Certs [%d 0 R] >>" % at[name], at[name]: changed_bodies(signed)[name]}
        yield f"cert-is-{name}", append(data, {1: root + b"/DSS 611 0 R >>", **claimed})
    yield "extra-key", append(data, {**with_dss, 611: b"<< /Certs [612 0 R] /Pages 2 0 R >>"})
    yield "is-the-page", append(data, {1: root + b"/DSS %d 0 R >>" % at["page"]})
    yield (
        "is-the-form",
        append(
            data,
            {
                1: root + b"/DSS %d 0 R >>" % at["form"],
                at["form"]: body_of(signed, "form")[:-2] + b"/Certs [612 0 R] >>",
                612: stream(der),
            },
        ),
    )
    yield (
        "with-open-action",
        append(data, {**with_dss, 1: root + b"/DSS 611 0 R /OpenAction [%d 0 R /Fit] >>" % at["page2"]}),
    )
    yield (
        "with-annotation",
        append(
            data,
            {
                **with_dss,
                600: "<< /Type /Annot /Subtype /Stamp /Rect [60 600 460 800] >>",
                at["annots"]: body_of(signed, "annots")[:-1] + b" 600 0 R]",
            },
        ),
    )
    honest = append(data, with_dss)
    yield "taken-away", append(honest, {1: root + b">>"})
    yield "emptied", append(honest, {611: b"<< /Certs [] >>"})
    yield "replaced", append(honest, {612: stream(fakes.leader().der)})
    yield "other-store", append(honest, {1: root + b"/DSS 613 0 R >>", 613: b"<< >>"})
    yield "store-is-content", append(honest, {611: body_of(signed, "first")})
    yield "loose-content", append(honest, {at["first"]: stream(FORGED)})


# --- what a careless signer's software signs -------------------------------------------------------------------------


def byte_range_games() -> Variants:
    pdf, at = _rich(_signature())
    data = pdf.classic()
    end = len(data)
    marks = {
        name: data.index(b"\n%d 0 obj" % at[name])
        for name in ("first", "second", "page", "font", "image", "text", "form", "annots", "drawing")
    }
    for name, place in marks.items():
        if place < data.rindex(b"<" + b"0" * HOLE):
            yield f"before-hole-from-{name}", complete(data, lambda s, e, n, place=place: (0, place, e, n - e))
            yield f"begins-at-{name}", complete(data, lambda s, e, n, place=place: (place, s - place, e, n - e))
        else:
            yield f"ends-at-{name}", complete(data, lambda s, e, n, place=place: (0, s, e, place - e))
            yield f"second-part-from-{name}", complete(data, lambda s, e, n, place=place: (0, s, place, n - place))
    yield "tail-left-out", complete(data, lambda s, e, n: (0, s, e, n - e - 40))
    yield "second-empty", complete(data, lambda s, e, n: (0, s, e, 0))
    yield "first-empty", complete(data, lambda s, e, n: (0, 0, e, n - e))
    yield "first-byte-left-out", complete(data, lambda s, e, n: (1, s - 1, e, n - e))
    yield "hole-too-wide-left", complete(data, lambda s, e, n: (0, s - 10, e, n - e))
    yield "hole-too-wide-right", complete(data, lambda s, e, n: (0, s, e + 3, n - e - 3))
    yield "parts-swapped", complete(data, lambda s, e, n: (e, n - e, 0, s))
    yield "first-part-twice", complete(data, lambda s, e, n: (0, s, 0, s))
    assert end == len(data)


def contents_games() -> Variants:
    pdf, at = _rich(_signature())
    data = complete(pdf.classic())
    first, second = _parts(data)
    hole = data[first:second]
    der = bytes.fromhex(hole[1:-1].decode()).rstrip(b"\0")
    inside = stream(FORGED)
    room = len(hole) - 2
    fillers = {
        "object": b"%d 0 obj " % at["first"], "xref": b"xref 0 1 ", "trailer": b"trailer << /Root 1 0 R >>", "eof": b"%%EOF", "startxref": b"startxref 9 %%EOF",
        "catalog": b"1 0 obj << /Type /Catalog >> endobj", "stream": inside[:200], "page": b"<< /Type /Page >>", "text": b"QUYET DINH so 99", "name": b"/Name (Nguoi Khac)",
    }  # fmt: skip
    digits = der.hex().encode()
    for name, filler in fillers.items():
        hexed = filler.hex().encode()
        yield (
            f"hex-{name}-behind-the-cms",
            data[:first] + b"<" + (digits + hexed).ljust(room, b"0") + b">" + data[second:],
        )
        inner = (b"<" + digits + b"> " + filler + b" <").ljust(room + 1, b"0") + b">"
        yield f"{name}-in-the-hole", data[:first] + inner + data[second:]
    yield "second-string", data[:first] + (b"<" + digits + b"> /Reason <").ljust(room + 1, b"4") + b">" + data[second:]
    yield (
        "second-contents",
        data[:first] + (b"<" + digits + b"> /Contents <").ljust(room + 1, b"0") + b">" + data[second:],
    )
    yield (
        "second-byte-range",
        data[:first] + (b"<" + digits + b"> /ByteRange [0 1 2 3] /X <").ljust(room + 1, b"0") + b">" + data[second:],
    )
    yield (
        "ends-the-dictionary",
        data[:first]
        + (b"<" + digits + b"> >> endobj 1 0 obj << /Type /Catalog /X <").ljust(room + 1, b"0")
        + b">"
        + data[second:],
    )


CLASSES: dict[str, Callable[[], Variants]] = {
    "universal signature forgery": universal_forgery,
    "incremental saving": incremental_saving,
    "signature wrapping": signature_wrapping,
    "shadow: hide": shadow_hide,
    "shadow: replace": shadow_replace,
    "shadow: hide and replace": shadow_hide_and_replace,
    "evil annotation": evil_annotation,
    "sneaky signature": sneaky_signature,
    "form filling": form_filling,
    "byte range": byte_range_games,
    "contents": contents_games,
    "cross-reference": xref_games,
    "object stream shadowing": object_stream_shadowing,
    "validation data abuse": validation_data_abuse,
}


# --- the checker that they fool --------------------------------------------------------------------------------------


def naive(data: bytes) -> bool:
    """Whether some byte range of the file names bytes over which the CMS at its side verifies. Nothing else is looked at."""
    return any(
        _verifies(data, found) for found in re.finditer(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", data)
    )


def _verifies(data: bytes, found: re.Match[bytes]) -> bool:
    a, b, c, d = (int(found[n]) for n in range(1, 5))
    contents = re.search(rb"/Contents\s*<([0-9A-Fa-f]*)>", data[found.end() : found.end() + 2 * HOLE])
    if contents is None:
        return False
    try:
        signed = cms.ContentInfo.load(bytes.fromhex(contents[1].decode()))["content"]
        signer = signed["signer_infos"][0]
        attributes = {item["type"].native: item["values"][0].native for item in signer["signed_attrs"]}
        named = signer["sid"].chosen["serial_number"].native
        held = [x509.load_der_x509_certificate(choice.chosen.dump()) for choice in signed["certificates"]]
        certificate = next(one for one in held if one.serial_number == named)
        if attributes["message_digest"] != hashlib.sha256(data[a : a + b] + data[c : c + d]).digest():
            return False
        key, value = certificate.public_key(), signer["signature"].native
        text = signer["signed_attrs"].untag().dump()
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, text, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(value, text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    except (ValueError, KeyError, StopIteration, InvalidSignature):
        return False
    return True
