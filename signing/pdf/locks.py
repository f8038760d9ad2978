"""Signatures that an input already carries, and what they forbid (ISO 32000-1, 12.8.2; ISO 32000-2, 12.7.5.5).

This reads what signatures *say*; whether they hold is the matter of `validation`.
"""

from __future__ import annotations

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.fields import FormField, permissions
from signing.pdf.objects import Name, PdfObject
from signing.pdf.reader import Revision

__all__ = ["EmptyField", "FoundSignature", "Signatures", "byte_range", "find_signatures"]


class FoundSignature(msgspec.Struct, frozen=True):
    """A signature or document time stamp in the input. `byte_range` is (start, length, start, length) in bytes."""

    field: str
    subfilter: str
    byte_range: tuple[int, int, int, int]
    timestamp: bool

    @property
    def covers(self) -> int:
        """The file's length when it was signed."""
        return self.byte_range[2] + self.byte_range[3]


class EmptyField(msgspec.Struct, frozen=True):
    """An unsigned signature field. `visible` means that its rectangle has an area."""

    name: str
    visible: bool


class Signatures(msgspec.Struct, frozen=True):
    """`certified` is the strictest DocMDP level (2, 3) that certification and locks set, None without one.

    `empty` holds only fields that no lock covers.
    """

    signed: tuple[FoundSignature, ...]
    empty: tuple[EmptyField, ...]
    certified: int | None
    may_add_visible: bool
    may_add_invisible: bool


def _broken(why: str, place: object = "") -> PdfError:
    return PdfError("broken-structure", why, place=str(place)[:40])


def byte_range(view: Revision, value: dict[Name, PdfObject], place: object) -> tuple[int, int, int, int]:
    """A signature dictionary's /ByteRange, checked to lie in the file and to begin with it."""
    numbers = [view.resolve(n) for n in view.array(value.get(Name("ByteRange")))]
    if len(numbers) != 4 or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise _broken("a signature's byte range is malformed", place)
    a, b, c, d = (n for n in numbers if isinstance(n, int))
    if a != 0 or c <= b or c + d > len(view.document.data):
        raise _broken("a signature's byte range does not fit the file", place)
    return a, b, c, d


def find_signatures(view: Revision, fields: list[FormField]) -> Signatures:
    """What the view's signature fields hold and forbid.

    Raises `PdfError`: `locked-by-signature` where nothing of ours may be added (certified at level 1, or a lock that
    covers every new field and every empty one), `broken-structure` where a signature is malformed.
    """
    allowed = permissions(view, fields)
    # A new field bears a name of ours, which an Include lock does not name and every other lock covers.
    new_allowed = not allowed.locked_all and not allowed.locked_except
    signatures = [field for field in fields if field.is_signature]
    signed = [_signature(view, field) for field in signatures if field.is_filled]
    empty = [_empty(view, field) for field in signatures if not field.is_filled and not allowed.forbids(field.name)]
    if allowed.level == 1 or (not new_allowed and not empty):
        raise PdfError("locked-by-signature", "a signature in the file forbids further ones")
    return Signatures(
        signed=tuple(sorted(signed, key=lambda found: found.covers)),
        empty=tuple(empty),
        certified=allowed.level,
        may_add_visible=new_allowed and allowed.level is None,
        may_add_invisible=new_allowed,
    )


def _signature(view: Revision, field: FormField) -> FoundSignature:
    value = view.resolve(field.value)
    if not isinstance(value, dict):
        raise _broken("a signature is no dictionary", field.ref)
    return FoundSignature(
        field=field.name,
        subfilter=str(view.resolve(value.get(Name("SubFilter"))) or ""),
        byte_range=byte_range(view, value, field.ref),
        timestamp=view.resolve(value.get(Name("Type"))) == "DocTimeStamp",
    )


def _empty(view: Revision, field: FormField) -> EmptyField:
    rect = [view.resolve(n) for ref in field.widgets for n in view.array(view.dictionary(ref).get(Name("Rect")))]
    return EmptyField(name=field.name, visible=len(rect) >= 4 and rect[0] != rect[2] and rect[1] != rect[3])
