"""What is closed to a child: network, other files, other processes, new programs (threats B3, B5)."""

import os
import socket
import threading
from pathlib import Path

import pytest
import pytest_asyncio

from server.sandbox.model import Failure, SandboxFailure
from server.sandbox.pool import Sandbox
from server.sandbox.tasks import Task
from tests.unit.server.sandbox.hostile_tasks import Ask, Told

HERE = "tests.unit.server.sandbox.hostile_tasks"
pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def sandbox():
    async with Sandbox(tasks={"attempt": Task(f"{HERE}:attempt"), "echo": Task(f"{HERE}:echo")}) as running:
        yield running


async def outcome(sandbox, what, **settings):
    return (await sandbox.call("attempt", Ask(text=what), Told, **settings)).text


async def test_network_is_out_of_reach(sandbox):
    """The canary listens on loopback, where the server's own services are."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.5)

        def listen():
            try:
                calls.append(canary.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        port = canary.getsockname()[1]
        assert await outcome(sandbox, f"connect {port}") == "PermissionError"
        listener.join()
    assert calls == []
    assert (await sandbox.isolation()).offline


async def test_network_namespace_alone_keeps_the_child_offline(sandbox, monkeypatch):
    """Each wall holds by itself: without the filter the child has sockets, but only an empty network."""
    walls = await sandbox.isolation()
    if not walls.network:
        pytest.fail("this machine forbids user namespaces: the wall cannot be tested here")
    zygote = sandbox._processes._zygote.pid
    assert os.stat(f"/proc/{zygote}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino


async def test_sockets_of_other_services_are_out_of_reach(sandbox, tmp_path):
    """The signer listens on a path of the same user in embedded mode."""
    path = str(tmp_path / "signer.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        assert await outcome(sandbox, f"socket {path}") == "PermissionError"
    logs = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(logs)
        receiving.setblocking(False)
        assert await outcome(sandbox, f"datagram {logs}") == "PermissionError"
        with pytest.raises(BlockingIOError):
            receiving.recv(1)


async def test_only_the_named_file_can_be_read(sandbox, tmp_path):
    if not (await sandbox.isolation()).files:
        pytest.fail("this kernel has no Landlock: the wall cannot be tested here")
    given, other = tmp_path / "given.pdf", tmp_path / "pepper"
    given.write_bytes(b"%PDF")
    other.write_bytes(b"secret")
    assert await outcome(sandbox, f"read {given}", reads=[given]) == "done"
    assert await outcome(sandbox, f"read {other}", reads=[given]) == "PermissionError"
    assert await outcome(sandbox, f"write {given}", reads=[given]) == "PermissionError"
    assert await outcome(sandbox, f"list {tmp_path}", reads=[given]) == "PermissionError"
    assert await outcome(sandbox, "read /etc/passwd") == "PermissionError"
    assert given.read_bytes() == b"%PDF"


async def test_only_the_scratch_folder_can_be_written(sandbox, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert await outcome(sandbox, f"write {scratch}/page", scratch=scratch) == "done"
    assert await outcome(sandbox, f"write {tmp_path}/page", scratch=scratch) == "PermissionError"
    assert await outcome(sandbox, f"link {scratch}/link", scratch=scratch) == "PermissionError"
    assert [path.name for path in scratch.iterdir()] == ["page"]


async def test_written_file_is_bounded(sandbox, tmp_path):
    assert await outcome(sandbox, f"grow {tmp_path}/large", scratch=tmp_path) == "OSError"
    assert (tmp_path / "large").stat().st_size <= 64 * 1024 * 1024


@pytest.mark.parametrize("what", ["kill {this}", "fork", "run /bin/true"])
async def test_other_processes_and_programs_are_out_of_reach(sandbox, what):
    assert await outcome(sandbox, what.format(this=os.getpid())) == "PermissionError"


async def test_pair_of_sockets_stays_usable_for_event_loops(sandbox):
    assert await outcome(sandbox, "pair") == "done"


async def test_missing_input_is_refused_before_the_task_runs(sandbox):
    with pytest.raises(SandboxFailure) as caught:
        await sandbox.call("echo", Ask(), Told, reads=[Path("/nowhere")])
    assert caught.value.code is Failure.REFUSED


async def test_no_later_task_runs_where_the_walls_could_not_be_set(sandbox):
    with sandbox.child(reads=[Path("/nowhere")]) as child:
        for _ in range(2):
            with pytest.raises(SandboxFailure):
                await child.call("echo", Ask(), Told)
