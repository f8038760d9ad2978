"""What a receipt of a record rests on: grants of authority judged offline, with every link broken in turn (AUT-3 to AUT-6, AUT-8)."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from server.audit.model import LogProof, ProvenLeaf, leaf_bytes
from server.authority.model import GRANT_TYP, Form, Grant
from server.preservation.course import as_json
from server.preservation.proofs import authority_step, lacking_step, log_step, openings_step
from server.preservation.record_file import LOG, LOG_PROOF, Contents, ContentsPacket, ContentsRevision, metadata_of
from server.previews.model import encode, parse
from server.previews.openings import OpenedPage, Openings
from server.verification import Outcome
from signing import device
from signing.core.codec import b64u, public_jwk, sign_jws
from signing.core.log import leaf_hash, sign_head
from signing.proofs import inclusion_proof, root_of, subtree_of
from tests.unit.server import receipt_samples as samples

HEAD, UNIT, DEPUTY = (
    "0199a0c0ffee7000800000000000000a",
    "0199a0c0ffee7000800000000000000b",
    "0199a0c0ffee70008000000000000003",
)
KEYS = {person: device.new_key() for person in (HEAD, UNIT, DEPUTY)}
HOUR = 3_600_000_000
METADATA = {"type_name": "Công văn", "urgency": 2}


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> samples.Maker:
    return samples.Maker(samples.Signed(tmp_path_factory.mktemp("signed")))


def grant(grantor: str, holder: str, form: Form, /, **changes: Any) -> tuple[Grant, bytes, str]:
    """A grant of organisation X01, its signed form, and its digest."""
    values: dict[str, Any] = {
        "v": 1, "organisation": "X01", "form": form, "grantor": grantor, "holder": holder, "line": "CHỦ TỊCH", "paper": "Quy chế làm việc số 3",
        "types": ("Công văn",), "urgency": 3, "parent": "", "not_before": samples.NOW - HOUR, "not_after": samples.NOW + HOUR,
        "nonce": device.new_credential_id(), **changes,
    }  # fmt: skip
    made = Grant(**values)
    signed = sign_jws(made, GRANT_TYP, KEYS[grantor]).encode()
    return made, signed, hashlib.sha256(signed).hexdigest()


Chain = list[tuple[Grant, bytes, str]]


def passed_on(own: dict[str, Any] | None = None, above: dict[str, Any] | None = None) -> Chain:
    """A TL. of the head to a unit's head, passed on to his deputy as KT. (AUT-4)."""
    upper = grant(HEAD, UNIT, Form.TL, **(above or {}))
    return [grant(UNIT, DEPUTY, Form.KT, **{"parent": upper[2], "line": "CHÁNH VĂN PHÒNG", **(own or {})}), upper]


def files(chain: Chain) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for made, signed, digest in chain:
        found[f"authority/{digest}.jws"] = signed
        found[f"authority/{digest}.key.json"] = msgspec.json.encode(public_jwk(KEYS[made.grantor].public_key()))
    return found


def judged(
    maker: samples.Maker,
    chain: Chain,
    *,
    kept: dict[str, bytes] | None = None,
    time_us: int | None = samples.NOW,
    **metadata: Any,
) -> tuple[Outcome, str]:
    named = {"authority": " ".join(one[0].form for one in chain), "authority_grant": " ".join(one[2] for one in chain)}
    held = files(chain) if kept is None else kept
    step = authority_step(maker.receipt(named=named), METADATA | metadata, time_us, held.__getitem__)
    assert step is not None
    return step.outcome, step.code


def test_a_grant_and_a_chain_hold(maker: samples.Maker) -> None:
    assert judged(maker, [grant(HEAD, DEPUTY, Form.KT)]) == (Outcome.PASSED, "authority-holds")
    assert judged(maker, passed_on()) == (Outcome.PASSED, "authority-holds")
    assert judged(maker, [grant(HEAD, DEPUTY, Form.KT, types=())], type_name="Quyết định")[0] is Outcome.PASSED
    assert authority_step(maker.receipt(), METADATA, samples.NOW, {}.__getitem__) is None


