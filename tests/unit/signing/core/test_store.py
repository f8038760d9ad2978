"""A4: every column of every table, mutated one at a time, at rest and while the signer runs. Group commit and its savepoints."""

import contextlib
import hashlib
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import pytest_asyncio

from signing.client import Kind, VoucherKind
from signing.core import daemon
from signing.core.errors import SignerError, Unavailable, WrongPin
from signing.core.heads import HeadKeeper
from signing.core.rows import TABLES, Event, RevokedRow
from signing.core.store import StartRefused, Store
from tests.fakes.phone import Phone
from tests.fakes.signer import ORGANISATION, SignerHost, enrol, now_us, sign

DIGEST = hashlib.sha256(b"a document").digest()
NAMES = [table.TABLE for table in TABLES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dump(tmp_path_factory):
    """A stopped store with rows in every table, and two persons."""
    host = SignerHost(tmp_path_factory.mktemp("a4") / "h").start()
    client, officer = host.client(), host.officer()
    first = await enrol(host, client, officer, "person-1")
    await enrol(host, client, officer, "person-2")
    await sign(client, first, DIGEST)
    with pytest.raises(WrongPin):
        await sign(client, first, DIGEST, pin="905173")
    extra = Phone(ORGANISATION, first.person, host.identity, credential=first.credential)
    voucher = officer.voucher(VoucherKind.ADD_DEVICE, extra, now_us=now_us())
    grant = await client.challenge(extra.credential, extra.device)
    approval, sealed = extra.approve(grant, kind=Kind.ADD_DEVICE, voucher=voucher, now_us=now_us())
    await client.add_device(approval, sealed, voucher)
    await client.revoke_device(extra.credential, extra.device)
    await client.close()
    assert host.stop() == 0
    return host


@pytest.fixture
def mutate(dump, tmp_path):
    """Run SQL on a copy of the dump and open it as the signer would."""
    keys = daemon.Keys(dump.config.folder("keys"))

    def attempt(*statements):
        for folder in ("state", "head"):
            shutil.rmtree(
                tmp_path / folder, ignore_errors=True
            )  # a write-ahead log of the last attempt would be applied
            shutil.copytree(dump.base / folder, tmp_path / folder)
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "signer.db")) as database:
            changed = sum(database.execute(statement).rowcount for statement in statements)
            database.commit()
        assert changed or not statements
        Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity).close()

    return attempt


def columns(dump, table):
    database = sqlite3.connect(f"file:{dump.database}?mode=ro", uri=True)
    try:
        return [(row[1], row[2]) for row in database.execute(f"PRAGMA table_info({table})")]
    finally:
        database.close()


def test_a_clean_store_opens_again_and_again(mutate):
    for _ in range(10):
        mutate()


@pytest.mark.parametrize("table", [*NAMES, "event", "meta"])
def test_every_column_is_guarded(dump, mutate, table):
    for name, kind in columns(dump, table):
        if (table, name) == ("meta", "id"):
            continue  # its only lawful value is 1, and the database refuses another
        changes = {
            "INTEGER": [f"{name} + 1", f"CAST({name} AS TEXT)", f"{name} + 0.5"],
            "TEXT": [f"{name} || 'x'", f"CAST({name} AS BLOB)", "''" if table != "activation" else "'y'"],
            "BLOB": [f"{name} || x'00'", f"CAST({name} AS TEXT) || 'x'", "x'01'"],
        }[kind]
        key = columns(dump, table)[0][0]
        for change in changes[:1] if (kind, name) == ("INTEGER", "position") else changes:
            row = f"WHERE {key} = (SELECT max({key}) FROM {table})"
            try:
                with pytest.raises(StartRefused) as refused:
                    mutate(f"UPDATE {table} SET {name} = {change} {row} AND {name} IS NOT {change}")
            except (sqlite3.IntegrityError, AssertionError):
                continue  # the database itself refused the value, or it was that value already
            assert refused.value.code in ("tampered", "rolled-back"), (table, name, change)


@pytest.mark.parametrize("table", NAMES)
def test_deleted_and_doubled_rows_are_found(dump, mutate, table):
    key = columns(dump, table)[0][0]
    one = f"{key} = (SELECT min({key}) FROM {table})"
    with pytest.raises(StartRefused, match="tampered"):
        mutate(f"DELETE FROM {table} WHERE {one}")
    names = [name for name, _ in columns(dump, table)]
    copied = ", ".join(f"{name} || 'x'" if name == key else name for name in names)
    with pytest.raises(StartRefused, match="tampered"):
        mutate(f"INSERT INTO {table} SELECT {copied} FROM {table} WHERE {one}")


