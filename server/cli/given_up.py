"""`hoatoc jobs`: what the outbox gave up, seen by the operator and run again once its cause is cured (D14)."""

import getpass
import os
from collections.abc import Awaitable, Callable
from typing import Any

import click

from server.cli.admin import with_services

_SHOWN = 100


def _who() -> str:
    """Who works on the command line, as the machine knows them."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@click.group()
def jobs() -> None:
    """Jobs that were given up (dead letters): a send that the exchange refused, a push that failed again and again."""


@jobs.command("list")
@click.pass_context
def jobs_list(context: click.Context) -> None:
    """The oldest hundred, with the reason of each and what it is about."""

    async def work(wiring: Any) -> dict[str, Any]:
        from server.jobs import backlog, dead_letters
        from server.wire import iso

        buried = sum(lane.buried for lane in await backlog(wiring.db, wiring.clock.now_us()))
        rows = await dead_letters(wiring.db, limit=_SHOWN)
        shown = [
            {
                "id": row.id,
                "kind": row.kind,
                "about": row.ordering_key,
                "reason": row.reason,
                "attempts": row.attempt,
                "created_at": iso(row.created_us),
            }
            for row in rows
        ]
        return {"buried": buried, "jobs": shown}

    with_services(context, work)


@jobs.command("again")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_context
def jobs_again(context: click.Context, ids: tuple[str, ...]) -> None:
    """Run given-up jobs again from the start. What a send has reached is kept: the exchange is asked before anything is sent twice."""
    with_services(context, _reviving(ids, _who()))


def _reviving(ids: tuple[str, ...], by: str) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    async def work(wiring: Any) -> dict[str, Any]:
        from server import audit
        from server.errors import Refused
        from server.jobs import revive

        async def body(tx: Any) -> None:
            for job in ids:
                kind = await revive(tx, job)
                if kind is None:  # none of them, so that a slip of the hand is seen
                    raise Refused("not-found", job=job)
                await audit.append(
                    tx, "job.revived", organisation="", actor="operator", subject=job, body={"kind": kind, "by": by},
                    now_us=wiring.clock.now_us(),
                )  # fmt: skip

        await wiring.db.transact(body)
        return {"revived": list(ids)}

    return work
