"""The server on the socket is the enemy: 0 signatures, 0 tries charged without an approval key.

Longer than most: one attack a test, over one signer.
"""

import hashlib
import shutil
from contextlib import asynccontextmanager

import msgspec
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signing import device, offline
from signing.client import ActivationState, KeyType, Kind, VoucherKind, cms
from signing.core import wire
from signing.core.codec import b64u, sign_jws, unb64u
from signing.core.errors import (
    ApprovalInvalid,
    CertificateRefused,
    ChallengeExpired,
    ChallengeUsed,
    CredentialExists,
    DeviceRevoked,
    KindRefused,
    MalformedRequest,
    OrganisationRefused,
    PinMalformed,
    SignerError,
    UnknownCredential,
    UnknownDevice,
    VoucherInvalid,
    VoucherSpent,
)
from signing.core.model import APPROVAL_TYP, Approval, Item
from tests.fakes.phone import Officer, Phone, item
from tests.fakes.signer import ORGANISATION, OTHER_ORGANISATION, SignerHost, TestAuthority, enrol, now_us, sign

DIGEST = hashlib.sha256(b"a document").digest()
OTHER = hashlib.sha256(b"another document").digest()


@pytest.fixture
def officer(host):
    return host.officer(ORGANISATION)


@pytest_asyncio.fixture
async def scene(host, client, officer):
    """A client, a victim's phone, and a check that nothing was signed or charged."""
    victim = await enrol(host, client, officer)

    @asynccontextmanager
    async def untouched():
        before = await client.status(victim.credential)
        yield
        after = await client.status(victim.credential)
        assert after.holders[0].tries_left == before.holders[0].tries_left == 3
        names = [msgspec.json.decode(event)["event"] for event in (await client.log_events(0)).events]
        assert "charged" not in names
        assert "signed" not in names

    return client, victim, untouched


async def grant_for(client, phone):
    return await client.challenge(phone.credential, phone.device)


@pytest.mark.asyncio
async def test_own_device_key(scene):
    client, victim, untouched = scene
    own = Phone(ORGANISATION, victim.person, victim.identity, credential=victim.credential)
    async with untouched():
        with pytest.raises(UnknownDevice):
            await sign(client, own, DIGEST)


@pytest.mark.asyncio
async def test_own_key_under_the_victims_name(scene):
    client, victim, untouched = scene
    own = Phone(ORGANISATION, victim.person, victim.identity, credential=victim.credential)
    grant = await grant_for(client, victim)
    _, sealed = own.approve(grant, [item(DIGEST)], now_us=now_us())
    claim = Approval(
        v=1, kind=Kind.DOCUMENT, challenge=grant.challenge, organisation=ORGANISATION, credential=victim.credential,
        device=victim.device, items=(item(DIGEST),), pin_sha256=device.digest(sealed), voucher_sha256="",
    )  # fmt: skip
    honest = sign_jws(claim, APPROVAL_TYP, own.key)
    header = device.approval_jws(
        victim.key, kind=Kind.DOCUMENT, challenge=grant.challenge, organisation=ORGANISATION, credential=victim.credential,
        sealed_pin=sealed, items=[item(OTHER)],
    ).split(".")[0]  # fmt: skip
    forged = ".".join([header, *honest.split(".")[1:]])
    async with untouched():
        for approval in (honest, forged):
            with pytest.raises(ApprovalInvalid):
                await client.activate(approval, sealed)


@pytest.mark.asyncio
async def test_swapped_credential_and_tenant(host, officer, scene):
    client, victim, untouched = scene
    other_officer = host.officer(OTHER_ORGANISATION)
    mine = await enrol(host, client, other_officer, "insider", organisation=OTHER_ORGANISATION)
    async with untouched():
        for organisation, credential, error in (
            (OTHER_ORGANISATION, victim.credential, OrganisationRefused),
            (ORGANISATION, victim.credential, UnknownDevice),
            (ORGANISATION, mine.credential, OrganisationRefused),
            ("H99.99", mine.credential, OrganisationRefused),
            (OTHER_ORGANISATION, device.new_credential_id(), UnknownCredential),
        ):
            swapped = Phone(organisation, mine.person, host.identity, credential=credential, key=mine.key)
            with pytest.raises(error):
                await sign(client, swapped, DIGEST)


