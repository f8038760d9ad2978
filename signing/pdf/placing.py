"""What a signature revision adds to a file: decided from the parent and the request, rendered as the bytes to append.

The list is closed (the comparison refuses all else): `/AcroForm`, `/Extensions`, `/Version` of the catalog, `/Perms`
where this revision certifies; `/Fields` and `/SigFlags`; `/Annots` of the pages with our widgets; the filled field's
`/V` and `/AP`; new fields, appearances, a font and the signature. Rules SIG-1, SIG-2, SIG-5, SIG-10, DOC-4.

The module is long because one revision is one decision: what is placed depends on all of the parent's form and locks.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import msgspec

from signing.pdf import appearance
from signing.pdf.appearance import DEFAULT_FONT, SealStamp, TextStamp
from signing.pdf.errors import PdfError
from signing.pdf.fields import FormField, Permissions, decode_text, form_fields, permissions
from signing.pdf.objects import Name, Real, Ref
from signing.pdf.placement import (
    EDGE_MM,
    NOTE_MOST_MM,
    FieldKind,
    Place,
    Rect,
    automatic,
    matrix,
    seen_from_user,
    seen_size,
    top_right,
    user_from_seen,
)
from signing.pdf.reader import Document, Page, Revision
from signing.pdf.stamp_image import StampImage
from signing.pdf.writer import Addition, dictionary_value, edit_array, edit_dictionary, number_token, text_string

__all__ = ["FieldRect", "Placing", "PrepareRequest", "RouteField", "StampText"]

TIME_STAMP_FIELD: Final = "HT_DTS"
_VIETNAM: Final = timezone(timedelta(hours=7))
_DIGITS: Final = 12  # digits of one number in /ByteRange, padded with spaces behind the bracket
_NOWHERE: Final[Rect] = (0.0, 0.0, 0.0, 0.0)
_POINTS_PER_MM: Final = 72 / 25.4
_NOTE_SIZE: Final = 10.0  # points, SIG-5


class RouteField(msgspec.Struct, frozen=True):
    """One signer of the route. `place` None: laid out automatically on the last page.

    `locks`: this signature forbids every later change of a field (FieldMDP All, P=1); only for the last of a route.
    """

    field_name: str
    kind: FieldKind
    place: Place | None = None
    locks: bool = False


class StampText(msgspec.Struct, frozen=True):
    """What the stamp says. `name`: the person, or the organisation on a seal; empty lines are left out.

    `authority` is the line of delegated authority (KT., TL., TUQ., TM.); on a seal, `position` names the clerk, on a copy
    the form of the copy (SAO Y, SAO LỤC, TRÍCH SAO).
    """

    name: str
    position: str = ""
    authority: str = ""
    reference: str = ""


class PrepareRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to place. Sizes are in bytes: `cms_size` of the CMS without token, `largest_token` ever seen.

    `certify` is followed only where the parent holds no signature. `allow_invisible`: in a certified parent without a
    named empty field, sign without a stamp rather than refuse. `image`: the signer's image, drawn instead of a text stamp
    (SIG-1, SIG-2); `diameter_mm`: of the real seal, at which its image is drawn.
    """

    route: tuple[RouteField, ...]
    signer: int
    stamp: StampText
    now_us: int
    cms_size: int
    largest_token: int = 0
    certify: bool = False
    allow_invisible: bool = False
    reason: str = ""
    location: str = ""
    font: Path = DEFAULT_FONT
    image: StampImage | None = None
    diameter_mm: float = 36.0


class FieldRect(msgspec.Struct, frozen=True):
    """A field of the route as it stands in the prepared file. An invisible field has the rectangle 0 0 0 0.

    `rect` is `/Rect` in user space, `box` the size of the appearance's `/BBox` (as seen), `seen` fractions of the page.
    """

    field_name: str
    kind: FieldKind
    page_index: int
    rect: Rect
    box: tuple[float, float]
    seen: Place
    created: bool  # by this revision
    filled: bool  # by this revision


