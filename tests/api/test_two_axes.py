"""One running server, two organisations, two axes: each looks up, sends and receives over its own, over HTTP and with the product's worker."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.identity.model import Role
from tests.fakes.stack import Stack, running
from tests.unit.server.exchange.conftest import Stage
from tests.unit.server.exchange.house import ORGANISATION, Approvals, House
from tests.unit.server.exchange.test_two_axes import UNITS, from_, second_axis

OTHER = "H-01"


@contextlib.asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Stack, Any]]:
    async with second_axis(tmp_path / "second") as second:
        secret, config = second.standin.secrets["X01"], tmp_path / "hoatoc.toml"
        config.write_text(
            f"[exchange]\norgan_codes = {{ '{OTHER}' = 'X01' }}\n"
            f"[[exchange.systems]]\norganisations = ['{OTHER}']\nurl = '{second.url}'\nsystem_id = 'X01'\nsecret_file = '{secret}'\n"
        )
        async with running(tmp_path / "stack", config=config) as stack:
            yield stack, second


async def until(what: Any, within_s: float = 120) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := await what()):
        assert time.monotonic() < deadline, "nothing came"
    return found


@pytest.mark.asyncio
async def test_one_server_serves_two_axes_apart(tmp_path: Path) -> None:
    """C1, D3; and while one axis is away, the other's documents go on."""
    async with two(tmp_path) as (stack, second):
        first = Stage(stack.axis, stack.axis_url)
        house = House(stack.wiring.db, tmp_path, stack.wiring.clock, None)
        house.blobs = stack.wiring.blobs  # type: ignore[assignment]
        stack.wiring.exchange._approvals = Approvals()  # type: ignore[assignment] - of a chain that was not signed here
        await house.found()
        clerks = {
            one: await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư", organisation=one)
            for one in (stack.organisation, ORGANISATION)
        }

        async def listed(organisation: str) -> set[str]:
            shown = await clerks[organisation].json("GET", "/api/v1/agencies", params={"query": "mau"})
            return {one["name"] for one in shown["items"]} if shown["synchronised_at"] else set()

        async def arrived(organisation: str) -> list[str]:
            shown = await clerks[organisation].json("GET", "/api/v1/arrivals")
            return [one["sender"] for one in shown["items"]]

        async def leaves(organisation: str, number: str) -> str:
            document = await house.sealed(number, receivers=("X03",), pdf=f"%PDF-1.7\n{organisation}{number}".encode())
            await house.db.transact(
                lambda tx: tx.execute("UPDATE documents SET organisation = $2 WHERE id = $1", document, organisation)
            )
            return document

        async def forwarded(document: str) -> bool:
            return str(await house.state(document)) == "forwarded"

        assert "Cơ quan Mẫu Ba" in await until(lambda: listed(stack.organisation))
        assert await until(lambda: listed(ORGANISATION)) == {unit.name for unit in UNITS}
        documents = [await leaves(organisation, "12") for organisation in (stack.organisation, ORGANISATION)]
        for document in documents:
            await until(lambda document=document: forwarded(document))  # type: ignore[misc]
        for stage in (first, second):
            (packet,) = (await stage.oracle())["packets"]
            assert [copy["receiver"] for copy in packet["copies"]] == ["X03"]
        await from_(first, tmp_path, "X02", "1")
        await from_(second, tmp_path, "B07", "1")
        assert await until(lambda: arrived(stack.organisation)) == ["X02"]
        assert await until(lambda: arrived(ORGANISATION)) == ["B07"]
        await second.put(
            "_faults", [{"fault": "500-before", "call": call, "times": -1} for call in ("sendEdoc", "getSentEdocList", "getReceivedEdocList")]
        )  # fmt: skip
        waiting = await leaves(ORGANISATION, "13")
        going = [await leaves(stack.organisation, str(number)) for number in range(20, 25)]
        await from_(first, tmp_path, "X02", "2")
        for document in going:
            await until(lambda document=document: forwarded(document))  # type: ignore[misc]

        async def second_came() -> bool:
            return len(await arrived(stack.organisation)) == 2

        await until(second_came)
        assert not await forwarded(waiting)
        assert await arrived(ORGANISATION) == ["B07"]
        await first.close()
