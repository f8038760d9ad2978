"""Signatures that an input already carries, and what they forbid (ISO 32000-1, 12.8.2; ISO 32000-2, 12.7.5.5).

This reads what signatures *say*; whether they hold is the matter of `validation`.
"""

from __future__ import annotations

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.interactive import text_string, terminal_fields
from signing.pdf.objects import Name, PdfObject, Ref
from signing.pdf.reader import Revision

__all__ = ["EmptyField", "FieldLock", "FoundSignature", "Signatures", "find_signatures"]


class FieldLock(msgspec.Struct, frozen=True):
    """A FieldMDP lock: `action` is All, Include or Exclude; `level` is the DocMDP level of a PDF 2.0 lock, else 0."""

    action: str
    names: tuple[str, ...] = ()
    level: int = 0

    def covers(self, name: str) -> bool:
        inside = any(name == locked or name.startswith(locked + ".") for locked in self.names)
        return self.action == "All" or (self.action == "Include" and inside) or (self.action == "Exclude" and not inside)


class FoundSignature(msgspec.Struct, frozen=True):
    """A signature or document time stamp in the input. `byte_range` is (start, length, start, length) in bytes."""

    field: str
    subfilter: str
    byte_range: tuple[int, int, int, int]
    timestamp: bool
    lock: FieldLock | None = None

    @property
    def covers(self) -> int:
        """The file's length when it was signed."""
        return self.byte_range[2] + self.byte_range[3]


class EmptyField(msgspec.Struct, frozen=True):
    """An unsigned signature field. `lock` takes force when it is signed; `visible` means that its rectangle has an area."""

    name: str
    visible: bool
    lock: FieldLock | None = None


class Signatures(msgspec.Struct, frozen=True):
    """`certified` is the DocMDP level (1, 2, 3) of the certification signature, None without one."""

    signed: tuple[FoundSignature, ...]
    empty: tuple[EmptyField, ...]
    certified: int | None
    may_add_visible: bool
    may_add_invisible: bool


def _broken(why: str, place: object = "") -> PdfError:
    return PdfError("broken-structure", why, place=str(place)[:40])


def _lock(view: Revision, value: PdfObject) -> FieldLock | None:
    own = view.dictionary(value)
    action = view.resolve(own.get(Name("Action")))
    level = view.resolve(own.get(Name("P"), 0))
    if action is None and level == 0:
        return None
    names = tuple(text_string(view.resolve(item)) for item in view.array(own.get(Name("Fields"))))
    if action not in ("All", "Include", "Exclude", None) or level not in (0, 1, 2, 3):
        raise _broken("a signature's lock is malformed")
    return FieldLock(action=str(action or "Include"), names=names, level=level if isinstance(level, int) else 0)


def _references(view: Revision, value: dict[Name, PdfObject]) -> tuple[int | None, FieldLock | None]:
    """(DocMDP level, FieldMDP lock) of a signature dictionary's /Reference array."""
    level, lock = None, None
    for item in view.array(value.get(Name("Reference"))):
        reference = view.dictionary(item)
        method = view.resolve(reference.get(Name("TransformMethod")))
        params = view.dictionary(reference.get(Name("TransformParams")))
        if method == "DocMDP":
            given = view.resolve(params.get(Name("P"), 2))
            if given not in (1, 2, 3):
                raise _broken("a certification of an unknown level")
            level = given if isinstance(given, int) else None
        elif method == "FieldMDP":
            lock = _lock(view, params)
    return level, lock


def _byte_range(view: Revision, value: dict[Name, PdfObject], place: object) -> tuple[int, int, int, int]:
    numbers = [view.resolve(n) for n in view.array(value.get(Name("ByteRange")))]
    if len(numbers) != 4 or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise _broken("a signature's byte range is malformed", place)
    a, b, c, d = (n for n in numbers if isinstance(n, int))
    if a != 0 or c <= b or c + d > len(view.document.data):
        raise _broken("a signature's byte range does not fit the file", place)
    return a, b, c, d


def find_signatures(view: Revision) -> Signatures:
    """What the view's signature fields hold and forbid.

    Raises `PdfError`: `locked-by-signature` where nothing of ours may be added (certified at level 1, or a lock that
    covers every new field and every empty one), `broken-structure` where a signature is malformed.
    """
    signed, empty, locks = [], [], []
    certified = None
    certifying = view.resolve(view.dictionary(view.catalog.get(Name("Perms"))).get(Name("DocMDP")))
    if isinstance(certifying, dict):
        certified = _references(view, certifying)[0] or 2
    for field in terminal_fields(view):
        if view.resolve(field.own.get(Name("FT"))) != "Sig":
            continue
        value = view.resolve(field.own.get(Name("V")))
        if value is None:
            rect = [view.resolve(n) for n in view.array(field.kids[0].get(Name("Rect")))]
            visible = len(rect) == 4 and rect[0] != rect[2] and rect[1] != rect[3]
            empty.append(EmptyField(name=field.name, visible=visible, lock=_lock(view, field.own.get(Name("Lock")))))
            continue
        if not isinstance(value, dict):
            raise _broken("a signature is no dictionary", field.ref)
        level, lock = _references(view, value)
        if level == 1 or (lock is not None and lock.level == 1):
            certified = 1
        if lock is not None:
            locks.append(lock)
        found = FoundSignature(
            field=field.name,
            subfilter=str(view.resolve(value.get(Name("SubFilter"))) or ""),
            byte_range=_byte_range(view, value, field.ref),
            timestamp=view.resolve(value.get(Name("Type"))) == "DocTimeStamp",
            lock=lock,
        )
        signed.append(found)
    return _judge(signed, empty, certified, locks)


def _judge(
    signed: list[FoundSignature], empty: list[EmptyField], certified: int | None, locks: list[FieldLock]
) -> Signatures:
    free = tuple(field for field in empty if not any(lock.covers(field.name) for lock in locks))
    # A new field bears a name of ours, which an Include lock cannot name and every other lock covers.
    new_allowed = not any(lock.action in {"All", "Exclude"} for lock in locks)
    if certified == 1 or (not new_allowed and not free):
        raise PdfError("locked-by-signature", "a signature in the file forbids further ones")
    return Signatures(
        signed=tuple(sorted(signed, key=lambda s: s.covers)),
        empty=free,
        certified=certified,
        may_add_visible=new_allowed and certified is None,
        may_add_invisible=new_allowed,
    )
