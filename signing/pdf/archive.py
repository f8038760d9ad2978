"""Long-term levels: validation data and the archive time stamp behind the last signature (EN 319 142-1, 5.4 and 6).

B-T becomes B-LT by a Document Security Store with certificates, OCSP answers and revocation lists, and B-LTA by a
document time stamp over the whole file, both in one incremental revision of our own writer. The same, done again before
the last stamp's certificate ends, is the archive's renewal. Nothing that stands in the parent is touched but the
catalog's /DSS and the field of the stamp; the lists of the store only grow. `/VRI` is left out: it is optional, and every
item stands in the lists.

The stamp's hole is filled where it stands (`revision`); memory does not grow with the file.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from signing.pdf.attributes import as_it_stands
from signing.pdf.cms_validation import names_signer
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.fields import FormField, form_fields
from signing.pdf.objects import Name, PdfObject, Ref, Stream
from signing.pdf.reader import Document, Revision, open_document
from signing.pdf.revision import Placed, Prepared, append_bytes, append_revision
from signing.pdf.revocation import MAX_CRL, ValidationData
from signing.pdf.writer import Addition, dictionary_value, edit_array, edit_dictionary, text_string

__all__ = [
    "SignedWith",
    "append_validation_data",
    "place_archive",
    "place_validation_data",
    "prepare_archive",
    "signed_with",
]

_STAMP_FIELD = re.compile(r"HT_DTS([1-9]\d{0,5})")
_DIGITS: Final = 12
_LISTS: Final = (("Certs", "certificates"), ("OCSPs", "ocsps"), ("CRLs", "crls"))


class SignedWith(msgspec.Struct, frozen=True):
    """The certificates (DER) that a signature of the file brings along, in no order of trust.

    `certificate` is the signer's, or the time-stamping authority's of a document time stamp. `token` holds those of the
    signature's own time stamp, its authority's first; `token_time_us` is that stamp's time, or a document time stamp's.
    """

    field: str
    covers: int
    timestamp: bool
    certificate: bytes
    certificates: tuple[bytes, ...]
    token: tuple[bytes, ...]
    token_time_us: int | None


def append_validation_data(parent: Path, data: ValidationData, out: Path) -> bytes:
    """Write `parent` with what its store does not hold yet to the new file `out`; gives the file's SHA-256.

    Raises `PdfError`: what the reader raises; `bad-request` where nothing is to be added; `disk`.
    """
    return append_bytes(parent, *place_validation_data(parent, data), out)


def place_validation_data(parent: Path, data: ValidationData) -> tuple[int, bytes]:
    """(The parent's length, the bytes to append.) Raises as `append_validation_data`, but for `disk`."""
    with open_document(parent) as document:
        revision = _Archive(document)
        if not revision.store(data):
            raise PdfError("bad-request", "the file holds all of this validation data")
        tail, _offsets = revision.render()
        return len(document.data), tail


def prepare_archive(parent: Path, data: ValidationData, out: Path, *, room: int) -> Prepared:
    """Write `parent` with `data` and a document time stamp's empty hole of `room` bytes to the new file `out`.

    `tbs` of the result is what the token is about (ISO 32000-2, 12.8.5), `rects` is empty. Raises `PdfError`: what the
    reader raises; `bad-request` where the file holds no signature; `disk`.
    """
    return append_revision(parent, *place_archive(parent, data, room=room), out).info


def place_archive(parent: Path, data: ValidationData, *, room: int) -> tuple[Placed, bytes]:
    """The revision as bytes to append, and where everything in it stands. Raises as `prepare_archive`, but for `disk`."""
    with open_document(parent) as document:
        revision = _Archive(document)
        revision.store(data)
        tail, (start, span) = revision.stamp(room)
        length = len(document.data)
    placed = Placed(
        parent_length=length,
        hole_start=start,
        hole_length=span,
        size=length + len(tail),
        field_name=revision.field_name,
        page_index=revision.page_index,
    )
    return placed, tail


class _Archive:
    """One revision in the making."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.view: Revision = document.head
        self.addition = Addition(self.view)
        self.fields = form_fields(self.view)
        self.field_name = ""
        self.page_index = 0
        self._catalog: dict[str, bytes | None] = {}
        if not any(field.is_signature and field.is_filled for field in self.fields):
            raise PdfError("bad-request", "the file holds no signature")

    def render(self) -> tuple[bytes, dict[Ref, int]]:
        if self._catalog:
            self.addition.edit(self.view.root, self._catalog)
        data = self.document.data
        return self.addition.render(len(data), b"" if data[-1:] in {b"\n", b"\r"} else b"\n")

    # The store

    def store(self, data: ValidationData) -> bool:
        """Add what is not held yet; whether anything was."""
        value = self.view.catalog.get(Name("DSS"))
        held = self.view.dictionary(value)
        changes: dict[str, bytes | None] = {}
        grown = False
        for key, name in _LISTS:
            fresh = self._fresh(held.get(Name(key)), getattr(data, name))
            grown = grown or bool(fresh)
            listed = held.get(Name(key))
            if fresh and isinstance(listed, Ref) and isinstance(self.view.get(listed), list):
                self.addition.put(listed, edit_array(self.addition.tokens(listed).tokens, fresh))
            elif fresh:
                changes[key] = edit_array(self._listed(value, key), fresh)
        if changes:
            self._edit_store(value, changes)
        return grown

    def _fresh(self, listed: PdfObject, items: tuple[bytes, ...]) -> list[Ref]:
        """New streams for those `items` that no stream of the list holds."""
        known: set[bytes] = set()
        for item in self.view.array(listed):
            stream = self.view.resolve(item)
            if isinstance(stream, Stream):
                known.add(hashlib.sha256(self.view.decode(stream, MAX_CRL)).digest())
        return [
            self.addition.add_stream(b"", item)
            for item in dict.fromkeys(items)
            if hashlib.sha256(item).digest() not in known
        ]

    def _edit_store(self, value: object, changes: dict[str, bytes | None]) -> None:
        root = self.addition.tokens(self.view.root)
        span = dictionary_value(root, "DSS")
        if isinstance(value, Ref) and isinstance(self.view.get(value), dict):
            self.addition.edit(value, changes)
        elif isinstance(value, dict) and span is not None:
            self._catalog["DSS"] = edit_dictionary(root.data, *span, changes)
        else:
            fresh = self.addition.add(edit_dictionary(b"<< /Type /DSS >>", 0, 16, changes))
            self._catalog["DSS"] = b"%d %d R" % fresh

    def _listed(self, value: object, key: str) -> bytes:
        """The tokens of a direct list of the store as they stand."""
        found = self.addition.tokens(value if isinstance(value, Ref) and self.view.get(value) else self.view.root)
        if not isinstance(value, Ref):
            outer = dictionary_value(found, "DSS")
            if outer is None:
                return b"[]"
            found = found._replace(start=outer[0], end=outer[1])
        elif found.ref == self.view.root:
            return b"[]"
        span = dictionary_value(found, key)
        tokens = found.data[span[0] : span[1]] if span is not None else b"[]"
        return tokens if tokens.startswith(b"[") else b"[]"

    # The stamp

    def stamp(self, room: int) -> tuple[bytes, tuple[int, int]]:
        """(bytes to append, (offset of the hole in the file, its length))."""
        signature = self.addition.reserve()
        empty = next((field for field in self.fields if _is_for_stamp(field, self.view)), None)
        if empty is not None:
            self.field_name = empty.name
            self.addition.edit(empty.ref, {"V": b"%d %d R" % signature})
        else:
            self._create(signature)
        head = b"<< /Type /DocTimeStamp /Filter /Adobe.PPKLite /SubFilter /ETSI.RFC3161\n/ByteRange ["
        head += b" " * (4 * _DIGITS) + b"\n/Contents <"
        self.addition.put_holed(signature, head, 2 * room, b"> >>")
        tail, offsets = self.render()
        length = len(self.document.data)
        start, span = offsets[signature] + len(head) - 1, 2 * room + 2
        at = offsets[signature] - length + head.index(b"[") + 1
        numbers = b"0 %d %d %d]" % (start, start + span, length + len(tail) - start - span)
        tail = tail[:at] + numbers.ljust(4 * _DIGITS) + tail[at + 4 * _DIGITS :]
        return tail, (start, span)

    def _create(self, signature: Ref) -> None:
        """A further invisible field on the last page, where the first revision's was used by an earlier stamp."""
        taken = {field.name for field in self.fields}
        self.field_name = next(name for number in range(1, 1_000_000) if (name := f"HT_DTS{number}") not in taken)
        page = self.view.page(-1)
        self.page_index = page.index
        ref = self.addition.add(
            b"<< /Type /Annot /Subtype /Widget /FT /Sig /T %s /F 132 /Rect [0 0 0 0] /P %d %d R /V %d %d R >>"
            % (text_string(self.field_name), *page.ref, *signature)
        )
        self._list_in_form(ref)
        listed = page.dictionary.get(Name("Annots"))
        if isinstance(listed, Ref) and isinstance(self.view.get(listed), list):
            self.addition.put(listed, edit_array(self.addition.tokens(listed).tokens, [ref]))
            return
        found = self.addition.tokens(page.ref)
        span = dictionary_value(found, "Annots") if isinstance(listed, list) else None
        tokens = found.data[span[0] : span[1]] if span is not None else b"[]"
        self.addition.edit(page.ref, {"Annots": edit_array(tokens, [ref])})

    def _list_in_form(self, ref: Ref) -> None:
        form = self.view.catalog.get(Name("AcroForm"))
        listed = self.view.dictionary(form).get(Name("Fields"))
        if isinstance(listed, Ref) and isinstance(self.view.get(listed), list):
            self.addition.put(listed, edit_array(self.addition.tokens(listed).tokens, [ref]))
            return
        if isinstance(form, Ref):
            found = self.addition.tokens(form)
            span = dictionary_value(found, "Fields")
        else:
            found = self.addition.tokens(self.view.root)
            outer = dictionary_value(found, "AcroForm")
            assert outer is not None  # a signed file has a form
            found = found._replace(start=outer[0], end=outer[1])
            span = dictionary_value(found, "Fields")
        if span is None:
            raise PdfError("broken-structure", "the form lists no fields", place="AcroForm")
        fields = {"Fields": edit_array(found.data[span[0] : span[1]], [ref])}
        if isinstance(form, Ref):
            self.addition.edit(form, fields)
        else:
            self._catalog["AcroForm"] = edit_dictionary(found.data, found.start, found.end, fields)


def _is_for_stamp(field: FormField, view: Revision) -> bool:
    """The empty, invisible field that the first revision of a route leaves for the archive time stamp."""
    if not field.is_signature or field.is_filled or not _STAMP_FIELD.fullmatch(field.name) or len(field.widgets) != 1:
        return False
    rect = [view.resolve(number) for number in view.array(view.dictionary(field.widgets[0]).get(Name("Rect")))]
    return len(rect) == 4 and rect[0] == rect[2] and rect[1] == rect[3]


def signed_with(path: Path) -> tuple[SignedWith, ...]:
    """What certificates the signatures of a file bring along, in the order of their revisions; nothing is judged.

    A signature whose CMS cannot be read is left out: validation will say so. Raises what the reader raises.
    """
    from signing.pdf.locks import byte_range

    found: list[SignedWith] = []
    with open_document(path) as document:
        view = document.head
        for field in form_fields(view):
            if not field.is_signature or not field.is_filled:
                continue
            value = view.dictionary(field.value)
            contents = value.get(Name("Contents"))
            if not isinstance(contents, bytes):
                continue
            ranges = byte_range(view, value, field.ref)
            stamp = value.get(Name("SubFilter")) == "ETSI.RFC3161"
            try:
                found.append(_signed_with(field.name, ranges[2] + ranges[3], contents, timestamp=stamp))
            except MACHINE:
                raise
            except Exception:  # noqa: S112 -- threat B4: whatever a hostile CMS makes the parser raise
                continue
    return tuple(sorted(found, key=lambda one: one.covers))


def _signed_with(field: str, covers: int, contents: bytes, *, timestamp: bool) -> SignedWith:
    from asn1crypto import cms, parser, tsp

    def content(der: bytes) -> tuple[Any, tuple[bytes, ...], bytes]:
        signed = cms.ContentInfo.load(der)["content"]
        signer = signed["signer_infos"][0]
        all_of = tuple(as_it_stands(choice.chosen) for choice in signed["certificates"] if choice.name == "certificate")
        own = next(one for one in all_of if names_signer(signer["sid"], one))
        return signer, all_of, own

    def moment(der: bytes) -> int:
        info = tsp.TSTInfo.load(bytes(cms.ContentInfo.load(der)["content"]["encap_content_info"]["content"].contents))
        return int(info["gen_time"].native.timestamp() * 1_000_000)

    der = contents[: int(parser.peek(contents))]
    signer, certificates, own = content(der)
    if timestamp:
        return SignedWith(field, covers, True, own, certificates, (), moment(der))
    token: tuple[bytes, ...] = ()
    token_time = None
    for attribute in signer["unsigned_attrs"]:
        if attribute["type"].native == "signature_time_stamp_token":
            inner = as_it_stands(attribute["values"][0])
            _signer, others, authority = content(inner)
            token = (authority, *(one for one in others if one != authority))
            token_time = moment(inner)
    return SignedWith(field, covers, False, own, certificates, token, token_time)
