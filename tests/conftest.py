"""Fixtures over real services: SQLite files, one private PostgreSQL cluster a session, Redis servers.

A service that is not installed fails the tests that need it, with the name of its package; it never skips them.
"""

import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import settings

from server.db import Database, migrate, open_database
from tests.fakes.clock import FrozenClock

# How long an example takes is the machine's affair: a deadline would make every property test flaky under load.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def program(name: str, package: str, *folders: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return found


# A durable commit waits for the disk, and a run makes tens of thousands. Nothing here asks what a power cut leaves behind: a killed process
# leaves the same in a file system of memory as on a disk. So everything temporary lies there, where it has room.
_MEMORY = Path("/dev/shm")
_ROOM = 6 << 30


def _has_room() -> bool:
    try:
        available = re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())
        return shutil.disk_usage(_MEMORY).free >= _ROOM and available is not None and int(available[1]) << 10 >= _ROOM
    except OSError:
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # The product is started some hundred times, and would be compiled each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if hasattr(config, "workerinput") or not _has_room():  # a worker has the environment of whoever started it
        return
    for left in _MEMORY.glob("ht-*"):
        if not Path("/proc", left.name[3:]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = _MEMORY / f"ht-{os.getpid()}"
    folder.mkdir(mode=0o711)
    (folder / "tmp").mkdir(mode=0o1777)
    (folder / "tmp").chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    # A short path: sockets lie below it.
    config.option.basetemp = config.option.basetemp or str(folder / "t")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


# Files whose tests take long each. They go first, so that two workers end together on what is short.
_LONG = ("tests/faults/road/", "tests/e2e/", "tests/web/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, part in enumerate(_LONG) if item.nodeid.startswith(part)), 9))


class PostgresCluster:
    """A server of our own in a temporary folder, on a unix socket, with fsync on; a database for whoever asks."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hoatoc-pg-"))
        self._data = self.folder / "data"
        self._template: str | None = None
        folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        self._pg_ctl = program("pg_ctl", "postgresql", *folders)
        initdb = program("initdb", "postgresql", *folders)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
        self._as_owner(initdb, "-D", self._data, "-A", "trust", "-U", "hoatoc", "--no-sync", "-E", "UTF8")
        self.start()

    def _as_owner(self, *command: object) -> None:
        prefix = [program("runuser", "util-linux", "/usr/sbin"), "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*prefix, *map(str, command)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"PostgreSQL: {done.stderr or done.stdout}", pytrace=False)

    def start(self) -> None:
        options = f"-c listen_addresses= -k {self.folder} -c max_connections=100 -c shared_buffers=32MB"
        log = self.folder / "log"
        self._as_owner(self._pg_ctl, "-D", self._data, "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._as_owner(self._pg_ctl, "-D", self._data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://hoatoc@/{database}?host={self.folder}"

    async def command(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def create(self) -> str:
        """The name of a new, migrated database."""
        if self._template is None:
            await self.command("CREATE DATABASE migrated")
            database = await open_database(self.url("migrated"))
            await migrate(database)
            await database.close()
            self._template = "migrated"
        name = f"t{uuid.uuid4().hex}"
        await self.command(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    cluster = PostgresCluster()
    yield cluster
    cluster.remove()


@pytest_asyncio.fixture
async def postgres_url(postgres_cluster: PostgresCluster) -> AsyncIterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    name = await postgres_cluster.create()
    yield postgres_cluster.url(name)
    await postgres_cluster.command(f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def sqlite_url(tmp_path: Path) -> str:
    """A migrated SQLite database of this test's own."""
    url = f"sqlite://{tmp_path}/test.db"
    database = await open_database(url)
    await migrate(database)
    await database.close()
    return url


@pytest_asyncio.fixture
async def postgres_db(postgres_url: str) -> AsyncIterator[Database]:
    database = await open_database(postgres_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def sqlite_db(sqlite_url: str) -> AsyncIterator[Database]:
    database = await open_database(sqlite_url)
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest) -> Database:
    """The migrated database, on both engines."""
    return request.getfixturevalue(f"{request.param}_db")


@pytest.fixture(params=["sqlite", "postgres"])
def db_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database, on both engines; for tests that open it in other processes."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def redis_server() -> Iterator["RedisServer"]:
    server = RedisServer()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


class RedisServer:
    """A real redis-server on a unix socket, without persistence; it can be stopped and started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hoatoc-redis-"))
        self.socket = self.folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [program("redis-server", "redis-server"), "--port", "0", "--unixsocket", str(self.socket)]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no", "--dir", str(self.folder), "--logfile", "log"],
        )
        cli = program("redis-cli", "redis-tools")
        for _ in range(200):
            ping = subprocess.run([cli, "-s", self.socket, "ping"], capture_output=True, check=False)
            if ping.stdout.strip() == b"PONG":
                return
        pytest.fail("redis-server did not come up", pytrace=False)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A test that sends the logs somewhere takes them back with it."""
    yield
    structlog.reset_defaults()
