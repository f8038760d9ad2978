"""The interactive form as far as signing needs it: fields, and what signatures forbid (ISO 32000-1, 12.7, 12.8).

Field names are fully qualified, as text. Everything is bounded; a malformed form is `broken-structure`.
"""

from __future__ import annotations

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.objects import Name, PdfObject, Ref
from signing.pdf.reader import Revision

__all__ = ["FormField", "Permissions", "decode_text", "form_fields", "permissions"]

_MAX_FIELDS = 20_000
_N = {key: Name(key) for key in ("T", "FT", "V", "Kids", "Subtype", "Reference", "TransformParams", "TransformMethod")}


class FormField(msgspec.Struct, frozen=True):
    """A terminal field. `widgets` are its annotations: itself where both are one dictionary, else its kids."""

    ref: Ref
    name: str
    kind: str  # Sig, Tx, Btn, Ch, or empty
    value: PdfObject
    dictionary: dict[Name, PdfObject]
    widgets: tuple[Ref, ...]

    @property
    def is_signature(self) -> bool:
        return self.kind == "Sig"

    @property
    def is_filled(self) -> bool:
        return self.value is not None


class Permissions(msgspec.Struct, frozen=True):
    """What the signatures of a revision allow later revisions to do.

    `level` is the strictest P of certification and of locks (1 nothing, 2 fill and sign, 3 and annotate), None where no
    signature says. `locked_all` and `locked` name fields that may not change; `locked_except`, where not None, are the
    only ones that may.
    """

    signed: bool
    level: int | None
    certified: bool
    locked_all: bool
    locked: frozenset[str]
    locked_except: tuple[frozenset[str], ...]

    def forbids(self, field: str) -> bool:
        """Whether a lock covers the field or one of its ancestors."""
        names = {field[:at] for at in range(len(field)) if field[at] == "."} | {field}
        return self.locked_all or bool(names & self.locked) or any(not names & free for free in self.locked_except)


def decode_text(raw: bytes) -> str:
    """A text string's text; PDFDocEncoding is read as Latin-1, which it equals for names met in practice."""
    if raw.startswith(b"\xfe\xff"):
        return raw[2:].decode("utf-16-be", "replace")
    if raw.startswith(b"\xef\xbb\xbf"):
        return raw[3:].decode("utf-8", "replace")
    return raw.decode("latin-1")


def form_fields(view: Revision) -> list[FormField]:
    """All terminal fields in document order. Raises `broken-structure` on loops, `too-large` beyond the bound."""
    form = view.dictionary(view.catalog.get(Name("AcroForm")))
    found: list[FormField] = []
    seen: set[Ref] = set()
    stack: list[tuple[PdfObject, str, PdfObject, PdfObject]] = [
        (ref, "", None, None) for ref in reversed(view.array(form.get(Name("Fields"))))
    ]
    while stack:
        ref, above, kind, value = stack.pop()
        if not isinstance(ref, Ref) or ref in seen:
            raise PdfError("broken-structure", "the field tree is malformed", place=str(ref)[:20])
        seen.add(ref)
        if len(seen) > _MAX_FIELDS:
            raise PdfError("too-large", "too many form fields")
        node = view.dictionary(ref)
        title = view.resolve(node.get(_N["T"]))
        name = above
        if isinstance(title, bytes):
            name = f"{above}.{decode_text(title)}" if above else decode_text(title)
        kind = view.resolve(node.get(_N["FT"], kind))
        value = node.get(_N["V"], value)
        kids = view.array(node.get(_N["Kids"]))
        children = [kid for kid in kids if _N["T"] in view.dictionary(kid)]
        if children:
            stack.extend((kid, name, kind, value) for kid in reversed(kids))
            continue
        widgets = tuple(kid for kid in kids if isinstance(kid, Ref))
        if len(widgets) != len(kids) or len(widgets) > _MAX_FIELDS:
            raise PdfError("broken-structure", "a field's kids are malformed", place=str(ref))
        if not widgets and view.resolve(node.get(_N["Subtype"])) == "Widget":
            widgets = (ref,)
        held = view.resolve(value)
        found.append(FormField(ref, name, str(kind or ""), value if held is not None else None, node, widgets))
    return found


def permissions(view: Revision, fields: list[FormField]) -> Permissions:
    """What certification (`/Perms`) and field locks of all signatures leave allowed."""
    signatures = [field for field in fields if field.is_signature and field.is_filled]
    certification = view.dictionary(view.catalog.get(Name("Perms"))).get(Name("DocMDP"))
    levels: list[int] = []
    locked: set[str] = set()
    free: list[frozenset[str]] = []
    locked_all = False
    for field in signatures:
        signature = view.dictionary(field.value)
        lock = view.dictionary(field.dictionary.get(Name("Lock")))
        params = [lock] if lock else []
        if Name("P") in lock:
            levels.append(_level(view, lock, 0))
        for item in view.array(signature.get(_N["Reference"])):
            reference = view.dictionary(item)
            method = view.resolve(reference.get(_N["TransformMethod"]))
            given = view.dictionary(reference.get(_N["TransformParams"]))
            if method == "DocMDP":
                levels.append(_level(view, given, 2))
            elif method == "FieldMDP":
                params.append(given)
        for given in params:
            names = frozenset(
                decode_text(text)
                for text in map(view.resolve, view.array(given.get(Name("Fields"))))
                if isinstance(text, bytes)
            )
            match view.resolve(given.get(Name("Action"))):
                case "All":
                    locked_all = True
                case "Include":
                    locked |= names
                case "Exclude":
                    free.append(names)
                case _:
                    raise PdfError("broken-structure", "a field lock says nothing known", place=str(field.ref))
    if certification is not None and not levels:
        levels.append(2)
    return Permissions(
        bool(signatures),
        min(levels, default=None),
        certification is not None,
        locked_all,
        frozenset(locked),
        tuple(free),
    )


def _level(view: Revision, params: dict[Name, PdfObject], default: int) -> int:
    level = view.resolve(params.get(Name("P"), default))
    if not isinstance(level, int) or isinstance(level, bool) or level not in {1, 2, 3}:
        raise PdfError("broken-structure", "a permission level is out of range", place="DocMDP")
    return level
