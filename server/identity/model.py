"""Values and pure rules of identity: who is asking, what they may be, how long things live."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Literal, Protocol

import msgspec

from push.subscription import EndpointPolicy
from server.db import Transaction
from server.identity.tokens import Secret

SECOND_US = 1_000_000


class Role(StrEnum):
    """A person may have several. Clerk is văn thư; the duty officer stops keys and devices outside office hours."""

    LEADER = "leader"
    CLERK = "clerk"
    REGISTRATION_OFFICER = "registration_officer"
    STAFF = "staff"
    ADMINISTRATOR = "administrator"
    DUTY_OFFICER = "duty_officer"


class Scope(StrEnum):
    """What a service client's token is good for."""

    DOCUMENTS_WRITE = "documents:write"
    DOCUMENTS_READ = "documents:read"
    CHANGES_READ = "changes:read"
    WEBHOOKS_MANAGE = "webhooks:manage"
    DIRECTORY_READ = "directory:read"
    MEETINGS_WRITE = "meetings:write"
    NOTICES_WRITE = "notices:write"
    ONESTOP_WRITE = "onestop:write"


class PersonState(StrEnum):
    ACTIVE = "active"
    LEFT = "left"


class DeviceState(StrEnum):
    """`active` is good for sessions. Whether the signer admitted its approval key is `admitted_us`, not a state."""

    ACTIVE = "active"
    REVOKED = "revoked"


class Actor(msgspec.Struct, frozen=True):
    """Who makes a call. Every read of user data takes one; `organisation` is the tenant boundary (threat C1)."""

    kind: Literal["person", "service"]
    id: str
    organisation: str
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] = frozenset()
    device: str | None = None
    session_key: str | None = None
    office: bool = False

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


class Organisation(msgspec.Struct, frozen=True):
    id: str
    code: str
    name: str
    parent: str | None
    created_us: int


class Person(msgspec.Struct, frozen=True):
    id: str
    organisation: str
    name: str
    position: str
    authority_line: str
    state: PersonState
    locale: str
    created_us: int
    roles: tuple[Role, ...] = ()
    frozen: bool = False


class Device(msgspec.Struct, frozen=True):
    """Keys are named by RFC 7638 thumbprint; `approval_jwk` is canonical JSON of the public key."""

    id: str
    person: str
    organisation: str
    session_key: str
    approval_key: str
    approval_jwk: str
    label: str
    platform: str
    office: bool
    state: DeviceState
    created_us: int
    seen_us: int
    admitted_us: int | None
    revoked_us: int | None


class PairingCode(msgspec.Struct, frozen=True):
    """`link` carries the code, and the thumbprint of the signer's identity key, behind `#`, so that no server log sees them."""

    code: Secret
    link: Secret
    expires_us: int


class Tokens(msgspec.Struct, frozen=True):
    """`seconds` is what is left of the access token's life when it was given (`expires_in`)."""

    access: Secret
    refresh: Secret | None
    expires_us: int
    seconds: int
    bound: bool


class Session(msgspec.Struct, frozen=True):
    device: Device
    tokens: Tokens


class NewClient(msgspec.Struct, frozen=True):
    """The secret is shown once, when the client is made; only its digest is kept."""

    id: str
    secret: Secret


class IdentitySettings(msgspec.Struct, frozen=True):
    """`origins`: every URL under which the server is reached, the public one first."""

    origins: tuple[str, ...]
    access_seconds: int = 600
    refresh_days: int = 30
    pairing_seconds: int = 600
    retry_seconds: int = 10
    push_endpoints: EndpointPolicy = EndpointPolicy()
    vapid_key: str = ""

    def __post_init__(self) -> None:
        """Raises: ValueError where a life is longer than the threat model allows (C4, pairing)."""
        if not 1 <= self.access_seconds <= 600 or not 1 <= self.pairing_seconds <= 600:
            raise ValueError("access tokens and pairing codes live at most 600 seconds")
        if not 1 <= self.refresh_days <= 90 or not 0 <= self.retry_seconds <= 60:
            raise ValueError("refresh families live 1 to 90 days, the retry window is at most 60 seconds")


class Audit(Protocol):
    """The audit log as this room uses it."""

    async def append(
        self,
        tx: Transaction,
        kind: str,
        *,
        organisation: str,
        actor: str,
        subject: str,
        body: msgspec.Struct | dict[str, Any],
    ) -> object:
        """Write one event in the caller's transaction (threat A15)."""


class SignerPort(Protocol):
    """What this room tells the signer. Both calls are idempotent; any other end is an exception, and the job tries again."""

    async def revoke_device(self, *, organisation: str, person: str, approval_key: str) -> None:
        """Void the approval key (RFC 7638 thumbprint) for every credential that admits it. Nothing un-revokes."""

    async def set_frozen(self, *, organisation: str, person: str, frozen: bool) -> None:
        """Freeze or unfreeze the person in every credential that the person holds."""


DeviceRevoked = Callable[[Transaction, Device], Awaitable[None]]
RoleWithdrawn = Callable[[Transaction, str, Role], Awaitable[None]]
"""Of a person, by id."""
