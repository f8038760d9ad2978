"""The closed list of what a limited child may be asked to do: name → `module:function`.

A target is one function of one argument, a `msgspec.Struct` with paths as `str`, and returns a `msgspec.Struct`. It names its files in that
argument; which of them the child may open is said by the caller of `Sandbox.call` (`reads`, `scratch`), not by the document.
"""

import msgspec

__all__ = ["TASKS", "Task"]


class Task(msgspec.Struct, frozen=True):
    """`preload`: the zygote imports the module once for all children. Off where the import is heavy and calls are rare."""

    target: str
    preload: bool = True


TASKS: dict[str, Task] = {
    "pages.render": Task("server.previews.render:render"),
    "pages.count": Task("server.previews.render:count"),
    "pdf.inspect": Task("signing.pdf.safety:inspect"),
    "pdf.agreement": Task("signing.pdf.agreement:agreement", preload=False),
    "pdf.prepare": Task("signing.pdf.prepare:prepare"),
    "pdf.compare": Task("signing.pdf.compare:compare"),
    "pdf.validate": Task("signing.pdf.validation:validate", preload=False),
}
