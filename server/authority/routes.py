"""Grants of authority over HTTP, and the hand-over of a waiting step to the holder of one."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from server.authority.model import GrantRow
from server.authority.service import AuthorityService, GrantAnswer
from server.clock import Clock
from server.documents.routes import StateView
from server.documents.service import DocumentService
from server.http import Given, Id, Key, Whole, cursor, encoded, from_cursor, once
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.limits import Rate
from server.wire import iso, iso_or_none

_READERS: dict[str, Any] = {"roles": {Role.LEADER, Role.ADMINISTRATOR}, "scopes": {"directory:read"}}


class GrantRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`grant`: compact JWS by the approval key of the grantor's device, `typ` `hoatoc-grant+jws`.

    Its payload is JSON without white space, these members in this order: `v` (1), `organisation` (exchange code), `form` (KT, TL, TUQ, TM,
    Q), `grantor`, `holder`, `line`, `paper`, `types` (names, empty: all), `urgency` (up to), `parent` (digest of a TL. grant
    that is passed on, or ""), `not_before`, `not_after` (microseconds UTC), `nonce` (16 bytes, base64url).
    """

    grant: Annotated[str, msgspec.Meta(min_length=100, max_length=32_000)]


class HandOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`grant` for a signature: its holder takes the step. `person` for initials, which carry no authority: a member of the staff or a leader."""

    grant: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")] = ""
    person: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")] = ""


class GrantView(msgspec.Struct, frozen=True):
    """`authority` is what stands on the page, a line each; `signed` the grant as its grantor's device signed it."""

    id: str
    digest: str
    form: str
    state: str
    grantor: str
    holder: str
    authority: str
    paper: str
    types: list[str]
    urgency: int
    parent: str | None
    not_before: str
    not_after: str
    created_at: str
    used_at: str | None
    revoked_at: str | None
    signed: str


class GrantPage(msgspec.Struct, frozen=True):
    items: list[GrantView]
    next: str | None


def _view(row: GrantRow) -> GrantView:
    return GrantView(
        id=row.id,
        digest=row.digest,
        form=row.form.value,
        state=row.state.value,
        grantor=row.grantor,
        holder=row.holder,
        authority=row.authority_line,
        paper=row.paper,
        types=row.type_names(),
        urgency=row.urgency,
        parent=row.parent,
        not_before=iso(row.not_before_us),
        not_after=iso(row.not_after_us),
        created_at=iso(row.created_us),
        used_at=iso_or_none(row.used_us),
        revoked_at=iso_or_none(row.revoked_us),
        signed=row.jws,
    )


@post(
    "/api/v1/grants",
    operation_id="giveAuthority",
    summary="Give somebody authority to sign",
    tags=["authority", "phone"],
    status_code=201,
    opt={**allow(roles={Role.LEADER}), "idempotent": True, "rate": Rate.SIGN},
    responses={201: ResponseSpec(GrantAnswer, generate_examples=False)},
)
async def give(
    request: Request[Any, Any, Any],
    data: JSONBody[GrantRequest],
    actor: Given[Actor],
    authority: Given[AuthorityService],
    clock: Given[Clock],
) -> Response[bytes]:
    """The leader's own office or, passed on to a deputy, a TL. that he holds (AUT-1 to AUT-5). Nobody lends a key or a PIN (AUT-7)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await authority.give(actor, data.grant, claim), 201)


@get(
    "/api/v1/grants",
    operation_id="listAuthority",
    summary="Grants of authority, newest first",
    tags=["authority", "phone"],
    opt=allow(**_READERS),
)
async def listing(
    actor: Given[Actor],
    authority: Given[AuthorityService],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200, description="Rows on a page")] = 50,
) -> GrantPage:
    """A leader sees what he gave and what he holds; an administrator and a management system see their organisation's."""
    before = from_cursor(cursor_, tuple[Whole, Key], (2**62, ""))
    rows = await authority.listing(actor, before=before, limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return GrantPage(
        items=[_view(row) for row in rows], next=None if last is None else cursor((last.created_us, last.id))
    )


@get(
    "/api/v1/grants/{grant:str}",
    operation_id="readAuthority",
    summary="One grant of authority",
    tags=["authority", "phone"],
    opt=allow(**_READERS),
)
async def read(grant: Id, actor: Given[Actor], authority: Given[AuthorityService]) -> GrantView:
    return _view(await authority.get(actor, grant))


@post(
    "/api/v1/grants/{grant:str}/revocation",
    operation_id="revokeAuthority",
    summary="Revoke a grant of authority",
    tags=["authority", "phone"],
    status_code=204,
    opt=allow(roles={Role.LEADER, Role.ADMINISTRATOR}),
)
async def revoke(grant: Id, actor: Given[Actor], authority: Given[AuthorityService]) -> None:
    """By its grantor or an administrator; from this answer on nothing is signed under it, nor under what it was passed on as."""
    await authority.revoke(actor, grant)


@post(
    "/api/v1/documents/{document:str}/hand-over",
    operation_id="handOverStep",
    summary="Hand a waiting step to somebody else",
    tags=["authority", "phone"],
    status_code=200,
    opt={**allow(roles={Role.LEADER, Role.STAFF}, scopes={"documents:write"}), "idempotent": True},
    responses={200: ResponseSpec(StateView, generate_examples=False)},
)
async def hand_over(
    request: Request[Any, Any, Any],
    document: Id,
    data: JSONBody[HandOver],
    actor: Given[Actor],
    documents: Given[DocumentService],
    clock: Given[Clock],
) -> Response[bytes]:
    """By the system that drafted it, or by the person whose turn it is; who takes it signs with his own key, a deputy under the grant (AUT-7)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await documents.hand_over(actor, document, grant=data.grant, person=data.person, once=claim))


HANDLERS: list[Any] = [give, listing, read, revoke, hand_over]
