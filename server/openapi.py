"""`openapi/openapi.json` from the routes themselves, `openapi/problems.json` from the table. `server/api_page/` shows both."""

import json
from typing import Any

import msgspec
from litestar import Litestar

from server.documents.model import Metadata
from server.identity.guard import access_of
from server.openapi_samples import ANNEX_METADATA, COPY_METADATA, EXAMPLES, METADATA, PROBLEM, PROBLEMS_OF, WEBHOOK
from server.problems import MEDIA_TYPE, PROBLEMS
from server.webhooks.service import EVENTS

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem document; texts by Accept-Language, types in openapi/problems.json.",
    "required": ["type", "title", "status", "code", "trace_id", "retry"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "trace_id": {"type": "string"},
        "retry": {"type": "boolean"},
        "detail": {"type": "string"},
    },
    "additionalProperties": True,
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One for each thing that is asked; repeating the request with it gives the first answer for 48 hours.",
    "schema": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[ -~]+$"},
}
_ANSWER = {
    "description": "A problem document.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "example": PROBLEM}},
}
_METHODS = {"get", "post", "put", "delete", "patch"}
_BODILESS = {"get", "delete"}
# What litestar says for lack of better words.
_NO_WORDS = {
    "Additional response",
    "Request fulfilled, document follows",
    "Document created, URL follows",
    "Request fulfilled, nothing follows",
}
_DOCUMENT_DATA: dict[str, Any] = {
    "type": "object",
    "description": "Of `document.…`.",
    "required": ["document", "state", "seq"],
    "properties": {
        "document": {"type": "string"},
        "source_reference": {"type": ["string", "null"]},
        "state": {"type": "string"},
        "seq": {"type": "integer", "description": "Place in the changes feed."},
    },
    "additionalProperties": True,
}
_MEETING_DATA: dict[str, Any] = {
    "type": "object",
    "description": "Of `meeting.answered`: one answer, in the order in which they were given. The last one of a person for the newest `sequence` counts.",
    "required": ["meeting", "source_reference", "sequence", "person", "answer", "reason", "substitute", "at"],
    "properties": {
        "meeting": {"type": "string"},
        "source_reference": {"type": ["string", "null"]},
        "sequence": {"type": "integer", "description": "The revision that was answered."},
        "person": {"type": "string"},
        "answer": {"type": "string", "enum": ["attend", "decline", "substitute"]},
        "reason": {"type": "string"},
        "substitute": {"type": ["string", "null"], "description": "The person who is sent."},
        "at": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": False,
}
_NOTICE_DATA: dict[str, Any] = {
    "type": "object",
    "description": "Of `notice.acknowledged` (`by`: the person, or whoever stands in), `notice.escalated` (one line of a step: `target`, whom it `told`, by which "
    "`channel`, with which `outcome`) and `notice.unanswered` (the chain is at its end, nobody acknowledged). In order for each notice.",
    "required": ["notice", "about", "kind", "urgency", "source_reference", "person", "at"],
    "properties": {
        "notice": {"type": "string", "description": "The notice that the chain began with."},
        "about": {"type": "string", "description": "`announcement:`, `document:`, `meeting:` or `order:` and an id."},
        "kind": {"type": "string"},
        "urgency": {"type": "integer"},
        "source_reference": {"type": ["string", "null"], "description": "Of an announcement."},
        "person": {"type": "string", "description": "For whom it was."},
        "at": {"type": "string", "format": "date-time"},
        "by": {"type": "string"},
        "target": {"type": "string", "enum": ["person", "deputy", "duty_officer", "sender"]},
        "told": {"type": ["string", "null"]},
        "channel": {"type": "string"},
        "outcome": {"type": "string"},
    },
    "additionalProperties": False,
}
_WEBHOOK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What an endpoint is sent. Answer 2xx; drop a `webhook-id` that was seen; check `webhook-signature` over the bytes as they came.",
    "required": ["type", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "enum": list(EVENTS)},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {"anyOf": [_DOCUMENT_DATA, _MEETING_DATA, _NOTICE_DATA]},
    },
}


