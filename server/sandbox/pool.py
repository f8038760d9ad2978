"""The server's side of the limited children: `Sandbox`.

One zygote per server process, started with the first call. Every call gets a child of its own, forked from the zygote; one spare
is kept ready while there is work, so a call does not wait for the fork. The parent enforces wall time, bounds what it reads,
and gives a place back only when the child is really gone, so children never pile up whatever they do.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec
import structlog

from server.sandbox import frames
from server.sandbox.model import (
    Answer,
    Failure,
    Isolation,
    Order,
    Priority,
    SandboxFailure,
    SandboxRefused,
    decode,
    encode,
)
from server.sandbox.queue import Places
from server.sandbox.tasks import TASKS, Task
from server.sandbox.zygote import FORK, KILL, REPORT

__all__ = ["Sandbox"]

log = structlog.get_logger()
Response = TypeVar("Response")

# What decoding bytes of a hostile child can raise; msgspec leaves bad UTF-8 and too deep nesting to Python's own errors.
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, frames.FrameError)
_START_S: Final = 30.0
_EXIT_S: Final = 5.0
_BACKGROUND_NICE: Final = 10
_WALL: Final = 3  # wall time by CPU time: only a child that waits, or a machine that is overloaded, gets there
# A fresh child touches every page of its memory for the first time, and a scan's picture of 26 MB is 12,000 pages of 4 KiB: a fifth of
# the time of drawing it. glibc (2.35 on) then asks for huge pages, but only where it grows the heap; other C libraries ignore this.
_MALLOC: Final = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824"
# The zygote gets the module path of this process as arguments, because `-I` keeps environment and current folder out of it.
_LAUNCH: Final = (
    "import sys; sys.path[:] = sys.argv[5:]; from server.sandbox.zygote import main; "
    "main(int(sys.argv[1]), *([name for name in names.split(',') if name] for names in sys.argv[2:5]))"
)


class _Lost(Exception):  # noqa: N818 -- a state of a child, handled here, never an error that callers see
    """The child was killed from outside (out-of-memory killer, zygote gone): says nothing about the document."""


class _Child:
    """One child as the parent sees it. `ended` gets wait(2)'s status, or `None` when the zygote went away."""

    def __init__(self, number: int, stream: socket.socket, ended: asyncio.Future[int | None]) -> None:
        self.number = number
        self.stream = stream
        self.ended = ended
        self.killed = False


class _Zygote:
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
        self.children: dict[int, _Child] = {}
        self.alive = True
        self._next = 0
        self._loop.add_reader(self._control.fileno(), self._read)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self) -> _Child:
        """Raises `_Lost` when the zygote is gone."""
        self._next += 1
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [FORK.pack(b"F", self._next)], [theirs.fileno()])
            except OSError as error:
                ours.close()
                self._lose()
                raise _Lost from error
        ours.setblocking(False)
        child = _Child(self._next, ours, self._loop.create_future())
        self.children[child.number] = child
        return child

    def kill(self, child: _Child) -> None:
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


