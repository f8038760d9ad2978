"""`hoatoc jobs | parked`: what the outbox gave up and what came and was put aside, seen by the operator and taken up again once its cause is cured (D14)."""

import asyncio
import getpass
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
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


@click.group()
def parked() -> None:
    """Packets that came over the exchange and were put aside: unreadable, addressed to nobody here, never handed over."""


@parked.command("list")
@click.pass_context
def parked_list(context: click.Context) -> None:
    """The oldest hundred, with the reason of each."""

    async def work(wiring: Any) -> dict[str, Any]:
        from server.wire import iso

        return {
            "parked": [
                {
                    "id": row["axis_id"],
                    "kind": row["kind"],
                    "sender": row["sender"],
                    "receiver": row["receiver"],
                    "organisation": row["organisation"],
                    "state": row["state"],
                    "reason": row["error"],
                    "received_at": iso(row["received_us"]),
                    "sha256": row["blob"],
                }
                for row in await wiring.exchange.parked(_SHOWN)
            ]
        }

    with_services(context, work)


@parked.command("save")
@click.argument("packet", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def parked_save(context: click.Context, packet: str, file: Path) -> None:
    """Write the bytes as they came to FILE, for `hoatoc edxml inspect`. An existing file is left alone."""

    async def work(wiring: Any) -> dict[str, Any]:
        async with wiring.exchange.parked_bytes(packet) as kept:
            await asyncio.to_thread(_copied, kept, file)
        return {"id": packet, "file": str(file)}

    try:
        with_services(context, work)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _copied(kept: Path, file: Path) -> None:
    """Readable by its owner alone: it may be somebody's document."""
    with kept.open("rb") as source, os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
        shutil.copyfileobj(source, to)


@parked.command("again")
@click.argument("packet", metavar="ID")
@click.pass_context
def parked_again(context: click.Context, packet: str) -> None:
    """Receive a packet again from its kept bytes, in the ordinary way; it stays parked where it is no better than before."""
    from server.exchange.model import ExchangeError

    async def work(wiring: Any) -> dict[str, Any]:
        settled = await wiring.exchange.take_up_again(packet, _who())
        return {"id": packet, "state": settled.state, "reason": settled.error}

    try:
        with_services(context, work)
    except ExchangeError as error:
        raise click.ClickException(f"{packet}: {error.code}") from None


@parked.command("dismiss")
@click.argument("packet", metavar="ID")
@click.pass_context
def parked_dismiss(context: click.Context, packet: str) -> None:
    """Nothing is to be done about a packet: it is kept, and `hoatoc doctor` warns of it no more."""

    async def work(wiring: Any) -> dict[str, Any]:
        await wiring.exchange.dismiss(packet, _who())
        return {"id": packet, "state": "dismissed"}

    with_services(context, work)
