"""Actions, annotations, layers, attachments and form fields: what may not stand in a file to be signed (threats B2,
B5).

`sweep` judges every reachable object by its own keys, wherever it hangs: an action is found by what it is, not by where
the standard expects it. `page_annotations` and `shown_values` judge what is drawn over a page and what a form shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from signing.pdf.codestream import picture_size
from signing.pdf.errors import PdfError
from signing.pdf.fields import FormField, decode_text
from signing.pdf.objects import Name, PdfObject, Real, Ref, Stream
from signing.pdf.reader import Page, Revision

__all__ = ["Widget", "page_annotations", "shown_values", "sweep"]

_HARMLESS_ACTIONS: Final = frozenset({"GoTo", "URI", "Named", "Thread", "Trans", "GoToDp"})
_REFUSED_ACTIONS: Final = {
    "JavaScript": "script",
    "Launch": "active-content",
    "SubmitForm": "active-content",
    "ResetForm": "active-content",
    "ImportData": "active-content",
    "Hide": "active-content",
    "SetOCGState": "optional-content",
    "Rendition": "active-content",
    "Movie": "active-content",
    "Sound": "active-content",
    "GoTo3DView": "active-content",
    "RichMediaExecute": "active-content",
    "GoToR": "external-content",
    "GoToE": "external-content",
}
_REFUSED_ANNOTATIONS: Final = {
    "Screen": "active-content",
    "Movie": "active-content",
    "Sound": "active-content",
    "RichMedia": "active-content",
    "3D": "active-content",
    "FileAttachment": "embedded-file",
}
_UNDRAWN_ANNOTATIONS: Final = frozenset({"Link", "Popup", "Widget", "PrinterMark"})
_ACTION_KEYS: Final = ("A", "PA", "Next", "OpenAction")
_INVISIBLE, _HIDDEN, _NO_VIEW, _TOGGLE_NO_VIEW = 1, 2, 32, 256
_PUSH_BUTTON: Final = 1 << 16

Dictionary = dict[Name, PdfObject]
Box = tuple[float, float, float, float]


class Widget(NamedTuple):
    """A text or choice field's widget that is to show `texts` (one of them), or nothing where there are none."""

    field: str
    form: Stream
    texts: tuple[bytes, ...]


def _refuse(code: str, why: str, place: object = "") -> PdfError:
    return PdfError(code, why, place=str(place)[:40])


# --- every object ---------------------------------------------------------------------------------------------------


def sweep(view: Revision, ref: Ref | None, value: PdfObject) -> None:
    """Judge one reachable object and all that is written inside it."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, Stream):
            _stream(view, ref, item)
            stack.append(item.dictionary)
        elif isinstance(item, dict):
            _keys(view, ref, item)
            stack.extend(item.values())


def _stream(view: Revision, ref: Ref | None, stream: Stream) -> None:
    own = stream.dictionary
    if Name("F") in own:
        raise _refuse("external-content", "a stream's data stands in another file", ref)
    if own.get(Name("Type")) == "EmbeddedFile":
        raise _refuse("embedded-file", "a file is embedded", ref)
    if Name("Alternates") in own:
        raise _refuse("hidden-content", "an image has an alternate", ref)
    if Name("OPI") in own or (own.get(Name("Subtype")) == "Form" and Name("Ref") in own):
        raise _refuse("external-content", "what is drawn stands in another file", ref)
    if own.get(Name("Subtype")) == "PS" or Name("PS") in own:
        raise _refuse("active-content", "a PostScript XObject", ref)
    width, height = view.resolve(own.get(Name("Width"))), view.resolve(own.get(Name("Height")))
    filters = view.resolve(own.get(Name("Filter")))
    declared = picture_size([view.resolve(one) for one in filters] if isinstance(filters, list) else filters, stream)
    for across, down in ((width, height), declared):
        if isinstance(across, int) and isinstance(down, int) and not 0 <= across * down <= 300_000_000:
            raise _refuse("too-large", "an image has too many pixels", ref)


def _keys(view: Revision, ref: Ref | None, own: Dictionary) -> None:
    if Name("JS") in own:
        raise _refuse("script", "a script", ref)
    if Name("XFA") in own:
        raise _refuse("xfa", "a form of the XFA kind", ref)
    if Name("EF") in own or Name("Collection") in own or Name("RichMediaContent") in own:
        raise _refuse("embedded-file", "a file is embedded", ref)
    kind = own.get(Name("S"))
    if isinstance(kind, Name) and kind in _REFUSED_ACTIONS and own.get(Name("Type")) != "StructElem":
        raise _refuse(_REFUSED_ACTIONS[kind], "an action that does more than navigate", ref)
    for key in _ACTION_KEYS:
        if Name(key) in own:
            _action(view, ref, own[Name(key)], itself=key == "OpenAction")
    if Name("AA") in own and view.resolve(own[Name("AA")]):
        _additional(view, ref, view.dictionary(own[Name("AA")]))
    if Name("OCProperties") in own:
        groups = view.dictionary(own[Name("OCProperties")]).get(Name("OCGs"))
        if view.array(groups):
            raise _refuse("optional-content", "layers that a reader can switch", ref)


def _action(view: Revision, ref: Ref | None, value: PdfObject, *, itself: bool) -> None:
    """An action under one of its keys; `itself` where it runs without the reader's doing."""
    found = view.resolve(value)
    items = found if isinstance(found, list) else [found]
    for item in items:
        action = view.resolve(item)
        if not isinstance(action, dict) or Name("S") not in action:
            continue  # a destination, or a structure element's attributes under the same key
        kind = view.resolve(action[Name("S")])
        if kind not in _HARMLESS_ACTIONS:
            code = _REFUSED_ACTIONS.get(str(kind), "active-content")
            raise _refuse(code, "an action that does more than navigate", ref)
        if itself and kind != "GoTo":
            raise _refuse("active-content", "an action that runs by itself", ref)


def _additional(view: Revision, ref: Ref | None, own: Dictionary) -> None:
    for value in own.values():
        action = view.resolve(value)
        kind = view.resolve(action.get(Name("S"))) if isinstance(action, dict) else None
        code = _REFUSED_ACTIONS.get(str(kind), "active-content")
        raise _refuse(code, "an action that runs by itself", ref)


# --- what is drawn over a page --------------------------------------------------------------------------------------


def rectangle(view: Revision, own: Dictionary, ref: object = "") -> Box:
    numbers = [view.resolve(n) for n in view.array(own.get(Name("Rect")))]
    if len(numbers) != 4 or not all(isinstance(n, int | Real) and abs(n) < 1e7 for n in numbers):
        raise _refuse("broken-structure", "an annotation has no rectangle", ref)
    x0, y0, x1, y1 = (float(n) for n in numbers if isinstance(n, int | Real))
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def normal_appearance(view: Revision, own: Dictionary) -> Stream | None:
    """The appearance that is drawn: /AP /N, by /AS where there are several."""
    found = view.resolve(view.dictionary(own.get(Name("AP"))).get(Name("N")))
    if isinstance(found, dict):
        state = view.resolve(own.get(Name("AS")))
        found = view.resolve(found.get(state)) if isinstance(state, Name) else None
    return found if isinstance(found, Stream) else None


def page_annotations(view: Revision, page: Page) -> list[tuple[Stream, Box]]:
    """The appearances drawn over a page, in order. Raises `PdfError` on an annotation that hides or is not drawn."""
    drawn = []
    value = view.resolve(page.dictionary.get(Name("Annots")))
    for item in view.array(value):
        own = view.resolve(item)
        if not isinstance(own, dict):
            raise _refuse("broken-structure", "an annotation is missing", item)
        kind = view.resolve(own.get(Name("Subtype")))
        if not isinstance(kind, Name):
            raise _refuse("broken-structure", "an annotation of no kind", item)
        if kind in _REFUSED_ANNOTATIONS:
            raise _refuse(_REFUSED_ANNOTATIONS[kind], "an annotation that plays or carries something", item)
        rect = rectangle(view, own, item)
        form = normal_appearance(view, own)
        empty = rect[0] == rect[2] or rect[1] == rect[3]
        if _is_hidden(view, own, kind) and not empty and (form is not None or kind != "Widget"):
            raise _refuse("hidden-content", "an annotation is hidden", item)
        if form is None and kind not in _UNDRAWN_ANNOTATIONS and not empty:
            raise _refuse("hidden-content", "an annotation that each reader draws its own way", item)
        if form is not None and not empty:
            drawn.append((form, rect))
    return drawn


