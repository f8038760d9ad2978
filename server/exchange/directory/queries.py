"""All SQL of the agency list. It names no person and no document, so every caller may read it.

Where the engines differ, two statements stand side by side: SQLite searches in an FTS5 table beside the rows, PostgreSQL in an index over
them, and takes a batch of rows in one statement, because each of its statements is a round trip.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from server.db import Dialect, Reads, Transaction, into
from server.exchange.directory import changes
from server.exchange.directory.changes import IDS, Ended, Entry, Known

_FIELDS: Final = Entry.__struct_fields__
_NAMES: Final = ", ".join(_FIELDS)
_UPDATE: Final = (
    ", ".join(f"{name} = excluded.{name}" for name in _FIELDS if name not in {"id", "of_list", "code_key"})
    + ", closed_us = CASE WHEN excluded.closed = 0 THEN NULL WHEN agencies.closed = 0 THEN excluded.listed_us ELSE agencies.closed_us END"
)
_COLUMNS: Final = "a.code, a.name, a.old_code, a.level, a.test, a.closed, a.closed_us, a.successor, p.code AS parent_code, p.name AS parent_name"
_PARENT: Final = "LEFT JOIN agencies p ON p.of_list = a.of_list AND p.code_key = a.parent_key AND a.parent_key <> ''"
_LIST: Final = "(SELECT number FROM agency_lists WHERE axis = $1)"
"""The list of the axis with this name."""
# The list stands in both, or SQLite would walk through it instead of looking into the indexes of new and old codes.
_CODE: Final = f"(a.of_list = {_LIST} AND a.code_key = $2 OR a.of_list = {_LIST} AND a.old_key = $2)"

PUT_SQLITE: Final = (
    f"INSERT INTO agencies ({_NAMES}, listed_us) VALUES ({', '.join(f'${n + 1}' for n in range(len(_FIELDS) + 1))}) "
    f"ON CONFLICT (of_list, code_key) DO UPDATE SET {_UPDATE}"
)
SHOW_SQLITE: Final = (
    "REPLACE INTO agency_words (rowid, words) SELECT a.id, a.words FROM json_each($1) e JOIN agencies a ON a.id = e.value "
    "WHERE a.closed = 0 AND a.test = 0"
)
HIDE_SQLITE: Final = "DELETE FROM agency_words WHERE rowid IN (SELECT value FROM json_each($1))"
_TYPES: Final = ", ".join(
    f"{name} {'integer' if name == 'id' else 'bigint' if name in {'of_list', 'level', 'test', 'closed'} else 'text'}"
    for name in _FIELDS
)
PUT_POSTGRES: Final = (
    f"INSERT INTO agencies ({_NAMES}, listed_us) SELECT {_NAMES}, CAST($2 AS BIGINT) "
    f"FROM jsonb_to_recordset(CAST(CAST($1 AS TEXT) AS JSONB)) AS e ({_TYPES}) ON CONFLICT (of_list, code_key) DO UPDATE SET {_UPDATE}"
)

# By the list's own range of ids: asked for `of_list`, SQLite would walk through that list and look each agency up among the words.
SEARCH_SQLITE: Final = (
    f"SELECT {_COLUMNS} FROM agency_words CROSS JOIN agencies a ON a.id = agency_words.rowid {_PARENT} "
    f"WHERE agency_words MATCH $2 AND agency_words.rowid > {_LIST} * {IDS} AND agency_words.rowid <= ({_LIST} + 1) * {IDS} "
    "ORDER BY agency_words.rowid LIMIT $3"
)
SEARCH_POSTGRES: Final = (
    f"SELECT {_COLUMNS} FROM agencies a {_PARENT} "
    "WHERE array_to_tsvector(string_to_array(a.words, ' ')) @@ CAST(CAST($2 AS TEXT) AS TSQUERY) AND a.closed = 0 AND a.test = 0 "
    f"AND a.of_list = {_LIST} ORDER BY a.id LIMIT $3"
)


class AgencyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One agency as it is shown. `parent_code` is None at the top of the tree."""

    code: str
    name: str
    old_code: str
    level: int
    test: int
    closed: int
    closed_us: int | None
    successor: str
    parent_code: str | None
    parent_name: str | None