class Sandbox:
    """Limited child processes for hostile files, one per call.

    `concurrency`: children at work at once (default: cores). `queue`: callers who may wait, for each priority. `spare_idle_s`: how long a
    ready child is kept after the last call. `tasks`: the closed list. One instance belongs to one event loop.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        queue: int = 64,
        spare_idle_s: float = 5.0,
        tasks: Mapping[str, Task] = TASKS,
    ) -> None:
        self._places = Places(concurrency or os.cpu_count() or 1, queue)
        self._spare_idle_s = spare_idle_s
        self._tasks = tasks
        self._zygote: _Zygote | None = None
        self._starting = asyncio.Lock()
        self._spare: _Child | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> Isolation:
        """Start the zygote now instead of with the first call. Raises `SandboxFailure`."""
        zygote = await self._running()
        self._keep_spare(zygote)
        return await zygote.ready

    async def isolation(self) -> Isolation:
        """Which walls stand on this machine; starts the zygote if need be."""
        return await (await self._running()).ready

    async def close(self) -> None:
        """End zygote and children; calls under way fail."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        if self._zygote is not None:
            self._drop_spare(self._zygote)
            await self._zygote.close()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self,
        task: str,
        request: msgspec.Struct | Mapping[str, object],
        response_type: type[Response],
        *,
        timeout_s: float = 10.0,
        memory_mb: int = 512,
        file_mb: int = 64,
        priority: Priority = Priority.INTERACTIVE,
        tenant: str = "",
        reads: Sequence[Path] = (),
        scratch: Path | None = None,
    ) -> Response:
        """Do `task` in a fresh child and return its answer. `request`: the function's one struct, or its arguments by name.

        `timeout_s`: CPU time, rounded up to whole seconds, and a third of the wall time, so that a loaded machine does not judge a document
        (the wait for a place is not counted); `memory_mb`: address space
        above the loaded code; `file_mb`: largest file that it may write; `tenant`: callers of one tenant wait among themselves; `reads`: the files, and `scratch` the folder, that the child
        may open. The answer and everything in `scratch` come from a process that met hostile bytes: they are well formed, not true.

        Raises `SandboxRefused` (the task's own code), `SandboxFailure` (no verdict), `Overloaded`, `KeyError` (no such task).
        """
        order = Order(
            target=self._tasks[task].target,
            request=encode(request),
            reads=[str(path.absolute()) for path in reads],
            scratch=None if scratch is None else str(scratch.absolute()),
            cpu_s=max(1, -int(-timeout_s // 1)),
            memory_mb=memory_mb,
            file_mb=file_mb,
            nice=_BACKGROUND_NICE if priority is Priority.BACKGROUND else 0,
        )
        body = msgspec.msgpack.encode(order)
        for last in (False, True):
            try:
                answer = await self._ask(body, timeout_s, priority, tenant)
                break
            except _Lost as error:
                # Once more: the kernel or an operator ended the process, and the document must not be judged by that (threat D12).
                log.warning("sandbox.child_lost", task=task, again=not last)
                if last:
                    raise SandboxFailure(Failure.CRASHED, "killed from outside") from error
        return _opened(answer, response_type)

    # --- one call ----------------------------------------------------------------------------------------------------

    async def _ask(self, body: bytes, timeout_s: float, priority: Priority, tenant: str) -> Answer:
        await self._places.take(priority, tenant)
        zygote: _Zygote | None = None
        child: _Child | None = None
        try:
            zygote = await self._running()
            child = self._take(zygote)
            async with asyncio.timeout(_WALL * timeout_s):
                answer = await frames.ask(asyncio.get_running_loop(), child.stream, body)
            return msgspec.msgpack.decode(answer, type=Answer)
        except TimeoutError as error:
            raise SandboxFailure(Failure.TIMEOUT, "wall time") from error
        except _MALFORMED as error:
            raise SandboxFailure(Failure.CRASHED, "malformed answer") from error
        except (EOFError, OSError) as error:
            assert child is not None
            raise await _post_mortem(child) from error
        finally:
            self._release(zygote, child, priority)

    def _release(self, zygote: _Zygote | None, child: _Child | None, priority: Priority) -> None:
        """Kill the child (also one that answered: it may be hostile by now); the place is free when it has ended."""
        if zygote is None or child is None:
            self._places.release(priority)
            return
        zygote.kill(child)
        ending = asyncio.get_running_loop().create_task(self._ended(zygote, child, priority))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _ended(self, zygote: _Zygote, child: _Child, priority: Priority) -> None:
        try:
            await asyncio.wait({child.ended}, timeout=_EXIT_S)
        finally:
            self._places.release(priority)
        if not child.ended.done():  # a zygote that does not reap is of no use
            await zygote.close()
        elif not self._closed:
            self._keep_spare(zygote)

    # --- zygote and spare --------------------------------------------------------------------------------------------

    async def _running(self) -> _Zygote:
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
                self._zygote = _Zygote(self._tasks)
            zygote = self._zygote
            try:
                walls = await asyncio.wait_for(asyncio.shield(zygote.ready), _START_S)
            except TimeoutError as error:
                await zygote.close()
                raise SandboxFailure(Failure.REFUSED, "the renderer process did not start") from error
            if not walls.complete:
                log.debug("sandbox.walls", network=walls.network, syscalls=walls.syscalls, files=walls.files)
            return zygote

    def _take(self, zygote: _Zygote) -> _Child:
        spare = self._spare
        if spare is not None and not spare.ended.done():
            self._spare = None
            return spare
        self._drop_spare(zygote)
        return zygote.fork()

    def _keep_spare(self, zygote: _Zygote) -> None:
        if not zygote.alive:
            return
        if self._spare is None or self._spare.ended.done():
            self._drop_spare(zygote)
            with contextlib.suppress(_Lost):
                self._spare = zygote.fork()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._spare_idle_s, self._drop_spare, zygote)

    def _drop_spare(self, zygote: _Zygote) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            zygote.kill(spare)


async def _post_mortem(child: _Child) -> Exception:
    """What a child that closed without an answer died of."""
    await asyncio.wait({child.ended}, timeout=_EXIT_S)
    status = child.ended.result() if child.ended.done() else None
    if status is None or status == -1:
        return _Lost()
    if not os.WIFSIGNALED(status):
        return SandboxFailure(Failure.CRASHED, f"exit {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return SandboxFailure(Failure.TIMEOUT, "CPU time")
    if number == signal.SIGKILL and not child.killed:
        return _Lost()
    return SandboxFailure(Failure.CRASHED, signal.Signals(number).name)


def _opened(answer: Answer, response_type: type[Response]) -> Response:
    if answer.failure is not None:
        raise SandboxFailure(answer.failure, answer.detail)
    if answer.refusal is not None:
        raise SandboxRefused(answer.refusal, answer.fields)
    try:
        return decode(answer.result or b"", response_type)
    except _MALFORMED as error:
        raise SandboxFailure(Failure.CRASHED, "malformed answer") from error
