"""The stand-in as its own process: durable, and the same wire after kill -9."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from server.exchange import edxml
from server.exchange.axis import Accepted, Refused, SentItem, Unknown, Unreachable, VxpAxis
from server.exchange.forward import Action, Forwarding, Stage, action, after_ask, after_send, delay_us
from server.exchange.model import PacketKind
from tests.unit.server.exchange.samples import make_packet, now_us

EDOC = PacketKind.DOCUMENT


async def started(state):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.exchange.standin", "--port", "0", "--state", str(state),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[4],
    )  # fmt: skip
    line = json.loads(await process.stdout.readline())
    clients = {
        code: VxpAxis(f"http://127.0.0.1:{line['port']}", code, Path(secret), now_us)
        for code, secret in line["secrets"].items()
    }
    return process, clients


@pytest.mark.asyncio
async def test_what_was_accepted_survives_kill_9(tmp_path):
    process, clients = await started(tmp_path / "axis")
    file = edxml.write(make_packet(tmp_path), tmp_path / "p")
    outcome = await clients["X01"].send(EDOC, file.path, "X01", ["X02"])
    assert isinstance(outcome, Accepted)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    for client in clients.values():
        await client.close()

    process, clients = await started(tmp_path / "axis")
    try:
        [item] = await clients["X02"].received(EDOC)
        await clients["X02"].fetch(item.doc_id, tmp_path / "got")
        [sent] = await clients["X01"].sent(EDOC)
        assert (sent.sender_doc_id, sent.receiver_doc_id) == (outcome.doc_id, item.doc_id)
    finally:
        for client in clients.values():
            await client.close()
        process.terminate()
        async with asyncio.timeout(120):
            assert await process.wait() == 0


# -- the pure part of forwarding --


def test_an_interrupted_send_asks_and_waits_before_it_believes_no():
    state = Forwarding(stage=Stage.SENDING, attempts=1)
    assert action(state, 0) is Action.ASK
    state = after_ask(state, (), 1000, settle_us=500, jitter=0)
    assert (state.stage, action(state, 1000), action(state, 1500)) == (Stage.UNKNOWN, Action.WAIT, Action.ASK)
    state = after_ask(state, (), 1500, settle_us=500, jitter=0)
    assert action(state, 1500) is Action.SEND


def test_outcomes_lead_where_they_must():
    sending = Forwarding(stage=Stage.SENDING, attempts=1)
    after = lambda outcome: after_send(sending, outcome, 0, 60, 0.0)
    assert (after(Accepted("d")).stage, after(Accepted("d")).doc_id) == (Stage.ACCEPTED, "d")
    assert after(Refused("18", "khong ton tai")).stage is Stage.REFUSED
    assert action(after(Refused("18", "")), 10**18) is Action.STOP
    assert (after(Unknown("x")).stage, after(Unknown("x")).not_before_us) == (Stage.UNKNOWN, 60)
    assert (after(Unreachable("x")).stage, after(Unreachable("x")).not_before_us) == (Stage.READY, 30_000_000)
    found = after_ask(sending, (SentItem(sender_doc_id="d"),), 0, 60, 0.0)
    assert (found.stage, found.doc_id) == (Stage.ACCEPTED, "d")


def test_a_failed_question_never_becomes_a_send():
    state = Forwarding(stage=Stage.UNKNOWN, attempts=1)
    for _ in range(50):
        state = after_ask(state, None, state.not_before_us, 0, 0.5)
        assert action(state, state.not_before_us) is Action.ASK
    assert state.stage is Stage.UNKNOWN


def test_delays_double_to_a_quarter_of_an_hour_and_are_shortened_by_at_most_half():
    assert [delay_us(n, 0) // 1_000_000 for n in (1, 2, 3, 4, 5, 6, 7, 500)] == [30, 60, 120, 240, 480, 900, 900, 900]
    assert delay_us(6, 0.999) > 450_000_000
