"""What did a revision change? The comparison, object by object (signing/README.md; threats A11, B1, B2).

A child must extend its parent byte for byte, in one cross-reference section, and change nothing beyond the closed
list: the catalog's /AcroForm /DSS /Extensions /Version (and /Perms where it certifies), the form's /Fields and
/SigFlags (removal of /NeedAppearances in the first revision), /Annots that grow at their end, the filled field's /V
/AP, and the trailer's own keys. Every new object is of a known kind with known keys and reached from there. Form
filling is no exception (B1).

It is longer than most because the places that may change are judged against one another: fields, widgets, filled value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from signing.pdf.closed_list import Box, NewField, NewSignature, Walk, refuse
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.fields import FormField, decode_text, form_fields, permissions
from signing.pdf.objects import Name, PdfObject, Ref, Stream
from signing.pdf.reader import Document, Revision, open_document

if TYPE_CHECKING:
    from signing.pdf.prepare import Prepared

__all__ = [
    "AddedField",
    "Comparison",
    "Expected",
    "ExpectedField",
    "RevisionChange",
    "chain",
    "compare",
    "compare_archive",
    "compare_revisions",
]

_OWN_TRAILER_KEYS: Final = frozenset(
    {"Size", "Prev", "ID", "XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms"}
)
_CHANGED_CATALOG_KEYS: Final = frozenset({"AcroForm", "DSS", "Extensions", "Version", "Perms"})
_TIME_STAMP_FIELD = re.compile(r"HT_DTS\d{1,6}")
_OBJECT_END = re.compile(rb"[\0\t\n\f\r ]*+(?:endstream[\0\t\n\f\r ]++)?endobj")
_NOWHERE: Final[Box] = (0.0, 0.0, 0.0, 0.0)


class ExpectedField(msgspec.Struct, frozen=True):
    """A field as the manifest names it: `rect` in user space, `box` the appearance's size; an invisible one has
    zeros.
    """

    name: str
    page_index: int
    rect: Box
    box: tuple[float, float]
    created: bool
    filled: bool


class Expected(msgspec.Struct, frozen=True):
    """What the manifest of a prepared revision says that it adds."""

    fields: tuple[ExpectedField, ...]
    certify: bool = False

    @classmethod
    def of(cls, prepared: Prepared) -> Expected:
        fields = tuple(
            ExpectedField(r.field_name, r.page_index, r.rect, r.box, created=r.created, filled=r.filled)
            for r in prepared.rects
        )
        return cls(fields, prepared.certified)


class AddedField(msgspec.Struct, frozen=True):
    """A field that the revision created or filled. `box` is None where it has no appearance of this revision."""

    name: str
    page_index: int
    rect: Box
    box: tuple[float, float] | None
    created: bool
    filled: bool


class Comparison(msgspec.Struct, frozen=True):
    """What the child changed. Pages count from 0; those of `unchanged_pages` are drawn as in the parent.

    `byte_range` is the filled field's: what its signature is about, which is all but the value of /Contents.
    """

    page_count: int
    touched_pages: tuple[int, ...]
    fields: tuple[AddedField, ...]
    signature: str | None  # the filled field's name
    timestamp: bool
    certifies: bool
    validation_data: bool
    byte_range: tuple[int, int, int, int] | None = None

    @property
    def unchanged_pages(self) -> tuple[int, ...]:
        return tuple(index for index in range(self.page_count) if index not in self.touched_pages)


class RevisionChange(msgspec.Struct, frozen=True):
    """One revision of a chain: its length in bytes, and what it changed; `reason` where that is beyond the closed
    list.
    """

    index: int
    length: int
    change: Comparison | None
    reason: str = ""


def compare(parent: Path, child: Path, expected: Expected) -> Comparison:
    """Prove that `child` is `parent` with exactly one revision of ours behind it, as `expected` names it.

    Raises `PdfError`: `changed-beyond-signature`, or what the reader refuses; `OSError` where a file cannot be read.
    """
    found = _one_more(parent, child)
    _as_expected(found, expected)
    return found


def compare_archive(parent: Path, child: Path) -> Comparison:
    """Prove that `child` is `parent` with one revision behind it that adds validation data, an invisible document time
    stamp, or both, and nothing else (EN 319 142-1, 5.4). Raises as `compare`.
    """
    found = _one_more(parent, child)
    seen = any(field.box is not None or field.rect != _NOWHERE for field in found.fields if field.created)
    if (found.signature is not None and not found.timestamp) or found.certifies or seen:
        raise refuse("the revision is of another kind than an archive's")
    return found


def _one_more(parent: Path, child: Path) -> Comparison:
    try:
        with open_document(parent) as before, open_document(child) as after:
            _extends(before, after)
            found = compare_revisions(after, len(after.revisions) - 1)
            if len(after.revisions) != len(before.revisions) + 1:
                raise refuse("not one revision was added")
            return found
    except (PdfError, OSError, *MACHINE):
        raise
    except Exception as error:
        raise refuse(f"unreadable: {type(error).__name__}") from None


def chain(path: Path) -> list[RevisionChange]:
    """All revisions of a file with what each changed. The first is the file's beginning and changes nothing.

    Raises `PdfError` where the file as a whole cannot be read.
    """
    with open_document(path) as document:
        revisions = document.revisions
        made = [RevisionChange(0, revisions[0].end, None)]
        for index in range(1, len(revisions)):
            try:
                found, reason = compare_revisions(document, index), ""
            except MACHINE:
                raise
            except Exception as error:
                # A revision that is not ours may be anything; the answer is then its reason, never an error.
                found, reason = None, str(error) if isinstance(error, PdfError) else type(error).__name__
            made.append(RevisionChange(index, revisions[index].end, found, reason))
        return made


def _extends(before: Document, after: Document) -> None:
    length = len(before.data)
    if len(after.data) <= length:
        raise refuse("the child is not longer than its parent")
    step = 1 << 20
    for at in range(0, length, step):
        end = min(at + step, length)
        if before.data[at:end] != after.data[at:end]:
            raise refuse("the child does not begin with its parent", f"byte {at}")
    # A parent that ends with %%EOF itself gets a line end from its child, which then counts as the parent's.
    reach = length + (
        before.head.end == length and before.data[-1:] == b"F" and after.data[length : length + 1] == b"\n"
    )
    parent = after.revision_at(reach)
    if parent is None or parent.startxref != before.head.startxref or parent.end - before.head.end != reach - length:
        raise refuse("the child does not continue its parent's chain")


def _as_expected(found: Comparison, expected: Expected) -> None:
    """The manifest and the revision must name the same fields at the same places."""
    if found.signature is None or found.timestamp or found.validation_data or found.certifies != expected.certify:
        raise refuse("the revision is of another kind than the manifest's")
    named = {field.name: field for field in expected.fields if field.created or field.filled}
    if len(named) != sum(field.created or field.filled for field in expected.fields):
        raise refuse("the manifest names a field twice")
    for field in found.fields:
        wanted = named.pop(field.name, None)
        if wanted is None:
            hidden = field.created and not field.filled and field.rect == _NOWHERE and field.box is None
            if not hidden or not _TIME_STAMP_FIELD.fullmatch(field.name):
                raise refuse("a field that the manifest does not name", field.name)
            continue
        same = (wanted.page_index, wanted.created, wanted.filled) == (field.page_index, field.created, field.filled)
        box = field.box or (0.0, 0.0)
        if not same or not _near(wanted.rect, field.rect) or not _near(wanted.box, box):
            raise refuse("a field stands elsewhere than the manifest says", field.name)
    if named:
        raise refuse("a field of the manifest is missing")


def _near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(abs(x - y) <= 0.0051 for x, y in zip(a, b, strict=True))


def compare_revisions(document: Document, index: int) -> Comparison:
    """What revision `index` (1 is the second) changed against the one before; raises `changed-beyond-signature`."""
    return _Comparer(document.revisions[index - 1], document.revisions[index]).run()


class _Comparer:
    def __init__(self, parent: Revision, child: Revision) -> None:
        self.parent = parent
        self.child = child
        self.fields = form_fields(parent)
        self.allowed = permissions(parent, self.fields)
        self.changed, self.fresh = self._section()
        self.walk = Walk(child, self.fresh)
        self.places: dict[Ref, int] = {}  # indices of the pages that changed
        self.form_added: list[Ref] = []
        self.annotations_added: list[tuple[Ref, Ref]] = []  # (page, widget)
        self.filled: dict[str, tuple[FormField, Ref | None, Ref | None]] = {}
        self.validation_data = False
        self.perms: Ref | None = None

    def run(self) -> Comparison:
        self._trailer()
        self._bytes()
        for ref in sorted(self.changed):
            self._changed_object(ref)
        created = [self.walk.field(widget, page) for page, widget in self.annotations_added]
        if sorted(field.ref for field in created) != sorted(self.form_added):
            raise refuse("fields and widgets that were added are not the same")
        signature = self._signature(created)
        if left := self.walk.unreached():
            raise refuse("an object was added that nothing leads to", min(left))
        return self._result(created, signature)

    # The section

    def _section(self) -> tuple[set[Ref], set[int]]:
        """(references of the parent's objects that are written again, numbers of new objects)."""
        sections = self.child.sections
        if len(sections) != len(self.parent.sections) + 1 or sections[1:] != self.parent.sections:
            raise refuse("not one cross-reference section was added")
        section = sections[0]
        if section.trailer.get(Name("Prev")) != self.parent.startxref or section.kind == "hybrid":
            raise refuse("the new section does not continue the parent's")
        data = self.child.document.data
        changed, fresh = set(), set()
        for num in section.numbers():
            entry = section.lookup(data, num)
            if num == 0 and entry is not None and entry.kind == 0:
                continue
            if entry is None or entry.kind != 1:
                raise refuse("an object was freed or packed", num)
            before = self.parent.locate(num)
            if before is not None and before.kind:
                if entry.extra != (before.extra if before.kind == 1 else 0):
                    raise refuse("an object changed its generation", num)
                changed.add(Ref(num, entry.extra))
            elif num < self.parent.size or entry.extra:
                raise refuse("an unused number below the parent's size was taken", num)
            elif section.stream_ref is None or num != section.stream_ref.num:
                fresh.add(num)
        return changed, fresh

    def _trailer(self) -> None:
        before, after = self.parent.trailer, self.child.trailer
        kept = {key: value for key, value in before.items() if key not in _OWN_TRAILER_KEYS}
        if kept != {key: value for key, value in after.items() if key not in _OWN_TRAILER_KEYS}:
            raise refuse("the trailer says something else")
        size = after.get(Name("Size"))
        if size != max([self.parent.size, *(num + 1 for num in self.child.sections[0].numbers())]):
            raise refuse("the trailer's size is wrong")
        was, now = (self.child.resolve(trailer.get(Name("ID"))) for trailer in (before, after))
        if isinstance(was, list) and (not isinstance(now, list) or len(now) != 2 or now[0] != was[0]):
            raise refuse("the file's identity changed")

    def _bytes(self) -> None:
        """Nothing but the section's own objects stands between the parent's end and the section."""
        data = self.child.document.data
        section = self.child.sections[0]
        spans = []
        for num in (*self.fresh, *(ref.num for ref in self.changed)):
            entry = section.lookup(data, num)
            found = self.child.indirect(Ref(num, entry.extra if entry else 0))
            if found is None or found.offset is None:
                raise refuse("an object is missing", num)
            end = found.value.end if isinstance(found.value, Stream) else found.end
            closed = _OBJECT_END.match(data, end)
            if closed is None:
                raise refuse("an object does not end", num)
            spans.append((found.offset, closed.end()))
        at = self.parent.end
        for start, end in [*sorted(spans), (section.offset, section.offset)]:
            if start < at or data[at:start].strip(b"\0\t\n\f\r "):
                raise refuse("bytes were added that belong to no object", f"byte {at}")
            at = end

    # The objects of the parent that were written again

    def _changed_object(self, ref: Ref) -> None:
        before, after = self.parent.get(ref), self.child.get(ref)
        catalog = self.parent.catalog
        form = catalog.get(Name("AcroForm"))
        values = self.parent.dictionary(form)
        if ref == self.parent.root:
            self._catalog(_both(before, after, ref))
        elif ref == form:
            self._form(*_both(before, after, ref))
        elif ref == values.get(Name("Fields")):
            self.form_added += _grown(before, after, ref)
        elif self._is_page(ref, before):
            self._page(ref, *_both(before, after, ref))
        elif isinstance(before, list) and (page := self._page_of_array(ref)) is not None:
            self.annotations_added += [(page, widget) for widget in _grown(before, after, ref)]
        elif ref == catalog.get(Name("Extensions")):
            _extensions(*_both(before, after, ref))
        elif ref in self._validation_objects(catalog):
            self._validation(self.child.catalog.get(Name("DSS")))
        elif (field := self._empty_field(ref)) is not None:
            self._filled(ref, field, *_both(before, after, ref))
        else:
            raise refuse("an object changed that no signature touches", ref)

    def _catalog(self, both: tuple[dict[Name, PdfObject], dict[Name, PdfObject]]) -> None:
        before, after = both
        _same_but(before, after, _CHANGED_CATALOG_KEYS, self.parent.root)
        form = before.get(Name("AcroForm")), after.get(Name("AcroForm"))
        if form[0] != form[1]:
            old = self.parent.resolve(form[0])
            if old is not None and (isinstance(form[0], Ref) or isinstance(form[1], Ref)):
                raise refuse("the form was put in another's place")
            new = self.walk.object(form[1], "the form") if isinstance(form[1], Ref) else form[1]
            self._form(*_both({} if old is None else old, new, self.parent.root))
        self._version(before.get(Name("Version")), after.get(Name("Version")))
        extensions = before.get(Name("Extensions")), after.get(Name("Extensions"))
        if extensions[0] != extensions[1]:
            _extensions(*_both({} if extensions[0] is None else extensions[0], extensions[1], self.parent.root))
        if before.get(Name("DSS")) != after.get(Name("DSS")):
            self._validation(after.get(Name("DSS")))
        perms = before.get(Name("Perms")), after.get(Name("Perms"))
        if perms[0] != perms[1]:
            value = perms[1].get(Name("DocMDP")) if isinstance(perms[1], dict) and len(perms[1]) == 1 else None
            if perms[0] is not None or not isinstance(value, Ref):
                raise refuse("permissions were changed")
            self.perms = value

    def _version(self, before: PdfObject, after: PdfObject) -> None:
        if before != after and (after != Name("1.7") or self.parent.version >= "1.7"):
            raise refuse("the version was changed to another than 1.7")

    def _form(self, before: dict[Name, PdfObject], after: dict[Name, PdfObject]) -> None:
        _same_but(before, after, {"Fields", "SigFlags", "NeedAppearances"}, "AcroForm")
        if before.get(Name("NeedAppearances")) != after.get(Name("NeedAppearances")) and (
            Name("NeedAppearances") in after or self.allowed.signed
        ):
            raise refuse("the form asks for other drawing")
        was, now = before.get(Name("SigFlags"), 0), after.get(Name("SigFlags"), 0)
        if was != now and (not isinstance(was, int) or now != was | 3):
            raise refuse("the form's flags changed")
        listed = before.get(Name("Fields")), after.get(Name("Fields"))
        if listed[0] != listed[1]:
            if isinstance(listed[0], Ref) and self.parent.get(listed[0]) is not None:
                raise refuse("the form's fields were put in another's place")
            old = listed[0] if isinstance(listed[0], list) else []
            self.form_added += _grown(old, listed[1], "Fields")

    def _page(self, ref: Ref, before: dict[Name, PdfObject], after: dict[Name, PdfObject]) -> None:
        _same_but(before, after, {"Annots"}, ref)
        old = before.get(Name("Annots"))
        if isinstance(old, Ref) and self.parent.get(old) is not None:
            raise refuse("a page's annotations were put in another's place", ref)
        grown = _grown(old if isinstance(old, list) else [], after.get(Name("Annots")), ref)
        self.annotations_added += [(ref, widget) for widget in grown]

    def _is_page(self, ref: Ref, before: PdfObject) -> bool:
        if not isinstance(before, dict) or before.get(Name("Type")) != "Page":
            return False
        if ref not in self.places:
            place = self.parent.page_index(ref)
            if place is None:
                return False
            self.places[ref] = place
        return True

    def _page_of_array(self, ref: Ref) -> Ref | None:
        owners = []
        for page in self.parent.pages():
            if page.dictionary.get(Name("Annots")) == ref:
                self.places[page.ref] = page.index
                owners.append(page.ref)
        if len(owners) > 1:
            raise refuse("pages share their annotations", ref)
        return owners[0] if owners else None

    def _validation_objects(self, catalog: dict[Name, PdfObject]) -> set[PdfObject]:
        store = catalog.get(Name("DSS"))
        parts = self.parent.dictionary(store)
        inner = [parts.get(Name(key)) for key in ("VRI", "OCSPs", "CRLs", "Certs")]
        return {ref for ref in (store, *inner) if isinstance(ref, Ref)}

    def _validation(self, value: PdfObject) -> None:
        if self.validation_data:
            return
        self.validation_data = True
        before = self.parent.dictionary(self.parent.catalog.get(Name("DSS")))
        self.walk.validation_data(value, before, self.parent.resolve)

    def _empty_field(self, ref: Ref) -> FormField | None:
        for field in self.fields:
            if field.is_signature and not field.is_filled and (ref == field.ref or (ref,) == field.widgets):
                return field
        return None

    def _filled(self, ref: Ref, field: FormField, before: dict[Name, PdfObject], after: dict[Name, PdfObject]) -> None:
        own, widget = ref == field.ref, (ref,) == field.widgets
        _same_but(before, after, {key for key, mine in (("V", own), ("AP", widget)) if mine}, ref)
        _field, value, look = self.filled.get(field.name, (field, None, None))
        if own and before.get(Name("V")) != after.get(Name("V")):
            named = after.get(Name("V"))
            if not isinstance(named, Ref):
                raise refuse("a field's value is no reference", ref)
            value = named
        if widget and before.get(Name("AP")) != after.get(Name("AP")):
            look = self.walk.appearance(after.get(Name("AP")))
        self.filled[field.name] = (field, value, look)

    # The result

    def _signature(self, created: list[NewField]) -> NewSignature | None:
        values = [field.value for field in created if field.value is not None]
        values += [value for _field, value, _look in self.filled.values() if value is not None]
        if any(value is None for _field, value, _look in self.filled.values()) or len(values) > 1:
            raise refuse("not one field was filled")
        if not values:
            if created or self.perms is not None or not self.validation_data:
                raise refuse("the revision neither signs nor adds validation data")
            return None
        signature = self.walk.signature(values[0])
        if not signature.covers_revision:
            raise refuse("the signature does not cover its revision", signature.ref)
        if signature.certifies != (self.perms == signature.ref) or (signature.certifies and self.allowed.signed):
            raise refuse("the revision certifies and does not say so, or certifies late")
        self._permitted(created, signature)
        return signature

    def _permitted(self, created: list[NewField], signature: NewSignature) -> None:
        """Earlier signatures' locks; a document time stamp is always permitted (ISO 32000-2, 12.8.2.2)."""
        if signature.timestamp:
            return
        names = [decode_text(field.name) for field in created] + list(self.filled)
        visible = any(field.rect[0] != field.rect[2] for field in created)
        if self.allowed.level == 1 or any(map(self.allowed.forbids, names)) or (visible and self.allowed.level):
            raise refuse("an earlier signature forbids the change")

    def _result(self, created: list[NewField], signature: NewSignature | None) -> Comparison:
        fields = [
            AddedField(
                decode_text(field.name),
                self.places[field.page],
                field.rect,
                None if field.look is None else self.walk.boxes[field.look],
                created=True,
                filled=field.value is not None,
            )
            for field in created
        ]
        fields += [self._filled_field(field, look) for field, _value, look in self.filled.values()]
        taken = {field.name for field in self.fields}
        if len({field.name for field in fields}) != len(fields) or any(f.created and f.name in taken for f in fields):
            raise refuse("a field's name stands twice")
        drawn = {field.page_index for field in fields if field.created or field.box is not None}
        return Comparison(
            page_count=self.parent.page_count,
            touched_pages=tuple(sorted(drawn)),
            fields=tuple(fields),
            signature=next((field.name for field in fields if field.filled), None),
            timestamp=signature is not None and signature.timestamp,
            certifies=signature is not None and signature.certifies,
            validation_data=self.validation_data,
            byte_range=None if signature is None else signature.byte_range,
        )

    def _filled_field(self, field: FormField, look: Ref | None) -> AddedField:
        if len(field.widgets) != 1:
            raise refuse("a filled field has not one widget", field.ref)
        widget = self.parent.dictionary(field.widgets[0])
        numbers = map(self.parent.resolve, self.parent.array(widget.get(Name("Rect"))))
        rect = [float(n) for n in numbers if isinstance(n, int | float)]
        owners = [
            page.index
            for page in self.parent.pages()
            if field.widgets[0] in self.parent.array(page.dictionary.get(Name("Annots")))
        ]
        if len(rect) != 4 or len(owners) != 1:
            raise refuse("a filled field does not stand on one page", field.ref)
        box = (min(rect[0], rect[2]), min(rect[1], rect[3]), max(rect[0], rect[2]), max(rect[1], rect[3]))
        size = None if look is None else self.walk.boxes[look]
        return AddedField(field.name, owners[0], box, size, created=False, filled=True)


def _both(before: PdfObject, after: PdfObject, ref: object) -> tuple[dict[Name, PdfObject], dict[Name, PdfObject]]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        raise refuse("an object changed its kind", ref)
    return before, after


def _same_but(before: dict[Name, PdfObject], after: dict[Name, PdfObject], keys: object, ref: object) -> None:
    """Equal apart from `keys`; types count, so that a name never equals a string nor a number a truth value."""
    assert isinstance(keys, set | frozenset)
    old = {key: value for key, value in before.items() if key not in keys}
    new = {key: value for key, value in after.items() if key not in keys}
    if not same(old, new):
        raise refuse("an object changed beyond what a signature touches", ref)


def same(a: PdfObject, b: PdfObject) -> bool:
    """Structural equality without following references."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def _grown(before: PdfObject, after: PdfObject, ref: object) -> list[Ref]:
    """What a list gained at its end; its beginning must be as it was."""
    if not isinstance(before, list) or not isinstance(after, list) or not same(before, after[: len(before)]):
        raise refuse("a list did not only grow at its end", ref)
    added = after[len(before) :]
    refs = [item for item in added if isinstance(item, Ref)]
    if len(refs) != len(added) or len(set(refs)) != len(refs):
        raise refuse("a list gained something else than new objects", ref)
    return refs


def _extensions(before: dict[Name, PdfObject], after: dict[Name, PdfObject]) -> None:
    ours: dict[Name, PdfObject] = {Name("BaseVersion"): Name("1.7"), Name("ExtensionLevel"): 1}
    _same_but(before, after, {"ESIC"}, "Extensions")
    if not same(after.get(Name("ESIC")), ours):
        raise refuse("an extension was declared that is none of ours")