@pytest.mark.asyncio
async def test_forged_reused_foreign_and_stale_vouchers(host, officer, scene):
    client, victim, untouched = scene
    stranger = Officer((ORGANISATION,))
    other_officer = host.officer(OTHER_ORGANISATION)

    async def attempt(signer, phone, **options):
        voucher = signer.voucher(VoucherKind.ENROL, phone, **({"now_us": now_us()} | options))
        join, sealed = phone.join(await client.sealing_key(), voucher, now_us=now_us())
        return voucher, await client.enrol(voucher, join, sealed)

    async with untouched():
        fresh = Phone(ORGANISATION, "new", host.identity)
        for signer, options, error in (
            (stranger, {}, VoucherInvalid),
            (other_officer, {}, OrganisationRefused),
            (officer, {"organisation": "H99.99"}, OrganisationRefused),
            (officer, {"now_us": now_us() - 2 * 3_600_000_000}, VoucherInvalid),
            (officer, {"life_us": 9 * 86_400_000_000}, VoucherInvalid),
            (officer, {"subject": "not a name"}, VoucherInvalid),
        ):
            with pytest.raises(error):
                await attempt(signer, fresh, **options)
        voucher, _ = await attempt(officer, fresh)
        join, sealed = fresh.join(await client.sealing_key(), voucher, now_us=now_us())
        with pytest.raises(VoucherSpent):
            await client.enrol(voucher, join, sealed)  # another sealed PIN under the same voucher
        taken = Phone(ORGANISATION, "thief", host.identity, credential=victim.credential)
        with pytest.raises(CredentialExists):
            await attempt(officer, taken)
        tampered = voucher.split(".")
        claim = msgspec.json.decode(unb64u(tampered[1])) | {"person": "thief"}
        forged = ".".join([tampered[0], b64u(msgspec.json.encode(claim)), tampered[2]])
        with pytest.raises(VoucherInvalid):
            await client.enrol(forged, join, sealed)


@pytest.mark.asyncio
async def test_the_server_cannot_seal_a_first_pin_of_its_own(host, officer, scene):
    client, _, _ = scene
    person = Phone(ORGANISATION, "new", host.identity)
    voucher = officer.voucher(VoucherKind.ENROL, person, now_us=now_us())
    grant = await client.sealing_key()
    join, sealed = person.join(grant, voucher, now_us=now_us())
    own = Phone(ORGANISATION, "new", host.identity, credential=person.credential, pin="918273")
    own_join, own_sealed = own.join(grant, voucher, now_us=now_us())
    for attempt in ((own_join, own_sealed), (join, own_sealed), (own_join, sealed)):
        with pytest.raises(ApprovalInvalid):
            await client.enrol(voucher, *attempt)
    await client.enrol(voucher, join, sealed)


@pytest.mark.asyncio
async def test_the_same_voucher_and_join_return_the_same_request(host, officer, scene):
    client, _, _ = scene
    person = Phone(ORGANISATION, "new", host.identity)
    voucher = officer.voucher(VoucherKind.ENROL, person, now_us=now_us())
    join, sealed = person.join(await client.sealing_key(), voucher, now_us=now_us())
    assert await client.enrol(voucher, join, sealed) == await client.enrol(voucher, join, sealed)


@pytest.mark.asyncio
async def test_replayed_blob_under_a_new_challenge(scene):
    client, victim, _ = scene
    old = await grant_for(client, victim)
    _, sealed = victim.approve(old, [item(DIGEST)], now_us=now_us())
    new = await grant_for(client, victim)
    # The victim's own key signs here: even then a blob sealed for another challenge does not open, and nothing is charged.
    approval = device.approval_jws(
        victim.key, kind=Kind.DOCUMENT, challenge=new.challenge, organisation=ORGANISATION, credential=victim.credential,
        sealed_pin=sealed, items=[item(DIGEST)],
    )  # fmt: skip
    with pytest.raises(PinMalformed):
        await client.activate(approval, sealed)
    assert (await client.status(victim.credential)).holders[0].tries_left == 3


