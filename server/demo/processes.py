"""Child processes of the demonstration: each in a session of its own, none outlives this one, each says one JSON line when ready."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Child", "ChildFailed", "hoatoc", "module"]

_PR_SET_PDEATHSIG = 1
_READY_S = 60.0
_STOP_S = 15.0
_LIBC = ctypes.CDLL(None, use_errno=True)


class ChildFailed(Exception):  # noqa: N818 - what became of a part
    """A part did not start, or ended; the message names it and says what it said last."""


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def hoatoc(*arguments: str) -> list[str]:
    """The command line of our own command, with this interpreter, installed or not."""
    return [sys.executable, "-c", "from server.cli import main; main()", *arguments]


def _die_with_parent() -> None:
    """The kernel ends this child when the demonstration ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Child:
    """One process. Its standard error goes to `log`, its standard output is read line by line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], log: Path, *, environ: dict[str, str] | None = None
    ) -> "Child":
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches the demonstration alone, which then ends its parts in order
                preexec_fn=_die_with_parent,
                limit=1 << 20,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
            )
        return cls(name, process, log)

    async def ready(self) -> dict[str, Any]:
        """Its first line. Raises `ChildFailed`."""
        try:
            async with asyncio.timeout(_READY_S):
                line = await self.line()
        except TimeoutError:
            raise ChildFailed(f"{self.name} did not become ready within {_READY_S:.0f} s") from None
        if line is None:
            raise ChildFailed(f"{self.name} ended at once: {self.last_words()}")
        return line

    async def line(self) -> dict[str, Any] | None:
        """The next object; None when the process has closed its output."""
        while True:
            assert self._process.stdout is not None
            raw = await self._process.stdout.readline()
            if not raw:
                return None
            try:
                said = json.loads(raw)
            except ValueError:
                continue
            if isinstance(said, dict):
                return said

    async def tell(self, value: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        await self._process.stdin.drain()

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def interrupt(self, number: signal.Signals) -> None:
        """Send it a signal that it listens to."""
        self._signal(number)

    async def kill(self) -> None:
        """Kill -9, this process alone: what it started has to notice for itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def last_words(self) -> str:
        """The last line that it wrote to standard error."""
        try:
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it said nothing"

    async def stop(self) -> None:
        """Ask it to end; after a while end it. Whatever it started and left behind ends too, and its pipes are closed."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()
        self._signal(signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_STOP_S):
                while await self._process.stdout.read(1 << 16):
                    pass

    def _signal(self, number: signal.Signals) -> None:
        # A killed process has left a group behind where it had children of its own.
        end = os.killpg if number is signal.SIGKILL else os.kill
        with contextlib.suppress(ProcessLookupError):
            end(self._process.pid, number)
