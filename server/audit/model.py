"""The canonical form of an event, which is a leaf of the log, and the receipt that proves one.

**Leaf bytes**: UTF-8 JSON of `LeafEvent` in declared order, as msgspec writes it (no white space). **Log**: RFC 9162 §2.1
hashing over these bytes. **Head**: `hoatoc-head+jws` by the server's log key (`signing.core.log`), all-zero `sum`.
"""

import msgspec

RECEIPT_TYP = "hoatoc-receipt"


class LeafEvent(msgspec.Struct, frozen=True):
    """`body` is the event's own JSON, embedded as it was written."""

    id: str
    organisation: str
    at_us: int
    kind: str
    actor: str
    subject: str
    body: msgspec.Raw


def leaf_bytes(*, id_: str, organisation: str, at_us: int, kind: str, actor: str, subject: str, body: bytes) -> bytes:
    return msgspec.json.encode(
        LeafEvent(
            id=id_,
            organisation=organisation,
            at_us=at_us,
            kind=kind,
            actor=actor,
            subject=subject,
            body=msgspec.Raw(body),
        )
    )


class Jwk(msgspec.Struct, frozen=True):
    kty: str
    crv: str
    x: str
    y: str


class Receipt(msgspec.Struct, frozen=True, tag_field="typ", tag=RECEIPT_TYP):
    """Proof that a signature was approved, made and logged; checked offline by `hoatoc verify`.

    `leaf` (base64url) is the event `position` of a log whose first `log_size` leaves have the root that `head` signs. The event
    names `tbs`, the manifest, the CMS, the approval and the revision by digest; `approval` is the device's own signature over
    `tbs` and `manifest` and verifies with `approval_key`. Digests hex, `cms` base64url DER. `server.verification` says what this
    proves and what it does not; `openapi/vectors/receipt.json` has one, and every way to break it.
    """

    v: int
    id: str
    document: str
    leaf: str
    position: int
    log_size: int
    proof: list[str]
    head: str
    log_key: Jwk
    tbs: str
    manifest: str
    revision: str
    approval: str
    approval_key: Jwk
    cms: str


class ProvenLeaf(msgspec.Struct, frozen=True):
    """`leaf` and the steps of `proof` are base64url; `position` counts from 0."""

    leaf: str
    position: int
    proof: list[str]


class LogProof(msgspec.Struct, frozen=True, tag_field="typ", tag="hoatoc-log-proof"):
    """Proof that events stand in the log: each is a leaf of a log of `log_size` leaves whose root `head` signs (RFC 9162 §2.1.3)."""

    v: int
    log_size: int
    head: str
    log_key: Jwk
    leaves: list[ProvenLeaf]