@pytest.mark.asyncio
async def test_replayed_approval_before_and_after_a_restart(host, scene):
    client, victim, _ = scene
    approval, sealed = victim.approve(await grant_for(client, victim), [item(DIGEST)], now_us=now_us())
    await client.activate(approval, sealed)
    with pytest.raises(ChallengeUsed) as caught:
        await client.activate(approval, sealed)
    assert caught.value.fields["state"] == "signed"
    host.stop()
    host.start()
    with pytest.raises(ChallengeUsed):
        await client.activate(approval, sealed)
    events = [msgspec.json.decode(event)["event"] for event in (await client.log_events(0)).events]
    assert events.count("signed") == 1


@pytest.mark.asyncio
async def test_kinds_are_never_interchangeable(host, officer, scene):
    client, victim, untouched = scene
    second = Phone(ORGANISATION, victim.person, host.identity, credential=victim.credential)
    enrol_voucher = officer.voucher(VoucherKind.ENROL, second, now_us=now_us())
    async with untouched():
        document, sealed = victim.approve(await grant_for(client, victim), [item(DIGEST)], now_us=now_us())
        with pytest.raises(KindRefused):
            await client.change_pin(document, sealed)
        change, both = victim.approve(
            await grant_for(client, victim), kind=Kind.CHANGE_PIN, new_pin="730592", now_us=now_us()
        )
        with pytest.raises(KindRefused):
            await client.activate(change, both)
        add, sealed = second.approve(
            await grant_for(client, second), kind=Kind.ADD_DEVICE, voucher=enrol_voucher, now_us=now_us()
        )
        with pytest.raises(KindRefused):
            await client.add_device(add, sealed, enrol_voucher)
        join, sealed = second.join(await client.sealing_key(), enrol_voucher, now_us=now_us())
        with pytest.raises((KindRefused, ApprovalInvalid)):
            await client.activate(join, sealed)
        for voucher_kind in (VoucherKind.ADD_DEVICE, VoucherKind.ADD_HOLDER, VoucherKind.REACTIVATE):
            voucher = officer.voucher(voucher_kind, second, now_us=now_us())
            join, sealed = second.join(await client.sealing_key(), voucher, now_us=now_us())
            with pytest.raises(KindRefused):
                await client.enrol(voucher, join, sealed)
        with pytest.raises(KindRefused):
            await client.reactivate(enrol_voucher)


@pytest.mark.asyncio
async def test_a_raw_hash_is_not_a_document(scene):
    client, victim, untouched = scene
    async with untouched():
        raw, sealed = victim.approve(
            await grant_for(client, victim), [item(DIGEST)], kind=Kind.RAW_HASH, now_us=now_us()
        )
        with pytest.raises(KindRefused):
            await client.activate(raw, sealed)
        with pytest.raises(KindRefused):
            await client._activate(wire.ActivateRequest("raw_hash", raw, sealed))


@pytest.mark.asyncio
async def test_changed_order_and_content_of_items(scene):
    client, victim, untouched = scene
    approval, sealed = victim.approve(await grant_for(client, victim), [item(DIGEST), item(OTHER)], now_us=now_us())
    head, payload, signature = approval.split(".")
    claim = msgspec.json.decode(unb64u(payload), type=Approval)
    async with untouched():
        for items in (
            claim.items[::-1],
            claim.items[:1],
            (*claim.items, item(bytes(32))),
            (Item(tbs=claim.items[0].tbs, manifest=claim.items[1].tbs), claim.items[1]),
            (),
        ):
            changed = b64u(msgspec.json.encode(msgspec.structs.replace(claim, items=items)))
            with pytest.raises(ApprovalInvalid):
                await client.activate(f"{head}.{changed}.{signature}", sealed)
        longer_head = b64u(unb64u(head)[:-1] + b',"x":1}')
        for text in (  # other encodings of the same content, signed parts kept
            f"{head}.{b64u(unb64u(payload) + b' ')}.{signature}",
            f"{head}.{payload}=.{signature}",
            f"{head}.{payload}.{signature[:-1]}",
            f"{longer_head}.{payload}.{signature}",
        ):
            with pytest.raises(ApprovalInvalid):
                await client.activate(text, sealed)
    activation = await client.activate(approval, sealed)
    assert [each.tbs for each in activation.signatures] == [DIGEST, OTHER]


