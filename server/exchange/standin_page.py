"""The page of the stand-in axis: who sent what to whom, what became of it, and the faults that are scripted.

Files are served as they stand, with the colours and the view helper of the product's own client. A strict policy: nothing inline,
nothing from elsewhere. What it shows comes from outside and becomes text, never markup.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from server.exchange.model import PacketKind
from server.exchange.standin_faults import CALLS, Fault, Faults, Fired
from server.exchange.standin_http import Answer
from server.exchange.standin_store import Store
from server.exchange.standin_world import World

__all__ = ["FILES", "POLICY", "file", "shown", "traffic"]

_OWN: Final = Path(__file__).parent / "standin_page_files"
_CLIENT: Final = Path(__file__).parent.parent / "web" / "static"
FILES: Final = {
    "": _OWN / "index.html",
    "axis.css": _OWN / "axis.css",
    "axis.js": _OWN / "axis.js",
    "app.css": _CLIENT / "app.css",
    "view.js": _CLIENT / "js" / "view.js",
}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_DOCUMENTS: Final = 50
_FIRED: Final = 30


class UnitShown(msgspec.Struct, frozen=True):
    code: str
    name: str
    parent: str
    system: str
    closed: bool
    successor: str
    test: bool
    waiting: int
    rotated: bool = False


class CopyShown(msgspec.Struct, frozen=True):
    receiver: str
    state: str
    reason: str
    updated_us: int


class PacketShown(msgspec.Struct, frozen=True):
    doc_id: str
    at_us: int
    kind: str
    sender: str
    business: int
    status: str
    said: str
    size: int
    files: list[tuple[str, str, int]]
    copies: list[CopyShown]


class DocumentShown(msgspec.Struct, frozen=True):
    """What was sent about one DocumentId, in order; the words are those of its first document packet."""

    document_id: str
    notation: str
    type_name: str
    title: str
    urgency: int
    packets: list[PacketShown]


class Shown(msgspec.Struct, frozen=True):
    version: int
    now_us: int
    counts: dict[str, int]
    units: list[UnitShown]
    documents: list[DocumentShown]
    faults: list[Fault]
    fired: list[Fired]
    fired_count: int
    calls: tuple[str, ...]


@cache
def file(name: str) -> Answer:
    path = FILES[name]
    return Answer(body=path.read_bytes(), content_type=_TYPES[path.suffix], headers=_HEADERS)


def traffic(seen: Shown) -> Answer:
    return Answer(body=msgspec.json.encode(seen), headers=_HEADERS)


def shown(store: Store, world: World, faults: Faults, version: int) -> Shown:
    """Blocks; on the store's thread."""
    about: dict[str, list[Any]] = {}
    for packet, copies in store.last(_DOCUMENTS):
        about.setdefault(packet["document_id"], []).append((packet, copies))
    documents = [_document(document_id, packets) for document_id, packets in about.items()]
    documents.sort(key=lambda one: one.packets[-1].at_us, reverse=True)
    waiting = store.waiting_counts()
    units = [
        UnitShown(
            code=one.code, name=one.name, parent=one.parent, system=world.system_of(one), closed=one.closed, successor=one.successor,
            test="w00" in one.code.casefold(), waiting=waiting.get(one.code, 0), rotated=(store.folder / "rotated" / one.code).exists(),
        )
        for one in world.units()
    ]  # fmt: skip
    return Shown(
        version, time.time_ns() // 1000, store.counts(), units, documents, faults.scripted, list(faults.fired)[-_FIRED:], faults.count, CALLS
    )  # fmt: skip


def _document(document_id: str, packets: list[Any]) -> DocumentShown:
    # A status may be all that is known here of a document that another axis carried.
    first = next((packet for packet, _ in packets if packet["kind"] == PacketKind.DOCUMENT), packets[0][0])
    is_document = first["kind"] == PacketKind.DOCUMENT
    return DocumentShown(
        document_id=document_id, notation=first["notation"], type_name=first["type_name"] or "", title=first["title"] if is_document else "",
        urgency=first["urgency"], packets=[_packet(packet, copies) for packet, copies in packets],
    )  # fmt: skip


def _packet(packet: Any, copies: list[Any]) -> PacketShown:
    return PacketShown(
        doc_id=packet["doc_id"], at_us=packet["sent_us"], kind=packet["kind"], sender=packet["sender"], business=packet["business"],
        status=packet["status"], said=packet["title"] if packet["kind"] == PacketKind.STATUS else "", size=packet["size"],
        files=msgspec.json.decode(packet["attachments"], type=list[tuple[str, str, int]]),
        copies=[CopyShown(one["receiver"], one["state"], one["reason"], one["updated_us"]) for one in copies],
    )  # fmt: skip
