"""All SQL of live updates. Hubs read for many people at once; each row that they use names the person whom it concerns (C1)."""

from collections.abc import Collection, Sequence

from server.db import Reads, Transaction
from server.ids import new_id
from server.live.model import Places, Topic

_TOGETHER = 90
_MANY = 16


# A place is a sum. Whoever moves it adds a row of his own and waits for nobody: on PostgreSQL a row that many transactions change fails those that began
# before the last of them (SERIALIZABLE), and a long one, as a broadcast is, would never come to its end beside people who answer.


async def advance(tx: Transaction, topic: Topic, people: Sequence[str]) -> None:
    mark = f"{topic}:{new_id()}"
    for some in _chunks(people):
        rows = ", ".join(f"(${number}, $1, 1)" for number in range(2, len(some) + 2))
        await tx.execute(f"INSERT INTO live_places (person, topic, place) VALUES {rows}", mark, *some)


async def places(db: Reads, people: Sequence[str]) -> dict[str, Places]:
    """Of notices and meetings; who was never told anything is not in it."""
    found: dict[str, Places] = {}
    for some in _chunks(people):
        for row in await db.fetch_all(
            "SELECT person, sum(CASE WHEN topic LIKE 'notices%' THEN place ELSE 0 END) AS notices, "
            "sum(CASE WHEN topic LIKE 'meetings%' THEN place ELSE 0 END) AS meetings "
            f"FROM live_places WHERE person IN ({_marks(some)}) GROUP BY person",
            *some,
        ):
            found[row["person"]] = Places(notices=row["notices"], meetings=row["meetings"])
    return found


async def scattered(db: Reads, people: Sequence[str]) -> list[str]:
    """Those of the people whose places are sums of many rows."""
    found: list[str] = []
    for some in _chunks(people):
        rows = await db.fetch_all(
            f"SELECT person FROM live_places WHERE person IN ({_marks(some)}) GROUP BY person HAVING count(*) > {_MANY}",
            *some,
        )
        found += [row["person"] for row in rows]
    return found


async def crowded(db: Reads, after: str, limit: int) -> list[str]:
    """Anybody behind `after` whose places are sums of many rows."""
    rows = await db.fetch_all(
        f"SELECT person FROM live_places WHERE person > $1 GROUP BY person HAVING count(*) > {_MANY} ORDER BY person LIMIT $2",
        after, limit,
    )  # fmt: skip
    return [row["person"] for row in rows]


async def gather(tx: Transaction, person: str) -> None:
    """Make one row of those of each topic. The sums stay, whoever adds or gathers at the same time (READ COMMITTED)."""
    for topic in Topic:
        rows = await tx.fetch_all(
            "DELETE FROM live_places WHERE person = $1 AND topic LIKE $2 RETURNING place", person, f"{topic}:%"
        )
        if rows:
            await tx.execute(
                "INSERT INTO live_places (person, topic, place) VALUES ($1, $2, $3) ON CONFLICT (person, topic) DO UPDATE SET place = live_places.place + excluded.place",
                person, topic.value, sum(row["place"] for row in rows),
            )  # fmt: skip


async def last_changes(db: Reads, organisations: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _chunks(organisations):
        for row in await db.fetch_all(
            f"SELECT organisation, seq FROM changes_counters WHERE organisation IN ({_marks(some)})", *some
        ):
            found[row["organisation"]] = row["seq"]
    return found


# Whom the feed shows a change to: who reads the document, and the organisation's clerks (as `documents.queries.changes` does).
_CONCERNED = (
    "SELECT a.person, c.seq FROM changes c JOIN document_readers a ON a.document = c.document WHERE c.organisation = $1 AND c.seq > $2 "
    "AND a.organisation = $1 UNION ALL SELECT r.person, c.seq FROM changes c JOIN people p ON p.organisation = c.organisation "
    "JOIN roles r ON r.person = p.id AND r.role = 'clerk' WHERE c.organisation = $1 AND c.seq > $2"
)


async def concerned(db: Reads, organisation: str, after: int) -> dict[str, int]:
    """Who is shown a change after a place of the feed, each with the newest such place."""
    rows = await db.fetch_all(
        f"SELECT person, max(seq) AS seq FROM ({_CONCERNED}) f GROUP BY person", organisation, after
    )
    return {row["person"]: row["seq"] for row in rows}


async def last_change_for(db: Reads, organisation: str, person: str, after: int) -> int:
    """The newest place after `after` that the feed shows to one person; 0 when there is none."""
    row = await db.fetch_one(
        f"SELECT coalesce(max(seq), 0) AS seq FROM ({_CONCERNED}) f WHERE person = $3", organisation, after, person
    )
    return 0 if row is None else int(row["seq"])


async def open_stream(tx: Transaction, id_: str, device: str, until_us: int, now_us: int) -> None:
    await tx.execute("DELETE FROM live_streams WHERE until_us <= $1", now_us)
    await tx.execute("INSERT INTO live_streams (id, device, until_us) VALUES ($1, $2, $3)", id_, device, until_us)


async def close_streams(tx: Transaction, ids: Sequence[str]) -> None:
    for some in _chunks(ids):
        await tx.execute(f"DELETE FROM live_streams WHERE id IN ({_marks(some)})", *some)


async def signed_in(db: Reads, devices: Sequence[str], now_us: int) -> set[str]:
    """Those of the devices that are still somebody's, with an access token that lives."""
    found: set[str] = set()
    for some in _chunks(devices):
        rows = await db.fetch_all(
            "SELECT d.id FROM devices d JOIN people p ON p.id = d.person AND p.state = 'active' WHERE d.state = 'active' "
            f"AND EXISTS (SELECT 1 FROM access_tokens t WHERE t.device = d.id AND t.expires_us > $1) AND d.id IN ({_marks(some, 2)})",
            now_us, *some,
        )  # fmt: skip
        found.update(row["id"] for row in rows)
    return found


def _chunks(values: Collection[str]) -> list[list[str]]:
    every = sorted(values)
    return [every[start : start + _TOGETHER] for start in range(0, len(every), _TOGETHER)]


def _marks(values: Sequence[str], first: int = 1) -> str:
    return ", ".join(f"${number}" for number in range(first, first + len(values)))
