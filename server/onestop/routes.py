"""The one-stop office over HTTP: for the one-stop system, and the applicant's page at /f/{secret} for whoever has the link."""

from datetime import date
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, PathParameter

from server.clock import Clock
from server.errors import Refused
from server.http import Given, Id, encoded, once
from server.identity.guard import allow, public
from server.identity.model import Actor, Scope
from server.limits import Rate
from server.notices.rules import PersonId
from server.onestop import page
from server.onestop.model import WORDS, Step, StepCode, Unit
from server.onestop.service import DossierAnswer, OneStopService, Shown
from server.wire import iso

_CLIENTS: Final = allow(scopes={Scope.ONESTOP_WRITE})
_TAGS: Final = ["onestop"]

UnitCode = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern="^[0-9A-Za-z._-]+$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class UnitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What applicants read as the unit, never a person's name. `responsible`: people of the organisation who are told of steps that nobody handles."""

    name: Name
    responsible: Annotated[list[PersonId], msgspec.Meta(min_length=1, max_length=20)]
    name_en: Annotated[str, msgspec.Meta(max_length=200)] = ""


class UnitView(msgspec.Struct, frozen=True):
    code: str
    name: str
    name_en: str
    responsible: list[str]


class DossierStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a dossier stands. `step`: registered, received, not_received, processing, supplement, payment, withdrawing, stopped, finished or returned.

    `unit`: the code of a unit. `promised`: the local date that the applicant was promised. `handled`: whether somebody has taken the step up;
    who that is stays with the one-stop system (PDP-1).
    """

    step: StepCode
    unit: UnitCode
    promised: date | None = None
    handled: bool = False

    def value(self) -> Step:
        return Step(self.step, self.unit, self.promised, self.handled)


class NewDossier(DossierStep, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`reference`: the one-stop system's own name for it. The unit's people see it when a step is late; applicants never; it is forgotten at the end."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class NextStep(DossierStep, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`sequence`: the step that this one follows, as the last answer gave it."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class DossierView(msgspec.Struct, frozen=True):
    """`late`: null, `promised` (the promised date is over) or `unhandled` (nobody has handled the step for the organisation's number of working days)."""

    id: str
    sequence: int
    step: str
    words: dict[str, str]
    unit: str
    promised: str | None
    handled: bool
    since: str
    late: str | None
    closed: bool


@put(
    "/api/v1/onestop/units/{unit:str}",
    operation_id="putUnit",
    summary="Name a unit and who is responsible in it",
    tags=_TAGS,
    status_code=204,
    opt={**_CLIENTS, "problems": ("person-unknown",)},
)
async def put_unit(
    unit: Annotated[str, PathParameter(min_length=1, max_length=40, pattern="^[0-9A-Za-z._-]+$")],
    data: JSONBody[UnitRequest],
    actor: Given[Actor],
    onestop: Given[OneStopService],
) -> None:
    await onestop.put_unit(actor, Unit(unit, data.name, data.name_en, tuple(dict.fromkeys(data.responsible))))


@get("/api/v1/onestop/units", operation_id="listUnits", summary="The organisation's units", tags=_TAGS, opt=_CLIENTS)
async def units(actor: Given[Actor], onestop: Given[OneStopService]) -> list[UnitView]:
    return [UnitView(one.code, one.name, one.name_en, list(one.responsible)) for one in await onestop.units(actor)]


@post(
    "/api/v1/onestop/dossiers",
    operation_id="openDossier",
    summary="Post a dossier; gives the applicant's link",
    tags=_TAGS,
    status_code=201,
    opt={**_CLIENTS, "idempotent": True, "problems": ("unit-unknown", "dossier-known")},
    responses={201: ResponseSpec(DossierAnswer, generate_examples=False)},
)
async def open_dossier(
    request: Request[Any, Any, Any], data: JSONBody[NewDossier], actor: Given[Actor], onestop: Given[OneStopService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """The link works until 90 days after the dossier's end and can be made anew; only its digest is kept here."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await onestop.open(actor, data.reference, data.value(), claim), 201)


@post(
    "/api/v1/onestop/dossiers/{dossier:str}/steps",
    operation_id="advanceDossier",
    summary="Post a dossier's next step",
    tags=_TAGS,
    status_code=200,
    opt={**_CLIENTS, "idempotent": True, "problems": ("unit-unknown", "dossier-closed", "conflict")},
    responses={200: ResponseSpec(DossierAnswer, generate_examples=False)},
)
async def advance(
    request: Request[Any, Any, Any], dossier: Id, data: JSONBody[NextStep], actor: Given[Actor], onestop: Given[OneStopService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """Also for the same step with a handler, another unit or another promised date. After not_received, stopped and returned nothing follows."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await onestop.advance(actor, dossier, data.sequence, data.value(), claim))


@post(
    "/api/v1/onestop/dossiers/{dossier:str}/link",
    operation_id="relinkDossier",
    summary="Another link for the applicant",
    tags=_TAGS,
    status_code=200,
    opt={**_CLIENTS, "idempotent": True},
    responses={200: ResponseSpec(DossierAnswer, generate_examples=False)},
)
async def relink(
    request: Request[Any, Any, Any], dossier: Id, actor: Given[Actor], onestop: Given[OneStopService], clock: Given[Clock]
) -> Response[bytes]:  # fmt: skip
    """The one before shows nothing more."""
    return encoded(await onestop.relink(actor, dossier, once(request, actor.id, b"", clock.now_us())))


@get(
    "/api/v1/onestop/dossiers/{dossier:str}",
    operation_id="readDossier",
    summary="Where a dossier stands",
    tags=_TAGS,
    opt=_CLIENTS,
)
async def read(dossier: Id, actor: Given[Actor], onestop: Given[OneStopService]) -> DossierView:
    return _view(dossier, await onestop.show(actor, dossier))


def _view(id_: str, found: Shown) -> DossierView:
    step = found.step
    vi, en = WORDS[step.code]
    return DossierView(
        id=id_, sequence=found.sequence, step=step.code.value, words={"vi": vi, "en": en}, unit=step.unit,
        promised=None if step.promised is None else step.promised.isoformat(), handled=step.handled, since=iso(found.since_us),
        late=None if found.late is None else found.late.value, closed=found.closed,
    )  # fmt: skip


def _html(body: str, status: int = 200, **headers: str) -> Response[str]:
    return Response(
        content=body,
        status_code=status,
        media_type="text/html",
        headers={
            "Content-Security-Policy": page.POLICY,
            "X-Robots-Tag": "noindex, nofollow",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **headers,
        },
    )


def _refused(_request: Request[Any, Any, Any], error: Refused) -> Response[str]:
    """One page for whatever is no living link, and one for too many calls: people read these."""
    if error.code == "rate-limited":
        return _html(page.wait(), 429, **{"Retry-After": str(error.fields.get("retry_after", 60))})
    return _html(page.missing(), 404)


@get(
    "/f/{secret:str}",
    operation_id="applicantPage",
    opt={**public(), "rate": Rate.APPLICANT},
    include_in_schema=False,
    exception_handlers={Refused: _refused},
)
async def applicant_page(secret: FromPath[str], onestop: Given[OneStopService]) -> Response[str]:
    """For applicants, without sign-in and without script."""
    return _html(page.shown(await onestop.page(secret)))


HANDLERS: list[Any] = [put_unit, units, open_dossier, advance, relink, read, applicant_page]
