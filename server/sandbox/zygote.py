"""The light process that imports the parsers once and forks a child for every document.

It is single threaded (a fork of a threaded process may inherit held locks), reads no document, and knows no secret: its
environment is empty and its only descriptors are standard error and the control socket (SOCK_SEQPACKET).

Control messages, one per packet; numbers big-endian, `id` is the server's number of a child (u64):
server → zygote: `F id` + the child's socket as SCM_RIGHTS: fork · `K id`: kill.
zygote → server: `R` + msgpack of `Isolation`: ready · `X id status`: the child ended; `status` is wait(2)'s, or -1 if it never began.
When the server closes the control socket or dies, the zygote ends, and the children die with it (PR_SET_PDEATHSIG).
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec

from server.sandbox import child, confine
from server.sandbox.model import Isolation

__all__ = ["FORK", "KILL", "REPORT", "main"]

FORK = struct.Struct(">cQ")
KILL = FORK
REPORT = struct.Struct(">cQi")


class _Zygote:
    def __init__(self, control: socket.socket, walls: Isolation, rehearsals: list[Callable[[], None]]) -> None:
        self._rehearsals = rehearsals
        self._control = control
        self._walls = walls
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._pid_of: dict[int, int] = {}  # child's id → process
        self._child_of: dict[int, tuple[int, int]] = {}  # pidfd → (id, process)
        self._null = os.open(os.devnull, os.O_RDWR)

    def serve(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._control.fileno():
                    self._reap(descriptor)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, FORK.size, 1)
        if not message:
            return False
        kind, number = FORK.unpack(message)
        if kind == b"F":
            self._fork(number, descriptors[0])
        elif (pid := self._pid_of.get(number)) is not None:
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still this child's
        return True

    def _fork(self, number: int, descriptor: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(descriptor)
            self._control.send(REPORT.pack(b"X", number, -1))
            return
        if pid == 0:
            self._become_child(descriptor, parent)
        os.close(descriptor)
        watch = os.pidfd_open(pid)
        self._pid_of[number] = pid
        self._child_of[watch] = (number, pid)
        self._poll.register(watch, select.POLLIN)

    def _become_child(self, descriptor: int, parent: int) -> NoReturn:
        status = 1
        try:
            self._control.close()
            for watch in self._child_of:
                os.close(watch)
            os.dup2(self._null, 2)  # a parser's complaints may quote the document
            child.run(descriptor, parent, self._walls, self._rehearsals)
            status = 0
        finally:
            os._exit(status)

    def _reap(self, watch: int) -> None:
        number, pid = self._child_of.pop(watch)
        self._poll.unregister(watch)
        os.close(watch)
        del self._pid_of[number]
        _, status = os.waitpid(pid, 0)
        self._control.send(REPORT.pack(b"X", number, status))


def _preload(targets: list[str], warm: list[str]) -> None:
    """Import once for all children, then fill caches. What cannot be imported fails again in its child, where it is answered.

    lxml is kept out meanwhile: fontTools would take it for a choice of XML parsers that nobody here uses, at 6 MB.
    """
    sys.modules["lxml"] = None  # type: ignore[assignment]
    for target in targets:
        with contextlib.suppress(ImportError):
            child.resolve(target)
    for function in _functions(warm):
        function()
    del sys.modules["lxml"]


def _functions(targets: list[str]) -> Iterator[Callable[[], None]]:
    for target in targets:
        module, _, function = target.partition(":")
        with contextlib.suppress(ImportError):
            yield getattr(importlib.import_module(module), function)


def main(descriptor: int, targets: list[str], warm: list[str], rehearse: list[str]) -> None:
    """`descriptor`: the control socket. The modules of `targets` are imported, the functions `warm` called, before the first fork;
    each child that has nothing to do yet calls those of `rehearse`.
    """
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole foreground group; the server ends us
    control = socket.socket(fileno=descriptor)
    network = confine.leave_network()
    walls = Isolation(network=network, syscalls=confine.syscalls_supported(), files=confine.files_supported())
    if walls.syscalls:
        confine.program()
    _preload(targets, warm)
    rehearsals = list(_functions(rehearse))
    gc.collect()
    gc.freeze()  # the collector would write to every object's header and so unshare the pages with each child
    gc.disable()
    with contextlib.suppress(ConnectionError):  # the server closed while something was being reported
        control.send(b"R" + msgspec.msgpack.encode(walls))
        _Zygote(control, walls, rehearsals).serve()
