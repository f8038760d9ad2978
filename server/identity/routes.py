"""HTTP of identity: thin handlers and wire structs. `HANDLERS` is what the application mounts.

Long because the room has 27 operations and each states its access, problems and texts where it is defined.
"""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import segno
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.clock import Clock
from server.db import Row
from server.errors import Refused
from server.http import Given, once
from server.identity.dpop import public_key, single
from server.identity.guard import PERSON, allow, has_proof, public, request_proof
from server.identity.model import Actor, Device, PairingCode, Person, Role, Scope, Session, Tokens
from server.identity.service import IdentityService
from server.limits import Rate
from server.wire import b64u, from_b64u, iso, iso_or_none
from signing.device import short_code_of

Caller = NamedDependency[Actor]
Identity = NamedDependency[IdentityService]
Time = Given[Clock]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Line = Annotated[str, msgspec.Meta(max_length=200)]
Id = Annotated[str, PathParameter(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]
Coordinate = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{43}$")]
_NO_STORE = {"Cache-Control": "no-store"}


class _Masked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wire struct that holds a secret: no repr shows a field (threat A14)."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class PublicJwk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A P-256 public key (RFC 7517); a private member is an unknown field. WebCrypto's `key_ops` and `ext` may stay."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Coordinate
    y: Coordinate
    key_ops: list[Literal["verify"]] | None = None
    ext: bool | None = None

    def members(self) -> dict[str, Any]:
        return {"kty": self.kty, "crv": self.crv, "x": self.x, "y": self.y}


class RedeemRequest(_Masked, frozen=True):
    code: Annotated[str, msgspec.Meta(min_length=16, max_length=80)]
    session_jwk: PublicJwk
    approval_jwk: PublicJwk
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    platform: Literal["web", "android", "ios", "other"]


class ResumeRequest(_Masked, frozen=True):
    statement: Annotated[str, msgspec.Meta(max_length=4096)]


class TokenRequest(_Masked, frozen=True):
    """RFC 6749 §4.4.2 and §6, as a form or as JSON."""

    grant_type: Literal["client_credentials", "refresh_token"]
    client_id: Annotated[str, msgspec.Meta(max_length=64, pattern="^[!-~]*$")] | None = None
    client_secret: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    refresh_token: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    scope: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class TokenAnswer(_Masked, frozen=True, omit_defaults=True):
    """RFC 6749 §5.1 and RFC 9449 §5."""

    access_token: str
    token_type: str
    expires_at: str
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None


class DeviceAnswer(msgspec.Struct, frozen=True):
    """`short_code` is what the registration officer compares; `approval_jwk` goes into the voucher."""

    id: str
    person: str
    label: str
    platform: str
    office: bool
    state: str
    approval_key: str
    approval_jwk: dict[str, str]
    short_code: str
    admitted: bool
    created_at: str
    seen_at: str
    revoked_at: str | None


class AwaitingDevice(msgspec.Struct, frozen=True):
    device: DeviceAnswer
    person_name: str


class SessionAnswer(_Masked, frozen=True):
    device: DeviceAnswer
    tokens: TokenAnswer


class PersonAnswer(msgspec.Struct, frozen=True):
    id: str
    name: str
    position: str
    authority_line: str
    state: str
    locale: str
    roles: list[str]
    key_frozen: bool


class MeAnswer(msgspec.Struct, frozen=True):
    person: PersonAnswer
    organisation: str
    organisation_code: str
    organisation_name: str
    device: str


class PeoplePage(msgspec.Struct, frozen=True):
    items: list[PersonAnswer]
    next_cursor: str | None


class CreatePersonRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lengths of the register of documents (DOC-7): these names travel in packets."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    position: Annotated[str, msgspec.Meta(max_length=100)] = ""
    authority_line: Line = ""
    locale: Literal["vi", "en"] = "vi"
    roles: list[Role] = []


class PairingCodeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`office`: the device stands in the office and may seal (SIG-8)."""

    office: bool = False


class PairingCodeAnswer(_Masked, frozen=True):
    """`qr`: the link as a QR code (ISO/IEC 18004), rows of modules top to bottom, `1` dark, without the quiet zone of 4."""

    code: str
    link: str
    expires_at: str
    qr: list[str]


class CreateClientRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Text
    scopes: list[Scope]


class ClientCreated(_Masked, frozen=True):
    client_id: str
    client_secret: str


class ClientAnswer(msgspec.Struct, frozen=True):
    client_id: str
    name: str
    scopes: list[str]
    state: str
    created_at: str


class FcmAddress(_Masked, frozen=True):
    registration_token: Annotated[str, msgspec.Meta(min_length=20, max_length=4096)]


class SubscriptionKeys(_Masked, frozen=True):
    """RFC 8291: the receiver's P-256 point (65 bytes) and authentication secret (16 bytes), base64url."""

    p256dh: Annotated[str, msgspec.Meta(min_length=87, max_length=87)]
    auth: Annotated[str, msgspec.Meta(min_length=22, max_length=22)]


class WebPushAddress(_Masked, frozen=True):
    """A PushSubscription as the browser's toJSON() gives it."""

    endpoint: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    keys: SubscriptionKeys
    expirationTime: float | None = None  # noqa: N815 the browser's own name


class WebPushActivation(_Masked, frozen=True):
    challenge: Annotated[str, msgspec.Meta(min_length=22, max_length=64)]


class WebPushAddressState(StrEnum):
    NONE = "none"
    PENDING = "pending"
    ACTIVE = "active"
    DEAD = "dead"


class WebPushState(msgspec.Struct, frozen=True):
    """`vapid_key`: the `applicationServerKey` for subscribing (RFC 8292), null where this server sends no Web Push."""

    vapid_key: str | None
    state: WebPushAddressState


# -- Sessions -------------------------------------------------------------------------------------------------------


@post(
    "/api/v1/pairings/redeem", status_code=200, operation_id="redeemPairing", summary="Pair this phone by a one-time code",
    tags=["sessions", "phone"],
    opt={**public(), "rate": Rate.SESSION, "problems": ("pairing-code-invalid", "proof-invalid", "device-key-known", "host-unknown")},
)  # fmt: skip
async def redeem_pairing(
    request: Request[Any, Any, Any], data: JSONBody[RedeemRequest], identity: Identity
) -> Response[SessionAnswer]:
    """The DPoP proof is by the session key and binds no token. The same phone asking again gets the same answer."""
    session, approval = public_key(data.session_jwk.members()), public_key(data.approval_jwk.members())
    proof = request_proof(request.scope, identity)
    made = await identity.redeem(
        data.code, proof, session=session, approval=approval, label=data.label, platform=data.platform
    )
    return Response(_session(made), headers=_NO_STORE)


@post(
    "/api/v1/sessions", status_code=200, operation_id="resumeSession", summary="Start a session again with the approval key",
    tags=["sessions", "phone"], opt={**public(), "rate": Rate.SESSION, "problems": ("authentication-required", "proof-invalid", "host-unknown")},
)  # fmt: skip
async def resume_session(
    request: Request[Any, Any, Any], data: JSONBody[ResumeRequest], identity: Identity
) -> Response[SessionAnswer]:
    """For a paired device whose refresh token has ended: a statement by the approval key over this call's DPoP proof."""
    made = await identity.resume(data.statement, request_proof(request.scope, identity))
    return Response(_session(made), headers=_NO_STORE)


@delete(
    "/api/v1/sessions/current",
    operation_id="endSession",
    summary="Log this device out",
    tags=["sessions", "phone"],
    opt=allow(roles=PERSON),
)
async def end_session(actor: Caller, identity: Identity) -> None:
    await identity.log_out(actor)


@dataclass
class _TokenOperation(Operation):
    """The token endpoint takes a form (RFC 6749) or JSON, which one annotated body cannot say."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        grant = Schema(type=OpenAPIType.STRING, enum=["client_credentials", "refresh_token"])
        names = ("client_id", "client_secret", "refresh_token", "scope")
        schema = Schema(
            type=OpenAPIType.OBJECT, properties={"grant_type": grant, **dict.fromkeys(names, text)}, required=["grant_type"],
            additional_properties=False,
        )  # fmt: skip
        media = OpenAPIMediaType(schema=schema)
        self.request_body = RequestBody(
            required=True, content={"application/x-www-form-urlencoded": media, "application/json": media}
        )


@post(
    "/api/v1/oauth/token", status_code=200, operation_id="issueToken", summary="Tokens: client credentials, refresh",
    tags=["sessions", "phone"], operation_class=_TokenOperation,
    opt={
        **public(), "rate": Rate.SESSION,
        "problems": ("client-invalid", "scope-invalid", "refresh-invalid", "proof-invalid", "host-unknown", "unsupported-media-type", "invalid-request"),
    },
)  # fmt: skip
async def issue_token(request: Request[Any, Any, Any], identity: Identity) -> Response[TokenAnswer]:
    """`client_credentials` with id and secret in the body or by HTTP Basic; a DPoP proof is optional and binds the token.
    `refresh_token` always with a DPoP proof by the session key (RFC 9449 §5).
    """
    asked = await _token_request(request)
    if asked.grant_type == "refresh_token":
        if not asked.refresh_token:
            raise Refused("invalid-request", detail="refresh_token is missing", error="invalid_request")
        tokens, scope = await identity.refresh(asked.refresh_token, request_proof(request.scope, identity)), None
    else:
        client, secret = _client_credentials(request, asked)
        proof = request_proof(request.scope, identity) if has_proof(request.scope) else None
        tokens, scope = await identity.client_tokens(client, secret, scope=asked.scope, proof=proof)
    return Response(_tokens(tokens, scope), headers=_NO_STORE)


@get("/api/v1/me", operation_id="getMe", summary="Who I am here", tags=["people", "phone"], opt=allow(roles=PERSON))
async def get_me(actor: Caller, identity: Identity) -> MeAnswer:
    person, organisation = await identity.person(actor, actor.id), await identity.organisation(actor.organisation)
    return MeAnswer(_person(person), organisation.id, organisation.code, organisation.name, actor.device or "")


# -- Devices --------------------------------------------------------------------------------------------------------


@get(
    "/api/v1/me/devices",
    operation_id="listMyDevices",
    summary="My devices",
    tags=["devices", "phone"],
    opt=allow(roles=PERSON),
)
async def list_my_devices(actor: Caller, identity: Identity) -> list[DeviceAnswer]:
    return [_device(device) for device in await identity.my_devices(actor)]


@get(
    "/api/v1/devices/awaiting-voucher", operation_id="listAwaitingDevices", summary="Devices whose approval key waits for a voucher",
    tags=["devices", "phone"], opt=allow(roles={Role.REGISTRATION_OFFICER}),
)  # fmt: skip
async def list_awaiting_devices(actor: Caller, identity: Identity) -> list[AwaitingDevice]:
    return [AwaitingDevice(_device(device), name) for device, name in await identity.devices_awaiting(actor)]


@get(
    "/api/v1/people/{person:str}/devices", operation_id="listDevicesOfPerson", summary="A person's devices", tags=["devices", "phone"],
    opt={**allow(roles={Role.ADMINISTRATOR, Role.DUTY_OFFICER, Role.REGISTRATION_OFFICER}), "problems": ("not-found",)},
)  # fmt: skip
async def list_devices_of_person(actor: Caller, person: Id, identity: Identity) -> list[DeviceAnswer]:
    return [_device(device) for device in await identity.devices_of(actor, person)]


@post(
    "/api/v1/devices/{device:str}/revocation", status_code=200, operation_id="revokeDevice", summary="Revoke a device for good",
    tags=["devices", "phone"], opt={**allow(roles=PERSON), "problems": ("not-found",)},
)  # fmt: skip
async def revoke_device(actor: Caller, device: Id, identity: Identity) -> DeviceAnswer:
    """One's own, or any of the organisation by a duty officer or an administrator. Tokens, push addresses and open
    activations of the device are void when this answers; nothing un-revokes.
    """
    return _device(await identity.revoke_device(actor, device))


@put(
    "/api/v1/me/push-addresses/fcm", status_code=204, operation_id="putFcmAddress", summary="Reach this device by FCM",
    tags=["devices", "phone"], opt={**allow(roles=PERSON), "problems": ("push-address-invalid",)},
)  # fmt: skip
async def put_fcm_address(actor: Caller, data: JSONBody[FcmAddress], identity: Identity) -> None:
    await identity.put_fcm_address(actor, data.registration_token)


@put(
    "/api/v1/me/push-addresses/webpush", status_code=204, operation_id="putWebPushAddress", summary="Reach this device by Web Push",
    tags=["devices", "phone"], opt={**allow(roles=PERSON), "problems": ("push-address-invalid",)},
)  # fmt: skip
async def put_webpush_address(actor: Caller, data: JSONBody[WebPushAddress], identity: Identity) -> None:
    """The address is used once the device has given back the challenge that is pushed to it now."""
    value = {"endpoint": data.endpoint, "keys": {"p256dh": data.keys.p256dh, "auth": data.keys.auth}}
    await identity.put_webpush_address(actor, msgspec.json.encode(value).decode())


@get(
    "/api/v1/me/push-addresses/webpush", operation_id="getWebPushAddress", summary="The server's VAPID key, and whether this device is reached",
    tags=["devices", "phone"], opt=allow(roles=PERSON),
)  # fmt: skip
async def get_webpush_address(actor: Caller, identity: Identity) -> WebPushState:
    key, state = await identity.webpush_state(actor)
    return WebPushState(key or None, WebPushAddressState(state))


@post(
    "/api/v1/me/push-addresses/webpush/activation", status_code=204, operation_id="activateWebPushAddress",
    summary="Give back the challenge that was pushed to this device", tags=["devices", "phone"],
    opt={**allow(roles=PERSON), "problems": ("push-address-invalid",)},
)  # fmt: skip
async def activate_webpush_address(actor: Caller, data: JSONBody[WebPushActivation], identity: Identity) -> None:
    await identity.activate_webpush(actor, data.challenge)


# Two operations, not one with a parameter: the static paths above would hide a parameter's.
@delete(
    "/api/v1/me/push-addresses/fcm", operation_id="deleteFcmAddress", summary="No more FCM to this device", tags=["devices", "phone"],
    opt=allow(roles=PERSON),
)  # fmt: skip
async def delete_fcm_address(actor: Caller, identity: Identity) -> None:
    await identity.delete_address(actor, "fcm")


@delete(
    "/api/v1/me/push-addresses/webpush", operation_id="deleteWebPushAddress", summary="No more Web Push to this device",
    tags=["devices", "phone"], opt=allow(roles=PERSON),
)  # fmt: skip
async def delete_webpush_address(actor: Caller, identity: Identity) -> None:
    await identity.delete_address(actor, "webpush")


# -- Freeze ---------------------------------------------------------------------------------------------------------


@put(
    "/api/v1/me/key-freeze",
    status_code=204,
    operation_id="freezeMyKey",
    summary="Freeze my signing key",
    tags=["devices", "phone"],
    opt=allow(roles=PERSON),
)
async def freeze_my_key(actor: Caller, identity: Identity) -> None:
    """Takes effect at once here and within moments at the signer. Only an officer can lift it."""
    await identity.freeze(actor, actor.id)


@put(
    "/api/v1/people/{person:str}/key-freeze", status_code=204, operation_id="freezeKey", summary="Freeze a person's signing key",
    tags=["devices", "phone"], opt={**allow(roles={Role.DUTY_OFFICER}), "problems": ("not-found",)},
)  # fmt: skip
async def freeze_key(actor: Caller, person: Id, identity: Identity) -> None:
    await identity.freeze(actor, person)


@delete(
    "/api/v1/people/{person:str}/key-freeze", operation_id="unfreezeKey", summary="Lift a freeze", tags=["devices", "phone"],
    opt={**allow(roles={Role.DUTY_OFFICER, Role.REGISTRATION_OFFICER}), "problems": ("not-found", "forbidden")},
)  # fmt: skip
async def unfreeze_key(actor: Caller, person: Id, identity: Identity) -> None:
    """By an officer who is neither the key's owner nor the one who froze it."""
    await identity.unfreeze(actor, person)


# -- People ---------------------------------------------------------------------------------------------------------

_READERS = {**allow(roles=PERSON, scopes={Scope.DIRECTORY_READ}), "problems": ("not-found",)}
_ADMINISTRATORS = allow(roles={Role.ADMINISTRATOR})


@get(
    "/api/v1/people",
    operation_id="listPeople",
    summary="The organisation's directory",
    tags=["people", "phone"],
    opt={**_READERS, "problems": ("invalid-request",)},
)
async def list_people(
    actor: Caller,
    identity: Identity,
    cursor: Annotated[str, QueryParameter(max_length=1000, required=False)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=200, required=False)] = 50,
) -> PeoplePage:
    people = await identity.people(actor, after=_read_cursor(cursor), limit=limit)
    more = _cursor(people[-1]) if len(people) == limit else None
    return PeoplePage([_person(person) for person in people], more)


