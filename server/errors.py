# ruff: noqa: N818 - errors are named after what happened; their base says that they are errors
"""The two kinds of error.

A `HoatocError` is internal: typed, with a stable code, and it never shows detail outside. A `Refused` is an answer:
its code names a problem type in `server.problems`, which is the only place that turns it into HTTP.
"""

PublicField = str | int | float | bool | None | list[str] | list[int]


class HoatocError(Exception):
    """Base of the server's internal errors. `code` is stable and kebab-case; no message holds a secret (A14)."""

    code: str = "internal"


class Refused(HoatocError):
    """A request is refused for a reason that the caller may know.

    `fields` become members of the problem document: they are public by definition.
    """

    def __init__(self, code: str, /, **fields: PublicField) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields
