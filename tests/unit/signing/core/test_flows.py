"""What honest people do: change a PIN, add a phone, hand over the seal, freeze, lock, forget, restore from a backup."""

# ruff: noqa: ASYNC110 - what is waited for happens in another process

import asyncio
import hashlib
import shutil
import threading

import msgspec
import pytest
import pytest_asyncio

from signing import device, offline
from signing.client import ActivationState, KeyType, Kind, SignerClient, VoucherKind
from signing.core import daemon, heads
from signing.core.activation import Limits
from signing.core.clock import SignerClock
from signing.core.errors import (
    Busy,
    ChallengeUsed,
    Ended,
    Frozen,
    Locked,
    PinForbidden,
    Suspended,
    Unavailable,
    Void,
    VoucherInvalid,
    VoucherSpent,
    WrongPin,
)
from signing.core.log import leaf_hash, verify_head
from signing.core.service import RESULT_LIFE_US, Service
from signing.core.store import Store
from signing.proofs import root_of
from tests.fakes.phone import Phone, item
from tests.fakes.signer import ORGANISATION, SignerHost, enrol, now_us, sign

DIGEST = hashlib.sha256(b"a document").digest()


async def approve(client, phone, **options):
    grant = await client.challenge(phone.credential, phone.device)
    return phone.approve(grant, now_us=now_us(), **options)


async def events(client):
    return [msgspec.json.decode(event) for event in (await client.log_events(0)).events]


@pytest.mark.asyncio
async def test_change_pin(client, host, officer):
    phone = await enrol(host, client, officer)
    with pytest.raises(PinForbidden):
        await client.change_pin(*await approve(client, phone, kind=Kind.CHANGE_PIN, new_pin="121212"))
    assert (await client.status(phone.credential)).holders[0].tries_left == 3
    with pytest.raises(WrongPin):
        await client.change_pin(*await approve(client, phone, kind=Kind.CHANGE_PIN, pin="905173", new_pin="730592"))
    await client.change_pin(*await approve(client, phone, kind=Kind.CHANGE_PIN, new_pin="730592"))
    with pytest.raises(WrongPin) as wrong:
        await sign(client, phone, DIGEST)
    assert wrong.value.tries_left == 2
    assert len((await sign(client, phone, DIGEST, pin="730592")).signatures) == 1
    assert (await client.status(phone.credential)).holders[0].tries_left == 3


@pytest.mark.asyncio
async def test_add_a_device_after_losing_the_only_phone(client, host, officer):
    phone = await enrol(host, client, officer)
    await client.revoke_device(phone.credential, phone.device)
    fresh = Phone(ORGANISATION, phone.person, host.identity, credential=phone.credential)
    voucher = officer.voucher(VoucherKind.ADD_DEVICE, fresh, now_us=now_us())
    with pytest.raises(WrongPin):  # a wrong PIN costs no second trip to the officer
        await client.add_device(
            *await approve(client, fresh, kind=Kind.ADD_DEVICE, pin="905173", voucher=voucher), voucher
        )
    await client.add_device(*await approve(client, fresh, kind=Kind.ADD_DEVICE, voucher=voucher), voucher)
    assert len((await sign(client, fresh, DIGEST)).signatures) == 1
    with pytest.raises(VoucherSpent):
        await client.add_device(*await approve(client, fresh, kind=Kind.ADD_DEVICE, voucher=voucher), voucher)


@pytest.mark.asyncio
async def test_hand_the_seal_to_a_second_clerk(client, host, officer):
    first = await enrol(host, client, officer, "clerk-1", key_type=KeyType.RSA3072)
    second = Phone(ORGANISATION, "clerk-2", host.identity, credential=first.credential, pin="730592")
    voucher = officer.voucher(VoucherKind.ADD_HOLDER, second, now_us=now_us())
    join, join_sealed = second.join(await client.sealing_key(), voucher, now_us=now_us())
    weak_join, weak_sealed = second.join(await client.sealing_key(), voucher, now_us=now_us(), pin="111111")
    approval = await approve(client, first, kind=Kind.ADD_HOLDER, voucher=voucher)
    with pytest.raises(PinForbidden):
        await client.add_holder(*approval, voucher, weak_join, weak_sealed)
    assert (await client.status(first.credential)).holders[0].tries_left == 3
    await client.add_holder(*approval, voucher, join, join_sealed)
    a, b = await sign(client, first, DIGEST), await sign(client, second, DIGEST)
    assert a.certificate == b.certificate
    with pytest.raises(WrongPin):
        await sign(client, second, DIGEST, pin=first.pin)
    status = await client.status(first.credential)
    assert {holder.person: holder.tries_left for holder in status.holders} == {"clerk-1": 3, "clerk-2": 2}
    assert [event["person"] for event in await events(client) if event["event"] == "signed"] == [
        "clerk-1",
        "clerk-1",
        "clerk-2",
    ]


