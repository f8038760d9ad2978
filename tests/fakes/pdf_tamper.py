"""An attacker inside the server: a prepared revision taken apart, changed and put together again, byte ranges made right.

With no change the result is the honest revision in other words, which the comparison must accept: so a refusal of a changed
one is the change's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from signing.pdf.objects import Ref, Stream
from signing.pdf.reader import Document, open_document
from signing.pdf.writer import Addition

Bodies = dict[Ref, bytes]
Change = Callable[[Bodies, Document, Addition], None]


def rebuild(parent: Path, child: Path, change: Change, out: Path, *, trailer: tuple[bytes, bytes] = (b"", b"")) -> Path:
    """Write `child`'s last revision anew behind `parent`, with `change` applied to its objects by reference.

    `trailer`: a text of the appended bytes and what replaces it.
    """
    with open_document(parent) as before, open_document(child) as after:
        bodies: Bodies = {}
        section = after.head.sections[0]
        for num in section.numbers():
            entry = section.lookup(after.data, num)
            assert entry is not None
            if section.stream_ref is not None and num == section.stream_ref.num:
                continue
            found = after.head.indirect(Ref(num, entry.extra))
            assert found is not None
            tail = b""
            if isinstance(found.value, Stream):
                tail = b"\nstream\n" + found.value.raw + b"\nendstream"
            bodies[found.ref] = bytes(found.tokens) + tail
        addition = Addition(before.head)
        for _ in range(max(ref.num for ref in bodies) + 1 - before.head.size):
            addition.reserve()
        change(bodies, after, addition)
        for ref, body in bodies.items():
            addition.put(ref, body)
        length = len(before.data)
        tail, _offsets = addition.render(length, b"" if before.data[-1:] in {b"\n", b"\r"} else b"\n")
        data = before.data[:length] + tail.replace(*trailer) if trailer[0] else before.data[:length] + tail
    out.write_bytes(right_range(data, length))
    return out


def right_range(data: bytes, length: int) -> bytes:
    """The appended signature's byte range written anew, in the place that it has."""
    at = data.find(b"/ByteRange [", length)
    if at < 0:
        return data
    end = data.index(b"/Contents", at)
    start = data.index(b"<", end)
    close = data.index(b">", start) + 1
    numbers = b"/ByteRange [0 %d %d %d]" % (start, close, len(data) - close)
    return data[:at] + numbers.ljust(end - at) + data[end:]