def test_swapped_envelopes_are_found_even_with_their_macs(dump, mutate):
    for swapped in ("envelope", "envelope = o.envelope, mac = o.mac, sequence"):
        source = swapped.rsplit(" ", 1)[-1].split("=")[0] if swapped != "envelope" else "envelope"
        with pytest.raises(StartRefused, match="tampered"):
            mutate(f"UPDATE holder SET {swapped} = o.{source} FROM holder AS o WHERE o.person != holder.person")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM event WHERE position = 1",
        "DELETE FROM event WHERE position = (SELECT max(position) FROM event)",
        "DELETE FROM event",
        "UPDATE event SET body = (SELECT body FROM event WHERE position = 2) WHERE position = 1",
        "UPDATE event SET body = body || x'20' WHERE position = 0",
        "INSERT INTO event SELECT max(position) + 1, x'7b7d' FROM event",
        "DELETE FROM meta",
    ],
)
def test_edited_log_rows_are_found(mutate, change):
    with pytest.raises(StartRefused, match=r"tampered|rolled-back"):
        mutate(change)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE holder SET failures = 0, locked_until_us = 0",
        "UPDATE holder SET state = 'active', epoch = 1, pin_forbidden = 'x'",
        "DELETE FROM holder",
        "UPDATE device SET state = 'active', person = 'x'",
        "DELETE FROM device",
        "UPDATE credential SET organisation = 'H01.02'",
        "UPDATE credential SET certificate = x'00'",
    ],
)
async def test_a_row_changed_while_the_signer_runs_is_found_when_it_is_read(client, host, officer, change):
    phone = await enrol(host, client, officer)
    with pytest.raises(WrongPin):
        await sign(client, phone, DIGEST, pin="905173")
    database = sqlite3.connect(host.database, timeout=20)
    database.execute(change)
    database.commit()
    database.close()
    with pytest.raises(SignerError, match="tampered"):
        await sign(client, phone, DIGEST)
    with pytest.raises(SignerError, match="tampered"):  # it stops: what else was changed is not known
        await client.status(phone.credential)
    host.stop()
    with pytest.raises(RuntimeError, match="tampered"):
        host.start()


@pytest.mark.asyncio
async def test_a_row_of_yesterday_is_found_while_the_signer_runs(client, host, officer):
    phone = await enrol(host, client, officer)
    database = sqlite3.connect(host.database, timeout=20, isolation_level=None)
    old = database.execute("SELECT * FROM holder").fetchone()
    with pytest.raises(WrongPin):
        await sign(client, phone, DIGEST, pin="905173")
    database.execute(f"INSERT OR REPLACE INTO holder VALUES ({', '.join('?' * len(old))})", old)
    database.close()
    with pytest.raises(SignerError, match="tampered"):
        await sign(client, phone, DIGEST)


def test_two_signers_never_share_a_store(dump, tmp_path):
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    store = Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)
    with pytest.raises(StartRefused, match="in-use"):
        Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)
    store.close()


def test_store_without_head_and_head_without_store_are_refused(dump, tmp_path):
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartRefused, match="head-missing"):
        Store.open(tmp_path / "state", tmp_path / "empty", keys.row_key, keys.identity)
    with pytest.raises(StartRefused, match="store-missing"):
        Store.open(tmp_path / "empty", dump.base / "head", keys.row_key, keys.identity)
    with pytest.raises(FileExistsError):
        Store.create(tmp_path / "empty", dump.base / "head", keys.row_key, keys.identity, 1)


def test_a_torn_slot_leaves_the_other_one(dump, tmp_path):
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    newest = max((0, 1), key=lambda slot: (tmp_path / "head" / f"head.{slot}").stat().st_mtime_ns)
    path = tmp_path / "head" / f"head.{newest}"
    path.write_bytes(path.read_bytes()[:300])
    Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity).close()


def test_one_bad_body_undoes_itself_alone_in_a_group(dump, tmp_path):
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    store = Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)

    def body(number):
        def run(tx):
            tx.put(RevokedRow(device=f"d{number}", time_us=number))
            if number % 7 == 3:
                raise ValueError(number)
            return number

        return run

    with ThreadPoolExecutor(60) as pool:
        with store._turn:  # all come while another commits, so they share groups
            futures = [pool.submit(store.write, body(number)) for number in range(500)]
            while len(store._waiting) < 60:
                time.sleep(0.001)
        failed = {number for number, future in enumerate(futures) if future.exception(60)}
    assert failed == {number for number in range(500) if number % 7 == 3}
    found = store.write(lambda tx: {n for n in range(500) if tx.get(RevokedRow, f"d{n}")})
    assert found == set(range(500)) - failed
    store.close()
    Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity).close()


