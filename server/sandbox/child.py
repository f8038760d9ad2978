"""One child: receive an order, be shut in, do the task, answer; perhaps another task on the same document; end.

The boundary of threat B4 stands here: whatever a parser raises (libraries raise `AssertionError`, `RecursionError`, `TypeError` too)
becomes a typed answer, and whatever it does otherwise ends this process alone.
"""

import functools
import gc
import importlib
import inspect
import os
import select
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from server.sandbox import confine, frames
from server.sandbox.model import MAX_FRAME, Answer, Failure, Field, Isolation, Order, decoder, encode

__all__ = ["resolve", "run"]

_FIELDS = ("fields", "reason", "place")
_CODE_FOLDERS = ("site-packages", "dist-packages")
_COLLECT_AFTER = 20_000
"""New objects between two collections, which look for cycles: a task ends before its few would matter, a large document's must not pile up."""
_QUIET_S = 0.25
"""While there is work, a spare is taken sooner than this, and rehearsing would be one more thing that keeps the cores busy."""
_order = decoder(Order)


def run(descriptor: int, zygote: int, walls: Isolation, rehearsals: Iterable[Callable[[], None]]) -> None:
    """The life of a child after the fork; the caller ends the process. The socket is `descriptor`. Walls are set before the first task and
    stay: what a later order says of them is not looked at. Where they could not be set it ends, and no later task runs without them.
    """
    confine.follow_parent(zygote)
    if not select.select([descriptor], [], [], _QUIET_S)[0]:  # a spare: nobody waits yet
        confine.mapped()
        for rehearsal in rehearsals:
            rehearsal()
    shut_in = False
    while (body := frames.receive(descriptor)) is not None:
        answer = _answer(body, walls, shut_in=shut_in)
        frames.send(descriptor, _encoded(answer))
        if not shut_in and answer.failure is Failure.REFUSED:
            return
        shut_in = True


def _encoded(answer: Answer) -> bytes:
    body = msgspec.msgpack.encode(answer)
    if len(body) > MAX_FRAME:
        return msgspec.msgpack.encode(Answer(failure=Failure.CRASHED, detail="answer too large"))
    return body


def _answer(body: bytes, walls: Isolation, *, shut_in: bool) -> Answer:
    try:
        order = _order(body)
        task = resolve(order.target)
        if not shut_in:
            _shut_in(order, walls)
    except Exception as error:  # any error here is ours or the machine's, and the document was not opened yet
        return Answer(failure=Failure.REFUSED, detail=type(error).__name__)
    try:
        return Answer(result=encode(task(order.request)))
    except MemoryError:
        return Answer(failure=Failure.MEMORY)
    except PermissionError:
        return Answer(failure=Failure.REFUSED, detail="PermissionError")
    except Exception as error:  # the boundary of threat B4
        return _typed(error)


def _typed(error: Exception) -> Answer:
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return Answer(failure=Failure.CRASHED, detail=type(error).__name__)
    return Answer(refusal=str(code), fields=dict(_fields(error)))


def _fields(error: Exception) -> Iterator[tuple[str, Field]]:
    """The public members of the library's error: simple values only."""
    for name in _FIELDS:
        value = getattr(error, name, None)
        for key, item in value.items() if isinstance(value, dict) else [(name, value)]:
            if isinstance(item, str | int | float) and item != "":
                yield str(key), item


@functools.cache
def resolve(target: str) -> Callable[[bytes], object]:
    """The function of the task, as one of the encoded request. The zygote fills the cache for all children."""
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    types = [hints[parameter] for parameter in parameters]
    _code(target.partition(".")[0])
    if len(types) == 1 and isinstance(types[0], type) and issubclass(types[0], msgspec.Struct):
        request = decoder(types[0])
        return lambda body: function(request(body))
    arguments = msgspec.defstruct(
        "Arguments",
        [
            (name, hints[name]) if parameter.default is parameter.empty else (name, hints[name], parameter.default)
            for name, parameter in parameters.items()
        ],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    given = decoder(arguments)
    return lambda body: function(**msgspec.structs.asdict(given(body)))


def _shut_in(order: Order, offered: Isolation) -> None:
    """Everything that cannot be taken back; the filter last, because it closes calls that the others need. Raises ValueError for an order without walls."""
    walls = order.walls
    if walls is None:
        raise ValueError("the first order brings no walls")
    os.nice(walls.nice)
    confine.limit(memory_mb=walls.memory_mb, cpu_s=walls.cpu_s, file_mb=walls.file_mb)
    if offered.files:
        confine.close_files(code=_code(order.target.partition(".")[0]), reads=walls.reads, scratch=walls.scratch)
    if offered.syscalls:
        confine.close_syscalls()
    gc.set_threshold(_COLLECT_AFTER)
    gc.enable()


@functools.cache
def _code(top: str) -> frozenset[str]:
    """Folders with program text that late imports may need; never a folder with data or state."""
    folders = {str(Path(prefix) / "lib") for prefix in (sys.prefix, sys.base_prefix)} | {"/lib", "/lib64", "/usr/lib"}
    folders |= {entry for entry in sys.path if Path(entry).name in _CODE_FOLDERS}
    for package in {"server", "signing", top}:
        folders |= set(importlib.import_module(package).__path__)
    return frozenset(folder for folder in folders if Path(folder).is_dir())