@pytest.mark.asyncio
async def test_expired_forged_and_foreign_challenge(host, officer, scene):
    client, victim, untouched = scene
    other = await enrol(host, client, officer, "person-2")
    grant = await grant_for(client, victim)
    raw = unb64u(grant.challenge)
    late = (int.from_bytes(raw[:8], "big") - 121_000_000).to_bytes(8, "big") + raw[8:]
    for challenge, error in (
        (b64u(late), ApprovalInvalid),  # its time is authenticated, so an old one cannot be made younger or older
        (b64u(raw[:16] + bytes(16)), ApprovalInvalid),
        ((await grant_for(client, other)).challenge, ApprovalInvalid),
    ):
        approval, sealed = victim.approve(
            msgspec.structs.replace(grant, challenge=challenge), [item(DIGEST)], now_us=now_us()
        )
        async with untouched():
            with pytest.raises(error):
                await client.activate(approval, sealed)


def test_a_challenge_lives_120_seconds_by_the_signers_clock():
    from signing.core.keys import Challenges

    challenges = Challenges(b"k" * 32)
    challenge = challenges.issue("c", "d", 10**15)
    challenges.check(challenge, "c", "d", 10**15 + 119_999_999)
    for now in (10**15 + 120_000_000, 10**15 - 1):
        with pytest.raises(ChallengeExpired):
            challenges.check(challenge, "c", "d", now)


@pytest.mark.asyncio
async def test_a_restored_store_is_refused(host, scene):
    client, victim, _ = scene
    host.stop()
    shutil.copytree(host.base / "state", host.base / "old")
    host.start()
    with pytest.raises(SignerError):
        await sign(client, victim, DIGEST, pin="000111")
    host.stop()
    shutil.rmtree(host.base / "state")
    shutil.copytree(host.base / "old", host.base / "state")
    with pytest.raises(RuntimeError, match="rolled-back"):
        host.start()


@pytest.mark.asyncio
async def test_import_refuses_other_subject_key_chain_and_dates(host, officer, scene):
    client, victim, _ = scene
    person = await enrol(host, client, officer, "new", certified=False)
    request = x509.load_der_x509_csr((await client.status(person.credential)).csr)
    other = x509.load_der_x509_csr((await client.status(victim.credential)).csr)
    authority, der = host.authority, Encoding.DER
    cases = {
        "subject": authority.issue(other.subject, request.public_key()),
        "key": authority.issue(request.subject, other.public_key()),
        "dates": authority.issue(request.subject, request.public_key(), days=0),
        "chain": TestAuthority("Test Root").issue(request.subject, request.public_key()),
        "usage": authority.issue(request.subject, request.public_key(), ca=True),
    }
    for reason, certificate in cases.items():
        with pytest.raises(CertificateRefused) as caught:
            await client.import_certificate(person.credential, certificate.public_bytes(der))
        assert caught.value.fields["reason"] == reason
    with pytest.raises(CertificateRefused):
        await client.import_certificate(person.credential, b"\x30\x00")
    with pytest.raises(SignerError, match="certificate-missing"):
        await sign(client, person, DIGEST)
    spki = request.public_key().public_bytes(der, PublicFormat.SubjectPublicKeyInfo)
    assert spki in (await client.status(person.credential)).csr