def test_a_group_whose_commit_fails_fails_for_everybody_and_the_next_goes_through(dump, tmp_path):
    """D8: nobody of a group is told that it was stored when it was not, and nobody waits for ever."""
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    store = Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)
    refusing = "CREATE TRIGGER refuse BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'x'); END"
    store.write(lambda _: store.connection.execute(refusing))
    before = store.state
    with ThreadPoolExecutor(20) as pool:
        put = [
            pool.submit(store.write, lambda tx, n=n: tx.put(RevokedRow(device=f"x{n}", time_us=1))) for n in range(20)
        ]
        assert all(isinstance(one.exception(60), Unavailable) for one in put)
    assert store.state == before
    store.write(lambda _: store.connection.execute("DROP TRIGGER refuse"))
    store.write(lambda tx: tx.put(RevokedRow(device="x0", time_us=1)))
    assert store.write(lambda tx: [tx.get(RevokedRow, f"x{n}") is None for n in range(2)]) == [False, True]
    store.close()
    Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity).close()


def _copied(folder):
    data, bodies = (folder / "head" / "log.copy").read_bytes(), []
    while length := int.from_bytes(data[:4], "big"):
        bodies.append(data[4 : 4 + length])
        data = data[4 + length :]
    return bodies, data


@pytest.mark.parametrize("kept", [0, 3, 5, 300, 511, 700])
def test_an_event_cut_short_by_a_loss_of_power_is_copied_again(dump, tmp_path, kept):
    """A5: behind the last head, what did not reach the disk is zeros; the store has the event and writes it anew."""
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    store = Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)
    store.durably(lambda tx: tx.log(Event(event="before", time_us=1)))
    shutil.copytree(tmp_path / "head", tmp_path / "lost" / "head")
    event = Event(event="last", time_us=2, detail="x" * 700)
    store.write(lambda tx: tx.log(event))  # committed; power is lost while its copy is written
    expected = store.write(lambda tx: tx.events(0, -1))
    shutil.copytree(tmp_path / "state", tmp_path / "lost" / "state")
    store.close()
    whole, zeros = _copied(tmp_path / "lost")
    assert (whole, set(zeros)) == (expected[:-1], {0})
    path, body = tmp_path / "lost" / "head" / "log.copy", msgspec.json.encode(event)
    data, torn = path.read_bytes(), len(body).to_bytes(4, "big") + body
    end = len(data) - len(zeros)
    path.write_bytes(data[:end] + torn[:kept] + bytes(len(zeros) - kept))
    store = Store.open(tmp_path / "lost" / "state", tmp_path / "lost" / "head", keys.row_key, keys.identity)
    store.close()
    assert _copied(tmp_path / "lost") == (expected, b"")


def test_a_restore_that_is_cut_short_and_made_again_keeps_the_abandoned_history(dump, tmp_path):
    """A5: the copy is all that is left of what was signed behind the backup."""
    keys, folder = daemon.Keys(dump.config.folder("keys")), tmp_path / "head"
    shutil.copytree(dump.base / "head", folder)
    abandoned = (folder / "log.copy").read_bytes()
    for begun in (b"\0\0\0\2{}", b""):
        keeper = HeadKeeper(folder, keys.identity)
        keeper.restart_copy(7)
        assert (keeper.copied, (folder / "log.copy").read_bytes()) == (0, b"")
        keeper.close()
        (folder / "log.copy").write_bytes(begun)  # power is lost before the new head
    assert (folder / "log.copy.7").read_bytes() == abandoned


def test_the_copy_grows_by_more_than_its_room(dump, tmp_path):
    keys = daemon.Keys(dump.config.folder("keys"))
    shutil.copytree(dump.base / "state", tmp_path / "state")
    shutil.copytree(dump.base / "head", tmp_path / "head")
    store = Store.open(tmp_path / "state", tmp_path / "head", keys.row_key, keys.identity)
    for size in (10, 70_000, 200_000, 60_000, 10_000, 1):
        event = Event(event="long", time_us=size, detail="y" * size)
        store.durably(lambda tx, event=event: tx.log(event))
        expected = store.write(lambda tx: tx.events(0, -1))
        bodies, zeros = _copied(tmp_path)
        assert bodies == expected
        assert set(zeros) <= {0}
    store.close()
    assert _copied(tmp_path) == (expected, b"")
