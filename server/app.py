"""The HTTP application: routes, dependencies, errors, headers. Importing this module has no side effects."""

import copy
import inspect
import time
from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.params import PathParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server import api_page, problems
from server.approvals.routes import HANDLERS as APPROVALS
from server.arrivals.routes import HANDLERS as ARRIVALS
from server.audit.routes import HANDLERS as AUDIT
from server.authority.routes import HANDLERS as AUTHORITY
from server.credentials.routes import HANDLERS as CREDENTIALS
from server.directives.routes import HANDLERS as DIRECTIVES
from server.documents.routes import HANDLERS as DOCUMENTS
from server.errors import Refused
from server.exchange.routes import HANDLERS as EXCHANGE
from server.http import Given
from server.identity.guard import Authentication, access_of, guard, provide_actor, public
from server.identity.routes import HANDLERS as IDENTITY
from server.ids import new_id
from server.limits import RateLimits, is_local
from server.live.routes import HANDLERS as LIVE
from server.logs import bind_request
from server.meetings.routes import HANDLERS as MEETINGS
from server.metrics import Metrics
from server.notices.routes import HANDLERS as NOTICES
from server.onestop.routes import HANDLERS as ONESTOP
from server.oversight.routes import HANDLERS as OVERSIGHT
from server.preservation.routes import HANDLERS as PRESERVATION
from server.previews.routes import HANDLERS as PREVIEWS
from server.reports.routes import HANDLERS as REPORTS
from server.stamp_images.routes import HANDLERS as STAMP_IMAGES
from server.validations.routes import HANDLERS as VALIDATIONS
from server.web.routes import HANDLERS as WEB
from server.webhooks.routes import HANDLERS as WEBHOOKS
from server.wiring import Wiring

log = structlog.get_logger()