@pytest.mark.parametrize(
    ("chain", "code"),
    [
        (lambda: [grant(HEAD, UNIT, Form.KT)], "authority-other-person"),
        (lambda: passed_on({"parent": ""}), "authority-other-person"),
        (lambda: passed_on(above={"holder": HEAD}), "authority-other-person"),
        (lambda: [grant(UNIT, DEPUTY, Form.KT), grant(HEAD, UNIT, Form.TL)], "authority-other-person"),
        (lambda: passed_on()[:1], "authority-other-person"),
        # AUT-3: a TUQ. goes no further, whatever hangs on it.
        (lambda: passed_on(above={"form": Form.TUQ}), "authority-other-person"),
        (lambda: [grant(HEAD, DEPUTY, Form.KT, organisation="X02")], "authority-other-person"),
        (lambda: [grant(HEAD, DEPUTY, Form.KT, types=("Quyết định",))], "authority-out-of-scope"),
        (lambda: [grant(HEAD, DEPUTY, Form.KT, urgency=1)], "authority-out-of-scope"),
        (lambda: passed_on(above={"urgency": 1}), "authority-out-of-scope"),
        (lambda: [grant(HEAD, DEPUTY, Form.KT, not_before=samples.NOW + 1_000_000)], "authority-other-time"),
    ],
)  # fmt: skip
def test_what_does_not_fit_fails(maker: samples.Maker, chain: Callable[[], Chain], code: str) -> None:
    assert judged(maker, chain()) == (Outcome.FAILED, code)


def test_a_text_that_was_replaced_is_not_judged_by_the_metadata_of_its_successor(maker: samples.Maker) -> None:
    chain = [grant(HEAD, DEPUTY, Form.KT, urgency=1)]
    receipt = maker.receipt(named={"authority": "KT", "authority_grant": chain[0][2]})
    known = [ContentsRevision("a.pdf", receipt.revision, None, "signature", 1, "")]
    after = [*known, ContentsRevision("b.pdf", "0" * 64, None, "replacement", 2, "")]
    for revisions, code in ((known, "authority-out-of-scope"), (after, "authority-of-replaced")):
        contents = Contents(1, samples.DOCUMENT, revisions[-1].sha256, "in_review", "", METADATA, [], revisions, [], [])
        metadata = metadata_of(contents, receipt.revision)
        step = authority_step(receipt, metadata, samples.NOW, files(chain).__getitem__)
        assert step is not None
        assert step.code == code
    assert step.outcome is Outcome.PASSED


def test_a_time_that_is_not_proven_is_left_open(maker: samples.Maker) -> None:
    ended = [grant(HEAD, DEPUTY, Form.KT, not_after=samples.NOW)]
    assert judged(maker, ended) == (Outcome.UNKNOWN, "authority-other-time")
    assert judged(maker, [grant(HEAD, DEPUTY, Form.KT)], time_us=None) == (Outcome.UNKNOWN, "authority-other-time")


def test_a_time_stamp_cut_to_seconds_stands_for_its_whole_second(maker: samples.Maker) -> None:
    """RFC 3161, 2.4.2: a grant made in the second in which it was signed under does not begin too late."""
    assert samples.NOW % 1_000_000 == 0
    late = [grant(HEAD, DEPUTY, Form.KT, not_before=samples.NOW + 999_999)]
    assert judged(maker, late) == (Outcome.PASSED, "authority-holds")
    assert judged(maker, late, time_us=samples.NOW + 999_999) == (Outcome.PASSED, "authority-holds")
    ending = [grant(HEAD, DEPUTY, Form.KT, not_after=samples.NOW + 500_000)]
    assert judged(maker, ending) == (Outcome.UNKNOWN, "authority-other-time")
    assert judged(maker, ending, time_us=samples.NOW + 499_999) == (Outcome.PASSED, "authority-holds")
    # An authority that says parts of a second is taken at its word.
    assert judged(maker, late, time_us=samples.NOW + 1) == (Outcome.FAILED, "authority-other-time")


