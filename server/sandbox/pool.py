"""The server's side of the limited children: `Sandbox`.

One zygote per server process, started with the first call. Every call gets a child of its own, forked from the zygote, and so do several
calls about one document (`Sandbox.child`); one spare is kept ready while there is work, so a call does not wait for the fork. The parent enforces
wall time, bounds what it reads, and gives a place back only when the child is really gone or has nothing to do, so children never pile up whatever they do.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    Walls,
    decode,
    encode,
)
from server.sandbox.processes import Lost, Process, Processes, post_mortem
from server.sandbox.queue import Places
from server.sandbox.tasks import TASKS, Task

__all__ = ["Child", "Sandbox"]

log = structlog.get_logger()
Response = TypeVar("Response")

# What decoding bytes of a hostile child can raise; msgspec leaves bad UTF-8 and too deep nesting to Python's own errors.
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, frames.FrameError)
_BACKGROUND_NICE: Final = 10
_WALL: Final = 3  # wall time by CPU time: only a child that waits, or a machine that is overloaded, gets there


class Sandbox:
    """Limited child processes for hostile files, one per call or document.

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
        self._tasks = tasks
        self._processes = Processes(Places(concurrency or os.cpu_count() or 1, queue), spare_idle_s, tasks)

    async def start(self) -> Isolation:
        """Start the zygote now instead of with the first call. Raises `SandboxFailure`."""
        zygote = await self._processes.zygote()
        self._processes.keep_spare(zygote)
        return await zygote.ready

    async def isolation(self) -> Isolation:
        """Which walls stand on this machine; starts the zygote if need be."""
        return await (await self._processes.zygote()).ready

    async def close(self) -> None:
        """End zygote and children; calls under way fail."""
        await self._processes.close()

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
        """Do `task` in a fresh child and return its answer; see `child` and `Child.call`."""
        with self.child(
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            file_mb=file_mb,
            priority=priority,
            tenant=tenant,
            reads=reads,
            scratch=scratch,
        ) as child:
            return await child.call(task, request, response_type)

    @contextmanager
    def child(
        self,
        *,
        timeout_s: float = 10.0,
        memory_mb: int = 512,
        file_mb: int = 64,
        priority: Priority = Priority.INTERACTIVE,
        tenant: str = "",
        reads: Sequence[Path] = (),
        scratch: Path | None = None,
    ) -> Iterator["Child"]:
        """A fresh child for one task or several on the files of one document, forked with the first.

        `timeout_s`: CPU time of all its tasks, rounded up to whole seconds, and a third of the wall time of each, so that a loaded machine does not judge
        a document (the wait for a place is not counted); `memory_mb`: address space above the loaded code; `file_mb`: largest file that it may write;
        `tenant`: callers of one tenant wait among themselves; `reads`: the files, and `scratch` the folder, that it may open. Never another document's:
        what a hostile one made of this process would meet it. Nor may a caller hold one while it waits for a place for another.
        """
        walls = Walls(
            reads=[str(path.absolute()) for path in reads],
            scratch=None if scratch is None else str(scratch.absolute()),
            cpu_s=max(1, -int(-timeout_s // 1)),
            memory_mb=memory_mb,
            file_mb=file_mb,
            nice=_BACKGROUND_NICE if priority is Priority.BACKGROUND else 0,
        )
        child = Child(self._processes, self._tasks, walls, timeout_s=timeout_s, priority=priority, tenant=tenant)
        try:
            yield child
        finally:
            child.end()


class Child:
    """One process for the tasks on one document, one after another; see `Sandbox.child`.

    It keeps its place in the sandbox from its first task to its end, but for the time in which it is `resting`.
    """

    def __init__(
        self,
        processes: Processes,
        tasks: Mapping[str, Task],
        walls: Walls,
        *,
        timeout_s: float,
        priority: Priority,
        tenant: str,
    ) -> None:
        self._processes = processes
        self._tasks = tasks
        self._walls = walls
        self._timeout_s = timeout_s
        self._priority = priority
        self._tenant = tenant
        self._placed = False
        self._process: Process | None = None

    @property
    def scratch(self) -> Path | None:
        """The folder that it may write in."""
        return None if self._walls.scratch is None else Path(self._walls.scratch)

    async def call(
        self, task: str, request: msgspec.Struct | Mapping[str, object], response_type: type[Response]
    ) -> Response:
        """Do `task` and return its answer. `request`: the function's one struct, or its arguments by name.

        The answer and everything in `scratch` come from a process that met hostile bytes: they are well formed, not true.

        Raises `SandboxRefused` (the task's own code), `SandboxFailure` (no verdict), `Overloaded`, `KeyError` (no such task).
        """
        order = Order(self._tasks[task].target, encode(request))
        for last in (False, True):
            try:
                answer = await self._ask(order)
                break
            except Lost as error:
                # Once more: the kernel or an operator ended the process, and the document must not be judged by that (threat D12).
                log.warning("sandbox.child_lost", task=task, again=not last)
                if last:
                    raise SandboxFailure(Failure.CRASHED, "killed from outside") from error
        return _opened(answer, response_type)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Others may have its place, because nothing is asked of it for a while; the next task waits for one again."""
        self._leave()
        yield

    async def _ask(self, order: Order) -> Answer:
        if not self._placed:
            await self._processes.places.take(self._priority, self._tenant)
            self._placed = True
        answered = False
        try:
            process, fresh = await self._alive()
            body = msgspec.msgpack.encode(msgspec.structs.replace(order, walls=self._walls) if fresh else order)
            async with asyncio.timeout(_WALL * self._timeout_s):
                answer = await frames.ask(asyncio.get_running_loop(), process.stream, body)
            decoded = msgspec.msgpack.decode(answer, type=Answer)
            answered = True
            return decoded
        except TimeoutError as error:
            raise SandboxFailure(Failure.TIMEOUT, "wall time") from error
        except _MALFORMED as error:
            raise SandboxFailure(Failure.CRASHED, "malformed answer") from error
        except (EOFError, OSError) as error:
            if self._process is None:  # this process has no descriptor left for another child
                raise
            raise await post_mortem(self._process) from error
        finally:
            if not answered:
                self.end()

    async def _alive(self) -> tuple[Process, bool]:
        """The process, and whether it is a fresh one, which has no walls yet."""
        if self._process is not None:
            if self._process.zygote.alive and not self._process.ended.done():
                return self._process, False
            # It was ended from outside while it rested.
            self._processes.end(self._process, None)
        self._process = await self._processes.begin()
        return self._process, True

    def _leave(self) -> None:
        if self._placed:
            self._placed = False
            self._processes.places.release(self._priority)

    async def gone(self) -> None:
        """End it, and return when the process is no more: only then nobody writes to what it left in `scratch`."""
        process = self._process
        self.end()
        if process is not None:
            await asyncio.wait({process.ended})  # at the latest when its zygote is given up

    def end(self) -> None:
        """Kill the process; a later task would get another."""
        process, self._process = self._process, None
        if process is None:
            self._leave()
            return
        placed, self._placed = self._placed, False
        self._processes.end(process, self._priority if placed else None)


def _opened(answer: Answer, response_type: type[Response]) -> Response:
    if answer.failure is not None:
        raise SandboxFailure(answer.failure, answer.detail)
    if answer.refusal is not None:
        raise SandboxRefused(answer.refusal, answer.fields)
    try:
        return decode(answer.result or b"", response_type)
    except _MALFORMED as error:
        raise SandboxFailure(Failure.CRASHED, "malformed answer") from error
