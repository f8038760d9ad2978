"""The closed list of what a limited child may be asked to do: name → function of a library.

A function takes one `msgspec.Struct`, or named arguments that msgspec can decode (paths as `Path`); which of the paths it may open is said
by the caller of `Sandbox.call` (`reads`, `scratch`), not by the request and not by the document.
"""

import contextlib
import os

import msgspec

__all__ = ["TASKS", "Task", "warm_pdf_work"]


class Task(msgspec.Struct, frozen=True):
    """`target`: `module:function`. `preload`: the zygote imports the module once for all children; off where the import is heavy and
    calls are rare. `warm`, `rehearse`: `module:function` without arguments, on our own bytes only; the one fills caches in the zygote, the other
    is done by a spare child while it waits, so that its first real call is as fast as a later one.
    """

    target: str
    preload: bool = True
    warm: str = ""
    rehearse: str = ""


TASKS: dict[str, Task] = {
    "pages.render": Task(
        "server.previews.render:render", warm="server.previews.render:warm", rehearse="server.previews.render:rehearse"
    ),
    "pages.count": Task("server.previews.render:count"),
    "pdf.inspect": Task("server.pdftasks:inspect_file"),
    "pdf.prepare": Task("server.pdftasks:prepare_file", warm="server.sandbox.tasks:warm_pdf_work"),
    "pdf.compare": Task("server.pdftasks:compare_files"),
    "pdf.signed_with": Task("server.pdftasks:signed_with_files"),
    "pdf.archive": Task("server.pdftasks:archive_file"),
    "pdf.append_data": Task("server.pdftasks:append_data_file"),
    "pdf.compare_archive": Task("server.pdftasks:compare_archive_files"),
    "pdf.read_image": Task("server.pdftasks:read_image_file"),
    "pdf.validate": Task("server.pdftasks:validate_file"),
}


def warm_pdf_work() -> None:
    """Do it all once: what libraries prepare at their first use takes a fresh child longer than all the rest of its work."""
    from signing.pdf.rehearsal import rehearse

    _cut_stamp_font()
    with contextlib.suppress(OSError):  # no room for temporary files now; children are slower then
        rehearse()


def _cut_stamp_font() -> None:
    """In a process of its own, which leaves behind the cut font and not the 11 MB of the library, which every fork would have to map."""
    from signing.pdf.appearance import DEFAULT_FONT, StampFont, hold_font, stamp_font

    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with open(writing, "wb") as out:  # noqa: PTH123 - a descriptor
                out.write(msgspec.msgpack.encode(stamp_font(DEFAULT_FONT, ())))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as cut:  # noqa: PTH123
        body = cut.read()
    os.waitpid(pid, 0)
    with contextlib.suppress(msgspec.MsgspecError):  # it had no room: each child that draws a stamp cuts for itself
        hold_font(DEFAULT_FONT, msgspec.msgpack.decode(body, type=StampFont))