def test_another_grant_or_key_is_no_proof(maker: samples.Maker) -> None:
    chain = passed_on()
    kept = files(chain)
    mine, upper = (f"authority/{one[2]}" for one in chain)
    stranger = msgspec.json.encode(public_jwk(device.new_key().public_key()))
    for change in (
        {f"{mine}.jws": kept[f"{upper}.jws"]},
        {f"{mine}.jws": kept[f"{mine}.jws"][:-4] + b"AAAA"},
        {f"{mine}.key.json": stranger},
        {f"{upper}.key.json": b"[]"},
        {f"{upper}.jws": b""},
    ):
        assert judged(maker, chain, kept=kept | change) == (Outcome.FAILED, "authority-not-signed"), change
    for path in kept:
        left = {name: data for name, data in kept.items() if name != path}
        assert judged(maker, chain, kept=left) == (Outcome.FAILED, "authority-not-signed"), path


# -- the pages that were opened ----------------------------------------------------------------------------------------


def opened(maker: samples.Maker, **changes: Any) -> Openings:
    manifest = parse(maker.signed.manifest)
    first = {image.page: image.digest for image in reversed(manifest.images)}
    values: dict[str, Any] = {
        "v": 1, "document": samples.DOCUMENT, "revision": manifest.parent, "person": DEPUTY,  # type: ignore[union-attr]
        "pages": tuple(OpenedPage(page, first[page], "0" * 32, samples.NOW) for page in sorted(first)), **changes,
    }  # fmt: skip
    return Openings(**values)


def pages_judged(maker: samples.Maker, proof: Openings, *, manifest: bytes | None = None) -> tuple[Outcome, str]:
    body = msgspec.json.encode(proof)
    digest = hashlib.sha256(body).hexdigest()
    kept = {f"openings/{digest}.json": body, "signatures/1/manifest.json": manifest or maker.signed.manifest}
    manifests = {hashlib.sha256(maker.signed.manifest).hexdigest(): "signatures/1/manifest.json"}
    step = openings_step(maker.receipt(named={"openings": digest}), manifests, kept.__getitem__)
    assert step is not None
    return step.outcome, step.code


def test_the_list_of_opened_pages_fits_what_was_approved(maker: samples.Maker) -> None:
    good = opened(maker)
    assert pages_judged(maker, good) == (Outcome.PASSED, "openings-whole")
    assert openings_step(maker.receipt(), {}, {}.__getitem__) is None
    change = msgspec.structs.replace
    wrong = "f" * 64
    for bad in (
        opened(maker, person=HEAD),
        opened(maker, document="0" * 32),
        opened(maker, revision=wrong),
        opened(maker, pages=good.pages[:-1]),
        opened(maker, pages=(*good.pages, change(good.pages[0], page=len(good.pages) + 1))),
        opened(maker, pages=()),
    ):
        assert pages_judged(maker, bad) == (Outcome.FAILED, "openings-wrong"), bad
    assert pages_judged(maker, good, manifest=b"{}") == (Outcome.FAILED, "openings-wrong")


def test_an_image_of_a_page_that_the_mark_left_alone_must_be_the_approved_one(maker: samples.Maker) -> None:
    manifest = parse(maker.signed.manifest)
    # As the server makes them: only touched pages are drawn from the prepared file.
    kept = tuple(
        msgspec.structs.replace(image, from_revision=manifest.parent)  # type: ignore[union-attr]
        for image in manifest.images
    )
    body = encode(msgspec.structs.replace(manifest, images=kept))
    good = opened(maker)
    assert pages_judged(maker, good, manifest=body) == (Outcome.PASSED, "openings-whole")
    other = msgspec.structs.replace(good.pages[0], image="f" * 64)
    bad = opened(maker, pages=(other, *good.pages[1:]))
    assert pages_judged(maker, bad, manifest=body) == (Outcome.FAILED, "openings-wrong")
    # On the page of the mark itself the shown image is another than the opened one.
    assert pages_judged(maker, bad) == (Outcome.PASSED, "openings-whole")


# -- the course of handling --------------------------------------------------------------------------------------------


def row(kind: str, place: int, /, **changes: Any) -> dict[str, Any]:
    body = msgspec.json.encode(changes.pop("body", {}))
    values = {
        "kind": kind,
        "id": f"{place:032x}",
        "organisation": "X01",
        "at_us": samples.NOW + place,
        "actor": "system",
        "subject": samples.DOCUMENT,
    }
    return {**values, "body": body, "position": place, **changes}  # fmt: skip


