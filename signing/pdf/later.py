"""What may a later revision of any product have changed, for the signatures before it to stay believed? (threats B1, B2)

Our own revisions are judged by `compare`, key by key. Other products write theirs in other words, so here the rule is
about what a change does: a later revision may fill an empty signature field or add one, add validation data, and renew
what describes the file and is never drawn (/Info, XMP, developer extensions). All else is refused, form filling and
annotations included, whatever certification allows. Three traps are closed beside the list of keys:

- *Two roles.* An object that may change must have no other use: metadata that is also a page's content, a list of fields
  that is also a page's contents, validation data that is also a font.
- *Dangling references.* A number that the signed revision mentions without an object may not be given one.
- *Overlay.* What a new signature field draws may not lie over the page's text, unless it is transparent there.

It is longer than most because the places that may change are judged against one another.
"""

from __future__ import annotations

import re
from typing import Final

from signing.pdf.closed_list import refuse
from signing.pdf.compare import _grown, _same_but, same
from signing.pdf.content import covers_text
from signing.pdf.fields import FormField, form_fields, permissions
from signing.pdf.interactive import normal_appearance, rectangle
from signing.pdf.locks import byte_range
from signing.pdf.objects import Name, PdfObject, Ref, Stream, dictionary_spans
from signing.pdf.reader import Document, Revision

__all__ = ["check_later"]

Dictionary = dict[Name, PdfObject]
Path = tuple[str, ...]  # keys from an object's top to where a reference stands; places in lists are left out

_TRAILER_KEYS: Final = frozenset(
    {"Size", "Prev", "ID", "Info", "XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms"}
)
_CATALOG_KEYS: Final = frozenset({"AcroForm", "DSS", "Extensions", "Version", "Perms", "Metadata"})
_FORM_KEYS: Final = frozenset({"Fields", "SigFlags", "NeedAppearances", "DR", "DA"})
_FILLED_KEYS: Final = frozenset({"V", "AP", "F", "M"})
_NEW_FIELD_KEYS: Final = frozenset(
    {
        *(
            "Type",
            "Subtype",
            "FT",
            "T",
            "TU",
            "TM",
            "F",
            "Ff",
            "Rect",
            "P",
            "V",
            "AP",
            "AS",
            "Lock",
            "SV",
            "MK",
            "M",
            "NM",
        ),
        *("Parent", "Kids", "DA", "DR", "Q", "BS", "Border", "StructParent", "H"),
    }
)
_DSS_LISTS: Final = ("Certs", "OCSPs", "CRLs")
_OBJECT_END: Final = re.compile(rb"[\0\t\n\f\r ]*+(?:endstream[\0\t\n\f\r ]++)?endobj")
_BLANK: Final = re.compile(rb"(?:[\0\t\n\f\r ]++|%[^\r\n]*+)*+")
_MAX_REFERENCES: Final = 5_000_000


def check_later(document: Document, index: int) -> None:
    """Judge revision `index` (1 is the second) against the one before.

    Raises `PdfError`: `changed-beyond-signature`, or what the reader refuses.
    """
    _Judge(document.revisions[index - 1], document.revisions[index]).run()


