"""Offline verification of a signed PDF and of a receipt: no network, no database (rule SW-7; threats A4, A11, B1, B4).

Everything here is a function of bytes, roots and the time. A verdict is a row of steps, each with a stable code whose
sentences stand in `server.verification_texts`. A PDF is judged by `judge_file`, which the caller runs in a limited
child, because a hostile file can make a parser eat memory and time; what the child says is believed, since all that opens
the file there is our own reader, zlib and `cryptography` (page images, which pdfium draws, are digested by the caller). A receipt is read in the caller's own process: it
is at most 1 MiB, and only msgspec, `cryptography` and asn1crypto see it, whose work is bounded by that size.

What a receipt proves: the log's key signed a head whose tree holds the event; the event names approval, manifest,
`tbs`, CMS and revision; the approval key signed `tbs` and manifest; the CMS signs `tbs` under a certificate that chains
to a given root at the time that its time stamp proves. What it does not prove: whose the approval key is (the signer's
log and the officer's voucher say that), and that nothing was revoked (no network).

Longer than most: a PDF and a receipt share their steps, roots and verdict, and the order of the steps is the argument.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from server.audit.model import Jwk, LeafEvent, Receipt
from server.verification_texts import CERTIFICATE, INTEGRITY
from server.wire import iso
from signing.core.codec import CodecError, PublicJwk, sha256, thumbprint, unb64u, verify_jws
from signing.core.log import ProofInvalid, leaf_hash, verify_head
from signing.core.model import APPROVAL_TYP, Approval, Kind
from signing.pdf.compare import RevisionChange
from signing.pdf.validation import Indication, SignatureResult, Trust, ValidationResult, validate_cms
from signing.proofs import verify_inclusion

if TYPE_CHECKING:
    from server.previews.model import Manifest

__all__ = [
    "MAX_PDF",
    "MAX_RECEIPT",
    "JudgeOrder",
    "Outcome",
    "PdfReport",
    "ReceiptReport",
    "Step",
    "Unreadable",
    "intact",
    "judge_file",
    "later_step",
    "manifest_steps",
    "pdf_step",
    "valid_then",
    "verify_receipt",
]

MAX_RECEIPT: Final = 1 << 20
MAX_PDF: Final = 512 << 20
_MAX_PROOF: Final = 64
_CHUNK: Final = 1 << 20
_SIGNED_KINDS: Final = frozenset(
    {
        "document.initialed",
        "document.signed",
        "document.co_signed",
        "document.sealed",
        "document.sealed_pending_archive",
    }
)


class Unreadable(Exception):  # noqa: N818 - said of the input, as the command says it
    """The input is not what it should be; `code` is in `verification_texts.TEXTS`."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # could not be checked here, so it proves nothing either way
    NOTED = "noted"  # shown for the reader to judge; does not enter the verdict


class Step(msgspec.Struct, frozen=True):
    """One check: its stable name, how it went, the code of its sentence, and what the sentence is about."""

    name: str
    outcome: Outcome
    code: str
    detail: str = ""


# --- a PDF, in a limited child ---------------------------------------------------------------------------------------


class JudgeOrder(msgspec.Struct, frozen=True):
    """`roots`: DER certificates, for signers and time-stamp authorities alike. `now_us`: microseconds UTC."""

    path: str
    roots: list[bytes]
    now_us: int


class PdfReport(msgspec.Struct, frozen=True):
    """Every signature, and what each revision changed."""

    result: ValidationResult
    chain: list[RevisionChange]


def judge_file(order: JudgeOrder) -> PdfReport:
    """The task of the limited child. Raises `PdfError` where the file as a whole cannot be read."""
    from signing.pdf.compare import chain
    from signing.pdf.errors import PdfError
    from signing.pdf.validation import validate

    path = Path(order.path)
    result = validate(path, Trust(roots=tuple(order.roots)), order.now_us)
    if result.reason:
        raise PdfError(result.reason)
    return PdfReport(result=result, chain=chain(path))


def intact(found: SignatureResult) -> bool | None:
    """SW-7's integrity: None where the signature was not read far enough to say."""
    if INTEGRITY & set(found.reasons):
        return False
    return True if found.algorithm or found.indication is Indication.PASSED else None


def valid_then(found: SignatureResult) -> bool | None:
    """SW-7's validity at signing time: the certificate's period, use, status and chain, at the proven time (else now)."""
    if CERTIFICATE & set(found.reasons):
        return False
    return True if found.algorithm or found.indication is Indication.PASSED else None