async def enlist(tx: Transaction, axis: str, configured: Collection[str]) -> int:
    """The number of this axis' list, made where there is none. One list whose axis is configured no more is taken to be that of the first in the
    settings that has none, at another address: what it knows of codes that have ended is kept. `configured` is in the order of the settings.
    """
    rows = await tx.fetch_all("SELECT axis, number FROM agency_lists ORDER BY number")
    numbers = {str(row["axis"]): int(row["number"]) for row in rows}
    left = [one for one in numbers if one not in configured]
    if axis in numbers:
        return numbers[axis]
    heir = next((one for one in configured if one not in numbers), axis)
    if len(left) == 1 and heir == axis:
        await tx.execute("UPDATE agency_lists SET axis = $1 WHERE axis = $2", axis, left[0])
        return numbers[left[0]]
    number = max(numbers.values(), default=-1) + 1
    await tx.execute(
        "INSERT INTO agency_lists (axis, listed, synchronised_us, number) VALUES ($1, 0, 0, $2)", axis, number
    )
    return number


async def known(db: Reads, of_list: int = 0) -> list[Known]:
    """Every code that a list has kept, closed ones too."""
    rows = await db.fetch_all("SELECT id, code_key, unit, closed, digest FROM agencies WHERE of_list = $1", of_list)
    return [into(row, Known) for row in rows]


async def put(tx: Transaction, dialect: Dialect, entries: Sequence[Entry], now_us: int) -> None:
    """Write entries, new or changed, and what a search finds them by."""
    if dialect is Dialect.POSTGRES:
        await tx.execute(PUT_POSTGRES, msgspec.json.encode(entries).decode(), now_us)
        return
    await tx.execute_many(PUT_SQLITE, [(*msgspec.structs.astuple(entry), now_us) for entry in entries])
    hidden = [entry.id for entry in entries if entry.closed or entry.test]
    if hidden:
        await tx.execute(HIDE_SQLITE, msgspec.json.encode(hidden).decode())
    await tx.execute(SHOW_SQLITE, msgspec.json.encode([entry.id for entry in entries]).decode())


async def end(tx: Transaction, dialect: Dialect, ended: Sequence[Ended], now_us: int) -> None:
    """Mark codes that are listed no more; no search shows them again, their code still finds them."""
    for one in ended:
        await tx.execute(
            "UPDATE agencies SET closed = 1, closed_us = $1, successor = $2, digest = '' WHERE id = $3 AND closed = 0",
            now_us,
            one.successor,
            one.id,
        )
        if dialect is Dialect.SQLITE:
            await tx.execute("DELETE FROM agency_words WHERE rowid = $1", one.id)


async def analyse(tx: Transaction, dialect: Dialect) -> None:
    """PostgreSQL plans a search by what it knows of the words; after a first list it knows nothing, and a keystroke takes a second."""
    if dialect is Dialect.POSTGRES:
        await tx.execute("ANALYZE agencies")


async def mark_synchronised(tx: Transaction, axis: str, listed: int, now_us: int) -> None:
    await tx.execute("UPDATE agency_lists SET listed = $2, synchronised_us = $3 WHERE axis = $1", axis, listed, now_us)


async def synchronised_us(db: Reads, axis: str) -> int | None:
    """When this axis' list was last taken over whole."""
    row = await db.fetch_one("SELECT synchronised_us AS at_us FROM agency_lists WHERE axis = $1", axis)
    return None if row is None else row["at_us"] or None


async def by_code(db: Reads, axis: str, code_key: str) -> list[AgencyRow]:
    """The agency with this code, then those whose old code it is; closed ones and test units too."""
    rows = await db.fetch_all(
        f"SELECT {_COLUMNS} FROM agencies a {_PARENT} WHERE {_CODE} "
        "ORDER BY CASE WHEN a.code_key = $2 THEN 0 ELSE 1 END, a.closed, a.id LIMIT 5",
        axis,
        code_key,
    )
    return [into(row, AgencyRow) for row in rows]