class _Judge:
    def __init__(self, parent: Revision, child: Revision) -> None:
        self.parent = parent
        self.child = child
        self.fields = form_fields(parent)
        self.allowed = permissions(parent, self.fields)
        self.changed: set[Ref] = set()
        self.fresh: set[int] = set()
        self.new_fields: list[Ref] = []
        self.new_widgets: list[tuple[Ref, Ref]] = []  # (page, widget)
        self.filled: list[FormField] = []
        self.values: list[tuple[str, Ref]] = []
        self.validation_data = False

    def run(self) -> None:
        self._section()
        self._trailer()
        self._bytes()
        self.uses = self._uses()
        for ref in sorted(self.changed):
            self._changed(ref)
        self._new_fields()
        self._signature()
        self._overlays()

    # What the revision writes

    def _section(self) -> None:
        sections = self.child.sections
        if len(sections) != len(self.parent.sections) + 1 or sections[1:] != self.parent.sections:
            raise refuse("not one cross-reference section was added")
        section = sections[0]
        if section.trailer.get(Name("Prev")) != self.parent.startxref or section.kind == "hybrid":
            raise refuse("the new section does not continue the parent's")
        data = self.child.document.data
        for num in section.numbers():
            entry = section.lookup(data, num)
            before = self.parent.locate(num)
            if entry is None or entry.kind == 0:
                if before is not None and before.kind:
                    raise refuse("an object was freed", num)
                continue
            if entry.kind == 2:
                holder = section.lookup(data, entry.where)
                if holder is None or holder.kind != 1:
                    raise refuse("an object was taken from an old object stream", num)
            ref = Ref(num, entry.extra if entry.kind == 1 else 0)
            if before is None or before.kind == 0:
                self.fresh.add(num)
            elif before != entry and not self._rewritten(ref, before.extra if before.kind == 1 else 0):
                self.changed.add(ref)

    def _rewritten(self, ref: Ref, generation: int) -> bool:
        """Whether an object stands again as it was, which some products do with all that they have read."""
        if ref.gen != generation:
            raise refuse("an object changed its generation", ref)
        before, after = self.parent.get(ref), self.child.get(ref)
        if isinstance(before, Stream) and isinstance(after, Stream):
            return same(before.dictionary, after.dictionary) and before.raw == after.raw
        return not isinstance(before, Stream) and not isinstance(after, Stream) and same(before, after)

    def _trailer(self) -> None:
        before, after = self.parent.trailer, self.child.trailer
        _same_but(before, after, _TRAILER_KEYS, "trailer")
        was, now = (view.resolve(view.trailer.get(Name("ID"))) for view in (self.parent, self.child))
        if isinstance(was, list) and was and (not isinstance(now, list) or not now or now[0] != was[0]):
            raise refuse("the file's identity changed")
        held, info = before.get(Name("Info")), after.get(Name("Info"))
        if held != info:
            if not isinstance(info, Ref) or info.num not in self.fresh:
                raise refuse("the file's information was put in another's place")
            self._plain(info)

    def _bytes(self) -> None:
        """Nothing but the section's own objects, blank bytes and comments stands between the parent's end and the section."""
        data, section = self.child.document.data, self.child.sections[0]
        spans = []
        for num in section.numbers():
            entry = section.lookup(data, num)
            if entry is None or entry.kind != 1 or entry.where == section.offset:
                continue
            found = self.child.indirect(Ref(num, entry.extra))
            if found is None or found.offset is None:
                raise refuse("an object is missing", num)
            closed = _OBJECT_END.match(data, found.value.end if isinstance(found.value, Stream) else found.end)
            if closed is None:
                raise refuse("an object does not end", num)
            spans.append((found.offset, closed.end()))
        at = self.parent.end
        for start, end in [*sorted(set(spans)), (section.offset, section.offset)]:
            blank = _BLANK.match(data, at, max(start, at))
            if start < at or blank is None or blank.end() != start:
                raise refuse("bytes were added that belong to no object", f"byte {at}")
            at = end

    def _uses(self) -> dict[int, set[tuple[Ref | None, Path]]]:
        """Where the parent mentions the numbers that the child writes: (object, keys on the way)."""
        wanted = {ref.num for ref in self.changed} | self.fresh
        found: dict[int, set[tuple[Ref | None, Path]]] = {}
        seen: set[Ref] = set()
        own = {key: value for key, value in self.parent.trailer.items() if key not in {"Prev", "XRefStm"}}
        stack: list[tuple[PdfObject, Ref | None, Path]] = [(own, None, ())]
        count = 0
        while stack:
            value, holder, path = stack.pop()
            count += 1
            if count > _MAX_REFERENCES:
                raise refuse("too many references")
            if isinstance(value, Ref):
                if value.num in wanted:
                    found.setdefault(value.num, set()).add((holder, path))
                if value not in seen:
                    seen.add(value)
                    stack.append((self.parent.get(value), value, ()))
            elif isinstance(value, Stream):
                stack.append((value.dictionary, holder, path))
            elif isinstance(value, dict):
                stack.extend(
                    (item, holder, (*path, str(key)))
                    for key, item in value.items()
                    if isinstance(item, Ref | list | dict)
                )
            elif isinstance(value, list):
                stack.extend((item, holder, path) for item in value if isinstance(item, Ref | list | dict))
        for num in self.fresh:
            if num in found:
                raise refuse("a reference that led nowhere was given an object", num)
        return found

    def _only(self, ref: Ref, *places: tuple[Ref | None, Path]) -> bool:
        """Whether the parent uses the object in no other place than these."""
        uses = self.uses.get(ref.num, set())
        return bool(uses) and uses <= set(places)

    # What it changes

    def _changed(self, ref: Ref) -> None:
        before, after = self.parent.get(ref), self.child.get(ref)
        uses = self.uses.get(ref.num, set())
        if not uses:
            # Nothing leads to an old cross-reference stream, whose number some products use again. An object stream is
            # another matter: the objects that it holds would change with it, and no section would say so.
            kinds = [one.dictionary.get(Name("Type")) for one in (before, after) if isinstance(one, Stream)]
            if kinds == ["XRef", "XRef"]:
                return
            raise refuse("an object changed that nothing leads to", ref)
        catalog, root = self.parent.catalog, self.parent.root
        form = catalog.get(Name("AcroForm"))
        form_place = (form, ()) if isinstance(form, Ref) else (root, ("AcroForm",))
        if ref == root:
            self._catalog(*_dictionaries(before, after, ref))
        elif ref == form and self._only(ref, (root, ("AcroForm",))):
            self._form(*_dictionaries(before, after, ref))
        elif self._only(ref, (form_place[0], (*form_place[1], "Fields"))) and isinstance(before, list):
            self.new_fields += _grown(before, after, ref)
        elif self._only(ref, (None, ("Info",))):
            self._plain(ref)
        elif self._only(ref, (root, ("Metadata",))):
            _metadata(after, ref)
        elif self._only(ref, (root, ("Extensions",))):
            _extensions(after, ref)
        elif self._in_dss(ref):
            self._dss(self.child.catalog.get(Name("DSS")))
        elif isinstance(before, dict) and before.get(Name("Type")) == "Page":
            self._page(ref, *_dictionaries(before, after, ref))
        elif isinstance(before, list) and all(path == ("Annots",) for _holder, path in uses):
            self._annotations(ref, before, after)
        else:
            self._field(ref, *_dictionaries(before, after, ref))

    def _catalog(self, before: Dictionary, after: Dictionary) -> None:
        _same_but(before, after, _CATALOG_KEYS, self.parent.root)
        for key, judge in (
            ("AcroForm", self._form_value),
            ("DSS", self._dss_value),
            ("Metadata", self._metadata_value),
        ):
            if not same(before.get(Name(key)), after.get(Name(key))):
                judge(before.get(Name(key)), after.get(Name(key)))
        if not same(before.get(Name("Extensions")), after.get(Name("Extensions"))):
            _extensions(self.child.resolve(after.get(Name("Extensions"))), self.parent.root)
        version = after.get(Name("Version"))
        if before.get(Name("Version")) != version and (not isinstance(version, Name) or version < self.parent.version):
            raise refuse("the version was lowered")
        if not same(before.get(Name("Perms")), after.get(Name("Perms"))) and self.allowed.signed:
            raise refuse("permissions were changed after a signature")

    def _form_value(self, before: PdfObject, after: PdfObject) -> None:
        if before is not None and self.parent.resolve(before) is not None:
            if isinstance(before, Ref) and before != after:
                raise refuse("the form was put in another's place")
            if isinstance(after, Ref) and after.num not in self.fresh:
                raise refuse("the form was put in another's place")
        old = {} if before is None else self.parent.dictionary(before)
        self._form(*_dictionaries(old, self.child.resolve(after), "AcroForm"))

    def _form(self, before: Dictionary, after: Dictionary) -> None:
        _same_but(before, after, _FORM_KEYS, "AcroForm")
        if (
            self.child.resolve(after.get(Name("NeedAppearances"))) is True
            and before.get(Name("NeedAppearances")) is not True
        ):
            raise refuse("the form asks for other drawing")
        for key in ("DR", "DA"):
            if Name(key) in before and not self._kept(before[Name(key)], after.get(Name(key)), 4):
                raise refuse("what fields are drawn with was changed")
        was, now = before.get(Name("Fields")), after.get(Name("Fields"))
        if not same(was, now):
            if isinstance(was, Ref) and self.parent.get(was) is not None:
                raise refuse("the form's fields were put in another's place")
            self.new_fields += _grown(was if isinstance(was, list) else [], self.child.resolve(now), "Fields")

    def _kept(self, before: PdfObject, after: PdfObject, depth: int) -> bool:
        """Whether all that stood there stands there still; a dictionary may gain keys."""
        if same(before, after):
            return True
        old = self.parent.resolve(before)
        new = self.child.resolve(after)
        if depth == 0 or not isinstance(old, dict) or not isinstance(new, dict):
            return False
        return all(key in new and self._kept(value, new[key], depth - 1) for key, value in old.items())

    def _metadata_value(self, before: PdfObject, after: PdfObject) -> None:
        if not isinstance(after, Ref) or (after != before and after.num not in self.fresh):
            raise refuse("metadata was put in another's place")
        _metadata(self.child.get(after), after)

    def _plain(self, ref: Ref) -> None:
        """The information dictionary: texts and dates, which no page draws."""
        own = self.child.get(ref)
        if not isinstance(own, dict) or not all(isinstance(v, bytes | Name | bool | int | None) for v in own.values()):
            raise refuse("the file's information holds more than texts", ref)

    def _page(self, ref: Ref, before: Dictionary, after: Dictionary) -> None:
        _same_but(before, after, {"Annots"}, ref)
        old, new = before.get(Name("Annots")), after.get(Name("Annots"))
        if isinstance(old, Ref) and self.parent.get(old) is not None:
            raise refuse("a page's annotations were put in another's place", ref)
        if isinstance(new, Ref) and new.num not in self.fresh:
            raise refuse("a page's annotations were put in another's place", ref)
        grown = _grown(old if isinstance(old, list) else [], self.child.resolve(new), ref)
        self.new_widgets += [(ref, widget) for widget in grown]

    def _annotations(self, ref: Ref, before: PdfObject, after: PdfObject) -> None:
        owners = [holder for holder, _path in self.uses[ref.num]]
        page = owners[0]
        own = self.parent.get(page) if page is not None else None
        if len(owners) != 1 or page is None or not isinstance(own, dict) or own.get(Name("Type")) != "Page":
            raise refuse("a list of annotations has another use", ref)
        self.new_widgets += [(page, widget) for widget in _grown(before, after, ref)]

    def _field(self, ref: Ref, before: Dictionary, after: Dictionary) -> None:
        """An empty signature field that is filled, its only widget, or a field that gains a signature field below it."""
        for field in self.fields:
            if field.is_signature and not field.is_filled and (ref == field.ref or (ref,) == field.widgets):
                _same_but(before, after, _FILLED_KEYS, ref)
                if ref == field.ref and not same(before.get(Name("V")), after.get(Name("V"))):
                    self._value(field.name, after.get(Name("V")))
                self.filled.append(field)
                return
        if Name("T") in before and Name("Kids") in before:
            _same_but(before, after, {"Kids"}, ref)
            self.new_fields += _grown(before[Name("Kids")], after.get(Name("Kids")), ref)
            return
        raise refuse("an object changed that no signature touches", ref)

    def _value(self, name: str, value: PdfObject) -> None:
        if not isinstance(value, Ref) or value.num not in self.fresh:
            raise refuse("a field's value is no new object", name[:20])
        self.values.append((name, value))

    # Validation data

    def _dss_places(self) -> dict[Ref, tuple[Ref | None, Path]]:
        """The store's own dictionaries and lists in the parent, each with the one place that may use it."""
        root, store = self.parent.root, self.parent.catalog.get(Name("DSS"))
        found: dict[Ref, tuple[Ref | None, Path]] = {}
        if isinstance(store, Ref):
            found[store] = (root, ("DSS",))
        base: tuple[Ref | None, Path] = (store, ()) if isinstance(store, Ref) else (root, ("DSS",))
        parts = self.parent.dictionary(store)
        for key in ("VRI", *_DSS_LISTS):
            value = parts.get(Name(key))
            if isinstance(value, Ref):
                found[value] = (base[0], (*base[1], key))
        vri = parts.get(Name("VRI"))
        above: tuple[Ref | None, Path] = (vri, ()) if isinstance(vri, Ref) else (base[0], (*base[1], "VRI"))
        for key, value in self.parent.dictionary(vri).items():
            if isinstance(value, Ref):
                found[value] = (above[0], (*above[1], str(key)))
        return found

    def _in_dss(self, ref: Ref) -> bool:
        place = self._dss_places().get(ref)
        return place is not None and self._only(ref, place)

    def _dss_value(self, before: PdfObject, after: PdfObject) -> None:
        if isinstance(after, Ref) and after != before and after.num not in self.fresh:
            raise refuse("validation data was put in another's place")
        self._dss(after)

    def _dss(self, value: PdfObject) -> None:
        """Streams may be added, none taken away: an answer that says "revoked" must not vanish."""
        if self.validation_data:
            return
        self.validation_data = True
        own, before = self.child.dictionary(value), self.parent.dictionary(self.parent.catalog.get(Name("DSS")))
        if not own.keys() <= {"Type", "VRI", *_DSS_LISTS}:
            raise refuse("validation data of an unknown kind")
        known = {item for key in _DSS_LISTS for item in self.parent.array(before.get(Name(key)))}
        for key in _DSS_LISTS:
            self._streams(own.get(Name(key)), known)
            if not set(self.parent.array(before.get(Name(key)))) <= set(self.child.array(own.get(Name(key)))):
                raise refuse("validation data was taken away", key)
        for entry in self.child.dictionary(own.get(Name("VRI"))).values():
            item = self.child.dictionary(entry)
            if not item.keys() <= {"Type", "Cert", "OCSP", "CRL", "TU", "TS"}:
                raise refuse("validation data of an unknown kind")
            for key in ("Cert", "OCSP", "CRL"):
                self._streams(item.get(Name(key)), known)

    def _streams(self, value: PdfObject, known: set[PdfObject]) -> None:
        for item in self.child.array(value):
            held = isinstance(item, Ref) and (item.num in self.fresh or item in known)
            stream = self.child.get(item) if isinstance(item, Ref) else None
            if not held or not isinstance(stream, Stream) or stream.dictionary.get(Name("Type")) is not None:
                raise refuse("validation data is no stream of its own", str(item)[:20])

    # Fields and signatures

    def _new_fields(self) -> None:
        """Every new annotation is the widget of a new signature field, and the other way about."""
        widgets: set[Ref] = set()
        names = {field.name for field in self.fields}
        after = {field.ref: field for field in form_fields(self.child)}
        for ref in self.new_fields:
            field = after.get(ref)
            if ref.num not in self.fresh or field is None or not field.is_signature:
                raise refuse("a field was added that is no signature field", ref)
            for part in {ref, *field.widgets}:
                own = self.child.dictionary(part)
                kinds = (own.get(Name("Type"), Name("Annot")), own.get(Name("Subtype"), Name("Widget")))
                if part.num not in self.fresh or not own.keys() <= _NEW_FIELD_KEYS or kinds != ("Annot", "Widget"):
                    raise refuse("a field was added that does more than sign", ref)
            if not field.name or field.name in names:
                raise refuse("a field's name stands twice", ref)
            names.add(field.name)
            widgets |= set(field.widgets)
            if field.is_filled:
                self._value(field.name, field.value)
            elif any(self._visible(widget) and self._drawn(widget) for widget in field.widgets):
                raise refuse("an empty field is drawn", ref)
            self._permitted(field, created=True)
        added = [widget for _page, widget in self.new_widgets]
        if len(set(added)) != len(added) or not set(added) <= widgets:
            raise refuse("an annotation was added")
        for field in self.filled:
            self._permitted(field, created=False)

    def _visible(self, widget: Ref) -> bool:
        rect = rectangle(self.child, self.child.dictionary(widget), widget)
        return rect[0] != rect[2] and rect[1] != rect[3]

    def _drawn(self, widget: Ref) -> bool:
        form = normal_appearance(self.child, self.child.dictionary(widget))
        return form is not None and bool(self.child.decode(form, 1 << 20).strip())

    def _permitted(self, field: FormField, *, created: bool) -> None:
        """Locks and certification of earlier signatures; document time stamps are always permitted (ISO 32000-2, 12.8.2.2)."""
        value = self.child.resolve(dict(self.values).get(field.name))
        if isinstance(value, dict) and value.get(Name("Type")) == "DocTimeStamp":
            if any(self._visible(widget) for widget in field.widgets if created):
                raise refuse("a document time stamp is drawn", field.ref)
            return
        visible = created and any(map(self._visible, field.widgets))
        if self.allowed.level == 1 or self.allowed.forbids(field.name) or (visible and self.allowed.level is not None):
            raise refuse("an earlier signature forbids the change", field.ref)

    def _signature(self) -> None:
        if len(self.values) > 1:
            raise refuse("more than one field was filled")
        if not self.values and not self.validation_data and not self.new_fields:
            raise refuse("the revision neither signs nor adds validation data")
        for name, ref in self.values:
            found = self.child.indirect(ref)
            value = found.value if found is not None else None
            if found is None or found.offset is None or not isinstance(value, dict):
                raise refuse("a signature is no dictionary", name[:20])
            if value.get(Name("Type"), Name("Sig")) not in (Name("Sig"), Name("DocTimeStamp")):
                raise refuse("a field's value is no signature", ref)
            ranges = byte_range(self.child, value, ref)
            spans = {key: (start, end) for key, _at, start, end in dictionary_spans(found.data, found.start)}
            low, high = sorted((self.child.end, ranges[2] + ranges[3]))
            whole = ranges[2] + ranges[3] >= self.child.end - 2
            blank = not self.child.document.data[low:high].strip(b"\0\t\n\f\r ")
            if spans.get(Name("Contents")) != (ranges[1], ranges[2]) or not whole or not blank:
                raise refuse("the signature does not cover its revision", ref)

    def _overlays(self) -> None:
        touched: dict[Ref, list[Ref]] = {}
        for owner, widget in self.new_widgets:
            touched.setdefault(owner, []).append(widget)
        filled = {widget for field in self.filled for widget in field.widgets}
        if not touched and not filled:
            return
        for page in self.child.pages():
            shown = self.child.array(page.dictionary.get(Name("Annots")))
            widgets = [*touched.get(page.ref, []), *(i for i in shown if isinstance(i, Ref) and i in filled)]
            drawn = []
            for widget in widgets:
                own = self.child.dictionary(widget)
                form = normal_appearance(self.child, own)
                if form is not None and self._visible(widget):
                    drawn.append((form, rectangle(self.child, own, widget)))
            if drawn and covers_text(self.child, page, drawn):
                raise refuse("a signature is painted over text", page.ref)


def _dictionaries(before: PdfObject, after: PdfObject, ref: object) -> tuple[Dictionary, Dictionary]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        raise refuse("an object changed that no signature touches", ref)
    return before, after


def _metadata(value: PdfObject, ref: Ref) -> None:
    if not isinstance(value, Stream) or value.dictionary.get(Name("Type")) != "Metadata":
        raise refuse("metadata is none", ref)
    if not value.dictionary.keys() <= {"Type", "Subtype", "Length", "Filter", "DecodeParms"}:
        raise refuse("metadata says more than it may", ref)


def _extensions(value: PdfObject, ref: object) -> None:
    """Developer extensions name versions, nothing else (ISO 32000-1, 7.12)."""
    if not isinstance(value, dict):
        raise refuse("extensions are malformed", ref)
    for key, item in value.items():
        if key == "Type":
            continue
        for one in item if isinstance(item, list) else [item]:
            if not isinstance(one, dict) or not one.keys() <= {
                "Type",
                "BaseVersion",
                "ExtensionLevel",
                "ExtensionRevision",
                "URL",
            }:
                raise refuse("extensions are malformed", ref)
