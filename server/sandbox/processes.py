"""The processes behind the sandbox: its one zygote, the children at work, a spare that waits (see `pool`)."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from server.sandbox.model import Failure, Isolation, Priority, SandboxFailure
from server.sandbox.queue import Places
from server.sandbox.tasks import Task
from server.sandbox.zygote import FORK, KILL, REPORT

__all__ = ["Lost", "Process", "Processes", "Zygote", "post_mortem"]

log = structlog.get_logger()

_START_S: Final = 30.0
_EXIT_S: Final = 5.0
# A fresh child touches every page of its memory for the first time, and a scan's picture of 26 MB is 12,000 pages of 4 KiB: a fifth of
# the time of drawing it. glibc (2.35 on) then asks for huge pages, but only where it grows the heap; other C libraries ignore this.
_MALLOC: Final = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824"
# The zygote gets the module path of this process as arguments, because `-I` keeps environment and current folder out of it.
_LAUNCH: Final = (
    "import sys; sys.path[:] = sys.argv[5:]; from server.sandbox.zygote import main; "
    "main(int(sys.argv[1]), *([name for name in names.split(',') if name] for names in sys.argv[2:5]))"
)


class Lost(Exception):  # noqa: N818 -- a state of a child, handled here, never an error that callers see
    """The child was killed from outside (out-of-memory killer, zygote gone): says nothing about the document."""


class Process:
    """One child's process as the parent sees it. `ended` gets wait(2)'s status, or `None` when the zygote went away."""

    def __init__(self, zygote: "Zygote", number: int, stream: socket.socket, ended: asyncio.Future[int | None]) -> None:
        self.zygote = zygote
        self.number = number
        self.stream = stream
        self.ended = ended
        self.killed = False


class Zygote:
    """The zygote process and its control socket."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        targets = {task.target for task in tasks.values() if task.preload}
        warm = {task.warm for task in tasks.values()}
        rehearse = {task.rehearse for task in tasks.values()}
        self._loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-c", _LAUNCH, str(theirs.fileno())),
                    *(",".join(sorted(names)) for names in (targets, warm, rehearse)),
                    *filter(None, sys.path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # No variable of the server reaches a child: settings may come in the environment, and with them secrets.
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": _MALLOC},
            )
        self.ready: asyncio.Future[Isolation] = self._loop.create_future()
        self.children: dict[int, Process] = {}
        self.alive = True
        self._next = 0
        self._loop.add_reader(self._control.fileno(), self._read)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self) -> Process:
        """Raises `Lost` when the zygote is gone."""
        self._next += 1
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [FORK.pack(b"F", self._next)], [theirs.fileno()])
            except OSError as error:
                ours.close()
                self._lose()
                raise Lost from error
        ours.setblocking(False)
        child = Process(self, self._next, ours, self._loop.create_future())
        self.children[child.number] = child
        return child

    def kill(self, child: Process) -> None:
        child.stream.close()
        if not child.ended.done() and self.alive:
            child.killed = True
            try:
                self._control.send(KILL.pack(b"K", child.number))
            except OSError:
                self._lose()

    def _read(self) -> None:
        try:
            message = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
        elif message[:1] == b"R":
            if not self.ready.done():
                self.ready.set_result(msgspec.msgpack.decode(message[1:], type=Isolation))
        else:
            _, number, status = REPORT.unpack(message)
            self.children.pop(number).ended.set_result(status)

    def _lose(self) -> None:
        """The zygote is gone, and by PR_SET_PDEATHSIG its children are."""
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        if not self.ready.done():
            self.ready.set_exception(SandboxFailure(Failure.REFUSED, "the renderer process did not start"))
            self.ready.exception()  # may have no reader any more
        for child in self.children.values():
            with contextlib.suppress(OSError):
                child.stream.shutdown(socket.SHUT_RDWR)  # wakes the call; closing here would leave it waiting for ever
            if not child.ended.done():
                child.ended.set_result(None)
        self.children.clear()

    async def close(self) -> None:
        self._lose()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)


class Processes:
    """The zygote, as soon as somebody needs it, and its children: a bounded number at work, and the one that is ready."""

    def __init__(self, places: Places, spare_idle_s: float, tasks: Mapping[str, Task]) -> None:
        self.places = places
        self._spare_idle_s = spare_idle_s
        self._tasks = tasks
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()
        self._spare: Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def close(self) -> None:
        """End zygote and children; calls under way fail."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        if self._zygote is not None:
            self._drop_spare(self._zygote)
            await self._zygote.close()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def begin(self) -> Process:
        """A fresh one. Raises `SandboxFailure`, `Lost`."""
        zygote = await self.zygote()
        spare = self._spare
        if spare is not None and not spare.ended.done():
            self._spare = None
            return spare
        self._drop_spare(zygote)
        return zygote.fork()

    def end(self, process: Process, priority: Priority | None) -> None:
        """Kill it (also when it answered: it may be hostile by now); the place of `priority` is free when it has ended."""
        process.zygote.kill(process)
        ending = asyncio.get_running_loop().create_task(self._ended(process, priority))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _ended(self, process: Process, priority: Priority | None) -> None:
        try:
            await asyncio.wait({process.ended}, timeout=_EXIT_S)
        finally:
            if priority is not None:
                self.places.release(priority)
        if not process.ended.done():  # a zygote that does not reap is of no use
            await process.zygote.close()
        elif not self._closed:
            self.keep_spare(process.zygote)

    async def zygote(self) -> Zygote:
        zygote = self._zygote
        if zygote is not None and zygote.alive and zygote.ready.done() and not self._closed:
            return zygote
        async with self._starting:
            if self._closed:
                raise SandboxFailure(Failure.REFUSED, "closed")
            if self._zygote is None or not self._zygote.alive:
                if self._zygote is not None:
                    self._drop_spare(self._zygote)
                    await self._zygote.close()
                self._zygote = Zygote(self._tasks)
            zygote = self._zygote
            try:
                walls = await asyncio.wait_for(asyncio.shield(zygote.ready), _START_S)
            except TimeoutError as error:
                await zygote.close()
                raise SandboxFailure(Failure.REFUSED, "the renderer process did not start") from error
            if not walls.complete:
                log.debug("sandbox.walls", network=walls.network, syscalls=walls.syscalls, files=walls.files)
            return zygote

    def keep_spare(self, zygote: Zygote) -> None:
        if not zygote.alive:
            return
        if self._spare is None or self._spare.ended.done():
            self._drop_spare(zygote)
            with contextlib.suppress(Lost):
                self._spare = zygote.fork()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._spare_idle_s, self._drop_spare, zygote)

    def _drop_spare(self, zygote: Zygote) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            zygote.kill(spare)


async def post_mortem(process: Process) -> Exception:
    """What a child that closed without an answer died of."""
    await asyncio.wait({process.ended}, timeout=_EXIT_S)
    status = process.ended.result() if process.ended.done() else None
    if status is None or status == -1:
        return Lost()
    if not os.WIFSIGNALED(status):
        return SandboxFailure(Failure.CRASHED, f"exit {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return SandboxFailure(Failure.TIMEOUT, "CPU time")
    if number == signal.SIGKILL and not process.killed:
        return Lost()
    return SandboxFailure(Failure.CRASHED, signal.Signals(number).name)
