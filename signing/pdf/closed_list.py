"""The closed list: what one revision of ours may add to its parent, kind by kind, key by key (signing/README.md;
threats B1, B2).

Every kind of object names the keys that it may have; whatever is not named is refused. `Walk` descends from the few
places that a revision may change into what it adds, so that an object which no permitted place leads to is refused as
well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from signing.pdf.errors import PdfError
from signing.pdf.objects import Name, PdfObject, Real, Ref, Stream, dictionary_spans
from signing.pdf.reader import Revision

__all__ = ["NewField", "NewSignature", "Walk", "refuse"]

Dictionary = dict[Name, PdfObject]
Box = tuple[float, float, float, float]

WIDGET_FLAGS: Final = 132  # print, locked against being moved
_VRI_NAME = re.compile(r"[0-9A-F]{40}")
_HEX_DIGITS: Final = b"0123456789ABCDEFabcdef"


def _is_hole(token: bytes) -> bool:
    """Hexadecimal digits and nothing else between the brackets."""
    return token[:1] + token[-1:] == b"<>" and not token[1:-1].translate(None, _HEX_DIGITS)


class NewField(NamedTuple):
    """A signature field that the revision adds; `value` and `look` are what it is filled and drawn with."""

    ref: Ref
    name: bytes
    page: Ref
    rect: Box
    value: Ref | None
    look: Ref | None


class NewSignature(NamedTuple):
    """The signature that the revision adds."""

    ref: Ref
    timestamp: bool
    certifies: bool
    byte_range: tuple[int, int, int, int]
    covers_revision: bool


def refuse(why: str, place: object = "") -> PdfError:
    return PdfError("changed-beyond-signature", why, place=str(place)[:40])


def numbers(value: PdfObject, count: int, place: object) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count or not all(type(n) in (int, Real) for n in value):
        raise refuse("a rectangle or matrix is malformed", place)
    return tuple(float(n) for n in value if isinstance(n, int | Real))


class Walk:
    """Descends into what `child` adds; `fresh` are its new object numbers, `seen` those that were met."""

    def __init__(self, child: Revision, fresh: set[int]) -> None:
        self.child = child
        self.fresh = fresh
        self.seen: set[int] = set()
        self.boxes: dict[Ref, tuple[float, float]] = {}

    def unreached(self) -> set[int]:
        return self.fresh - self.seen

    def object(self, value: PdfObject, what: str) -> PdfObject:
        """A new object by its reference."""
        if not isinstance(value, Ref) or value.num not in self.fresh:
            raise refuse(f"{what} is no new object", value)
        self.seen.add(value.num)
        return self.child.get(value)

    def dictionary(self, value: PdfObject, what: str, required: str, optional: str = "") -> Dictionary:
        """A new dictionary with exactly the keys of `required` and some of `optional`; `value` may be direct."""
        found = self.object(value, what) if isinstance(value, Ref) else value
        if not isinstance(found, dict):
            raise refuse(f"{what} is no dictionary", value)
        _keys(found, what, required, optional)
        return found

    def stream(self, value: PdfObject, what: str, required: str = "", optional: str = "") -> Stream:
        found = self.object(value, what)
        if not isinstance(found, Stream):
            raise refuse(f"{what} is no stream", value)
        _keys(found.dictionary, what, required + " Length", optional + " Filter")
        if found.dictionary.get(Name("Filter")) not in (None, Name("FlateDecode")):
            raise refuse(f"{what} is packed in an unusual way", value)
        return found

    # Fields and signatures

    def field(self, ref: Ref, page: Ref) -> NewField:
        own = self.dictionary(ref, "a field", "Type Subtype FT T F Rect P", "V AP Lock")
        name = own[Name("T")]
        constant = {"Type": "Annot", "Subtype": "Widget", "FT": "Sig", "F": WIDGET_FLAGS, "P": page}
        _constants(own, "a field", constant)
        if not isinstance(name, bytes) or b"." in name:
            raise refuse("a field has no plain name", ref)
        rect = numbers(own[Name("Rect")], 4, ref)
        if Name("Lock") in own:
            self.lock(own[Name("Lock")], "Type Action", "Fields P")
        value, look = own.get(Name("V")), self.appearance(own.get(Name("AP")))
        if value is None and look is not None and self._draws(look):
            raise refuse("an empty field is drawn", ref)
        return NewField(
            ref,
            name,
            page,
            (rect[0], rect[1], rect[2], rect[3]),
            self._reference(value, "a field's value"),
            look,
        )

    def _draws(self, look: Ref) -> bool:
        form = self.child.get(look)
        return not isinstance(form, Stream) or form.start != form.end

    def _reference(self, value: PdfObject, what: str) -> Ref | None:
        if value is None or isinstance(value, Ref):
            return value
        raise refuse(f"{what} is no reference")

    def lock(self, value: PdfObject, required: str, optional: str) -> None:
        own = self.dictionary(value, "a lock", required, optional)
        if own.get(Name("Action")) not in ("All", "Include", "Exclude") or own.get(Name("P"), 1) not in (1, 2):
            raise refuse("a lock says nothing known")
        names = own.get(Name("Fields"), [])
        if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
            raise refuse("a lock names no fields")

    def appearance(self, value: PdfObject) -> Ref | None:
        """What /AP draws, which must be a form XObject of text in the stamp's own font, or of one image (SIG-1, SIG-2)."""
        if value is None:
            return None
        own = self.dictionary(value, "an appearance", "N")
        ref = own[Name("N")]
        form = self.stream(ref, "an appearance", "Type Subtype BBox Resources", "Matrix").dictionary
        _constants(form, "an appearance", {"Type": "XObject", "Subtype": "Form"})
        box = numbers(form[Name("BBox")], 4, ref)
        if box[:2] != (0, 0):
            raise refuse("an appearance's box does not begin at the origin", ref)
        if Name("Matrix") in form:
            turn = numbers(form[Name("Matrix")], 6, ref)
            if turn not in {(0, 1, -1, 0, 0, 0), (-1, 0, 0, -1, 0, 0), (0, -1, 1, 0, 0, 0)}:
                raise refuse("an appearance is turned in an unusual way", ref)
        resources = self.dictionary(form[Name("Resources")], "an appearance's resources", "", "Font XObject")
        images = resources.get(Name("XObject"), {})
        if not isinstance(images, dict) or len(images) > 1:
            raise refuse("an appearance's images are malformed", ref)
        for image in images.values():
            self.image(image)
        fonts = resources.get(Name("Font"), {})
        if not isinstance(fonts, dict):
            raise refuse("an appearance's fonts are malformed", ref)
        for font in fonts.values():
            self.font(font)
        assert isinstance(ref, Ref)
        self.boxes[ref] = (box[2], box[3])
        return ref

    def image(self, ref: PdfObject) -> None:
        """An image cut out by a mask of one bit; no soft mask, no other colours than RGB."""
        keys = "Type Subtype Width Height ColorSpace BitsPerComponent Mask"
        own = self.stream(ref, "an image", keys).dictionary
        _constants(
            own, "an image", {"Type": "XObject", "Subtype": "Image", "ColorSpace": "DeviceRGB", "BitsPerComponent": 8}
        )
        keys = "Type Subtype Width Height ImageMask BitsPerComponent"
        mask = self.stream(own[Name("Mask")], "an image's mask", keys).dictionary
        _constants(
            mask, "an image's mask", {"Type": "XObject", "Subtype": "Image", "ImageMask": True, "BitsPerComponent": 1}
        )

    def font(self, ref: PdfObject) -> None:
        own = self.dictionary(ref, "a font", "Type Subtype BaseFont Encoding DescendantFonts ToUnicode")
        _constants(own, "a font", {"Type": "Font", "Subtype": "Type0", "Encoding": "Identity-H"})
        self.stream(own[Name("ToUnicode")], "a font's map")
        below = own[Name("DescendantFonts")]
        if not isinstance(below, list) or len(below) != 1:
            raise refuse("a font has not one descendant", ref)
        keys = "Type Subtype BaseFont CIDSystemInfo FontDescriptor CIDToGIDMap DW W"
        inner = self.dictionary(below[0], "a font", keys)
        _constants(inner, "a font", {"Type": "Font", "Subtype": "CIDFontType2", "CIDToGIDMap": "Identity"})
        keys = "Type FontName Flags FontBBox ItalicAngle Ascent Descent CapHeight StemV FontFile2"
        descriptor = self.dictionary(inner[Name("FontDescriptor")], "a font's descriptor", keys)
        self.stream(descriptor[Name("FontFile2")], "a font's program", "Length1")

    def signature(self, ref: Ref) -> NewSignature:
        """The signature dictionary; its byte range must leave out exactly the value of /Contents and cover the rest."""
        keys = "Type Filter SubFilter ByteRange Contents"
        own = self.dictionary(ref, "a signature", keys, "M Reason Location Reference")
        kind = (own[Name("Type")], own[Name("SubFilter")])
        if kind not in ((Name("Sig"), Name("ETSI.CAdES.detached")), (Name("DocTimeStamp"), Name("ETSI.RFC3161"))):
            raise refuse("a signature of another kind than ours", ref)
        if not all(isinstance(own.get(Name(key), b""), bytes) for key in ("Contents", "M", "Reason", "Location")):
            raise refuse("a signature's entries are no strings", ref)
        certifies = self._transforms(own.get(Name("Reference"), []), ref)
        ranges = numbers(own[Name("ByteRange")], 4, ref)
        byte_range = (int(ranges[0]), int(ranges[1]), int(ranges[2]), int(ranges[3]))
        exact = byte_range == self._expected_range(ref)
        return NewSignature(ref, kind[0] == "DocTimeStamp", certifies, byte_range, exact)

    def _transforms(self, value: PdfObject, ref: Ref) -> bool:
        if not isinstance(value, list):
            raise refuse("a signature's references are malformed", ref)
        certifies = False
        for item in value:
            own = self.dictionary(item, "a transform", "Type TransformMethod TransformParams", "Data")
            if own.get(Name("Data"), self.child.root) != self.child.root:
                raise refuse("a transform speaks of another object", ref)
            if own[Name("TransformMethod")] == "DocMDP":
                params = self.dictionary(own[Name("TransformParams")], "a transform", "Type P V")
                _constants(params, "a certification", {"P": 2})
                certifies = True
            elif own[Name("TransformMethod")] == "FieldMDP":
                self.lock(own[Name("TransformParams")], "Type Action V", "Fields P")
            else:
                raise refuse("a signature transforms in an unknown way", ref)
        return certifies

    def _expected_range(self, ref: Ref) -> tuple[int, int, int, int]:
        found = self.child.indirect(ref)
        assert found is not None
        for key, _at, start, end in dictionary_spans(found.data, found.start):
            if key == "Contents" and _is_hole(found.data[start:end]):
                return 0, start, end, self.child.end - end
        raise refuse("a signature's contents are not written in hexadecimal", ref)

    # Validation data

    def validation_data(self, value: PdfObject, before: Dictionary, resolve: Callable[[PdfObject], PdfObject]) -> None:
        """/DSS (EN 319 142-1, 5.4.2): lists that begin with what they held, streams, and /VRI by signature."""
        own = self._known(value, before)
        _keys(own, "the validation data", "", "Type VRI OCSPs CRLs Certs")
        for key in ("OCSPs", "CRLs", "Certs"):
            now, was = self.child.array(own.get(Name(key))), resolve(before.get(Name(key)))
            self._mark(own.get(Name(key)))
            kept = was if isinstance(was, list) else []
            if now[: len(kept)] != kept:
                raise refuse("validation data was taken away")
            for item in now[len(kept) :]:
                self.stream(item, "validation data")
        self._mark(own.get(Name("VRI")))
        entries, held = self.child.dictionary(own.get(Name("VRI"))), resolve(before.get(Name("VRI")))
        for key, entry in entries.items():
            if isinstance(held, dict) and held.get(key) == entry:
                continue
            if not _VRI_NAME.fullmatch(key):
                raise refuse("validation data for no signature")
            self._mark(entry)
            _keys(self.child.dictionary(entry), "validation data", "", "Type Cert OCSP CRL TU")
        if isinstance(held, dict) and not held.keys() <= entries.keys():
            raise refuse("validation data was taken away")

    def _known(self, value: PdfObject, before: Dictionary) -> Dictionary:
        self._mark(value)
        found = self.child.resolve(value)
        if not isinstance(found, dict) or not before.keys() <= found.keys():
            raise refuse("validation data was taken away")
        return found

    def _mark(self, value: PdfObject) -> None:
        if isinstance(value, Ref):
            self.seen.add(value.num)


def _keys(own: Dictionary, what: str, required: str, optional: str) -> None:
    needed = set(required.split())
    names = set(map(str, own))
    if not needed <= names or not names <= needed | set(optional.split()):
        raise refuse(f"{what} has other keys than ours")


def _constants(own: Dictionary, what: str, expected: Mapping[str, object]) -> None:
    for key, value in expected.items():
        if own.get(Name(key)) != value or isinstance(own.get(Name(key)), bytes):
            raise refuse(f"{what} says something else than ours")