_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)
_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class Envelope:
    """Outermost: a trace id for every request, security headers on every answer, one metric, one line for what failed."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, https: bool, largest_body: int) -> None:
        self._app = app
        self._metrics = metrics
        self._largest_body = largest_body
        self._always = (*_HEADERS, _HSTS) if https else _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        trace_id = new_id()
        scope["trace_id"] = trace_id  # type: ignore[typeddict-unknown-key]
        bind_request(trace_id)
        started = time.perf_counter()
        status = 500

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message["headers"])
                present = {name for name, _ in headers}
                headers.extend(one for one in self._always if one[0] not in present)
                if _POLICY[0] not in present:
                    headers.append(_POLICY)
                if b"cache-control" not in present:
                    headers.append((b"cache-control", b"no-store"))
                headers.append((b"x-trace-id", trace_id.encode()))
                message["headers"] = headers
            await send(message)

        received = 0

        async def counted() -> Any:
            """No body beyond every limit is taken in, whatever its route says of parts and files (D12)."""
            nonlocal received
            message = await receive()
            received += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if received > self._largest_body:
                raise Refused("too-large", limit=self._largest_body)
            return message

        try:
            await self._app(scope, counted, enveloped)
        finally:
            handler = scope.get("route_handler")
            operation = getattr(handler, "operation_id", None) or "unknown"
            self._metrics.request(str(operation), status, time.perf_counter() - started)


@get("/livez", operation_id="livez", summary="The process lives", tags=["operations"], opt=public())
async def livez() -> dict[str, str]:
    return {"status": "ok"}


@get("/readyz", operation_id="readyz", summary="The service can do its work", tags=["operations"], opt=public())
async def readyz(state: State) -> Response[dict[str, str]]:
    """200 when database and signer answer, else 503 with the parts that do not."""
    parts = await state.wiring.ready()
    return Response(content=parts, status_code=200 if all(value == "ok" for value in parts.values()) else 503)


@get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics, for this machine only",
    tags=["operations"],
    opt=public(),
    media_type="text/plain",
)
async def metrics(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    if not is_local(request.scope):
        raise Refused("not-found")
    return Response(content=await state.wiring.metrics_text(), media_type="text/plain; version=0.0.4")


@get(
    "/api/openapi.json",
    operation_id="openapi",
    summary="This description",
    tags=["operations"],
    opt=public(),
    include_in_schema=False,
)
async def openapi_document(state: State) -> Response[bytes]:
    return Response(
        content=state.openapi, media_type="application/json", headers={"Cache-Control": "public, max-age=300"}
    )


@get(
    "/problems/{code:str}",
    operation_id="readProblem",
    summary="What a problem type means",
    tags=["operations"],
    opt=public(),
)
async def problem(code: Annotated[str, PathParameter(max_length=60)]) -> Response[problems.Problem]:
    row = problems.PROBLEMS.get(code)
    if row is None:
        raise Refused("not-found")
    return Response(content=row)


_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def _static(path: str, body: str, media_type: str) -> HTTPRouteHandler:
    @get(path, opt=public(), include_in_schema=False, name=path)
    async def page() -> Response[bytes]:
        return Response(
            content=body.encode(),
            media_type=media_type,
            headers={"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "public, max-age=300"},
        )

    return page


def routes() -> list[HTTPRouteHandler]:
    """Every route of the product. One that does not say who may call it is refused (C2)."""
    handlers = [
        livez, readyz, metrics, openapi_document, problem,
        _static("/api", api_page.text("page.html"), "text/html"), _static("/api/page.js", api_page.text("page.js"), "text/javascript"),
        _static("/api/page.css", api_page.text("page.css"), "text/css"),
        *IDENTITY, *DOCUMENTS, *APPROVALS, *AUTHORITY, *PRESERVATION, *PREVIEWS, *CREDENTIALS, *NOTICES, *LIVE, *MEETINGS, *ONESTOP, *REPORTS, *OVERSIGHT, *WEBHOOKS,
        *AUDIT, *EXCHANGE, *ARRIVALS, *DIRECTIVES, *VALIDATIONS, *STAMP_IMAGES, *WEB,
    ]  # fmt: skip
    for handler in handlers:
        if access_of(handler.opt) is None:
            raise ValueError(f"the route {sorted(handler.paths)} does not say who may call it")
    return handlers


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Hỏa Tốc", version="1", path="/api/-/schema", create_examples=False, use_handler_docstrings=True
    )


def create_app(wiring: Wiring) -> ASGIApp:
    """The ASGI application over started services."""
    from server.openapi import document_of

    services = wiring.dependencies()
    app = Litestar(
        route_handlers=[_in_turn(handler, services) for handler in routes()],
        exception_handlers={Exception: problems.handle},
        middleware=[Authentication(wiring.identity), RateLimits(wiring.limits)],
        guards=[guard],
        openapi_config=openapi_config(),
        request_max_body_size=wiring.settings.limits.request_bytes,
        state=State({"wiring": wiring}),
        logging_config=None,
        debug=False,
    )
    app.state.openapi = document_of(app)
    limits = wiring.settings.limits
    return Envelope(
        app,
        metrics=wiring.metrics,
        https=wiring.settings.server.public_url.startswith("https://"),
        largest_body=limits.document_bytes + limits.request_bytes,
    )


def _in_turn(handler: HTTPRouteHandler, services: Mapping[str, Any]) -> HTTPRouteHandler:
    """The handler with what it asks for by name: the actor, services.

    Litestar starts a task for each of several dependencies (0.1 ms a request), but not when each needs the one before.
    """
    wanted = [name for name in inspect.signature(handler.fn).parameters if name == "actor" or name in services]
    handler = copy.copy(handler)
    handler.dependencies = {
        name: Provide(
            _after(before, provide_actor if name == "actor" else _given(services[name])), sync_to_thread=False
        )
        for before, name in zip([None, *wanted], wanted, strict=False)
    }
    return handler


def _given(value: Any) -> Any:
    def provide() -> Any:
        return value

    return provide


def _after(before: str | None, provide: Any) -> Any:
    """`provide`, declared to need the dependency `before`."""
    own = inspect.signature(provide, eval_str=True).parameters.values()
    given_by_name: Any = Given
    needed = (
        []
        if before is None
        else [inspect.Parameter(before, inspect.Parameter.KEYWORD_ONLY, annotation=given_by_name[Any])]
    )

    def provided(**given: Any) -> Any:
        if before is not None:
            del given[before]
        return provide(**given)

    parameters = [*own, *needed]
    provided.__signature__ = inspect.Signature(parameters, return_annotation=Any)  # type: ignore[attr-defined]
    provided.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": Any}
    return provided


def schema_document() -> bytes:
    """The OpenAPI description without any service: for the committed file."""
    from server.openapi import document_of

    names = ("actor", *Wiring.DEPENDENCIES)
    bare = Litestar(
        route_handlers=routes(),
        dependencies={name: Provide(_given(None), sync_to_thread=False) for name in names},
        openapi_config=openapi_config(),
        logging_config=None,
    )
    return document_of(bare)