def course(rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """`log.json` and `log-proof.json` of events that are a whole log."""
    key = device.new_key()
    leaves = [
        leaf_bytes(id_=one["id"], **{name: one[name] for name in ("organisation", "at_us", "kind", "actor", "subject", "body")})
        for one in rows
    ]  # fmt: skip
    hashes = [leaf_hash(leaf) for leaf in leaves]
    size = len(hashes)
    head = sign_head(
        key, sequence=1, log_size=size, root=root_of(hashes), row_sum=bytes(32), time_us=samples.NOW + 3_000_000
    )
    proven = [
        ProvenLeaf(b64u(leaf), place, [b64u(step) for step in inclusion_proof(place, size, subtree_of(hashes))])
        for place, leaf in enumerate(leaves)
    ]
    proof = LogProof(v=1, log_size=size, head=head, log_key=samples.jwk(key), leaves=proven)
    return {LOG: as_json(rows, {}), LOG_PROOF: msgspec.json.encode(proof)}  # type: ignore[arg-type]


def record(*packets: ContentsPacket, **changes: Any) -> Contents:
    made = Contents(1, samples.DOCUMENT, "0" * 64, "sealed", "", METADATA, [], [], [], [], packets=list(packets))
    return msgspec.structs.replace(made, **changes)


def sent(digest: str) -> ContentsPacket:
    return ContentsPacket(what="edoc", way="sent", path="packets/01-edoc.edxml", sha256=digest, axis_id="", at="")


def said(contents: Contents, kept: dict[str, bytes]) -> str:
    return log_step(contents, None, kept.__getitem__).code


def test_the_packet_of_a_record_is_one_that_the_log_names() -> None:
    """A packet that waited while two of its receivers merged is written anew, and its event says so."""
    rows = [row("exchange.packet_built", 0, body={"packet": "a" * 64, "revision": "0" * 64})]
    assert said(record(sent("a" * 64)), course(rows)) == "record-log-proven"
    assert said(record(sent("b" * 64)), course(rows)) == "record-log-differs"
    rows.append(row("exchange.readdressed", 1, body={"packet": "b" * 64, "receivers": {"X02": "X03"}}))
    assert said(record(sent("b" * 64)), course(rows)) == "record-log-proven"


def test_the_course_of_another_document_or_none_is_not_this_one() -> None:
    rows = [row("document.received", 0), row("document.signed", 1)]
    assert said(record(), course(rows)) == "record-log-proven"
    assert said(record(document="0" * 32), course(rows)) == "record-log-differs"
    assert said(record(), course([*rows, row("document.sealed", 2, subject="0" * 32)])) == "record-log-differs"
    assert said(record(), course([*rows, row("document.sealed", 2, organisation="X02")])) == "record-log-differs"
    kept = course(rows)
    proof = msgspec.json.decode(kept[LOG_PROOF], type=LogProof)
    for leaves, chosen, code in (([], [], "differs"), (proof.leaves[:1] * 2, rows[:1] * 2, "wrong")):
        fewer = msgspec.json.encode(msgspec.structs.replace(proof, leaves=leaves))
        found = said(record(), {LOG: as_json(chosen, {}), LOG_PROOF: fewer})  # type: ignore[arg-type]
        assert found == f"record-log-{code}", chosen


def test_the_event_of_a_receipt_is_not_left_out_of_the_course(maker: samples.Maker) -> None:
    receipt = maker.receipt()
    kept = course([row("document.received", 0)])
    found = lacking_step(receipt, kept.__getitem__)
    assert found is not None
    assert (found.outcome, found.code) == (Outcome.FAILED, "record-log-lacks")
    proof = msgspec.json.decode(kept[LOG_PROOF], type=LogProof)
    whole = msgspec.structs.replace(proof, leaves=[*proof.leaves, ProvenLeaf(receipt.leaf, 1, [])])
    assert lacking_step(receipt, {LOG_PROOF: msgspec.json.encode(whole)}.__getitem__) is None
    none: dict[str, bytes] = {}
    assert lacking_step(receipt, none.__getitem__) is None