@pytest.mark.asyncio
async def test_three_wrong_pins_lock_and_the_right_one_is_refused_then(client, host, officer):
    phone = await enrol(host, client, officer)
    left = []
    for _ in range(3):
        with pytest.raises(WrongPin) as wrong:
            await sign(client, phone, DIGEST, pin="905173")
        left.append(wrong.value.tries_left)
    assert left == [2, 1, 0]
    assert wrong.value.locked_until_us > now_us() + 2.9 * 3600e6
    with pytest.raises(Locked):
        await sign(client, phone, DIGEST)
    host.stop()
    host.start()
    with pytest.raises(Locked):
        await sign(client, phone, DIGEST)


@pytest.mark.asyncio
async def test_after_the_last_try_the_envelope_is_gone_from_the_files(tmp_path):
    host = SignerHost(tmp_path / "h")
    host.config_path.write_text(host.config_path.read_text() + "\n[pin]\ntries = [2]\nlock_s = []\n")
    host.start()
    client, officer = host.client(), host.officer()
    phone = await enrol(host, client, officer)
    import sqlite3

    with sqlite3.connect(f"file:{host.database}?mode=ro", uri=True) as database:
        envelope = database.execute("SELECT envelope FROM holder").fetchone()[0]
    database.close()
    sealed = msgspec.msgpack.decode(envelope)["sealed"]
    for _ in range(2):
        with pytest.raises(WrongPin):
            await sign(client, phone, DIGEST, pin="905173")
    with pytest.raises(Ended):
        await sign(client, phone, DIGEST)
    await client.close()
    assert host.stop() == 0
    remains = b"".join(path.read_bytes() for path in host.database.parent.glob("signer.db*"))
    assert sealed not in remains


@pytest.mark.asyncio
async def test_freeze_stops_and_unfreeze_resumes(client, host, officer):
    phone = await enrol(host, client, officer)
    await client.freeze(phone.credential)
    with pytest.raises(Frozen):
        await sign(client, phone, DIGEST)
    await client.unfreeze(phone.credential)
    assert (await sign(client, phone, DIGEST)).signatures


@pytest.mark.asyncio
async def test_500_parallel_uses_of_one_approval_make_one_signature(client, host, officer):
    """A10."""
    phone = await enrol(host, client, officer)
    approval, sealed = await approve(client, phone, items=[item(DIGEST)])
    outcomes = await asyncio.gather(*(client.activate(approval, sealed) for _ in range(500)), return_exceptions=True)
    signed = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(signed) == 1
    assert all(isinstance(outcome, ChallengeUsed | Busy) for outcome in outcomes if outcome is not signed[0])
    assert [event["event"] for event in await events(client)].count("signed") == 1
    assert (await client.result(signed[0].challenge)).activation == signed[0]


@pytest.mark.asyncio
async def test_renewal_keeps_key_and_subject(client, host, officer):
    phone = await enrol(host, client, officer)
    old = (await client.status(phone.credential)).certificate
    await client.import_certificate(
        phone.credential, host.authority.answer((await client.status(phone.credential)).csr)
    )
    activation = await sign(client, phone, DIGEST)
    assert activation.certificate != old


@pytest.mark.asyncio
async def test_the_log_is_what_the_head_signs(client, host, officer):
    phone = await enrol(host, client, officer)
    await sign(client, phone, DIGEST)
    answer = await client.log_head()
    assert device.thumbprint(answer.identity) == host.identity
    head = verify_head(answer.head, answer.identity)
    leaves = (await client.log_events(0)).events
    assert head.log_size == len(leaves)
    assert device.b64u(root_of([leaf_hash(leaf) for leaf in leaves])) == head.root
    copy, bodies = (host.base / "head" / "log.copy").read_bytes(), []
    while length := int.from_bytes(copy[:4], "big"):
        bodies.append(copy[4 : 4 + length])
        copy = copy[4 + length :]
    assert tuple(bodies) == leaves


