"""Every row of the table of FCM outcomes, through the real firebase-admin against the double (threats D4, C14)."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.payload import build
from push.transports import open_fcm
from server.demo.fcm import FcmDouble, Step

VECTORS = Path(__file__).parents[2] / "vectors" / "fcm_outcomes.json"
CASES = json.loads(VECTORS.read_text())["cases"]
NOW_US = 1_800_000_000_000_000
NOTICE = Notice(
    notice_id="AAAAAAAAAAAAAAAAAAAAAA", lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=NOW_US + 3_600_000_000
)
PAYLOAD = build(NOTICE, language=Language.VIETNAMESE, now_us=NOW_US)


async def outcome_of(case):
    address = Address(kind=AddressKind.FID, value="device-1")
    proven = Address(kind=AddressKind.FID, value="device-0")
    async with FcmDouble() as double:
        # 401 of a single address must not be mistaken for a slow one: the time-out only shortens `hang`.
        lanes = await open_fcm(
            double.service_account, base_url=double.url, timeout_s=2.0 if case["answer"] == "hang" else 5.0
        )
        transport = lanes[Lane.NORMAL]
        try:
            if case.get("proven"):
                assert msgspec.to_builtins(await transport.send(proven, PAYLOAD))["type"] == "delivered"
            if case["answer"] != "ok":
                step = Step(case["answer"], case.get("times"), case.get("retry_after"), case.get("seconds", 0.0))
                double.script(address.value, step)
            outcome = msgspec.to_builtins(await transport.send(address, PAYLOAD))
        finally:
            await asyncio.gather(*(lane.close() for lane in lanes.values()))
        return outcome, [record for record in double.records if record.address == address.value], double.tokens_issued


@pytest.fixture(scope="module")
def outcomes():
    """All rows at once: the SDK's own retries take seven seconds for some, and they need not wait for each other."""

    async def run():
        return await asyncio.gather(*(outcome_of(case) for case in CASES))

    return dict(zip([case["name"] for case in CASES], asyncio.run(run()), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outcome_of_each_answer(case, outcomes):
    outcome, posts, _tokens = outcomes[case["name"]]
    if outcome["type"] == "delivered":
        assert outcome.pop("message_id").startswith("projects/hoatoc-demo/messages/")
    assert outcome == case["outcome"]
    assert len(posts) == case["posts"]


def test_a_third_party_fault_costs_no_token(outcomes):
    _outcome, _posts, tokens = outcomes["401 with THIRD_PARTY_AUTH_ERROR"]
    assert tokens == 1


def test_vector_names_only_answers_the_double_has():
    double = FcmDouble()
    for case in CASES:
        double.script("x", Step(case["answer"]))
