"""One running product for the whole folder, with two organisations and the people that the tests need (`world`)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import PIN, Caller, Stack, running


class World:
    """`stack` with people of organisation X01, its neighbour X02, and one document of X01 that nobody changes."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.leader: Caller
        self.second: Caller
        self.clerk: Caller
        self.staff: Caller
        self.administrator: Caller
        self.duty: Caller
        self.officer = stack.officer
        self.qlvb = stack.qlvb
        self.foreign_leader: Caller
        self.foreign_administrator: Caller
        self.foreign_qlvb: Caller
        self.foreign_organisation = ""
        self.known: dict[str, str] = {}

    async def taken(self, *signers: Caller, pdf: bytes | None = None, **metadata: Any) -> str:
        """The id of a new document."""
        answer = await self.stack.take_in(pdf or pdfs.plain(), list(signers) or [self.leader], **metadata)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def signed(self, *signers: Caller, **metadata: Any) -> str:
        """The id of a document that every signer has signed and that waits for the seal."""
        document = await self.taken(*signers, **metadata)
        for signer in signers or (self.leader,):
            await self.open(signer, document)
            assert (await signer.sign(document)).status_code == 200
        await self.stack.until(document, "signed")
        return document

    async def open(self, signer: Caller, document: str) -> None:
        """Wait until it is this person's turn."""
        await self.stack.until(document, "in_review", "signed")

    async def rows(self, sql: str, *args: Any) -> list[Any]:
        return await self.stack.wiring.db.fetch_all(sql, *args)

    async def count(self, table: str, where: str = "1 = 1", *args: Any) -> int:
        return int((await self.rows(f"SELECT count(*) AS n FROM {table} WHERE {where}", *args))[0]["n"])

    async def execute(self, sql: str, *args: Any) -> int:
        return await self.stack.wiring.db.transact(lambda tx: tx.execute(sql, *args))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("world")) as stack:
        world = World(stack)
        world.leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        world.second = await stack.person("Lê Thị Mẫu", Role.LEADER, position="PHÓ CHỦ TỊCH")
        world.clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        world.staff = await stack.person("Phạm Văn Mẫu", Role.STAFF, position="Chuyên viên")
        world.administrator = await stack.person("Đỗ Văn Mẫu", Role.ADMINISTRATOR, position="")
        world.duty = await stack.person("Vũ Thị Mẫu", Role.DUTY_OFFICER, position="")
        await stack.credential(world.leader, "Nguyễn Văn Mẫu")
        await stack.credential(world.second, "Lê Thị Mẫu")
        await stack.credential(world.clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        neighbour = await stack.wiring.identity.create_organisation("X02", "Ủy ban nhân dân xã Bên")
        world.foreign_organisation = neighbour.id
        world.foreign_leader = await stack.person("Hồ Văn Khác", Role.LEADER, organisation=neighbour.id)
        world.foreign_administrator = await stack.person(
            "Ngô Văn Khác", Role.ADMINISTRATOR, organisation=neighbour.id, position=""
        )
        world.foreign_qlvb = await stack.service("QLVB khác", organisation=neighbour.id)
        yield world


def code(answer: Any) -> str:
    """The problem type of an answer, which must be a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.text)
    body = json.loads(answer.content)
    assert body["status"] == answer.status_code
    return str(body["code"])


__all__ = ["PIN", "World", "code"]