@pytest.mark.asyncio
async def test_a_legitimate_restore_needs_two_officers_and_suspends_everybody(client, host, officer):
    phone = await enrol(host, client, officer)
    second = host.officer()
    host.stop()
    shutil.copytree(host.base / "state", host.base / "backup")
    host.start()
    await sign(client, phone, DIGEST)
    host.stop()
    shutil.rmtree(host.base / "state")
    shutil.copytree(host.base / "backup", host.base / "state")
    with pytest.raises(RuntimeError, match="rolled-back"):
        host.start()
    head, sequence, root = offline.describe_restore(host.config)
    order, again = (
        device.restore_jws(each.key, old_head=head, sequence=sequence, root=root) for each in (officer, second)
    )
    wrong = device.restore_jws(second.key, old_head=head, sequence=sequence + 1, root=root)
    for orders in ([order], [order, order], [order, wrong]):
        with pytest.raises(VoucherInvalid):
            offline.accept_restore(host.config, orders)
    offline.accept_restore(host.config, [order, again])
    host.start()
    with pytest.raises(Suspended):
        await sign(client, phone, DIGEST)
    voucher = officer.voucher(VoucherKind.REACTIVATE, phone, now_us=now_us())
    await client.reactivate(voucher)
    assert (await sign(client, phone, DIGEST)).signatures
    with pytest.raises(VoucherSpent):
        await client.reactivate(voucher)
    host.stop()
    host.start()


@pytest.mark.asyncio
async def test_an_activation_ends_although_its_caller_has_gone(client, host, officer):
    phone = await enrol(host, client, officer)
    approval, sealed = await approve(client, phone, items=[item(DIGEST)])
    challenge = msgspec.json.decode(device.unb64u(approval.split(".")[1]))["challenge"]
    task = asyncio.ensure_future(client.activate(approval, sealed))
    while (await client.result(challenge)).state is ActivationState.UNKNOWN:
        await asyncio.sleep(0)  # the process beside us cannot set an event of ours
    task.cancel()
    while (outcome := await client.result(challenge)).state is ActivationState.RUNNING:
        await asyncio.sleep(0.001)
    assert outcome.state is ActivationState.SIGNED


class InProcess(SignerClient):
    """The service without its socket, for faults that a test injects into its own process."""

    def __init__(self, service):
        super().__init__("/nowhere")
        self._service = service

    async def _call(self, request, type_):
        return await self._service.handle(request)


@pytest_asyncio.fixture
async def inside(tmp_path):
    host = SignerHost(tmp_path / "h")
    config, keys = host.config, daemon.Keys(host.config.folder("keys"))
    store = Store.open(tmp_path / "h/state", tmp_path / "h/head", keys.row_key, keys.identity)
    clock = SignerClock(store.time_us)
    service = Service(store, keys, daemon.trust(config), Limits(config.pin, config.argon, 4), clock)
    await service.start()
    client = InProcess(service)
    phone = await enrol(host, client, host.officer())
    yield client, phone, service, store
    await service.stop()


@pytest.mark.asyncio
async def test_without_the_head_volume_nothing_is_signed_and_nothing_more_is_charged(inside, monkeypatch):
    """A15: no record, no operation."""
    client, phone, _, store = inside

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(heads.os, "fdatasync", full)
        with pytest.raises(Unavailable):
            await sign(client, phone, DIGEST)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await sign(client, phone, DIGEST)
    assert (await client.status(phone.credential)).holders[0].tries_left == 2  # the one whose verdict nobody used
    assert (await sign(client, phone, DIGEST)).signatures
    names = [event["event"] for event in await events(client)]
    assert names.count("charged") == names.count("signed") + 1 == 2
    head = verify_head(store.heads.current, (await client.log_head()).identity)
    assert head.log_size == len(names)


