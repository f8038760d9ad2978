"""What a record claims besides its receipts, proven offline: its course of handling, the grant of authority, the pages that were opened.

The course of handling is proven event by event under the log's signed head (RFC 9162); the packet and the arrival number that it names are
the record's. The log's event names both by SHA-256, so neither can be exchanged afterwards. That no event was left out is proven only for
those of the receipts. A grant is judged as the server judged it in S1: who gave it signed it, its holder signed the document, it covered
such a document, and each grant that it rests on was its grantor's (AUT-3 to AUT-6). Its keys come from the record, as the approval key of a
receipt does; whose they are, the officer's vouchers say.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from server.audit.model import LeafEvent, LogProof, Receipt
from server.authority.model import GRANT_TYP, Form, Grant, folded
from server.preservation.record_file import LOG, LOG_PROOF, Contents
from server.previews.model import Manifest, ManifestError, PreparedManifest, parse
from server.previews.openings import Openings
from server.verification import Outcome, Step
from server.wire import iso
from signing.core.codec import CodecError, PublicJwk, sha256, thumbprint, unb64u, verify_jws
from signing.core.log import ProofInvalid, leaf_hash, verify_head
from signing.core.model import APPROVAL_TYP, Approval
from signing.proofs import verify_inclusion

__all__ = ["authority_step", "event_of", "lacking_step", "log_step", "openings_step"]

_SECOND_US = 1_000_000

Part = Callable[[str], bytes]
"""The bytes of a file of the record by its path there. Raises KeyError where it has none."""


class _Named(msgspec.Struct, frozen=True):
    """What the event of a signature says of it. Digests hex, those of grants newest first with a space between."""

    authority: str = ""
    authority_grant: str = ""
    openings: str = ""


def event_of(receipt: Receipt) -> tuple[LeafEvent, _Named]:
    """Raises: CodecError, msgspec.MsgspecError for a leaf that is no event; `verify_receipt` has judged it before."""
    event = msgspec.json.decode(unb64u(receipt.leaf), type=LeafEvent)
    return event, msgspec.json.decode(event.body, type=_Named)


def authority_step(receipt: Receipt, metadata: dict[str, Any] | None, time_us: int | None, part: Part) -> Step | None:
    """None where the event names no authority. `time_us`: when the signature was made, as its time stamp proves.
    `metadata`: the document's when it was signed, None where nobody knows them any more; the scope is then not judged.

    A grant that had ended by then leaves it open whether the signature was begun in time: unknown, not failed. Many authorities cut their
    time to seconds (RFC 3161, 2.4.2): a grant that begins within that second does not begin after it, and one that ends within it may have ended.
    """
    event, named = event_of(receipt)
    digests = named.authority_grant.split()
    if not digests:
        return None
    try:
        grants = [_grant(digest, part) for digest in digests]
        approval = verify_jws(receipt.approval, APPROVAL_TYP, _key(receipt.approval_key), Approval)
    except (KeyError, CodecError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Step("authority", Outcome.FAILED, "authority-not-signed")
    said = f"{'; '.join(f'{grant.form}. {grant.line} ({grant.paper})' for grant in grants)}"
    if not _hangs_together(grants, digests, named.authority, event.actor) or any(
        grant.organisation != approval.organisation for grant in grants
    ):
        return Step("authority", Outcome.FAILED, "authority-other-person", said)
    if metadata is not None and not all(_covers(grant, metadata) for grant in grants):
        return Step("authority", Outcome.FAILED, "authority-out-of-scope", said)
    begun = time_us is not None and all(grant.not_before <= _latest(time_us) for grant in grants)
    if time_us is None or not begun or any(_latest(time_us) >= grant.not_after for grant in grants):
        outcome = Outcome.UNKNOWN if time_us is None or begun else Outcome.FAILED
        return Step("authority", outcome, "authority-other-time", said)
    code = "authority-holds" if metadata is not None else "authority-of-replaced"
    return Step("authority", Outcome.PASSED, code, said)


def _latest(time_us: int) -> int:
    """The last microsecond that a time stamp's time may stand for."""
    return time_us if time_us % _SECOND_US else time_us + _SECOND_US - 1


