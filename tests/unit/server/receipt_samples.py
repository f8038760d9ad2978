"""Builds receipts over really signed files, and `openapi/vectors/receipt.json` (run this module to write it anew).

Keys are made for each run and thrown away; the vectors are checked, not rebuilt, because time stamps and certificates are signed with
randomness.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from server.audit.model import Jwk, Receipt, leaf_bytes
from server.pdfwork import _area
from server.previews.model import PageImage, PreparedManifest, encode
from server.previews.render import RENDERER, RenderRequest, render
from signing import device
from signing.cms import with_timestamp
from signing.core.codec import b64u, public_jwk
from signing.core.log import leaf_hash, sign_head
from signing.core.model import Item, Kind
from signing.pdf.prepare import Prepared
from signing.proofs import inclusion_proof, root_of, subtree_of
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs

VECTORS = Path(__file__).resolve().parents[3] / "openapi" / "vectors" / "receipt.json"
DOCUMENT = "0199a0c0ffee7000800000000000abcd"
CREDENTIAL = b64u(bytes(range(16)))
CHALLENGE = b64u(bytes(range(32)))
NOW = fakes.NOW_US
WIDTHS = (360, 720)


def hexdigest(data):
    return hashlib.sha256(data).hexdigest()


def jwk(key):
    found = public_jwk(key.public_key())
    return Jwk(kty=found.kty, crv=found.crv, x=found.x, y=found.y)


@dataclass
class Signed:
    """A signed file with everything that its receipt speaks of; `final` has a second signature behind it."""

    folder: Path
    pages: bytes = field(default_factory=pdfs.vietnamese)

    def __post_init__(self):
        self.parent = self.folder / "parent.pdf"
        self.parent.write_bytes(self.pages)
        self.pdf, self.info = fakes.sign(self.parent, self.folder, fakes.request(0), fakes.leader())
        self.final, _ = fakes.sign(self.pdf, self.folder, fakes.request(1), fakes.leader())
        self.cms = contents(self.pdf, self.info)
        self.manifest = encode(manifest(self.folder, self.parent, self.info))
        self.trust = self.folder / "trust.pem"
        self.trust.write_bytes(fakes.root().pem)


def contents(path: Path, info: Prepared) -> bytes:
    raw = bytes.fromhex(path.read_bytes()[info.hole_start + 1 : info.hole_start + info.hole_length - 1].decode())
    assert raw[:2] == b"\x30\x82"
    return raw[: int.from_bytes(raw[2:4]) + 4]


def images(folder: Path, path: Path) -> tuple[PageImage, ...]:
    out = folder / f"images-{path.stem}"
    out.mkdir(exist_ok=True)
    drawn = render(RenderRequest(path=str(path), out=str(out), widths=WIDTHS)).images
    revision = hexdigest(path.read_bytes())
    return tuple(PageImage(one.page, one.width, one.height, one.digest, one.size, revision) for one in drawn)


def manifest(folder: Path, parent: Path, info: Prepared) -> PreparedManifest:
    path = folder / f"{parent.stem}-0.prepared"
    body = path.read_bytes()
    shown = images(folder, path)
    return PreparedManifest(
        v=1, parent=hexdigest(body[: info.parent_length]), parent_length=info.parent_length, prepared=hexdigest(body), length=len(body),
        tbs=info.tbs.hex(), hole_start=info.hole_start, hole_end=info.hole_start + info.hole_length,
        fields=tuple(_area(rect) for rect in info.rects), renderer=RENDERER, page_count=shown[-1].page, images=shown,
    )  # fmt: skip


class Maker:
    """Receipts about one signed file; every part can be replaced before the log is built over it."""

    def __init__(self, signed: Signed) -> None:
        self.signed = signed
        self.log_key = device.new_key()
        self.approval_key = device.new_key()

    @property
    def thumbprint(self) -> str:
        return device.thumbprint(public_jwk(self.log_key.public_key()))

    def approval(self, key=None, **changes) -> str:
        item = Item(tbs=b64u(self.signed.info.tbs), manifest=b64u(hashlib.sha256(self.signed.manifest).digest()))
        values = {
            "kind": Kind.DOCUMENT, "challenge": CHALLENGE, "organisation": "X01", "credential": CREDENTIAL,
            "sealed_pin": b"sealed", "items": [item], **changes,
        }  # fmt: skip
        return device.approval_jws(key or self.approval_key, **values)

    def receipt(
        self, *, kind="document.signed", subject=DOCUMENT, cms=None, approval=None, others=4, place=2, named=None
    ):
        cms = self.signed.cms if cms is None else cms
        approval = approval or self.approval()
        revision = hexdigest(self.signed.pdf.read_bytes())
        body = {
            "revision": revision, "tbs": self.signed.info.tbs.hex(), "manifest": hexdigest(self.signed.manifest), "cms": hexdigest(cms),
            "approval": hexdigest(approval.encode()), "credential": CREDENTIAL, "challenge": CHALLENGE, "step": 1, **(named or {}),
        }  # fmt: skip
        leaf = leaf_bytes(
            id_="0199a0c0ffee70008000000000000001", organisation="0199a0c0ffee70008000000000000002", at_us=NOW + 2_000_000, kind=kind,
            actor="0199a0c0ffee70008000000000000003", subject=subject, body=msgspec.json.encode(body, order="deterministic"),
        )  # fmt: skip
        leaves = [leaf_hash(f"other {number}".encode()) for number in range(others)]
        leaves.insert(place, leaf_hash(leaf))
        head = sign_head(
            self.log_key,
            sequence=len(leaves),
            log_size=len(leaves),
            root=root_of(leaves),
            row_sum=bytes(32),
            time_us=NOW + 3_000_000,
        )
        return Receipt(
            v=1, id="0199a0c0ffee70008000000000000004", document=DOCUMENT, leaf=b64u(leaf), position=place, log_size=len(leaves),
            proof=[b64u(step) for step in inclusion_proof(place, len(leaves), subtree_of(leaves))], head=head, log_key=jwk(self.log_key),
            tbs=self.signed.info.tbs.hex(), manifest=hexdigest(self.signed.manifest), revision=revision, approval=approval,
            approval_key=jwk(self.approval_key), cms=b64u(cms),
        )  # fmt: skip

    def invalid(self):
        """(why, step, code, receipt): every link broken in turn, with all others intact where that can be."""
        good = self.receipt()
        change = msgspec.structs.replace
        stranger = device.new_key()
        unstamped = fakes.cms_for(fakes.leader(), self.signed.info.tbs)
        other = fakes.cms_for(fakes.leader(), hashlib.sha256(b"another document").digest())
        foreign = fakes.cms_for(fakes.leader(), self.signed.info.tbs)
        token = self.signed.cms[self.signed.cms.rindex(TOKEN_OID) + len(TOKEN_OID) :]
        wrong_item = [Item(tbs=b64u(bytes(32)), manifest=b64u(bytes(32)))]
        yield "head signed by another key", "head", "head-not-signed", change(good, log_key=jwk(stranger))
        yield "a size that the head does not state", "head", "head-other-size", change(good, log_size=good.log_size + 1)
        yield "another place", "inclusion", "leaf-not-included", change(good, position=1)
        yield (
            "a step of the proof changed",
            "inclusion",
            "leaf-not-included",
            change(good, proof=[b64u(bytes(32)), *good.proof[1:]]),
        )
        yield (
            "an event that is not in the log",
            "inclusion",
            "leaf-not-included",
            change(good, leaf=self.receipt(approval=good.approval, named={"step": 2}).leaf),
        )
        yield "an event of another kind", "event", "event-other-kind", self.receipt(kind="document.returned")
        yield "an event about another document", "event", "event-other-document", self.receipt(subject="0" * 32)
        for name in ("tbs", "manifest", "revision", "approval", "cms"):
            yield (
                f"an event that names another {name}",
                "event",
                f"event-other-{name}",
                self.receipt(named={name: "0" * 64}),
            )
        yield (
            "approved by another key",
            "approval",
            "approval-not-signed",
            self.receipt(approval=self.approval(stranger)),
        )
        yield (
            "approval of another kind",
            "approval",
            "approval-other-kind",
            self.receipt(approval=self.approval(kind=Kind.RAW_HASH)),
        )
        yield (
            "approval of another document",
            "approval",
            "approval-other-document",
            self.receipt(approval=self.approval(items=wrong_item)),
        )
        yield (
            "approval of another activation",
            "approval",
            "approval-other-activation",
            self.receipt(named={"challenge": b64u(bytes(32))}),
        )
        yield "a signature over something else", "signature", "content-changed", self.receipt(cms=other)
        yield "no time stamp", "timestamp", "timestamp-missing", self.receipt(cms=unstamped)
        yield (
            "the time stamp of another signature",
            "timestamp",
            "timestamp-wrong",
            self.receipt(cms=with_timestamp(foreign, set_member(token))),
        )


TOKEN_OID = bytes.fromhex("060b2a864886f70d010910020e")


def set_member(data: bytes) -> bytes:
    """The only member of a DER SET with a two-byte length."""
    assert data[:2] == b"\x31\x82"
    return data[4 : 4 + int.from_bytes(data[2:4])]


def build():
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Signed(Path(folder)))
        good = maker.receipt()
        shown = msgspec.to_builtins(good)
        invalid = [
            {
                "why": why,
                "step": step,
                "code": code,
                "change": {k: v for k, v in msgspec.to_builtins(bad).items() if v != shown[k]},
            }
            for why, step, code, bad in maker.invalid()
        ]
        return {
            "note": "Sample keys and names without legal value. A receipt under `invalid` is the valid one with the members of `change` replaced.",
            "trust": fakes.root().pem.decode(), "log_key": maker.thumbprint, "receipt": shown, "invalid": invalid,
        }  # fmt: skip


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(build(), ensure_ascii=False, indent=1) + "\n", "utf-8")