# --- a receipt -------------------------------------------------------------------------------------------------------


class _Evidence(msgspec.Struct, frozen=True):
    """What the event of a signature names; digests are lower-case hex SHA-256."""

    tbs: str
    manifest: str
    cms: str
    approval: str
    revision: str
    challenge: str
    credential: str


class ReceiptReport(msgspec.Struct, frozen=True):
    """`log_key`, `approval_key`: RFC 7638 thumbprints. Times are microseconds UTC, None where that part cannot be read."""

    receipt: Receipt
    steps: tuple[Step, ...]
    log_key: str
    approval_key: str
    event_kind: str
    event_at_us: int | None
    head_at_us: int | None
    signature: SignatureResult


def verify_receipt(body: bytes, *, roots: Sequence[bytes], now_us: int, log_key: str | None = None) -> ReceiptReport:
    """Check every link of a receipt. `log_key`: the thumbprint that the log's key must have; None: any, named in the report.

    Raises: Unreadable("not-a-receipt").
    """
    receipt = _decoded(body)
    steps: list[Step] = []
    event, evidence = _event(receipt)
    head_at_us = _check_log(receipt, log_key, steps)
    steps.append(_check_event(receipt, event, evidence))
    steps.append(_check_approval(receipt, evidence))
    signature = _check_cms(receipt, roots, now_us, steps)
    return ReceiptReport(
        receipt=receipt,
        steps=tuple(steps),
        log_key=thumbprint(_jwk(receipt.log_key)),
        approval_key=thumbprint(_jwk(receipt.approval_key)),
        event_kind="" if event is None else event.kind,
        event_at_us=None if event is None else event.at_us,
        head_at_us=head_at_us,
        signature=signature,
    )


def _decoded(body: bytes) -> Receipt:
    if len(body) > MAX_RECEIPT:
        raise Unreadable("not-a-receipt")
    try:
        receipt = msgspec.json.decode(body, type=Receipt)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable("not-a-receipt") from None
    if receipt.v != 1:
        raise Unreadable("not-a-receipt")
    return receipt


def _jwk(key: Jwk) -> PublicJwk:
    return PublicJwk(crv=key.crv, kty=key.kty, x=key.x, y=key.y)


def _check_log(receipt: Receipt, pinned: str | None, steps: list[Step]) -> int | None:
    """The log's key, its head, and the event's place under it; gives the head's time."""
    key = _jwk(receipt.log_key)
    found = thumbprint(key)
    if pinned is None:
        steps.append(Step("log-key", Outcome.NOTED, "log-key-shown", found))
    elif pinned == found:
        steps.append(Step("log-key", Outcome.PASSED, "log-key-pinned", found))
    else:
        steps.append(Step("log-key", Outcome.FAILED, "log-key-differs", found))
    try:
        head = verify_head(receipt.head, key)
    except ProofInvalid:
        steps.append(Step("head", Outcome.FAILED, "head-not-signed"))
        steps.append(Step("inclusion", Outcome.UNKNOWN, "no-head"))
        return None
    if head.log_size == receipt.log_size:
        steps.append(Step("head", Outcome.PASSED, "head-signed"))
    else:
        steps.append(Step("head", Outcome.FAILED, "head-other-size"))
    steps.append(_check_inclusion(receipt, unb64u(head.root, 32)))
    return head.time


def _check_inclusion(receipt: Receipt, root: bytes) -> Step:
    try:
        if len(receipt.proof) > _MAX_PROOF:
            raise ProofInvalid("path is too long")
        proof = [unb64u(step, 32) for step in receipt.proof]
        verify_inclusion(leaf_hash(unb64u(receipt.leaf)), receipt.position, receipt.log_size, proof, root)
    except (CodecError, ProofInvalid):
        return Step("inclusion", Outcome.FAILED, "leaf-not-included")
    return Step("inclusion", Outcome.PASSED, "leaf-included", f"{receipt.position + 1}/{receipt.log_size}")


