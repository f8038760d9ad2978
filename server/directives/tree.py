"""One tree of a direction as one person may see it: who has it, by when, how far it is, how late, and the last word.

Of another organisation only its own line is shown, never what it directs inside; what it directs to organisations below it stands under it (C1).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from server.db import Row
from server.directives.model import WORDS, DirectiveState, WorkState, days_late
from server.exchange.delivery import State
from server.exchange.words import Words, of_state
from server.wire import iso_or_none

_HANDLING = {
    State.ASSIGNED: WorkState.ASSIGNED,
    State.IN_PROGRESS: WorkState.IN_WORK,
    State.FINISHED: WorkState.COMPLETED,
}


class TreeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the tree; `depth` from 0. `kind`: person, unit (an organisation of this installation), or receiver, which is reached over the
    exchange and reports by its statuses 04, 05, 06 (EXC-6). `text` is the order that the line belongs to, where the caller may read it;
    `opens`: its direction is another one that the caller may open. `progress` in per cent; `days_late` counts to the completion.
    """

    directive: str
    assignee: str
    depth: int
    kind: str
    name: str
    position: str
    lead: bool
    state: str
    words: Words
    due_date: str | None
    progress: int | None
    days_late: int
    word: str
    told_at: str | None
    text: str
    opens: bool


class Viewer(msgspec.Struct, frozen=True):
    """`top` is the direction that is looked at, `mine` the viewer's own line on it. `whole`: also what others direct below it."""

    organisation: str
    person: str
    clerk: bool
    top: str
    mine: str | None
    whole: bool


class Receiver(msgspec.Struct, frozen=True):
    """A receiver of a document that left over the exchange, as far as it says."""

    code: str
    name: str
    state: State
    due_date: str | None
    updated_us: int


def lines(rows: Iterable[Row], viewer: Viewer, sent: Mapping[str, Sequence[Receiver]], now_us: int) -> list[TreeLine]:
    """`rows` of `queries.tree`; `sent`: receivers of documents by the direction under which they stand."""
    by_directive: dict[str, list[Row]] = {}
    below: dict[str, list[str]] = {}
    for row in rows:
        if (
            row["directive"] not in by_directive
            and row["parent"]
            and row["directive_state"] != DirectiveState.WITHDRAWN
        ):
            below.setdefault(row["parent"], []).append(row["directive"])
        by_directive.setdefault(row["directive"], []).append(row)
    found: list[TreeLine] = []

    def walk(directive: str, depth: int) -> None:
        for row in by_directive.get(directive, []):
            mine = row["id"] == viewer.mine
            inside = row["given_in"] == viewer.organisation
            seen = inside or mine or (row["person"] is None and directive != viewer.top)
            if seen:
                found.append(line_of(row, depth, viewer, now_us))
            if viewer.whole or mine or directive != viewer.top:
                for child in below.get(row["id"], []):
                    walk(child, depth + seen)
        found.extend(_receiver(one, directive, depth, now_us) for one in sent.get(directive, ()))

    walk(viewer.top, 0)
    return found


def line_of(row: Any, depth: int, viewer: Viewer, now_us: int) -> TreeLine:
    state = WorkState(row["state"])
    unit = row["person"] is None
    readable = row["given_in"] == viewer.organisation or row["id"] == viewer.mine
    own = readable and (viewer.clerk or viewer.person in {row["author"], row["person"]})
    # Whoever is asked no more is late no more.
    late = 0 if state in {WorkState.RELEASED, WorkState.ENDED} else days_late(row["due_date"], row["done_us"], now_us)
    return TreeLine(
        directive=row["directive"], assignee=row["assignee"], depth=depth, kind="unit" if unit else "person",
        name=row["unit_name"] if unit else row["person_name"], position="" if unit else row["person_position"], lead=bool(row["lead"]), state=state.value,
        words=WORDS[state], due_date=row["due_date"], progress=row["progress"], days_late=late, word=row["word"], told_at=iso_or_none(row["told_us"]),
        text=row["text"] if readable else "", opens=own and row["directive"] != viewer.top,
    )  # fmt: skip


def _receiver(one: Receiver, directive: str, depth: int, now_us: int) -> TreeLine:
    finished = one.state is State.FINISHED
    handling = _HANDLING.get(one.state)
    return TreeLine(
        directive=directive, assignee=one.code, depth=depth, kind="receiver", name=one.name, position="", lead=False,
        state=one.state.value if handling is None else handling.value, words=of_state(one.state), due_date=one.due_date, progress=None,
        days_late=days_late(one.due_date, one.updated_us if finished else None, now_us), word="", told_at=iso_or_none(one.updated_us), text="", opens=False,
    )  # fmt: skip
