"""Three whole installations on one axis, commune, province and ministry: a report goes up, is directed and completed, an answer comes back and goes
further up, and every status is seen below; another is returned, a third asked back, given back by one and kept by the other. Then two communes
merge while packets are in flight: none is lost, the old code is answered.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from server.exchange import edxml
from server.exchange.axis import VxpAxis
from server.exchange.model import PacketKind
from server.identity.model import Role
from server.wiring import Wiring
from tests.fakes import pdfs
from tests.fakes.arrivals import until_judged
from tests.fakes.stack import Caller, Stack, running
from tests.unit.server.exchange.samples import make_packet, now_us

COMMUNE, PROVINCE, MINISTRY, OTHER = "X01", "X02", "X03", "14.00.W00"


class Installation:
    """A running product with the people of its agency."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.leader: Caller
        self.clerk: Caller

    async def staffed(self, *, signs: bool) -> "Installation":
        self.leader = await self.stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        self.clerk = await self.stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        if signs:
            await self.stack.credential(self.leader, "Nguyễn Văn Mẫu")
            await self.stack.credential(self.clerk, "Cơ quan Mẫu", "seal")
        return self

    async def sends(self, number: str, *receivers: str) -> str:
        """Taken in, signed on the leader's phone, sealed by the clerk; the document's id."""
        to = [{"organ_id": code, "name": f"Cơ quan {code}"} for code in receivers]
        taken = await self.stack.take_in(pdfs.vietnamese(), [self.leader], number=number, receivers=to)
        document = str(taken.json()["id"])
        assert (await self.leader.sign(document)).status_code == 200
        await self.stack.until(document, "signed")
        assert (await self.clerk.sign(document)).status_code == 200
        return document

    async def arrival(self, number: str, code: str = "", *, kind: str = "new") -> str:
        """The arrival of this document number (addressed to this code of ours), judged; its id. `take_back`: what asks for it back."""

        async def found() -> Any:
            items = (await self.clerk.json("GET", "/api/v1/arrivals?waiting=true"))["items"]
            ids = [one["id"] for one in items if one["reference"].startswith(f"{number}/") and one["kind"] == kind]
            opened = [await self.clerk.json("GET", f"/api/v1/arrivals/{one}") for one in ids]
            return [one["arrival"]["id"] for one in opened if not code or one["receiver"] == code]

        arrival = str((await until(found))[0])
        await until_judged(self.clerk, arrival)
        return arrival

    async def says(self, arrival: str, what: str, **body: Any) -> None:
        """The clerk's word on it: `return`, `answer`."""
        await self.clerk.call("POST", f"/api/v1/arrivals/{arrival}/{what}", expect=200, json=body)

    async def registers(self, arrival: str) -> None:
        """Signatures of the same authority are valid here: no reason is needed (EXC-2)."""
        await self.clerk.call("POST", f"/api/v1/arrivals/{arrival}/register", expect=200, json={})

    async def heard(self, document: str) -> dict[str, list[str]]:
        """What each receiver said of the document, as its sender sees it (EXC-6)."""
        shown = await self.stack.qlvb.json("GET", f"/api/v1/documents/{document}/deliveries")
        return {one["organ_id"]: sorted(status["code"] for status in one["statuses"]) for one in shown["receivers"]}

    async def hears(self, document: str, expected: dict[str, list[str]]) -> None:
        async def all_of_it() -> bool:
            return await self.heard(document) == expected

        await until(all_of_it, lambda: self.heard(document))


async def until(
    found: Callable[[], Awaitable[Any]], shown: Callable[[], Awaitable[Any]] | None = None, within_s: float = 240.0
) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := await found()):
        if time.monotonic() > deadline:
            pytest.fail(f"never came: {await shown() if shown else found}")
        await asyncio.sleep(0.05)
    return value


async def directed(province: Installation, arrival: str) -> None:
    """04 by the leader's direction, 05 and 06 by the report of who was directed."""
    body = {"arrival": arrival, "text": "Giao xử lý, báo cáo kết quả", "lead": province.clerk.person}
    directive = (await province.leader.json("POST", "/api/v1/directives", expect=201, json=body))["id"]
    for report in ({"state": "in_work", "progress": 50}, {"state": "completed"}):
        await province.clerk.call(
            "POST", f"/api/v1/directives/{directive}/reports", json={"sequence": 0, **report}, expect=200
        )


