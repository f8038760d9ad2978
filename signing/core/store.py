"""The signer's store: one SQLite file, one writer at a time, group commit, a MAC on every row, and the head that guards
it.

`write(body)` runs `body(tx)` in the caller's thread, or in that of a caller who came before: whoever has the turn
commits for all who wait, durably and once, each body in a savepoint of its own. Every row carries HMAC(all columns, sequence);
`meta` holds the sum modulo 2^256 of the MACs of all live rows, the sequence and the log's frontier, itself under
HMAC. The MACs are also kept in memory, so a row that is edited, deleted or put back while the signer runs is found
when it is read (A4).

The module is long because opening, committing and checking share one invariant: memory, file and head say the same.
"""

import contextlib
import fcntl
import hmac
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from signing.core import rows
from signing.core.codec import SigningKey, b64u, lp, public_jwk
from signing.core.errors import SignerError, Tampered, Unavailable
from signing.core.heads import HeadKeeper, State, read_head
from signing.core.log import Frontier, leaf_hash
from signing.core.model import Head, RestoreOrder
from signing.core.rows import ActivationRow, Column, Columns, CredentialRow, DeviceRow, Event, R, Row

T = TypeVar("T")
_MODULUS = 1 << 256
_GROUP = 256


class StartRefused(Exception):  # noqa: N818 - named as the design names it
    """The store may not be opened; `code` says why: tampered, rolled-back, head-missing, store-missing, clock."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


@dataclass
class _Ledger:
    """What `meta` says, in memory: grows with a transaction and becomes the store's when its commit is durable."""

    sequence: int = 0
    row_sum: int = 0
    frontier: Frontier = field(default_factory=Frontier)
    time_us: int = 0
    macs: dict[bytes, bytes | None] = field(default_factory=dict)  # of the rows changed; None = deleted
    events: list[bytes] = field(default_factory=list)
    scrub: bool = False

    def fork(self) -> "_Ledger":
        return replace(self, frontier=self.frontier.copy(), macs=dict(self.macs), events=list(self.events))

    def meta(self) -> tuple[Column, ...]:
        frontier = self.frontier
        return self.sequence, self.row_sum.to_bytes(32, "big"), frontier.size, frontier.encode(), self.time_us

    def state(self) -> State:
        row_sum = self.row_sum.to_bytes(32, "big")
        return State(self.sequence, self.frontier.size, self.frontier.root(), row_sum, self.time_us)


@dataclass
class _Job:
    """One body on its way into a group, and what became of it."""

    body: Callable[["Tx"], object]
    done: bool = False
    value: object = None
    error: BaseException | None = None