@pytest.mark.asyncio
async def test_a_result_gives_no_signature_whose_head_is_not_written(inside, monkeypatch):
    """A5: G3 is committed, the other volume fails: neither the answer nor `result` hands the signature out before."""
    client, phone, service, _ = inside
    use = service.activations._use

    def full(_):
        raise OSError(28, "No space left on device")

    def then_full(*arguments):
        effect = use(*arguments)
        monkeypatch.setattr(heads.os, "fdatasync", full)
        return effect

    monkeypatch.setattr(service.activations, "_use", then_full)
    approval, sealed = await approve(client, phone, items=[item(DIGEST)])
    challenge = msgspec.json.decode(device.unb64u(approval.split(".")[1]))["challenge"]
    with pytest.raises(Unavailable):
        await client.activate(approval, sealed)
    with pytest.raises(Unavailable):
        await client.result(challenge)
    monkeypatch.undo()
    assert (await client.result(challenge)).activation.signatures


@pytest.mark.asyncio
async def test_an_event_that_cannot_be_written_undoes_its_operation(inside):
    """A15: a trigger refuses one credential's events; the same group's other members go through."""
    client, phone, _, store = inside
    refusing = "CREATE TRIGGER refuse BEFORE INSERT ON event WHEN instr(NEW.body, 'frozen') BEGIN SELECT RAISE(ABORT, 'x'); END"
    await asyncio.to_thread(store.write, lambda _: store.connection.execute(refusing))
    results = await asyncio.gather(client.freeze(phone.credential), sign(client, phone, DIGEST), return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert results[1].signatures
    assert not (await client.status(phone.credential)).frozen


@pytest.mark.asyncio
async def test_a_full_queue_is_busy_and_charges_nothing(inside, monkeypatch):
    client, phone, service, _ = inside
    use, gate = service.activations._use, threading.Event()

    def slow(*arguments):
        gate.wait(60)
        return use(*arguments)

    monkeypatch.setattr(service.activations, "_use", slow)
    approvals = [await approve(client, phone, items=[item(DIGEST)]) for _ in range(12)]
    refused = 0
    for answered in asyncio.as_completed([client.activate(*each) for each in approvals], timeout=60):
        try:
            await answered
        except Busy:
            refused += 1
        # One holds the place until all the others were answered.
        if refused == 11:
            gate.set()
    assert refused == 11
    assert (await client.status(phone.credential)).holders[0].tries_left == 3


@pytest.mark.asyncio
async def test_a_revoked_phone_or_a_frozen_credential_stops_what_runs(inside, monkeypatch):
    """Between G1 and G3: the signatures are dropped, the tries stay reset."""
    client, phone, service, _ = inside
    use = service.activations._use
    gate, entered = threading.Event(), threading.Event()

    def slow(*arguments):
        entered.set()
        gate.wait(20)
        return use(*arguments)

    monkeypatch.setattr(service.activations, "_use", slow)
    approval, sealed = await approve(client, phone, items=[item(DIGEST)])
    running = asyncio.ensure_future(client.activate(approval, sealed))
    await asyncio.to_thread(entered.wait, 20)
    await client.revoke_device(phone.credential, phone.device)
    gate.set()
    with pytest.raises(Void):
        await running
    challenge = msgspec.json.decode(device.unb64u(approval.split(".")[1]))["challenge"]
    assert (await client.result(challenge)).state is ActivationState.VOID
    assert (await client.status(phone.credential)).holders[0].tries_left == 3
    assert "signed" not in [event["event"] for event in await events(client)]


@pytest.mark.asyncio
async def test_results_are_forgotten_after_their_time_and_the_log_keeps_them(inside, monkeypatch):
    client, phone, service, _ = inside
    activation = await sign(client, phone, DIGEST)
    await service.prune()
    assert (await client.result(activation.challenge)).state is ActivationState.SIGNED
    later = now_us() + RESULT_LIFE_US + 60_000_000
    monkeypatch.setattr(service._clock, "now_us", lambda: later)
    await service.prune()
    assert (await client.result(activation.challenge)).state is ActivationState.UNKNOWN
    assert [event["event"] for event in await events(client)][-1] == "signed"


@pytest.mark.asyncio
async def test_no_signer_is_unavailable(tmp_path):
    host = SignerHost(tmp_path / "h")
    with pytest.raises(Unavailable):
        await host.client().sealing_key()