def _grant(digest: str, part: Part) -> Grant:
    signed = part(f"authority/{digest}.jws")
    if sha256(signed).hex() != digest:
        raise CodecError("another grant")
    key = msgspec.json.decode(part(f"authority/{digest}.key.json"), type=PublicJwk)
    return verify_jws(signed.decode("ascii"), GRANT_TYP, key, Grant)


def _key(key: Any) -> PublicJwk:
    return PublicJwk(crv=key.crv, kty=key.kty, x=key.x, y=key.y)


def _hangs_together(grants: list[Grant], digests: list[str], forms: str, signer: str) -> bool:
    """The signer holds the first; each next one is its parent, a TL. that its grantor held (AUT-4: nothing else goes further)."""
    above = [*digests[1:], ""]
    held = [signer, *(grant.grantor for grant in grants)]
    return (
        " ".join(grant.form.value for grant in grants) == forms
        and [grant.parent for grant in grants] == above
        and all(grant.holder == holder for grant, holder in zip(grants, held, strict=False))
        and all(grant.form is Form.TL for grant in grants[1:])
    )


def _covers(grant: Grant, metadata: dict[str, Any]) -> bool:
    type_name, urgency = metadata.get("type_name"), metadata.get("urgency")
    if not isinstance(type_name, str) or not isinstance(urgency, int):
        return False
    return urgency <= grant.urgency and (not grant.types or folded(type_name) in map(folded, grant.types))


def openings_step(receipt: Receipt, manifests: dict[str, str], part: Part) -> Step | None:
    """None where the event names no openings. `manifests`: path in the record by SHA-256.

    Every page of what was approved is named once, by an image that the approved manifest shows of it; of the page that bears the mark
    itself, the manifest shows the image with the mark, so that one is not compared.
    """
    event, named = event_of(receipt)
    if not named.openings:
        return None
    wrong = Step("openings", Outcome.FAILED, "openings-wrong")
    try:
        proof = part(f"openings/{named.openings}.json")
        opened = msgspec.json.decode(proof, type=Openings)
        manifest: Manifest = parse(part(manifests[receipt.manifest]))
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ManifestError):
        return wrong
    if sha256(proof).hex() != named.openings or not isinstance(manifest, PreparedManifest):
        return wrong
    if (opened.document, opened.person, opened.revision) != (receipt.document, event.actor, manifest.parent):
        return wrong
    shown: dict[int, set[str]] = {}
    for image in manifest.images:
        shown.setdefault(image.page, set()).add(image.digest)
    touched = {image.page for image in manifest.images if image.from_revision == manifest.prepared}
    pages = [one.page for one in opened.pages]
    if pages != list(range(1, manifest.page_count + 1)):
        return wrong
    if any(one.page not in touched and one.image not in shown[one.page] for one in opened.pages):
        return wrong
    return Step("openings", Outcome.PASSED, "openings-whole", f"{manifest.page_count}")


class _Said(msgspec.Struct, frozen=True):
    """An event as `log.json` tells it."""

    id: str
    at: str
    kind: str
    subject: str
    actor: str
    body: Any


class _Facts(msgspec.Struct, frozen=True):
    """What events name that stands elsewhere in the record."""

    packet: str = ""
    number: int = 0
    year: int = 0