class Tx:
    """A transaction's view. Reads check MACs; writes keep MACs, sum and log in step."""

    def __init__(self, store: "Store", ledger: _Ledger) -> None:
        self._store, self._ledger = store, ledger

    @property
    def sequence(self) -> int:
        """The sequence so far; at the end of the body, the one whose head makes this transaction safe."""
        return self._ledger.sequence

    def get(self, table: type[R], *key: str) -> R | None:
        """The row of a primary key, or None. Raises `Tampered` if it is not the row that the signer wrote last."""
        found = self._store.connection.execute(rows.GET[table], key).fetchone()
        if found is not None:
            return self._checked(table, found)
        if self._mac(lp(table.TABLE, *key)) is not None:
            raise Tampered("a row is missing")
        return None

    def need(self, missing: SignerError, table: type[R], *key: str) -> R:
        """The row of a primary key; raises `missing` if there is none, and as `get`."""
        row = self.get(table, *key)
        if row is None:
            raise missing
        return row

    def find(self, table: type[R], where: str, value: Column) -> list[R]:
        """The rows that a condition of the core's own selects, each checked; for display and sweeps, where a missing
        row grants nothing.
        """
        found = self._store.connection.execute(f"{rows.SELECT[table]} WHERE {where}", (value,)).fetchall()
        return [self._checked(table, row) for row in found]

    def put(self, row: Row) -> None:
        """Insert or replace."""
        table, ledger = type(row), self._ledger
        columns = msgspec.structs.astuple(row)
        values = tuple(str(value) if isinstance(value, str) else value for value in columns)  # enums become plain text
        ledger.sequence += 1
        mac = self._store.row_mac(table, values, ledger.sequence)
        self._store.connection.execute(rows.REPLACE[table], (*values, ledger.sequence, mac))
        self._account(lp(table.TABLE, *values[: table.KEY]), mac)

    def delete(self, row: Row) -> None:
        table, key = type(row), msgspec.structs.astuple(row)[: type(row).KEY]
        self._store.connection.execute(rows.DELETE[table], key)
        self._ledger.sequence += 1
        self._account(lp(table.TABLE, *key), None)

    def scrub(self) -> None:
        """Something secret was overwritten: after the commit, take it out of the write-ahead log as well."""
        self._ledger.scrub = True

    def log(self, event: Event) -> None:
        """Append to the log, in the same transaction as what it tells of (A15)."""
        body, ledger = msgspec.json.encode(event), self._ledger
        self._store.connection.execute("INSERT INTO event VALUES (?, ?)", (ledger.frontier.size, body))
        ledger.frontier.append(leaf_hash(body))
        ledger.sequence += 1
        ledger.time_us = max(ledger.time_us, event.time_us)
        ledger.events.append(body)

    def log_about(
        self, event: str, now: int, at: CredentialRow, who: DeviceRow | ActivationRow | None = None, detail: str = ""
    ) -> None:
        """Append an event of a credential, of the person and device of `who`, and of its challenge if it has one."""
        told = Event(event=event, time_us=now, organisation=at.organisation, credential=at.credential, detail=detail)
        if who is not None:
            challenge = who.challenge if isinstance(who, ActivationRow) else ""
            told = msgspec.structs.replace(told, person=who.person, device=who.device, challenge=challenge)
        self.log(told)

    def events(self, start: int, count: int) -> list[bytes]:
        """Bodies of the log's events from a position; a negative count means all."""
        return self._store.events(start, count)

    def _checked(self, table: type[R], found: tuple[Column, ...]) -> R:
        *values, sequence, mac = found
        kept = self._mac(lp(table.TABLE, *values[: table.KEY]))
        if kept != mac or self._store.row_mac(table, values, sequence) != mac:
            raise Tampered("a row is not the one written last")
        return msgspec.convert(dict(zip(rows.FIELDS[table], values, strict=True)), table)

    def _mac(self, row_key: bytes) -> bytes | None:
        macs = self._ledger.macs
        return macs[row_key] if row_key in macs else self._store.macs.get(row_key)

    def _account(self, row_key: bytes, mac: bytes | None) -> None:
        old, ledger = self._mac(row_key), self._ledger
        ledger.row_sum = (ledger.row_sum - _number(old) + _number(mac)) % _MODULUS
        ledger.macs[row_key] = mac


def _number(mac: bytes | None) -> int:
    return int.from_bytes(mac, "big") if mac else 0