_LINKS: Final = 16
_ASKED_AT_ONCE: Final = 90  # a statement takes 99 parameters at most


async def _successors(db: Reads, axis: str, code: str) -> list[str]:
    """Who has the unit of a closed code, and who has theirs, where that ended too: the last one is open or unknown.

    A ring of closed codes names nobody: a packet would be sent round it for ever.
    """
    found = [code]
    while len(found) <= _LINKS:
        row = await db.fetch_one(
            f"SELECT successor FROM agencies WHERE of_list = {_LIST} AND code_key = $2 AND closed = 1 AND successor <> ''",
            axis,
            changes.key(found[-1]),
        )
        if row is None:
            break
        if changes.key(row["successor"]) in {changes.key(one) for one in found}:
            return []
        found.append(str(row["successor"]))
    return found[1:]


async def names(db: Reads, axis: str, code: str) -> list[str]:
    """Keys of the codes that name the agency of `code`, its own first: the list's old code, and who has the unit now (reference §6.6)."""
    asked = changes.key(code)
    rows = await db.fetch_all(
        f"SELECT a.code_key, a.old_key, a.closed FROM agencies a WHERE {_CODE}",
        axis,
        asked,
    )
    exact = [row for row in rows if row["code_key"] == asked]
    found = [asked]
    # An old code that the list gives to several agencies names none of them.
    for row in exact or (rows if len(rows) == 1 else ()):
        later = [changes.key(one) for one in await _successors(db, axis, row["code_key"])] if row["closed"] else []
        found += [name for name in (row["code_key"], row["old_key"], *later) if name]
    return list(dict.fromkeys(found))


async def same(db: Reads, axis: str, one: str, other: str) -> bool:
    """Whether two codes name one agency, by spelling or by the kept list; two that merged are one."""
    if changes.key(one) == changes.key(other):
        return True
    if changes.key(other) in await names(db, axis, one) or changes.key(one) in await names(db, axis, other):
        return True
    return changes.key(await current(db, axis, one)) == changes.key(await current(db, axis, other))


async def current(db: Reads, axis: str, code: str) -> str:
    """The code to send to: that of who has the unit now where the list shows that this one is closed, else `code` as it stands."""
    return (await _successors(db, axis, code) or [code])[-1]


async def succeeded(db: Reads, axis: str, codes: Collection[str]) -> list[str]:
    """Of these codes those that are closed and have a successor."""
    found: set[str] = set()
    some = list(codes)
    for start in range(0, len(some), _ASKED_AT_ONCE):
        asked = [changes.key(code) for code in some[start : start + _ASKED_AT_ONCE]]
        places = ", ".join(f"${place}" for place in range(2, len(asked) + 2))
        rows = await db.fetch_all(
            f"SELECT code_key FROM agencies WHERE of_list = {_LIST} AND closed = 1 AND successor <> '' AND code_key IN ({places})",
            axis,
            *asked,
        )
        found |= {str(row["code_key"]) for row in rows}
    return [code for code in some if changes.key(code) in found]


async def above(db: Reads, axis: str, code: str) -> list[str]:
    """Keys of the units above this one, the nearest first."""
    found: list[str] = []
    at = changes.key(code)
    while len(found) < _LINKS:
        row = await db.fetch_one(f"SELECT parent_key FROM agencies WHERE of_list = {_LIST} AND code_key = $2", axis, at)
        at = "" if row is None else str(row["parent_key"])
        if not at or at in found:
            break
        found.append(at)
    return found


async def search(db: Reads, dialect: Dialect, axis: str, words: Sequence[str], limit: int) -> list[AgencyRow]:
    """Open agencies that have, for every word, a word that begins with it; in the order of their ids. Test units never show.

    `words` hold `a-z0-9.` alone, so that they need no escaping in either engine's language of queries.
    """
    if dialect is Dialect.SQLITE:
        rows = await db.fetch_all(SEARCH_SQLITE, axis, " ".join(f'"{word}"*' for word in words), limit)
    else:
        rows = await db.fetch_all(SEARCH_POSTGRES, axis, " & ".join(f"'{word}':*" for word in words), limit)
    return [into(row, AgencyRow) for row in rows]
