"""What an officer and a person's own device may ask: credentials to extend, a pairing code for a further device."""

import pytest

from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_officer_sees_what_a_voucher_may_extend(world: World) -> None:
    """A3: ids, names and holders, of the officer's own organisation alone; no key, and nobody else asks."""
    listed = await world.officer.json("GET", "/api/v1/credentials")
    own = next(one for one in listed if world.leader.person in one["holders"])
    assert (own["kind"], own["state"]) == ("person", "active")
    assert own["subject"].startswith("CN=Nguyễn Văn Mẫu")
    assert set(own) == {"id", "kind", "state", "subject", "not_after", "holders"}
    rows = await world.rows("SELECT id FROM credentials WHERE organisation = $1", world.stack.organisation)
    assert {one["id"] for one in listed} == {row["id"] for row in rows}
    assert code(await world.administrator.call("GET", "/api/v1/credentials")) == "forbidden"


async def test_a_person_pairs_a_further_device(world: World) -> None:
    """The code is the caller's own, never for an office device (SIG-8), and its QR is what a phone's camera reads as the link."""
    staff = await world.stack.person("Đỗ Thị Mẫu", Role.STAFF, office=True)
    made = await staff.json("POST", "/api/v1/me/pairing-codes", expect=201)
    assert made["link"].endswith(f"/pair#code={made['code']}") or f"/pair#code={made['code']}&signer=" in made["link"]
    size = len(made["qr"])
    assert (size - 17) % 4 == 0
    assert {len(row) for row in made["qr"]} == {size}
    # The three finder patterns (ISO/IEC 18004, 6.3.3).
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        assert [row[left : left + 7] for row in made["qr"][top : top + 7]] == finder
    further = Caller(world.stack.http)
    further.person = staff.person
    await further.pair(made["code"])
    devices = await further.json("GET", "/api/v1/me/devices")
    assert [(one["office"], one["admitted"]) for one in devices if one["id"] == further.device] == [(False, False)]
    assert {one["person"] for one in devices} == {staff.person}