@get(
    "/api/v1/people/{person:str}",
    operation_id="getPerson",
    summary="One person",
    tags=["people", "phone"],
    opt=_READERS,
)
async def get_person(actor: Caller, person: Id, identity: Identity) -> PersonAnswer:
    return _person(await identity.person(actor, person))


@post(
    "/api/v1/people",
    operation_id="createPerson",
    summary="Add a person",
    tags=["people"],
    opt={**_ADMINISTRATORS, "idempotent": True, "problems": ("invalid-request",)},
)
async def create_person(
    request: Request[Any, Any, Any], actor: Caller, data: JSONBody[CreatePersonRequest], identity: Identity, clock: Time
) -> PersonAnswer:
    made = await identity.create_person(
        actor,
        name=data.name,
        position=data.position,
        authority_line=data.authority_line,
        locale=data.locale,
        roles=data.roles,
        once=once(request, actor.id, msgspec.json.encode(data), clock.now_us()),
    )
    return _person(made)


@delete(
    "/api/v1/people/{person:str}", operation_id="endPerson", summary="The person left", tags=["people"],
    opt={**_ADMINISTRATORS, "problems": ("not-found", "last-administrator")},
)  # fmt: skip
async def end_person(actor: Caller, person: Id, identity: Identity) -> None:
    """Revokes every device of the person; what the person signed stays."""
    await identity.end_person(actor, person)