@pytest.mark.asyncio
async def test_a_revoked_key_is_never_admitted_again(host, officer, scene):
    client, victim, _ = scene
    await client.revoke_device(victim.credential, victim.device)
    with pytest.raises(DeviceRevoked):
        await sign(client, victim, DIGEST)
    voucher = officer.voucher(VoucherKind.ADD_DEVICE, victim, now_us=now_us())
    approval, sealed = victim.approve(
        await grant_for(client, victim), kind=Kind.ADD_DEVICE, voucher=voucher, now_us=now_us()
    )
    with pytest.raises(DeviceRevoked):
        await client.add_device(approval, sealed, voucher)
    elsewhere = Phone(ORGANISATION, victim.person, host.identity, key=victim.key)
    voucher = officer.voucher(VoucherKind.ENROL, elsewhere, now_us=now_us())
    with pytest.raises(DeviceRevoked):
        await client.enrol(voucher, *elsewhere.join(await client.sealing_key(), voucher, now_us=now_us()))


@pytest.mark.asyncio
async def test_fenced_challenges_never_sign(scene):
    client, victim, _ = scene
    approval, sealed = victim.approve(await grant_for(client, victim), [item(DIGEST)], now_us=now_us())
    challenge = msgspec.json.decode(unb64u(approval.split(".")[1]))["challenge"]
    assert (await client.result(challenge)).state is ActivationState.UNKNOWN
    assert (await client.void(challenge)).state is ActivationState.VOID
    with pytest.raises(ChallengeUsed):
        await client.activate(approval, sealed)
    assert (await client.result(challenge)).state is ActivationState.VOID
    signed = await sign(client, victim, DIGEST)
    outcome = await client.void(signed.challenge)
    assert (outcome.state, outcome.activation) == (ActivationState.SIGNED, signed)


@pytest.mark.asyncio
async def test_frames_that_are_no_requests(host, scene):
    import asyncio

    client, victim, untouched = scene
    async with untouched():
        for request in ({"op": "activate"}, {"op": "nothing"}, {"op": "status", "credential": "x", "extra": 1}, 7, b""):
            with pytest.raises(MalformedRequest):
                await client._call(request, dict)
        reader, writer = await asyncio.open_unix_connection(host.base / "s")
        writer.write((1 << 30).to_bytes(4, "big"))
        length = int.from_bytes(await reader.readexactly(4), "big")
        assert b"malformed-request" in await reader.readexactly(length)
        assert await reader.read() == b""
        writer.close()
    await sign(client, victim, DIGEST)


@pytest.mark.asyncio
async def test_another_uid_is_not_served(tmp_path):
    host = SignerHost(tmp_path / "h")
    text = host.config_path.read_text().replace("[argon]", "allowed_uids = [4242]\n[argon]")
    host.config_path.write_text(text)
    host.start()
    with pytest.raises(SignerError, match="does not answer"):
        await host.client().sealing_key()
    assert host.stop() == 0


def test_key_type_names_are_the_wires():
    assert {each.value for each in KeyType} == {"p256", "rsa3072"}


@pytest.mark.asyncio
async def test_one_intermediate_under_a_root_that_allows_it(host, officer, client):
    person = await enrol(host, client, officer, certified=False)
    request = x509.load_der_x509_csr((await client.status(person.credential)).csr)
    deep, flat = TestAuthority("Deep Root", path_length=1), TestAuthority("Flat Root", path_length=0)
    for authority, accepted in ((flat, False), (deep, True)):
        offline.trust_root(host.config, authority.pem(), f"root-{authority.path_length}")
        below = TestAuthority("Issuing CA")
        issuing = authority.issue(below.name, below.key.public_key(), ca=True).public_bytes(Encoding.DER)
        leaf = below.issue(request.subject, request.public_key()).public_bytes(Encoding.DER)
        for chain in ([], [issuing, issuing], [below.root.public_bytes(Encoding.DER)]):
            with pytest.raises(CertificateRefused):
                await client.import_certificate(person.credential, leaf, chain)
        if accepted:
            await client.import_certificate(person.credential, leaf, [issuing])
        else:
            with pytest.raises(CertificateRefused):
                await client.import_certificate(person.credential, leaf, [issuing])
    activation = await sign(client, person, DIGEST)
    assert activation.chain == (issuing,)
    assert issuing in cms(activation)[0]