def log_step(contents: Contents, pinned: str | None, part: Part) -> Step:
    """Whether every event of the record stands in the log that one key signed, and names what the record holds.

    `pinned`: the thumbprint that the log's key must have; None: any, named in the step. A record without a proof leaves it open.
    """
    try:
        said = msgspec.json.decode(part(LOG), type=list[_Said])
        proof = msgspec.json.decode(part(LOG_PROOF), type=LogProof)
    except KeyError:
        return Step("log", Outcome.UNKNOWN if contents.kind == "arrival" else Outcome.NOTED, "record-log-unproven")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Step("log", Outcome.FAILED, "record-log-wrong")
    key = _key(proof.log_key)
    found = thumbprint(key)
    if pinned is not None and pinned != found:
        return Step("log", Outcome.FAILED, "log-key-differs", found)
    try:
        events = _proven(proof, key)
        told = [_Said(one.id, iso(one.at_us), one.kind, one.subject, one.actor, _body(one)) for one in events]
        if told != said:
            return Step("log", Outcome.FAILED, "record-log-wrong")
        if not _is_about(contents, events) or not _agrees(contents, events):
            return Step("log", Outcome.FAILED, "record-log-differs")
    except (CodecError, ProofInvalid, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return Step("log", Outcome.FAILED, "record-log-wrong")
    return Step("log", Outcome.PASSED, "record-log-proven", f"{len(events)} / {found}")


def lacking_step(receipt: Receipt, part: Part) -> Step | None:
    """None where the event of a receipt stands in the course of handling, or where the record brings no proof of one."""
    try:
        proof = msgspec.json.decode(part(LOG_PROOF), type=LogProof)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # `log_step` has said so
    if any(one.leaf == receipt.leaf for one in proof.leaves):
        return None
    return Step("log", Outcome.FAILED, "record-log-lacks", receipt.id)


def _proven(proof: LogProof, key: PublicJwk) -> list[LeafEvent]:
    """The events, each a leaf under the head. Raises: CodecError, ProofInvalid, msgspec.MsgspecError."""
    head = verify_head(proof.head, key)
    if proof.v != 1 or head.log_size != proof.log_size:
        raise ProofInvalid("head of another log")
    if len({one.position for one in proof.leaves}) != len(proof.leaves):
        raise ProofInvalid("an event stands there twice")
    root, events = unb64u(head.root, 32), []
    for one in proof.leaves:
        leaf = unb64u(one.leaf)
        steps = [unb64u(step, 32) for step in one.proof[:64]]
        verify_inclusion(leaf_hash(leaf), one.position, proof.log_size, steps, root)
        events.append(msgspec.json.decode(leaf, type=LeafEvent))
    return events


def _body(event: LeafEvent) -> Any:
    return msgspec.json.decode(event.body)


def _is_about(contents: Contents, events: list[LeafEvent]) -> bool:
    """One organisation's events about what the record is of; beside an arrival's own are those of what came about it."""
    if len({one.organisation for one in events}) != 1:
        return False
    about = [one.subject == contents.document for one in events]
    return all(about) if contents.kind == "document" else any(about)


def _agrees(contents: Contents, events: list[LeafEvent]) -> bool:
    """The packet of the record is the one that was logged, and so is the arrival number."""
    if contents.kind == "document":
        # A packet that waited while its receivers merged was written anew.
        kinds = ("exchange.packet_built", "exchange.readdressed")
        logged = {said.packet for kind in kinds for said in _facts(events, kind, contents.document)}
        return all(one.sha256 in logged for one in contents.packets if one.what == "edoc" and one.way == "sent")
    came = {said.packet for said in _facts(events, "arrival.arrived", contents.document)}
    entered = [(said.year, said.number) for said in _facts(events, "arrival.registered", contents.document)]
    named = contents.metadata.get("registered")
    registered = [(named.get("year"), named.get("number"))] if isinstance(named, dict) else []
    return came == {one.sha256 for one in contents.packets[:1]} and entered == registered


def _facts(events: list[LeafEvent], kind: str, subject: str) -> list[_Facts]:
    return [msgspec.json.decode(one.body, type=_Facts) for one in events if (one.kind, one.subject) == (kind, subject)]