class Store:
    """An opened store. Its methods block, and may be called from any thread."""

    def __init__(self, directory: Path, head_directory: Path, row_key: bytes, identity: SigningKey) -> None:
        self._row_key = row_key
        self._lock = _lock(directory)
        self.connection = _connect(directory / "signer.db")
        self.heads = HeadKeeper(head_directory, identity)
        self.macs: dict[bytes, bytes] = {}
        self._ledger = _Ledger()
        self.tampered = False
        self._waiting: deque[_Job] = deque()
        self._turn = threading.Lock()

    @classmethod
    def create(cls, directory: Path, head_directory: Path, row_key: bytes, identity: SigningKey, now_us: int) -> None:
        """An empty store with its first head. Raises `FileExistsError` if either is there already."""
        if (directory / "signer.db").exists() or (head_directory / "head.0").exists():
            raise FileExistsError("a store or a head exists already")
        store = cls(directory, head_directory, row_key, identity)
        try:
            store.connection.execute("BEGIN IMMEDIATE")
            for statement in rows.schema():
                store.connection.execute(statement)
            store._ledger.time_us = now_us
            store._write_meta(store._ledger)
            store.connection.execute("COMMIT")
            store.heads.write(store.state, [])
        finally:
            store.close()

    @classmethod
    def open(
        cls, directory: Path, heads: Path, row_key: bytes, identity: SigningKey, *, order: RestoreOrder | None = None
    ) -> "Store":
        """Check everything, then start. Raises `StartRefused`. `order` is an accepted restore's, already verified."""
        if not (directory / "signer.db").exists():
            raise StartRefused("store-missing", "there is no store; `init` creates store and head together")
        found = read_head(heads, public_jwk(identity.public_key()))
        if found is None:
            raise StartRefused("head-missing", "there is a store but no head that verifies")
        store = cls(directory, heads, row_key, identity)
        with store._closing_on_refusal():
            store._load(found[1], order)
        return store

    @classmethod
    def inspect(cls, directory: Path, head_directory: Path, row_key: bytes, identity: SigningKey) -> State:
        """The state of a store that is whole in itself, whatever the head says. Raises `StartRefused`."""
        store = cls(directory, head_directory, row_key, identity)
        with store._closing_on_refusal():
            store._check(0)
        store.close()
        return store.state

    @contextlib.contextmanager
    def _closing_on_refusal(self) -> Iterator[None]:
        try:
            yield
        except StartRefused:
            self.close()
            raise
        except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, OverflowError, AttributeError) as error:
            self.close()
            raise StartRefused("tampered", "the store cannot be read in its form") from error

    @property
    def state(self) -> State:
        """Of the last commit."""
        return self._ledger.state()

    @property
    def time_us(self) -> int:
        return self._ledger.time_us

    def close(self) -> None:
        """Finish what runs, write the last head, stop."""
        with self._turn:
            self.heads.close()
            self.connection.close()
            os.close(self._lock)

    def write(self, body: Callable[[Tx], T]) -> T:
        """The body's value, after its durable commit; what it raises undoes it alone. Its head is still to be written."""
        job = _Job(body)
        self._waiting.append(job)
        while not job.done:
            with self._turn:
                if not job.done:
                    self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP))])
        if job.error is not None:
            raise job.error
        return cast("T", job.value)

    def durably(self, body: Callable[[Tx], T]) -> T:
        """What changed, now or in a commit before, is answered when its head is on the other volume (A5).

        Raises `Unavailable` if that cannot be.
        """
        value, sequence = self.write(lambda tx: (body(tx), tx.sequence))
        self.heads.durable(sequence)
        return value

    def row_mac(self, table: type[Row], values: Columns, sequence: Column) -> bytes:
        if type(sequence) is not int or tuple(map(type, values)) != rows.TYPES[table]:
            raise Tampered("a column has another type")
        return hmac.digest(self._row_key, lp("hoatoc-row-v1", table.TABLE, *values, sequence), "sha256")

    def events(self, start: int, count: int = -1) -> list[bytes]:
        statement = "SELECT body FROM event WHERE position >= ? ORDER BY position LIMIT ?"
        return [row[0] for row in self.connection.execute(statement, (start, count))]

    # One group. -------------------------------------------------------------------------------------------------------

    def _commit(self, group: list[_Job]) -> None:
        ledger = self._ledger
        try:
            if self.tampered:
                raise Tampered("found before; restart to check the whole store")
            self.connection.execute("BEGIN IMMEDIATE")
            for job in group:
                attempt = ledger.fork()
                self._one(job, attempt)
                ledger = attempt if job.error is None else ledger
            if ledger.sequence != self._ledger.sequence:
                self._write_meta(ledger)
            self.connection.execute("COMMIT")
        except Exception as error:  # whatever it is, it is everybody's
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            ledger, failed = self._ledger, _public(error)
            for job in group:
                job.error = failed
        if ledger.sequence != self._ledger.sequence:
            self._adopt(ledger)
        for job in group:
            job.done = True

    def _one(self, job: _Job, ledger: _Ledger) -> None:
        """One body in its savepoint: its value, or why it was undone."""
        self.connection.execute("SAVEPOINT body")
        try:
            job.value = job.body(Tx(self, ledger))
        except Exception as error:  # whatever one body does wrong stays its own
            self.connection.execute("ROLLBACK TO body")
            self.tampered = self.tampered or isinstance(error, Tampered)
            job.error = _public(error)
        self.connection.execute("RELEASE body")

    def _adopt(self, ledger: _Ledger) -> None:
        """The commit is durable: memory follows, and the head may."""
        for row_key, mac in ledger.macs.items():
            if mac is None:
                self.macs.pop(row_key, None)
            else:
                self.macs[row_key] = mac
        if ledger.scrub:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        events, ledger.macs, ledger.events, ledger.scrub = ledger.events, {}, [], False
        self._ledger = ledger
        self.heads.publish(ledger.state(), events)

    def _write_meta(self, ledger: _Ledger) -> None:
        values = ledger.meta()
        mac = hmac.digest(self._row_key, lp("hoatoc-meta-v1", *values), "sha256")
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?, ?, ?)", (*values, mac))

    # Opening. -------------------------------------------------------------------------------------------------------

    def _load(self, head: Head, order: RestoreOrder | None) -> None:
        at_head = self._check(head.log_size)
        sequence = self._ledger.sequence
        if order is None:
            self._compare(head, at_head)
            missing = self.events(self.heads.copied)
        else:
            self._ledger.sequence = max(sequence, head.sequence) + 1
            self._write_meta(self._ledger)
            self.heads.restart_copy(head.sequence)
            missing = self.events(0)
        if missing or self._ledger.sequence != head.sequence:
            self.heads.write(self._ledger.state(), missing)

    def _check(self, head_size: int) -> bytes | None:
        """The store against its own MACs; fills the memory. The log's root when it had `head_size` events, if it ever
        had.
        """
        columns = "sequence, row_sum, log_size, frontier, time_us, mac"
        meta = self.connection.execute(f"SELECT {columns} FROM meta WHERE id = 1").fetchone()  # noqa: S608 - names are ours
        if meta is None or hmac.digest(self._row_key, lp("hoatoc-meta-v1", *meta[:5]), "sha256") != meta[5]:
            raise StartRefused("tampered", "meta does not carry its MAC")
        sequence, row_sum, log_size, frontier, time_us, _ = meta
        if self._sum_rows() != int.from_bytes(row_sum, "big"):
            raise StartRefused("tampered", "the rows do not add up to meta's sum")
        rebuilt, at_head = self._rebuild_log(head_size)
        if rebuilt.size != log_size or rebuilt.encode() != frontier:
            raise StartRefused("tampered", "the log's events do not hash to meta's frontier")
        self._ledger = _Ledger(sequence, int.from_bytes(row_sum, "big"), rebuilt, time_us)
        return at_head

    def _compare(self, head: Head, root_at_head: bytes | None) -> None:
        """The store may be ahead of the head by what a crash cut off, never behind it and never beside it."""
        state = self._ledger.state()
        same = (b64u(state.row_sum), state.log_size) == (head.sum, head.log_size)
        beside = state.sequence == head.sequence and not same
        behind = state.sequence < head.sequence or state.log_size < max(head.log_size, self.heads.copied)
        if behind or beside or root_at_head is None or b64u(root_at_head) != head.root:
            raise StartRefused("rolled-back", "the store does not extend the head on the other volume")

    def _sum_rows(self) -> int:
        total = 0
        for table in rows.TABLES:
            for *values, sequence, mac in self.connection.execute(rows.SELECT[table]):
                try:
                    if self.row_mac(table, values, sequence) != mac:
                        raise StartRefused("tampered", f"a row of {table.TABLE} does not carry its MAC")
                except Tampered as error:
                    raise StartRefused("tampered", f"a row of {table.TABLE} has another type") from error
                self.macs[lp(table.TABLE, *values[: table.KEY])] = mac
                total += _number(mac)
        return total % _MODULUS

    def _rebuild_log(self, head_size: int) -> tuple[Frontier, bytes | None]:
        frontier = Frontier()
        at_head = frontier.root() if head_size == 0 else None
        for position, body in self.connection.execute("SELECT position, body FROM event ORDER BY position"):
            if position != frontier.size:
                raise StartRefused("tampered", "the log has a gap")
            frontier.append(leaf_hash(body))
            if frontier.size == head_size:
                at_head = frontier.root()
        return frontier, at_head


def _public(error: Exception) -> Exception:
    return Unavailable("the store cannot be written") if isinstance(error, sqlite3.Error) else error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    path.chmod(0o600)
    return connection


def _lock(directory: Path) -> int:
    """Never two writers: the lock is held as long as the descriptor is open."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartRefused("in-use", "another signer has this store open") from error
    return descriptor
