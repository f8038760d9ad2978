"""`hoatoc org | user | device | client`: the operator's work on people and systems, with the same services as the API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import click

from server.cli import load_settings
from server.errors import Refused
from server.identity.model import Role, Scope


def with_services(context: click.Context, work: Callable[[Any], Awaitable[dict[str, Any]]]) -> None:
    """Run `work` over the services and print its answer as JSON; a refusal is one clear line."""
    from server.problems import PROBLEMS
    from server.wiring import Wiring

    settings = load_settings(context)

    async def run() -> dict[str, Any]:
        wiring = await Wiring.open(settings)
        try:
            return await work(wiring)
        finally:
            await wiring.close()

    try:
        said = json.dumps(asyncio.run(run()), ensure_ascii=False)
        # What came from outside may hold what a terminal obeys (B11).
        click.echo("".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in said))
    except Refused as error:
        row = PROBLEMS.get(error.code)
        text = f"{row.title_vi} · {row.title_en}" if row else error.code
        raise click.ClickException(
            f"{text} {json.dumps(error.fields, ensure_ascii=False) if error.fields else ''}".strip()
        ) from None


async def _operator(wiring: Any, code: str) -> Any:
    from server.identity.service import operator

    organisation = await wiring.identity.organisation_by_code(code)
    return operator(organisation.id)


@click.group()
def org() -> None:
    """Organisations by exchange code."""


@org.command("add")
@click.argument("code")
@click.argument("name")
@click.option("--parent", help="Exchange code of the parent.")
@click.pass_context
def org_add(context: click.Context, code: str, name: str, parent: str | None) -> None:
    async def work(wiring: Any) -> dict[str, Any]:
        made = await wiring.identity.create_organisation(code, name, parent_code=parent)
        return {"id": made.id, "code": made.code, "name": made.name}

    with_services(context, work)


@org.command("list")
@click.pass_context
def org_list(context: click.Context) -> None:
    async def work(wiring: Any) -> dict[str, Any]:
        return {
            "organisations": [
                {"id": one.id, "code": one.code, "name": one.name} for one in await wiring.identity.organisations()
            ]
        }

    with_services(context, work)


@click.group()
def user() -> None:
    """People and their roles."""


@user.command("add")
@click.argument("organisation")
@click.argument("name")
@click.option("--position", default="", help="As it stands on documents, such as CHỦ TỊCH.")
@click.option("--role", "roles", multiple=True, type=click.Choice([role.value for role in Role]))
@click.option("--pair", is_flag=True, help="Also make a pairing code.")
@click.option("--office", is_flag=True, help="The paired device is an office device (SIG-8).")
@click.pass_context
def user_add(
    context: click.Context,
    organisation: str,
    name: str,
    position: str,
    roles: tuple[str, ...],
    *,
    pair: bool,
    office: bool,
) -> None:
    async def work(wiring: Any) -> dict[str, Any]:
        actor = await _operator(wiring, organisation)
        person = await wiring.identity.create_person(
            actor, name=name, position=position, roles=[Role(role) for role in roles]
        )
        answer: dict[str, Any] = {"id": person.id, "name": person.name}
        if pair:
            answer |= await _pairing(wiring, actor, person.id, office=office)
        return answer

    with_services(context, work)


async def _pairing(wiring: Any, actor: Any, person: str, *, office: bool) -> dict[str, Any]:
    code = await wiring.identity.pairing_code(actor, person, office=office)
    return {"pairing_code": code.code.reveal(), "pairing_link": code.link.reveal()}


@user.command("pair")
@click.argument("organisation")
@click.argument("person")
@click.option("--office", is_flag=True)
@click.pass_context
def user_pair(context: click.Context, organisation: str, person: str, *, office: bool) -> None:
    """A new one-time pairing code."""

    async def work(wiring: Any) -> dict[str, Any]:
        return await _pairing(wiring, await _operator(wiring, organisation), person, office=office)

    with_services(context, work)


@click.group()
def device() -> None:
    """Devices of people."""


@device.command("list")
@click.argument("organisation")
@click.argument("person")
@click.pass_context
def device_list(context: click.Context, organisation: str, person: str) -> None:
    async def work(wiring: Any) -> dict[str, Any]:
        found = await wiring.identity.devices_of(await _operator(wiring, organisation), person)
        return {
            "devices": [
                {
                    "id": one.id,
                    "label": one.label,
                    "platform": one.platform,
                    "state": one.state.value,
                    "office": one.office,
                }
                for one in found
            ]
        }

    with_services(context, work)


@device.command("revoke")
@click.argument("organisation")
@click.argument("device_id")
@click.pass_context
def device_revoke(context: click.Context, organisation: str, device_id: str) -> None:
    async def work(wiring: Any) -> dict[str, Any]:
        gone = await wiring.identity.revoke_device(await _operator(wiring, organisation), device_id)
        return {"id": gone.id, "state": gone.state.value}

    with_services(context, work)


@click.group()
def client() -> None:
    """Systems that call the API."""


@client.command("add")
@click.argument("organisation")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]))
@click.pass_context
def client_add(context: click.Context, organisation: str, name: str, scopes: tuple[str, ...]) -> None:
    """A new system; its secret is shown once."""

    async def work(wiring: Any) -> dict[str, Any]:
        made = await wiring.identity.create_client(await _operator(wiring, organisation), name=name, scopes=scopes)
        return {"client_id": made.id, "client_secret": made.secret.reveal()}

    with_services(context, work)