class Placing:
    """One revision in the making; each step adds objects to `self.addition`."""

    def __init__(self, document: Document, request: PrepareRequest) -> None:
        self.request = request
        self.document = document
        self.view: Revision = document.head
        self.addition = Addition(self.view)
        self.fields = form_fields(self.view)
        self.by_name = {field.name: field for field in self.fields}
        self.permissions: Permissions = permissions(self.view, self.fields)
        self.target = request.route[request.signer]
        self.missing = [field for field in request.route if field.field_name not in self.by_name]
        self.certify = request.certify and not self.permissions.signed and not self.permissions.certified
        self.rects: list[FieldRect] = []
        self.touched: set[int] = set()
        self.page_index = 0
        self._pages: dict[int, Page] = {}
        self._catalog: dict[str, bytes | None] = {}
        self._widgets: dict[int, list[Ref]] = {}
        self._decide()
        self._boxes = {field.field_name: self._plan(field) for field in request.route}

    def _decide(self) -> None:
        """Whether this parent lets itself be signed so."""
        named = [self.by_name[field.field_name] for field in self.request.route if field.field_name in self.by_name]
        if not all(field.is_signature for field in named):
            raise PdfError("not-the-route", "a field of the route is no signature field")
        present = self.by_name.get(self.target.field_name)
        if present is not None and (present.is_filled or len(present.widgets) > 1):
            raise PdfError("not-the-route", "the signer's field is filled or none of ours")
        if self.missing and self.request.signer > 0:
            raise PdfError("not-the-route", "fields of the route are missing behind its first signature")
        adds = [self.target, *self.missing]
        if self.permissions.level == 1 or any(self.permissions.forbids(field.field_name) for field in adds):
            raise PdfError("locked-by-signature", "a signature in the file forbids another")
        if self.missing and self.permissions.level is not None and not self.request.allow_invisible:
            raise PdfError("no-room-for-signature", "the file is certified and holds no empty field of the route")

    def render(self) -> tuple[bytes, int, int]:
        """(bytes to append, offset of the hole in the file, its length)."""
        signature = self.addition.reserve()
        locks = self._locks()
        created: list[Ref] = []
        if self.missing:
            created = self._create_fields(signature, locks)
            self._raise_version()
        present = self.by_name.get(self.target.field_name)
        if present is not None:
            self._fill_existing(present, signature)
        self._annotate()
        self._form(created)
        if self.certify:
            self._nested("Perms", {"DocMDP": b"%d %d R" % signature})
        if self._catalog:
            self.addition.edit(self.view.root, self._catalog)
        hole = self.request.cms_size + max(16 * 1024, 2 * self.request.largest_token)
        head, rest = self._signature(locks)
        self.addition.put_holed(signature, head, 2 * hole, rest)
        length = len(self.document.data)
        lead = b"" if self.document.data[-1:] in {b"\n", b"\r"} else b"\n"
        tail, offsets = self.addition.render(length, lead)
        start = offsets[signature] + len(head) - 1
        return (
            self._fill_range(tail, offsets[signature] - length, start, 2 * hole + 2, length + len(tail)),
            start,
            2 * hole + 2,
        )

    # Fields

    def _locks(self) -> bytes | None:
        """The field lock of this signature as tokens of its entries, None when it locks nothing (12.8.2.4)."""
        present = self.by_name.get(self.target.field_name)
        lock = {} if present is None else self.view.dictionary(present.dictionary.get(Name("Lock")))
        if lock:
            names = [self.view.resolve(item) for item in self.view.array(lock.get(Name("Fields")))]
            action = self.view.resolve(lock.get(Name("Action")))
            if not isinstance(action, Name) or action not in {"All", "Include", "Exclude"}:
                raise PdfError("broken-structure", "a field lock says nothing known", place=self.target.field_name)
            listed = b" ".join(text_string(decode_text(name)) for name in names if isinstance(name, bytes))
            return b"/Action /%s" % str(action).encode() + (b"" if action == "All" else b" /Fields [%s]" % listed)
        if self.target.locks and present is None:
            return b"/Action /All"
        others = [field for field in self.fields if not field.is_signature]
        if self.request.signer == 0 and others:
            free = [*(field.field_name for field in self.request.route), self._stamp_field()]
            return b"/Action /Exclude /Fields [%s]" % b" ".join(text_string(name) for name in free)
        return None

    def _stamp_field(self) -> str:
        """Name of the invisible field for the archive time stamp: a parent that came from elsewhere may have one."""
        number = 1
        while f"{TIME_STAMP_FIELD}{number}" in self.by_name:
            number += 1
        return f"{TIME_STAMP_FIELD}{number}"

    def _plan(self, field: RouteField) -> tuple[Page, Rect] | None:
        """Page and rectangle of a route's field, noted for the manifest; None where it has no widget at all."""
        present = self.by_name.get(field.field_name)
        if present is None:
            place = self._places()[field.field_name]
            page = self._page(place.page)
            certified = self.permissions.level is not None
            found: tuple[Page, Rect] | None = (page, _NOWHERE if certified else user_from_seen(page, place))
        else:
            found = self._widget(present, field)
        if found is None:
            return None
        page, rect = found
        own = field is self.target
        if own:
            self.page_index = page.index
        created = present is None
        seen = seen_from_user(page, rect)
        self.rects.append(
            FieldRect(field.field_name, field.kind, page.index, rect, _box(page, rect), seen, created, filled=own)
        )
        return found

    def _create_fields(self, signature: Ref, locks: bytes | None) -> list[Ref]:
        created: list[Ref] = []
        for field in self.missing:
            found = self._boxes[field.field_name]
            assert found is not None
            page, rect = found
            own = self.target is field
            lock = locks if own else b"/Action /All" if field.locks else None
            extra = b" /V %d %d R" % signature if own else b""
            if lock:
                extra += b" /Lock << /Type /SigFieldLock %s%s >>" % (lock, b" /P 1" if field.locks else b"")
            if rect != _NOWHERE:
                drawing = self._draw(page, rect) if own else self._appearance(page, rect, b"", b"<< >>")
                extra += b" /AP << /N %d %d R >>" % drawing
            created.append(self._add_field(field.field_name, page, rect, extra))
        # The archive time stamp's field has no drawing; it stands last.
        created.append(self._add_field(self._stamp_field(), self._page(-1), _NOWHERE, b""))
        return created

    def _add_field(self, name: str, page: Page, rect: Rect, extra: bytes) -> Ref:
        # Flags: printed, and locked against being moved (132).
        ref = self.addition.add(
            b"<< /Type /Annot /Subtype /Widget /FT /Sig /T %s /F 132 /Rect [%s] /P %d %d R%s >>"
            % (text_string(name), b" ".join(number_token(value) for value in rect), *page.ref, extra)
        )
        self._widgets.setdefault(page.index, []).append(ref)
        return ref

    def _fill_existing(self, present: FormField, signature: Ref) -> None:
        found = self._boxes[self.target.field_name]
        value: dict[str, bytes | None] = {"V": b"%d %d R" % signature}
        look: dict[str, bytes | None] = {}
        if found is not None and found[1][0] < found[1][2] and found[1][1] < found[1][3]:
            page, rect = found
            look = {"AP": b"<< /N %d %d R >>" % self._draw(page, rect)}
            self.touched.add(page.index)
        if not look or present.widgets == (present.ref,):
            self.addition.edit(present.ref, value | look)
        else:
            self.addition.edit(present.ref, value)
            self.addition.edit(present.widgets[0], look)

    def _widget(self, present: FormField, field: RouteField) -> tuple[Page, Rect] | None:
        """Page and rectangle of an existing field's only widget."""
        if len(present.widgets) != 1:
            return None
        widget = self.view.dictionary(present.widgets[0])
        numbers = [self.view.resolve(item) for item in self.view.array(widget.get(Name("Rect")))]
        if len(numbers) != 4 or not all(isinstance(n, int | Real) for n in numbers):
            raise PdfError("broken-structure", "a widget has no rectangle", place=str(present.ref))
        x0, y0, x1, y1 = (float(n) for n in numbers if isinstance(n, int | Real))
        rect = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        return self._page_of(present.widgets[0], widget.get(Name("P")), field), rect

    def _page_of(self, widget: Ref, named: object, field: RouteField) -> Page:
        """The page whose `/Annots` lists the widget; the likely ones are asked first."""
        likely = [field.place.page] if field.place is not None else [-1]
        candidates = [self._page(number) for number in likely]
        for page in candidates:
            if page.ref == named and self._lists(page, widget):
                return page
        for page in self.view.pages():
            if self._lists(page, widget):
                return page
        raise PdfError("broken-structure", "a widget stands on no page", place=str(widget))

    def _lists(self, page: Page, widget: Ref) -> bool:
        return widget in self.view.array(page.dictionary.get(Name("Annots")))

    # Places

    def _page(self, number: int) -> Page:
        if number not in self._pages:
            page = self.view.page(number)
            self._pages[number] = self._pages[page.index] = page
        return self._pages[number]

    def _places(self) -> dict[str, Place]:
        chosen = {field.field_name: field.place for field in self.request.route if field.place is not None}
        for field in self.request.route:
            if field.place is None and field.kind in {FieldKind.ANNEX, FieldKind.COPY}:
                chosen[field.field_name] = self._corner(field.kind)
        left = [field for field in self.request.route if field.field_name not in chosen]
        laid_out = automatic(self._page(-1), [field.kind for field in left]) if left else []
        return chosen | {field.field_name: place for field, place in zip(left, laid_out, strict=True)}

    def _corner(self, kind: FieldKind) -> Place:
        """As large as the note and its seal: whatever more it took would cover text for nothing."""
        texts, font = self._note()
        seal = self.request.diameter_mm if kind is FieldKind.COPY and self.request.image is not None else 0.0
        longest = max(font.measure(text) for text in texts) * _NOTE_SIZE / _POINTS_PER_MM
        word = max(font.measure(word) for text in texts for word in text.split()) * _NOTE_SIZE / _POINTS_PER_MM
        page = self._page(0)
        across = seen_size(page)[0] * page.user_unit / _POINTS_PER_MM - 2 * EDGE_MM - 0.1
        wide = max(min(longest, NOTE_MOST_MM, across), word, seal) + 0.1
        lines = appearance.note_lines(font, texts, _NOTE_SIZE, wide * _POINTS_PER_MM)
        return top_right(page, wide, seal + len(lines) * _NOTE_SIZE * appearance.LEADING / _POINTS_PER_MM + 0.1)

    def _note(self) -> tuple[list[str], appearance.StampFont]:
        """What an annex says (SIG-4), or a copy (SIG-6), with the time of this very signature (SIG-5); and the font for it."""
        text = self.request.stamp
        signed_at = f"{self._now():%d/%m/%Y %H:%M:%S} +07:00"
        copied = self.target.kind is FieldKind.COPY
        lines = _lines(text.position, text.name, signed_at) if copied else _lines(text.reference, signed_at)
        lines = [unicodedata.normalize("NFC", line) for line in lines]
        return lines, appearance.stamp_font(self.request.font, lines)

    # Drawing

    def _draw(self, page: Page, rect: Rect) -> Ref:
        """The stamp's appearance, upright as the page is read."""
        wide, high = _box(page, rect)
        if self.target.kind in {FieldKind.ANNEX, FieldKind.COPY}:
            return self._draw_note(page, rect)
        if self.request.image is not None:
            resources = b"<< /XObject << /I0 %d %d R >> >>" % appearance.embed_image(self.addition, self.request.image)
            drawn = appearance.draw_image(wide, high, self._image_size(page, rect, self.request.image))
            return self._appearance(page, rect, drawn, resources)
        text = self.request.stamp
        signed_at = f"Ký số: {self._now():%d/%m/%Y %H:%M:%S} +07:00"
        if self.target.kind is FieldKind.SEAL:
            seal = SealStamp(text.name, tuple(_lines(text.position, text.reference, signed_at)))
            font = appearance.stamp_font(self.request.font, [seal.name, seal.name.upper(), *seal.footer])
            drawn = appearance.draw_seal(font, seal, wide, high)
        elif self.target.kind is FieldKind.INITIALS:
            font = appearance.stamp_font(self.request.font, [appearance.INITIALS, text.name])
            drawn = appearance.draw_initials(font, text.name, wide, high)
        else:
            heading = tuple(_lines(text.authority, text.position))
            footer = tuple(_lines(text.reference, signed_at))
            person = TextStamp(text.name, heading, footer, self._clear_left())
            font = appearance.stamp_font(self.request.font, [person.name, *heading, *person.footer])
            drawn = appearance.draw_text(font, person, wide, high)
        resources = b"<< /Font << /F0 %d %d R >> >>" % appearance.embed_font(self.addition, font)
        return self._appearance(page, rect, drawn, resources)

    def _image_size(self, page: Page, rect: Rect, image: StampImage) -> tuple[float, float]:
        """Width and height of the image in its rectangle, in user space units: a seal's is real, a person's fills it.

        Raises `placement-required` where the seal is larger than its rectangle.
        """
        wide, high = _box(page, rect)
        if self.target.kind not in {FieldKind.PERSON, FieldKind.INITIALS}:
            side = self.request.diameter_mm * _POINTS_PER_MM / page.user_unit
            if side > wide + 0.05 or side > high + 0.05:
                raise PdfError("placement-required", "the seal is larger than its rectangle")
            return side, side
        scale = min(wide / image.width, high / image.height)
        return image.width * scale, image.height * scale

    def _draw_note(self, page: Page, rect: Rect) -> Ref:
        """The organisation's text on an annex's file or a copy, there above its seal: so the text stands in the page's margin, and only
        the seal, which lets it shine through, may stand over the head of what was copied.
        """
        wide, high = _box(page, rect)
        lines, font = self._note()
        names = b"/Font << /F0 %d %d R >>" % appearance.embed_font(self.addition, font)
        drawn, room = b"", high
        if self.target.kind is FieldKind.COPY and self.request.image is not None:
            seal = self._image_size(page, rect, self.request.image)
            names += b" /XObject << /I0 %d %d R >>" % appearance.embed_image(self.addition, self.request.image)
            room -= seal[1]
            drawn = appearance.draw_image_right(wide, seal) + b"\n"
        drawn += appearance.draw_note(font, lines, _NOTE_SIZE / page.user_unit, wide, high, room)
        return self._appearance(page, rect, drawn, b"<< %s >>" % names)

    def _appearance(self, page: Page, rect: Rect, drawn: bytes, resources: bytes) -> Ref:
        box = _box(page, rect)
        turn = b" /Matrix [%d %d %d %d %d %d]" % matrix(page.rotate) if page.rotate else b""
        return self.addition.add_stream(
            b"/Type /XObject /Subtype /Form /BBox [0 0 %s %s]%s /Resources %s"
            % (number_token(box[0]), number_token(box[1]), turn, resources),
            drawn,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.request.now_us // 1_000_000, UTC).astimezone(_VIETNAM)

    def _clear_left(self) -> float:
        """The share of the signer's rectangle, from its left as seen, over which a seal of the route will stand."""
        own = next(item for item in self.rects if item.filled)
        seals = [item for item in self.rects if item.kind is FieldKind.SEAL and item.page_index == own.page_index]
        covered = 0.0
        for seal in seals:
            above = seal.seen.top < own.seen.top + own.seen.height and own.seen.top < seal.seen.top + seal.seen.height
            reach = (seal.seen.left + seal.seen.width - own.seen.left) / own.seen.width
            if above and seal.seen.left < own.seen.left and 0 < reach <= 0.5:
                covered = max(covered, reach)
        return covered

    # Catalog, form, pages

    def _nested(self, key: str, changes: dict[str, bytes | None]) -> None:
        """Change entries of a dictionary that the catalog holds: where it stands if indirect, else within it."""
        value = self.view.catalog.get(Name(key))
        if isinstance(value, Ref) and self.view.get(value) is not None:
            self.addition.edit(value, changes)
            return
        root = self.addition.tokens(self.view.root)
        span = dictionary_value(root, key)
        if span is None or isinstance(value, Ref) or value is None:
            self._catalog[key] = edit_dictionary(b"<< >>", 0, 5, changes)
        else:
            self._catalog[key] = edit_dictionary(root.data, *span, changes)

    def _form(self, created: list[Ref]) -> None:
        form = self.view.catalog.get(Name("AcroForm"))
        if not created:
            return
        values = self.view.dictionary(form)
        flags = self.view.resolve(values.get(Name("SigFlags")))
        changes: dict[str, bytes | None] = {"SigFlags": b"%d" % ((flags if isinstance(flags, int) else 0) | 3)}
        if Name("NeedAppearances") in values:
            changes["NeedAppearances"] = None
        listed = values.get(Name("Fields"))
        if isinstance(listed, Ref) and isinstance(self.view.get(listed), list):
            self.addition.put(listed, edit_array(self.addition.tokens(listed).tokens, created))
        else:
            changes["Fields"] = edit_array(self._listed_tokens(form), created)
        if form is None or (isinstance(form, Ref) and self.view.get(form) is None):
            # A form of its own, so that later revisions replace it and not the catalog.
            fresh = self.addition.add(edit_dictionary(b"<< >>", 0, 5, changes))
            self._catalog["AcroForm"] = b"%d %d R" % fresh
        else:
            self._nested("AcroForm", changes)

    def _listed_tokens(self, form: object) -> bytes:
        """The tokens of the direct `/Fields` array as they stand."""
        if isinstance(form, Ref) and self.view.get(form) is not None:
            found = self.addition.tokens(form)
        else:
            found = self.addition.tokens(self.view.root)
            span = dictionary_value(found, "AcroForm")
            if span is None or not isinstance(form, dict):
                return b"[]"
            found = found._replace(start=span[0], end=span[1])
        span = dictionary_value(found, "Fields")
        tokens = found.data[span[0] : span[1]] if span is not None else b"[]"
        return tokens if tokens.startswith(b"[") else b"[]"

    def _annotate(self) -> None:
        for index, refs in self._widgets.items():
            page = self._page(index)
            self.touched.add(index)
            listed = page.dictionary.get(Name("Annots"))
            if isinstance(listed, Ref) and isinstance(self.view.get(listed), list):
                self.addition.put(listed, edit_array(self.addition.tokens(listed).tokens, refs))
                continue
            found = self.addition.tokens(page.ref)
            span = dictionary_value(found, "Annots") if isinstance(listed, list) else None
            tokens = found.data[span[0] : span[1]] if span is not None else b"[]"
            self.addition.edit(page.ref, {"Annots": edit_array(tokens, refs)})

    def _raise_version(self) -> None:
        """PDF 1.7 with the ETSI extension (rule DOC-4, EN 319 142-1 5.6); a certified file's catalog is left alone."""
        if self.permissions.level is not None or self.view.version >= "2.0":
            return
        if self.view.version < "1.7":
            self._catalog["Version"] = b"/1.7"
        extensions = self.view.catalog.get(Name("Extensions"))
        if Name("ESIC") not in self.view.dictionary(extensions):
            self._nested("Extensions", {"ESIC": b"<< /BaseVersion /1.7 /ExtensionLevel 1 >>"})

    # The signature dictionary

    def _signature(self, locks: bytes | None) -> tuple[bytes, bytes]:
        """Its tokens up to and including the `<` of `/Contents`, and from the `>` on."""
        moment = self._now().strftime("(D:%Y%m%d%H%M%S+07'00')").encode()
        parts = [b"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /M " + moment]
        if self.request.reason:
            parts.append(b"/Reason " + text_string(self.request.reason))
        if self.request.location:
            parts.append(b"/Location " + text_string(self.request.location))
        references: list[bytes] = []
        kind = b"<< /Type /SigRef /TransformMethod /%s /TransformParams << /Type /TransformParams /V /1.2 %s >>%s >>"
        if self.certify:
            references.append(kind % (b"DocMDP", b"/P 2", b""))
        if locks:
            references.append(kind % (b"FieldMDP", locks, b" /Data %d %d R" % self.view.root))
        if references:
            parts.append(b"/Reference [" + b" ".join(references) + b"]")
        parts.append(b"/ByteRange [" + b" " * (4 * _DIGITS) + b" /Contents <")
        return b"\n".join(parts), b"> >>"

    def _fill_range(self, tail: bytes, body: int, start: int, hole: int, size: int) -> bytes:
        """Write the four numbers over the blanks that were left for them."""
        opening = b"/ByteRange ["
        at = tail.index(opening + b" " * (4 * _DIGITS), body) + len(opening)
        numbers = b"0 %d %d %d]" % (start, start + hole, size - start - hole)
        return tail[:at] + numbers.ljust(4 * _DIGITS) + tail[at + 4 * _DIGITS :]


def _lines(*texts: str) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _box(page: Page, rect: Rect) -> tuple[float, float]:
    """Width and height of a rectangle as seen, which is the size of its appearance."""
    size = (round(rect[2] - rect[0], 2), round(rect[3] - rect[1], 2))
    return size if page.rotate % 180 == 0 else (size[1], size[0])