def _event(receipt: Receipt) -> tuple[LeafEvent | None, _Evidence | None]:
    """The leaf's event and what it names; only bytes that are their own encoding count as an event."""
    try:
        leaf = unb64u(receipt.leaf)
        event = msgspec.json.decode(leaf, type=LeafEvent)
        if msgspec.json.encode(event) != leaf:
            return None, None
        return event, msgspec.json.decode(event.body, type=_Evidence)
    except (CodecError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, None


def _check_event(receipt: Receipt, event: LeafEvent | None, evidence: _Evidence | None) -> Step:
    if event is None or evidence is None:
        return Step("event", Outcome.FAILED, "event-unreadable")
    if event.kind not in _SIGNED_KINDS:
        return Step("event", Outcome.FAILED, "event-other-kind")
    for code, named, shown in (
        ("event-other-document", event.subject, lambda: receipt.document),
        ("event-other-tbs", evidence.tbs, lambda: receipt.tbs),
        ("event-other-manifest", evidence.manifest, lambda: receipt.manifest),
        ("event-other-revision", evidence.revision, lambda: receipt.revision),
        ("event-other-approval", evidence.approval, lambda: sha256(receipt.approval.encode()).hex()),
        ("event-other-cms", evidence.cms, lambda: sha256(unb64u(receipt.cms)).hex()),
    ):
        if not _same(named, shown):
            return Step("event", Outcome.FAILED, code)
    return Step("event", Outcome.PASSED, "event-names-all", event.kind)


def _same(named: str, shown: Callable[[], str]) -> bool:
    try:
        return named == shown()
    except (CodecError, UnicodeEncodeError):
        return False


def _check_approval(receipt: Receipt, evidence: _Evidence | None) -> Step:
    key = _jwk(receipt.approval_key)
    try:
        approval = verify_jws(receipt.approval, APPROVAL_TYP, key, Approval)
        items = {(unb64u(item.tbs, 32).hex(), unb64u(item.manifest, 32).hex()) for item in approval.items}
    except CodecError:
        return Step("approval", Outcome.FAILED, "approval-not-signed")
    if approval.v != 1 or approval.kind is not Kind.DOCUMENT:
        return Step("approval", Outcome.FAILED, "approval-other-kind")
    if approval.device != thumbprint(key):
        return Step("approval", Outcome.FAILED, "approval-other-device")
    if (receipt.tbs, receipt.manifest) not in items:
        return Step("approval", Outcome.FAILED, "approval-other-document")
    if evidence is not None and (approval.challenge, approval.credential) != (evidence.challenge, evidence.credential):
        return Step("approval", Outcome.FAILED, "approval-other-activation")
    return Step("approval", Outcome.PASSED, "approval-holds", thumbprint(key))


def _check_cms(receipt: Receipt, roots: Sequence[bytes], now_us: int, steps: list[Step]) -> SignatureResult:
    """The signature itself, and the time stamp in it; a signature without one proves no time, so it does not pass."""
    try:
        tbs, der = bytes.fromhex(receipt.tbs), unb64u(receipt.cms)
    except (CodecError, ValueError):
        tbs, der = b"", b""
    found = validate_cms(der, tbs, Trust(roots=tuple(roots)), now_us)
    stamp = next((reason for reason in found.reasons if reason.startswith("timestamp-")), "")
    others = [reason for reason in found.reasons if reason != stamp]
    if others:
        steps.append(Step("signature", Outcome.FAILED, others[0], found.sub_indication))
    else:
        steps.append(Step("signature", Outcome.PASSED, "signature-holds", found.algorithm))
    if stamp:
        steps.append(Step("timestamp", Outcome.FAILED, stamp))
    elif found.time_source != "signature":
        # A signature that was not read as far as its time stamp says nothing about one.
        seen = bool(found.level) or found.indication is Indication.PASSED
        outcome, code = (Outcome.FAILED, "timestamp-missing") if seen else (Outcome.UNKNOWN, "timestamp-not-read")
        steps.append(Step("timestamp", outcome, code))
    else:
        steps.append(Step("timestamp", Outcome.PASSED, "timestamp-holds"))
    return found


# --- the files that a receipt or a manifest names ---------------------------------------------------------------------


def pdf_step(receipt: Receipt, path: Path) -> tuple[Step, int]:
    """Whether the PDF is the receipt's revision: by its digest, and by `tbs` computed from it again without the CMS.

    The number is where that revision ends, 0 where it is not in the file; of a file that goes on ("pdf-extends") `later_step` judges the
    rest. Raises `OSError`.
    """
    with path.open("rb") as file, _mapped(file.fileno()) as data:
        cms = _cms_place(receipt, data)
        ends = [len(data), *_revision_ends(data, cms)]
        end = next((end for end in ends if _digest(data, (0, end)) == receipt.revision), 0)
        if not end:
            return Step("pdf", Outcome.FAILED, "pdf-other"), 0
        if cms is None:
            return Step("pdf", Outcome.FAILED, "pdf-without-signature"), 0
        if _digest(data, (0, cms[0]), (cms[1], end)) != receipt.tbs:
            return Step("pdf", Outcome.FAILED, "pdf-other-content"), 0
        if end < len(data):
            return Step("pdf", Outcome.FAILED, "pdf-extends"), end
    return Step("pdf", Outcome.PASSED, "pdf-is-revision"), end


def later_step(report: PdfReport, end: int) -> Step:
    """Whether behind the receipt's revision, which ends at `end`, nothing stands but what an archive adds: validation data and document
    time stamps (EN 319 142-1, 5.4), each revision by the closed list and each stamp valid. Anything else is "pdf-extends".
    """
    # A revision that ends with %%EOF gets its line end from the next one.
    rows = [row for row in report.chain if row.length > end + 2]
    if not rows or not report.result.valid or not all(_archival(row) for row in rows):
        return Step("pdf", Outcome.FAILED, "pdf-extends")
    return Step("pdf", Outcome.PASSED, "pdf-archived", "; ".join(_added(row, report.result) for row in rows))


def _archival(row: RevisionChange) -> bool:
    found = row.change
    if found is None or found.certifies or not (found.timestamp or found.validation_data):
        return False
    seen = any(field.box is not None or any(field.rect) for field in found.fields)
    return not seen and (found.signature is None or found.timestamp)


def _added(row: RevisionChange, result: ValidationResult) -> str:
    assert row.change is not None
    stamp = next((one for one in result.signatures if one.timestamp and one.field == row.change.signature), None)
    time = "" if stamp is None or stamp.time_us is None else f" {iso(stamp.time_us)}"
    return " + ".join(["DSS"] * row.change.validation_data + [f"DocTimeStamp{time}"] * row.change.timestamp)


def _mapped(descriptor: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise Unreadable("file-empty") from None


def _cms_place(receipt: Receipt, data: mmap.mmap) -> tuple[int, int] | None:
    """The hole that holds the receipt's CMS: from its "<" to behind its ">"."""
    try:
        text = b"<" + unb64u(receipt.cms).hex().encode()
    except CodecError:
        return None
    start = data.find(text)
    end = data.find(b">", start)
    return None if start < 0 or end < 0 else (start, end + 1)


def _revision_ends(data: mmap.mmap, cms: tuple[int, int] | None) -> Iterator[int]:
    """Where the revision with the CMS may end: its %%EOF with or without a line end behind."""
    at = -1 if cms is None else data.find(b"%%EOF", cms[1])
    if at >= 0:
        yield from range(at + 5, min(at + 8, len(data)))


def _digest(data: mmap.mmap, *spans: tuple[int, int]) -> str:
    state = hashlib.sha256()
    for start, end in spans:
        for at in range(start, end, _CHUNK):
            state.update(data[at : min(at + _CHUNK, end)])
    return state.hexdigest()


def manifest_steps(manifest: "Manifest", body: bytes, path: Path, receipt: Receipt | None) -> list[Step]:
    """Whether the manifest is about the first `manifest.length` bytes of the PDF, and the one that a receipt names.

    Raises `OSError`.
    """
    steps = [_manifest_step(manifest, path)]
    if receipt is not None:
        same = sha256(body).hex() == receipt.manifest
        code = "manifest-approved" if same else "manifest-not-approved"
        steps.append(Step("manifest", Outcome.PASSED if same else Outcome.FAILED, code))
    return steps


def _manifest_step(manifest: "Manifest", path: Path) -> Step:
    from server.previews.model import RevisionManifest

    with path.open("rb") as file, _mapped(file.fileno()) as data:
        if len(data) < manifest.length:
            same = False
        elif isinstance(manifest, RevisionManifest):
            same = _digest(data, (0, manifest.length)) == manifest.revision
        else:
            outside = (0, manifest.hole_start), (manifest.hole_end, manifest.length)
            same = (
                _digest(data, *outside) == manifest.tbs
                and _digest(data, (0, manifest.parent_length)) == manifest.parent
            )
        longer = len(data) > manifest.length
    if not same:
        return Step("manifest-file", Outcome.FAILED, "manifest-other-file")
    return Step("manifest-file", Outcome.PASSED, "manifest-file-longer" if longer else "manifest-file")