def document_of(app: Litestar) -> bytes:
    """The OpenAPI 3.1 description: litestar's, with our problem documents, security and idempotency header."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["ProblemDocument"] = _PROBLEM_SCHEMA
    components["securitySchemes"] = {
        "dpop": {
            "type": "http",
            "scheme": "DPoP",
            "description": "Access token bound to the device's session key, with a DPoP proof (RFC 9449).",
        },
        "service": {
            "type": "http",
            "scheme": "Bearer",
            "description": "Token of a service client (POST /api/v1/oauth/token).",
        },
    }
    handlers = {(path, method.lower()): handler.opt for path, method, handler in _operations(app)}
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            if method not in _METHODS:
                continue
            declared = handlers.get((path, method), {})
            _complete(operation, access_of(declared))
            _explain(operation, method, declared)
            if declared.get("idempotent"):
                operation["parameters"] = [*operation.get("parameters", []), _IDEMPOTENCY_KEY]
    _describe(components["schemas"])
    schema["webhooks"] = {"documentChanged": {"post": _webhook()}}
    schema["x-problem-types"] = {
        code: {"status": row.status, "title_vi": row.title_vi, "title_en": row.title_en, "retry": row.retry}
        for code, row in PROBLEMS.items()
    }
    schema["info"]["description"] = "Mobile-first signing and notification backend. See /problems for every error."
    return json.dumps(schema, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _operations(app: Litestar) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            path = "/" + "/".join(
                "{" + part.name + "}" if hasattr(part, "name") else str(part)
                for part in getattr(route, "path_components", [])
            )
            found.extend((path, method, handler) for method in handler.http_methods)
    return found


def _complete(operation: dict[str, Any], access: Any) -> None:
    responses = operation.setdefault("responses", {})
    for status in [status for status in responses if status.startswith(("4", "5"))]:
        if status != "503" or operation.get("operationId") != "readyz":
            responses.pop(status)
    responses["4XX"] = _ANSWER
    responses["5XX"] = _ANSWER
    if access is None or access.open:
        operation["security"] = []
        return
    needs: list[dict[str, list[str]]] = []
    if access.roles:
        needs.append({"dpop": []})
        operation["x-roles"] = sorted(str(role) for role in access.roles)
    if access.scopes:
        needs.append({"service": []})
        operation["x-scopes"] = sorted(access.scopes)
    operation["security"] = needs


def _explain(operation: dict[str, Any], method: str, declared: dict[str, Any]) -> None:
    """Examples, words for answers, and `x-problems`: every type that this operation may answer."""
    name = operation.get("operationId", "")
    examples = EXAMPLES.get(name, {})
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "request" in examples:
            media["example"] = examples["request"]
    for status, response in operation["responses"].items():
        if response.get("description") in _NO_WORDS:
            response["description"] = "Done; nothing follows." if status == "204" else "Done."
        for media in response.get("content", {}).values():
            if status in examples:
                media["example"] = examples[status]
    own = [*declared.get("problems", ()), *PROBLEMS_OF.get(name, ())]
    if operation["security"]:
        own += ["authentication-required", "forbidden"]
        own += ["proof-invalid", "host-unknown"] if {"dpop": []} in operation["security"] else []
    if any(one["in"] == "path" for one in operation.get("parameters", ())):
        own.append("not-found")
    if operation.get("parameters") or method not in _BODILESS:
        own.append("invalid-request")
    if operation.get("requestBody"):
        own += ["unsupported-media-type", "too-large"]
    if declared.get("idempotent"):
        own += ["idempotency-key-missing", "idempotency-key-reused"]
    if name not in {"livez", "readProblem"}:
        own += ["temporarily-unavailable", "internal"]
    own.append("rate-limited")
    operation["x-problems"] = sorted(set(own), key=lambda code: (PROBLEMS[code].status, code))


def _describe(schemas: dict[str, Any]) -> None:
    """What litestar leaves out: the docstrings of wire structs, and the metadata that travels as text inside the intake form."""
    _, parts = msgspec.json.schema_components((Metadata,), ref_template="#/components/schemas/{name}")
    schemas.update(parts)
    schemas["Metadata"]["examples"] = [METADATA, ANNEX_METADATA, COPY_METADATA]
    schemas["IntakeForm"]["properties"]["metadata"] = {
        "type": "string",
        "description": "JSON text.",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Metadata"},
    }
    for schema in schemas.values():
        for one in schema.get("properties", {}).values():
            _of_one_kind(one)
    for struct in _structs(msgspec.Struct):
        schema = schemas.get(struct.__name__)
        if schema is None or struct.__doc__ is None or not struct.__module__.startswith("server."):
            continue
        if set(struct.__struct_encode_fields__) == set(schema.get("properties", ())):
            schema.setdefault("description", " ".join(struct.__doc__.split()))


def _of_one_kind(schema: dict[str, Any]) -> None:
    """The items of a `tuple[X, ...]` are X: litestar takes the dots for a second type, which is anything."""
    items = schema.get("items")
    if isinstance(items, dict) and isinstance(items.get("oneOf"), list) and {} in items["oneOf"]:
        (schema["items"],) = [one for one in items["oneOf"] if one]


def _structs(base: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    return [one for struct in base.__subclasses__() for one in (struct, *_structs(struct))]


def _webhook() -> dict[str, Any]:
    headers = {
        "webhook-id": "Identifier of the message, the same each time it is repeated.",
        "webhook-timestamp": "Seconds since 1970.",
        "webhook-signature": "`v1,` and base64 of HMAC-SHA256 over id, timestamp and body, joined by dots.",
    }
    return {
        "operationId": "documentChanged",
        "summary": "What a registered endpoint is sent (standardwebhooks.com)",
        "tags": ["webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _WEBHOOK_SCHEMA, "example": WEBHOOK}},
        },
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "The endpoint wants no more; it is ended."},
        },
    }


def problems_document() -> bytes:
    """Every problem type: code, status, texts, cause, retry."""
    rows = [msgspec.to_builtins(PROBLEMS[code]) for code in sorted(PROBLEMS)]
    return (json.dumps({"problems": rows}, ensure_ascii=False, indent=1) + "\n").encode()


def pretty(body: bytes) -> bytes:
    return (json.dumps(json.loads(body), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