def _is_hidden(view: Revision, own: Dictionary, kind: Name) -> bool:
    flags = view.resolve(own.get(Name("F"), 0))
    if not isinstance(flags, int):
        raise _refuse("broken-structure", "an annotation's flags are no number")
    if kind == "Popup":
        return False
    signature = kind == "Widget" and _inherited(view, own, "FT") == "Sig"
    return bool(flags & (_HIDDEN | _NO_VIEW | _TOGGLE_NO_VIEW)) and not signature


# --- form fields ----------------------------------------------------------------------------------------------------


def _inherited(view: Revision, own: Dictionary, key: str) -> PdfObject:
    for _ in range(32):
        if Name(key) in own:
            return view.resolve(own[Name(key)])
        parent = view.resolve(own.get(Name("Parent")))
        if not isinstance(parent, dict):
            return None
        own = parent
    raise _refuse("broken-structure", "form fields nested in a circle")


def shown_values(view: Revision, found: list[FormField]) -> list[Widget]:
    """The widgets whose drawn text must agree with the value.

    Raises `PdfError("form-appearance")` where a filled field is not drawn or a button shows another state than its
    value.
    """
    widgets: list[Widget] = []
    for field in found:
        filled = view.resolve(field.value) not in (None, b"", [], Name("Off"))
        flags = _inherited(view, field.dictionary, "Ff")
        flags = flags if isinstance(flags, int) else 0
        if field.kind == "Btn" and not flags & _PUSH_BUTTON:
            _button(view, field)
        elif field.kind in {"Tx", "Ch"}:
            widgets += _texts(view, field, filled=filled, password=bool(flags & 1 << 13))
    return widgets


def _button(view: Revision, field: FormField) -> None:
    kids = [view.dictionary(widget) for widget in field.widgets]
    states = [view.resolve(kid.get(Name("AS"))) for kid in kids]
    shown = {state for state in states if isinstance(state, Name)} - {Name("Off")}
    value = view.resolve(field.value)
    named = value if isinstance(value, Name) else Name(decode_text(value)) if isinstance(value, bytes) else None
    wanted = set() if named in (None, "Off") else {named}
    if shown != wanted:
        raise _refuse("form-appearance", "a button shows another state than its value", field.ref)
    if any(state in shown and normal_appearance(view, kid) is None for state, kid in zip(states, kids, strict=True)):
        raise _refuse("form-appearance", "a set button is not drawn", field.ref)


def _texts(view: Revision, field: FormField, *, filled: bool, password: bool) -> Iterator[Widget]:
    value = view.resolve(field.value)
    values = map(view.resolve, value if isinstance(value, list) else [value])
    texts = [view.decode(text, 1 << 20) if isinstance(text, Stream) else text for text in values]
    wanted = [text for text in texts if isinstance(text, bytes) and text]
    for option in view.array(_inherited(view, field.dictionary, "Opt")):
        pair = view.resolve(option)
        if isinstance(pair, list) and len(pair) == 2 and view.resolve(pair[0]) in wanted:
            label = view.resolve(pair[1])
            wanted += [label] if isinstance(label, bytes) else []
    for ref in field.widgets:
        kid = view.dictionary(ref)
        rect = rectangle(view, kid, ref)
        if rect[0] == rect[2] or rect[1] == rect[3]:
            continue
        form = normal_appearance(view, kid)
        if form is not None and not password:
            yield Widget(field.name, form, tuple(wanted))
        elif form is None and filled:
            raise _refuse("form-appearance", "a filled field is not drawn", field.ref)
