"""Problem types that only an unlikely state produces, each driven through the product: the API, the command line, the signer."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes import pdfs, stack
from tests.fakes.stack import Stack, running

session = pytest.mark.asyncio(loop_scope="session")
module = pytest.mark.asyncio(loop_scope="module")


@session
async def test_a_host_that_is_not_ours(world: World) -> None:
    """RFC 9449 §4.3: a proof for another origin is good for nothing, not even when the request says that it is that origin."""
    for path in ("/api/v1/me", "/api/v1/documents"):
        answer = await world.leader.call("GET", path, headers={"Host": "kyso.example"})
        assert (answer.status_code, code(answer)) == (421, "host-unknown")


def test_an_exchange_code_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOATOC_STATE_DIR", str(tmp_path / "state"))
    command = ["org", "add", "X01", "Ủy ban nhân dân xã Mẫu"]
    first, second = (subprocess.run([Path(sys.executable).with_name("hoatoc"), *command], capture_output=True, text=True, check=False) for _ in range(2))  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert second.returncode != 0
    assert second.stderr.strip() == "Error: Mã cơ quan đã tồn tại · The organisation exists"
    assert "Traceback" not in second.stderr


@session
async def test_a_certified_file_has_no_room(world: World) -> None:
    answer = await world.stack.take_in(pdfs.HONEST["certified-2"](), [world.leader])
    assert (answer.status_code, code(answer)) == (422, "no-room-for-signature")


@session
async def test_a_page_that_cannot_be_drawn(world: World) -> None:
    """B3: a page of a shape that is not drawn; the page says so, again at once, and so does the sheet."""
    pdf = pdfs.plain().replace(b"[0 0 595 842]", b"[0 0 60 4000]")
    assert b"[0 0 60 4000]" in pdf
    document = await world.taken(world.leader, pdf=pdf)
    revision = (await world.qlvb.json("GET", f"/api/v1/documents/{document}"))["revision"]
    for _ in range(2):
        answer = await world.leader.call("GET", f"/api/v1/documents/{document}/revisions/{revision}/pages/1?width=360")
        assert (answer.status_code, code(answer)) == (422, "cannot-be-shown")
    answer = await world.leader.call("POST", f"/api/v1/documents/{document}/sheet")
    assert (answer.status_code, code(answer)) == (422, "cannot-be-shown")
    assert (await world.stack.http.get("/readyz")).status_code == 200


@session
async def test_a_field_that_is_not_in_the_file(world: World) -> None:
    """The route says one field, the signed file holds another: nothing is prepared."""
    document = await world.taken(world.leader, world.second)
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "in_review")
    where = "document = $1 AND position = 2"
    field = (await world.rows(f"SELECT field_name FROM route_steps WHERE {where}", document))[0]["field_name"]
    await world.execute("UPDATE route_steps SET field_name = 'HT_SIG1' WHERE document = $1 AND position = 2", document)
    answer = await world.second.call("POST", f"/api/v1/documents/{document}/sheet")
    assert (answer.status_code, code(answer)) == (409, "not-the-route")
    await world.execute(f"UPDATE route_steps SET field_name = $2 WHERE {where}", document, field)
    assert (await world.second.sign(document)).status_code == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A product of its own whose signer allows two wrong PINs in all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "SIGNER_TOML", stack.SIGNER_TOML + "\n[pin]\ntries = [2]\nlock_s = []\n")
        async with running(tmp_path_factory.mktemp("strict"), worker=False) as made:
            yield made


@module
async def test_a_destroyed_key(strict: Stack) -> None:
    """A6: after the last wrong try the key is gone; the right PIN opens nothing any more."""
    leader = await strict.person("Nguyễn Văn Mẫu", Role.LEADER)
    await strict.credential(leader, "Nguyễn Văn Mẫu")
    document = (await strict.take_in(pdfs.plain(), [leader])).json()["id"]
    told = [code(await leader.approve(await leader.sheet(document), pin="00000000")) for _ in range(2)]
    assert told[0] == "pin-wrong"
    sheet = await leader.call("POST", f"/api/v1/documents/{document}/sheet")
    answer = sheet if sheet.status_code != 201 else await leader.approve(sheet.json())
    assert (answer.status_code, code(answer)) == (410, "key-destroyed")
    assert await strict.state(document) == "in_review"


@module
async def test_a_challenge_that_has_expired(strict: Stack) -> None:
    """A10: 120 s by the signer's own clock, which a script of ours puts two minutes ahead."""
    leader = await strict.person("Lê Thị Mẫu", Role.LEADER)
    await strict.credential(leader, "Lê Thị Mẫu")
    document = (await strict.take_in(pdfs.plain(), [leader], number="7001")).json()["id"]
    body = await leader.approval_for(await leader.sheet(document))
    strict.stop_signer()
    later = "import sys, time; real = time.time_ns; time.time_ns = lambda: real() + 121 * 10**9; from signing.core import daemon; daemon.main(sys.argv[1])"
    config = strict.settings.state.signer / "signer.toml"
    strict.signer = subprocess.Popen([sys.executable, "-c", later, str(config)])  # noqa: ASYNC220 - starts, waits for nothing
    deadline = time.monotonic() + 120
    while not Path(strict.settings.signer.socket).exists():
        assert strict.signer.poll() is None
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    answer = await leader.call("POST", "/api/v1/approvals", json=body)
    assert (answer.status_code, code(answer)) == (409, "challenge-expired")
    assert json.loads(answer.content)["retry"] is False
