"""Who is in the demonstration: one organisation, three people, one system; made by the same services as the operator's commands.

Names are samples. PINs are shown on purpose.
"""

from pathlib import Path
from typing import Any

import msgspec

from server.demo.paper import AGENCY, LEADER
from server.demo.parties import CODE

__all__ = ["CLERK", "OFFICER", "PINS", "Handed", "Person", "hand_out", "pairing_links"]

CLERK = "Trần Thị Văn Thư"
OFFICER = "Lê Văn Đăng Ký"
PINS = {"leader": "739154", "clerk": "482917"}


class Person(msgspec.Struct, frozen=True):
    """`link` pairs the driver's device, once."""

    id: str
    name: str
    position: str
    link: str


class Handed(msgspec.Struct, frozen=True):
    """What setting up leaves for the drivers: nothing else passes from the server to them but the public API."""

    people: dict[str, Person]
    client_id: str
    client_secret: str


class _Audit:
    """The audit log as identity takes it, with the time filled in."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    async def append(self, tx: Any, kind: str, *, organisation: str, actor: str, subject: str, body: Any) -> str:
        from server import audit

        now_us = self._clock.now_us()
        return await audit.append(
            tx, kind, organisation=organisation, actor=actor, subject=subject, body=body, now_us=now_us
        )


def _identity(db: Any, token_keys: Path, origins: tuple[str, ...], signer_key: str) -> Any:
    from server.clock import SystemClock
    from server.identity.model import IdentitySettings
    from server.identity.service import IdentityService
    from server.identity.tokens import TokenKeys

    clock, keys = SystemClock(), TokenKeys.load_or_create(token_keys)
    return IdentityService(db, clock, keys, IdentitySettings(origins=origins), _Audit(clock), signer_key=signer_key)


async def hand_out(db: Any, token_keys: Path, origins: tuple[str, ...], signer_key: str) -> Handed:
    """`hoatoc org add`, `user add --pair`, `client add`, over an open database of either kind.

    `signer_key`: thumbprint of the signer's identity key, which goes into the pairing links.
    """
    from server.identity.model import Role, Scope
    from server.identity.service import operator

    identity = _identity(db, token_keys, origins, signer_key)
    organisation = await identity.create_organisation(CODE, AGENCY)
    actor = operator(organisation.id)
    people: dict[str, Person] = {}
    for part, name, position, roles in (
        ("leader", LEADER, "CHỦ TỊCH", (Role.LEADER, Role.ADMINISTRATOR)),
        ("clerk", CLERK, "VĂN THƯ", (Role.CLERK,)),
        ("officer", OFFICER, "CÁN BỘ ĐĂNG KÝ", (Role.REGISTRATION_OFFICER,)),
    ):
        person = await identity.create_person(actor, name=name, position=position, roles=list(roles))
        code = await identity.pairing_code(actor, person.id, office=part == "clerk")
        people[part] = Person(person.id, name, position, code.link.reveal())
    # One client plays every system of the walkthrough.
    client = await identity.create_client(actor, name="QLVB mẫu", scopes=[scope.value for scope in Scope])
    return Handed(people, client.id, client.secret.reveal())


async def pairing_links(
    db: Any, token_keys: Path, origins: tuple[str, ...], signer_key: str, handed: Handed
) -> dict[str, str]:
    """`hoatoc user pair`: fresh links for one more device of each person, good for ten minutes."""
    from server.identity.service import operator

    identity = _identity(db, token_keys, origins, signer_key)
    actor = operator((await identity.organisation_by_code(CODE)).id)
    return {
        part: (await identity.pairing_code(actor, person.id, office=part == "clerk")).link.reveal()
        for part, person in handed.people.items()
    }