@put(
    "/api/v1/people/{person:str}/roles/{role:str}", status_code=204, operation_id="grantRole", summary="Grant a role", tags=["people"],
    opt={**_ADMINISTRATORS, "problems": ("not-found",)},
)  # fmt: skip
async def grant_role(actor: Caller, person: Id, role: Id, identity: Identity) -> None:
    await identity.grant_role(actor, person, _role(role))


@delete(
    "/api/v1/people/{person:str}/roles/{role:str}", operation_id="withdrawRole", summary="Withdraw a role", tags=["people"],
    opt={**_ADMINISTRATORS, "problems": ("not-found", "last-administrator")},
)  # fmt: skip
async def withdraw_role(actor: Caller, person: Id, role: Id, identity: Identity) -> None:
    await identity.withdraw_role(actor, person, _role(role))


@post(
    "/api/v1/me/pairing-codes", operation_id="createMyPairingCode", summary="A one-time pairing code for a further device of mine",
    tags=["devices", "phone"], opt={**allow(roles=PERSON), "idempotent": True},
)  # fmt: skip
async def create_my_pairing_code(
    request: Request[Any, Any, Any], actor: Caller, identity: Identity, clock: Time
) -> Response[PairingCodeAnswer]:
    """The further device reads what I may read. It signs only after an officer's voucher and my PIN, and is never an office
    device (SIG-8): that mark is the administrator's to give.
    """
    claim = once(request, actor.id, b"", clock.now_us())
    return Response(_pairing(await identity.pairing_code(actor, actor.id, once=claim)), headers=_NO_STORE)