async def control(stack: Stack, method: str, path: str, body: object) -> None:
    async with AsyncClient() as axis:
        assert (await axis.request(method, f"{stack.axis_url}/{path}", json=body)).json()["status"] == "OK"


async def oracle(stack: Stack) -> list[dict[str, Any]]:
    async with AsyncClient() as axis:
        packets: list[dict[str, Any]] = (await axis.get(f"{stack.axis_url}/_oracle")).json()["packets"]
    return packets


def of_its_own(axis: Stack) -> dict[str, str]:
    """The province has no system of all its organisations, but one of its agency alone (`[[exchange.systems]]`)."""
    system = {
        "organisations": [PROVINCE], "url": axis.axis_url, "system_id": PROVINCE, "secret_file": str(axis.axis.secrets[PROVINCE]),
    }  # fmt: skip
    return {"HOATOC_EXCHANGE__URL": "", "HOATOC_EXCHANGE__SYSTEMS": json.dumps([system])}


@pytest.mark.asyncio
async def test_up_down_and_through_a_merger(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "commune", code=COMMUNE, HOATOC_EXCHANGE__RECALL="take_back") as below,
        running(tmp_path / "province", code=PROVINCE, name="Tỉnh Mẫu", among=below, **of_its_own(below)) as middle,
        running(tmp_path / "ministry", code=MINISTRY, name="Bộ Mẫu", among=below) as above,
    ):
        commune, province, ministry = await asyncio.gather(
            Installation(below).staffed(signs=True),
            Installation(middle).staffed(signs=True),
            Installation(above).staffed(signs=False),
        )
        neighbour = VxpAxis(below.axis_url, OTHER, below.axis.secrets[OTHER], now_us)
        try:
            await up_and_down(commune, province, ministry, neighbour, tmp_path)
        finally:
            await neighbour.close()


async def returned_and_asked_back(commune: Installation, province: Installation, ministry: Installation) -> None:
    """02 from who is not competent; 13 to everybody of a recalled document, 15 from who gives it back, 16 from who keeps it (EXC-5)."""
    misdirected, recalled = await commune.sends("21", PROVINCE), await commune.sends("22", PROVINCE, MINISTRY)
    await province.says(await province.arrival("21"), "return", reason="Không đúng thẩm quyền")
    for receiver in (province, ministry):
        await receiver.arrival("22")
    await commune.hears(recalled, {PROVINCE: ["01"], MINISTRY: ["01"]})
    recall = f"/api/v1/documents/{recalled}/recall"
    await commune.stack.qlvb.call("POST", recall, expect=200, json={"reason": "Sai thể thức"})
    await province.says(await province.arrival("22", kind="take_back"), "answer", agree=True)
    await ministry.says(await ministry.arrival("22", kind="take_back"), "answer", agree=False, reason="Đã xử lý")
    await commune.hears(misdirected, {PROVINCE: ["01", "02"]})
    await commune.hears(recalled, {PROVINCE: ["01", "15"], MINISTRY: ["01", "16"]})
    await commune.stack.until(misdirected, "refused")
    shown = await commune.stack.qlvb.json("GET", f"/api/v1/documents/{recalled}/deliveries")
    assert [one["state"] for one in shown["receivers"]] == ["taken_back", "arrived"]


