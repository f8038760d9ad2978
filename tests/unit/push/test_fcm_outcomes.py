"""Every row of the table of FCM outcomes, through both wires, over HTTP/1.1 and TLS HTTP/2, against the double (threats D4, C14)."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.payload import build
from push.transports import FcmWire, open_fcm
from server.demo.fcm import FcmDouble, Step, server_tls

VECTORS = Path(__file__).parents[2] / "vectors" / "fcm_outcomes.json"
CASES = json.loads(VECTORS.read_text())["cases"]
NOW_US = 1_800_000_000_000_000
NOTICE = Notice(
    notice_id="AAAAAAAAAAAAAAAAAAAAAA", lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=NOW_US + 3_600_000_000
)
PAYLOAD = build(NOTICE, language=Language.VIETNAMESE, now_us=NOW_US)


# These change what a sender believes, or take the connection from its neighbours: each has a sender of its own.
SOLITARY = {"sender_id_mismatch", "unauthenticated", "third_party_auth", "cut", "hang"}


async def outcomes_of(cases, wire, tls):
    """{case: (outcome, requests, tokens issued)} by one sender, all at once, each case with an address of its own."""
    async with FcmDouble(tls=tls) as double:
        timeout_s = 2.0 if cases[0]["answer"] == "hang" else 15.0
        lanes = await open_fcm(double.service_account, base_url=double.url, timeout_s=timeout_s, wire=wire)
        transport = lanes[Lane.NORMAL]

        async def outcome_of(number, case):
            address = Address(kind=AddressKind.FID, value=f"device-{number}")
            if case.get("proven"):
                proven = Address(kind=AddressKind.FID, value="proven")
                assert msgspec.to_builtins(await transport.send(proven, PAYLOAD))["type"] == "delivered"
            if case["answer"] != "ok":
                step = Step(case["answer"], case.get("times"), case.get("retry_after"), case.get("seconds", 0.0))
                double.script(address.value, step)
            outcome = msgspec.to_builtins(await transport.send(address, PAYLOAD))
            return outcome, [record for record in double.records if record.address == address.value]

        try:
            found = await asyncio.gather(*(outcome_of(*each) for each in enumerate(cases)))
        finally:
            await asyncio.gather(*(lane.close() for lane in lanes.values()))
        return {case["name"]: (*one, double.tokens_issued) for case, one in zip(cases, found, strict=True)}


@pytest.fixture(scope="module")
def outcomes(certificate):
    """All rows at once: the SDK's own retries take seven seconds for some, and they need not wait for each other."""
    served, trusted = certificate
    ways = {
        (wire, over): server_tls(served) if over == "tls" else None for wire in FcmWire for over in ("http1", "tls")
    }

    async def run():
        together = [case for case in CASES if case["answer"] not in SOLITARY]
        groups = [together, *([case] for case in CASES if case["answer"] in SOLITARY)]
        found = await asyncio.gather(
            *(outcomes_of(group, way[0], tls) for way, tls in ways.items() for group in groups)
        )
        ways_found = [way for way in ways for _ in groups]
        return {(*way, name): one for way, group in zip(ways_found, found, strict=True) for name, one in group.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(trusted))
        return asyncio.run(run())


@pytest.mark.parametrize("over", ["http1", "tls"])
@pytest.mark.parametrize("wire", FcmWire)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outcome_of_each_answer(case, wire, over, outcomes):
    outcome, posts, _tokens = outcomes[wire, over, case["name"]]
    # Ours repeats nothing but a refused access token; the SDK repeats 500 and 503, and 401 twice each time.
    case = {**case, **case.get("own", {})} if wire is FcmWire.OWN else case
    if outcome["type"] == "delivered":
        assert outcome.pop("message_id").startswith("projects/hoatoc-demo/messages/")
    assert outcome == case["outcome"]
    assert len(posts) == case["posts"]


@pytest.mark.parametrize("wire", FcmWire)
def test_a_third_party_fault_costs_no_token(outcomes, wire):
    _outcome, _posts, tokens = outcomes[wire, "http1", "401 with THIRD_PARTY_AUTH_ERROR"]
    assert tokens == 1


def test_vector_names_only_answers_the_double_has():
    double = FcmDouble()
    for case in CASES:
        double.script("x", Step(case["answer"]))