@post(
    "/api/v1/people/{person:str}/pairing-codes", operation_id="createPairingCode", summary="A one-time pairing code",
    tags=["people", "phone"],
    opt={**_ADMINISTRATORS, "idempotent": True, "problems": ("not-found",)},
)  # fmt: skip
async def create_pairing_code(
    request: Request[Any, Any, Any],
    actor: Caller,
    person: Id,
    data: JSONBody[PairingCodeRequest],
    identity: Identity,
    clock: Time,
) -> Response[PairingCodeAnswer]:
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    made = await identity.pairing_code(actor, person, office=data.office, once=claim)
    return Response(_pairing(made), headers=_NO_STORE)


# -- Service clients ------------------------------------------------------------------------------------------------


@get(
    "/api/v1/clients",
    operation_id="listClients",
    summary="Systems that may call",
    tags=["clients"],
    opt=_ADMINISTRATORS,
)
async def list_clients(actor: Caller, identity: Identity) -> list[ClientAnswer]:
    return [_client(row) for row in await identity.clients(actor)]


@post(
    "/api/v1/clients",
    operation_id="createClient",
    summary="Let a system call",
    tags=["clients"],
    opt={**_ADMINISTRATORS, "idempotent": True, "problems": ("scope-invalid",)},
)
async def create_client(
    request: Request[Any, Any, Any], actor: Caller, data: JSONBody[CreateClientRequest], identity: Identity, clock: Time
) -> Response[ClientCreated]:
    """The secret is in the answer to this request only."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    made = await identity.create_client(actor, name=data.name, scopes=data.scopes, once=claim)
    return Response(ClientCreated(made.id, made.secret.reveal()), headers=_NO_STORE)


@delete(
    "/api/v1/clients/{client:str}",
    operation_id="revokeClient",
    summary="Revoke a system",
    tags=["clients"],
    opt={**_ADMINISTRATORS, "problems": ("not-found",)},
)
async def revoke_client(actor: Caller, client: Id, identity: Identity) -> None:
    await identity.revoke_client(actor, client)


HANDLERS = [
    redeem_pairing, resume_session, end_session, issue_token, get_me, list_my_devices, list_awaiting_devices, list_devices_of_person,
    revoke_device, put_fcm_address, put_webpush_address, get_webpush_address, activate_webpush_address,
    delete_fcm_address, delete_webpush_address, freeze_my_key, freeze_key, unfreeze_key, list_people,
    get_person, create_person, end_person, grant_role, withdraw_role, create_my_pairing_code, create_pairing_code, list_clients, create_client, revoke_client,
]  # fmt: skip


# -- Values to wire -------------------------------------------------------------------------------------------------


def _tokens(tokens: Tokens, scope: str | None = None) -> TokenAnswer:
    refresh = None if tokens.refresh is None else tokens.refresh.reveal()
    kind = "DPoP" if tokens.bound else "Bearer"
    return TokenAnswer(tokens.access.reveal(), kind, iso(tokens.expires_us), tokens.seconds, refresh, scope)


def _session(session: Session) -> SessionAnswer:
    return SessionAnswer(_device(session.device), _tokens(session.tokens))


def _device(device: Device) -> DeviceAnswer:
    return DeviceAnswer(
        device.id, device.person, device.label, device.platform, device.office, device.state, device.approval_key,
        msgspec.json.decode(device.approval_jwk, type=dict[str, str]), short_code_of(device.approval_key), device.admitted_us is not None,
        iso(device.created_us), iso(device.seen_us), iso_or_none(device.revoked_us),
    )  # fmt: skip


def _person(person: Person) -> PersonAnswer:
    return PersonAnswer(
        person.id,
        person.name,
        person.position,
        person.authority_line,
        person.state,
        person.locale,
        list(person.roles),
        person.frozen,
    )


def _pairing(code: PairingCode) -> PairingCodeAnswer:
    # Error correction M: a screen is photographed, not worn; segno takes the smallest symbol that holds the link.
    symbol = segno.make_qr(code.link.reveal(), error="m", boost_error=False)
    rows = ["".join(map(str, row)) for row in symbol.matrix]
    return PairingCodeAnswer(code.code.reveal(), code.link.reveal(), iso(code.expires_us), rows)


def _client(row: Row) -> ClientAnswer:
    return ClientAnswer(row["id"], row["name"], row["scopes"].split(), row["state"], iso(row["created_us"]))


# -- Wire to values -------------------------------------------------------------------------------------------------


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise Refused("not-found") from None


def _cursor(person: Person) -> str:
    return b64u(msgspec.json.encode((person.name, person.id)))


def _read_cursor(cursor: str) -> tuple[str, str]:
    try:
        name, person = msgspec.json.decode(from_b64u(cursor), type=tuple[str, str]) if cursor else ("", "")
    except msgspec.DecodeError:
        raise Refused("invalid-request", detail="not a cursor of this list") from None
    if "\x00" in name + person:  # no text of PostgreSQL holds it
        raise Refused("invalid-request", detail="not a cursor of this list")
    return name, person


async def _token_request(request: Request[Any, Any, Any]) -> TokenRequest:
    kind = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind == "application/json":
        return msgspec.json.decode(body, type=TokenRequest)
    if kind != "application/x-www-form-urlencoded":
        raise Refused("unsupported-media-type")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=10, errors="strict"
        )
    except ValueError:
        raise Refused("invalid-request", detail="not a form", error="invalid_request") from None
    # RFC 6749 §3.2: parameters must not be included more than once.
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("invalid-request", detail="a parameter stands twice", error="invalid_request")
    return msgspec.convert(dict(pairs), type=TokenRequest)


def _client_credentials(request: Request[Any, Any, Any], asked: TokenRequest) -> tuple[str, str]:
    """RFC 6749 §2.3.1: HTTP Basic or the body, not both."""
    header = single([value for name, value in request.scope["headers"] if name == b"authorization"], limit=1024)
    if header is None:
        if not asked.client_id or not asked.client_secret:
            raise Refused("client-invalid", error="invalid_client")
        return asked.client_id, asked.client_secret
    scheme, _, encoded = header.partition(" ")
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        scheme, client, colon, secret = "", "", "", ""
    if scheme.lower() != "basic" or not colon or asked.client_secret is not None:
        raise Refused("client-invalid", error="invalid_client")
    client = unquote_plus(client)
    if not client.isprintable():
        raise Refused("client-invalid", error="invalid_client")
    return client, unquote_plus(secret)