async def up_and_down(
    commune: Installation, province: Installation, ministry: Installation, neighbour: VxpAxis, folder: Path
) -> None:
    axis = commune.stack
    report = await commune.sends("11", PROVINCE, OTHER)
    arrival = await province.arrival("11")
    await province.registers(arrival)
    await directed(province, arrival)
    await commune.hears(report, {PROVINCE: ["01", "03", "04", "05", "06"], OTHER: []})
    await returned_and_asked_back(commune, province, ministry)

    # The other commune has sent something too, which the province's clerk has not looked at yet.
    (folder / "neighbour").mkdir()
    theirs = make_packet(folder / "neighbour", number="13", receivers=(PROVINCE,))
    sent = edxml.write(_from(theirs, OTHER), folder / "neighbour" / "packet")
    await neighbour.send(PacketKind.DOCUMENT, sent.path, OTHER, [PROVINCE])
    late = await province.arrival("13")
    # The province answers both communes and passes on to the ministry, but its packets do not get through,
    await control(axis, "PUT", "_faults", [{"fault": "drop-before", "times": -1, "system": PROVINCE}])
    answer = await province.sends("12", COMMUNE, MINISTRY, OTHER)
    await province.stack.until(answer, "sealed", "forwarded")
    # and then one commune is merged into the other: three packets are in flight.
    await control(axis, "POST", "_mergers", {"codes": [OTHER], "into": COMMUNE})
    await control(axis, "PUT", "_faults", [])

    for receiver in (commune, ministry):
        await receiver.registers(await receiver.arrival("12"))
    await province.hears(answer, {COMMUNE: ["01", "03"], MINISTRY: ["01", "03"]})
    # The report's copy for the old code is the merged commune's to register: the old code answers.
    await commune.registers(await commune.arrival("11", OTHER))
    await commune.hears(report, {PROVINCE: ["01", "03", "04", "05", "06"], OTHER: ["01", "03"]})
    await commune.stack.until(report, "accepted")
    await province.stack.until(answer, "accepted")
    # What the merged commune had sent is registered, and its successor told.
    await province.clerk.call("POST", f"/api/v1/arrivals/{late}/register", expect=200, json={"despite": "Đã xác minh"})

    async def told() -> bool:
        statuses = [
            one for one in await oracle(axis) if one["status"] == "03" and one["document_id"].endswith("13/QĐ-CQM")
        ]
        return [[copy["receiver"] for copy in one["copies"]] for one in statuses] == [[COMMUNE]]

    await until(told)
    kinds = [one["kind"] for one in (await province.clerk.json("GET", "/api/v1/notices"))["items"]]
    assert "readdressed" in kinds
    await nothing_lost_or_doubled(axis, [commune.stack, province.stack, ministry.stack])


def _from(packet: Any, code: str) -> Any:
    import msgspec

    from server.exchange.model import Organisation

    header = msgspec.structs.replace(
        packet.header,
        sender=Organisation(organ_id=code),
        document_id=f"{code},2026/03/02,{packet.header.number}/QĐ-CQM",
    )
    return msgspec.structs.replace(packet, header=header)


async def nothing_lost_or_doubled(axis: Stack, stacks: list[Stack]) -> None:
    """Every copy was fetched and confirmed, every document came once to each who should have it, and nothing was parked."""

    async def all_fetched() -> bool:
        return all(copy["state"] == "done" for packet in await oracle(axis) for copy in packet["copies"])

    async def waiting() -> Any:
        return [
            (one["kind"], one["status"], copy)
            for one in await oracle(axis)
            for copy in one["copies"]
            if copy["state"] != "done"
        ]

    await until(all_fetched, waiting)
    packets = await oracle(axis)
    documents = [packet["document_id"] for packet in packets if packet["kind"] == "edoc"]
    assert len(documents) == len(set(documents)) == 5
    said = [
        (one["sender"], one["document_id"], one["status"], one["title"], *(copy["receiver"] for copy in one["copies"]))
        for one in packets
        if one["kind"] == "status"
    ]
    assert {one[2] for one in said} == {"01", "02", "03", "04", "05", "06", "13", "15", "16"}
    # The merged commune answers the report that it had sent itself, once under each code.
    assert len(said) == len(set(said)), said
    for stack in stacks:
        assert await _parked(stack.wiring) == []


async def _parked(wiring: Wiring) -> list[Any]:
    rows = await wiring.db.fetch_all(
        "SELECT kind, state, error FROM incoming_packets WHERE state NOT IN ('stored', 'applied', 'repeated')"
    )
    # The successor's installation cannot know what the merged commune had sent from its own: it is alarmed, not parked.
    return [(row["kind"], row["state"], row["error"]) for row in rows if row["error"] != "document-unknown"]
