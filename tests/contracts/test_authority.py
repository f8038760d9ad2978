"""A grant of authority on both engines: nothing is signed behind its revocation, whatever meets whatever (AUT-6)."""

import asyncio

import pytest

from server.authority import queries, service
from server.authority.model import Form, GrantRow, GrantState
from server.errors import Refused
from server.identity.model import Actor, Role

pytestmark = pytest.mark.asyncio

NOW = 1_795_000_000_000_000
HEAD, CHIEF, DEPUTY = "a" * 32, "b" * 32, "c" * 32
SIGNING = {"holder": DEPUTY, "type_name": "Quyết  định", "urgency": 2, "now_us": NOW}


def row(id_, **changes):
    values = {
        "id": id_, "organisation": "o1", "digest": id_ * 2, "form": Form.TL, "grantor": HEAD, "device": f"d-{HEAD}", "holder": CHIEF,
        "authority_line": "TL. CHỦ TỊCH", "paper": "12/QĐ", "types": '["Quyết định"]', "urgency": 2, "parent": None, "not_before_us": NOW,
        "not_after_us": NOW + 1, "jws": "x", "state": GrantState.ACTIVE, "created_us": NOW, "used_us": None, "revoked_us": None, "revoked_by": None,
        **changes,
    }  # fmt: skip
    return GrantRow(**values)


PARENT = row("1" * 32)
CHILD = row("2" * 32, form=Form.KT, grantor=CHIEF, device=f"d-{CHIEF}", holder=DEPUTY, parent=PARENT.id, types="[]")


async def seed(db):
    async def body(tx):
        await tx.execute("INSERT INTO organisations (id, code, name, created_us) VALUES ('o1', 'X01', 'Xã Mẫu', 1)")
        for person, position in ((HEAD, "CHỦ TỊCH"), (CHIEF, "CHÁNH VĂN PHÒNG"), (DEPUTY, "PHÓ CHÁNH VĂN PHÒNG")):
            await tx.execute(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, 'o1', 'x', $2, '', 'active', 'vi', 1)",
                person, position,
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, 'leader', 'x', 1)", person
            )
            await tx.execute(
                "INSERT INTO devices (id, person, organisation, session_key, session_jwk, approval_key, approval_jwk, label, platform, office, state,"
                " created_us, seen_us) VALUES ($1, $2, 'o1', $1, 'x', $1, 'x', '', 'web', 0, 'active', 1, 1)",
                f"d-{person}", person,
            )  # fmt: skip
        await tx.execute("CREATE TABLE signed (n BIGINT NOT NULL)")
        assert await queries.insert(tx, PARENT) == 1
        assert await queries.insert(tx, CHILD) == 1
        assert await queries.insert(tx, CHILD) == 0

    await db.transact(body)


async def test_a_chain_is_spent_whole_and_what_comes_back_is_what_was_kept(db):
    await seed(db)
    await db.transact(lambda tx: service.spend(tx, "o1", CHILD.id, **SIGNING))
    kept = [await queries.load(db, "o1", one) for one in (CHILD.id, PARENT.id)]
    assert [one.used_us for one in kept] == [NOW, NOW]
    assert await service.evidence(db, "o1", CHILD.id) == {
        "authority": "KT TL",
        "authority_grant": f"{CHILD.digest} {PARENT.digest}",
    }
    assert await queries.load(db, "o2", CHILD.id) is None
    seen = {
        HEAD: [PARENT.id], CHIEF: [CHILD.id, PARENT.id], DEPUTY: [CHILD.id], "e" * 32: [],
    }  # fmt: skip
    for person, ids in seen.items():
        actor = Actor("person", person, "o1", frozenset({Role.LEADER}))
        found = await queries.listing(db, actor, before=(2**62, ""), limit=10)
        assert [one.id for one in found] == ids
    everything = await queries.listing(db, Actor("service", "s", "o1"), before=(NOW, CHILD.id), limit=10)
    assert [one.id for one in everything] == [PARENT.id]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (f"UPDATE authority_grants SET state = 'revoked' WHERE id = '{PARENT.id}'", "revoked"),
        (f"UPDATE authority_grants SET not_after_us = {NOW} WHERE id = '{PARENT.id}'", "ended"),
        (f"UPDATE authority_grants SET not_before_us = {NOW + 1} WHERE id = '{CHILD.id}'", "not-yet"),
        (f"UPDATE authority_grants SET urgency = 1 WHERE id = '{PARENT.id}'", "urgency"),
        (f"UPDATE authority_grants SET types = '[\"Công văn\"]' WHERE id = '{PARENT.id}'", "type"),
        (f"UPDATE authority_grants SET holder = '{HEAD}' WHERE id = '{PARENT.id}'", "other-holder"),
        (f"UPDATE people SET state = 'left' WHERE id = '{HEAD}'", "grantor-left"),
        (f"UPDATE devices SET state = 'revoked' WHERE id = 'd-{CHIEF}'", "key-revoked"),
    ],
)
async def test_every_link_of_a_chain_must_hold(db, sql, why):
    await seed(db)
    await db.transact(lambda tx: tx.execute(sql))
    with pytest.raises(Refused) as refused:
        await db.transact(lambda tx: service.spend(tx, "o1", CHILD.id, **SIGNING))
    assert (refused.value.code, refused.value.fields) == ("authority-missing", {"reason": why})


@pytest.mark.parametrize("ended", [CHILD.id, PARENT.id])
async def test_nothing_is_signed_behind_a_revocation(db, ended):
    """Forty signatures and the revocation of one link at once: what the revocation saw signed is all that ever is."""
    await seed(db)

    async def sign():
        async def body(tx):
            await service.spend(tx, "o1", CHILD.id, **SIGNING)
            await tx.execute("INSERT INTO signed (n) VALUES (1)")

        try:
            await db.transact(body)
        except Refused as refused:
            return refused.fields["reason"]
        return "signed"

    async def revoke():
        async def body(tx):
            assert await queries.revoke(tx, ended, by=HEAD, now_us=NOW)
            return (await tx.fetch_one("SELECT count(*) AS n FROM signed"))["n"]

        return await db.transact(body)

    first, answers, seen, last = (
        await sign(),
        *await asyncio.gather(
            asyncio.gather(*(sign() for _ in range(20))), revoke(), asyncio.gather(*(sign() for _ in range(20)))
        ),
    )
    assert first == "signed"
    assert set(answers) | set(last) <= {"signed", "revoked"}
    total = (await db.fetch_one("SELECT count(*) AS n FROM signed"))["n"]
    assert total == seen == 1 + [*answers, *last].count("signed")
    assert await sign() == "revoked"
