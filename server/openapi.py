"""`openapi/openapi.json` from the routes themselves, `openapi/problems.json` from the table, and the page that shows them.

The page is ours and self-hosted: no script from anywhere else.
"""

import json
from typing import Any

import msgspec
from litestar import Litestar

from server.identity.guard import access_of
from server.problems import MEDIA_TYPE, PROBLEMS

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
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
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
            if method not in {"get", "post", "put", "delete", "patch"}:
                continue
            declared = handlers.get((path, method), {})
            _complete(operation, access_of(declared))
            if declared.get("idempotent"):
                operation["parameters"] = [*operation.get("parameters", []), _IDEMPOTENCY_KEY]
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


def problems_document() -> bytes:
    """Every problem type: code, status, texts, cause, retry."""
    rows = [msgspec.to_builtins(PROBLEMS[code]) for code in sorted(PROBLEMS)]
    return (json.dumps({"problems": rows}, ensure_ascii=False, indent=1) + "\n").encode()


def pretty(body: bytes) -> bytes:
    return (json.dumps(json.loads(body), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


API_PAGE = """<!doctype html>
<html lang="vi"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hỏa Tốc · API</title><link rel="stylesheet" href="/api/page.css"></head>
<body><header><h1>Hỏa Tốc <small>API</small></h1><p>Mọi thao tác của hệ thống, mô tả từ chính mã nguồn. Every operation, described from the code itself.</p>
<input id="find" type="search" placeholder="Tìm thao tác · find an operation" aria-label="Tìm thao tác"></header>
<main id="list" aria-live="polite"><p>…</p></main><script type="module" src="/api/page.js"></script></body></html>
"""

API_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --line: #d8d8dc; --mark: #b3261e; --soft: #f5f5f7 }
@media (prefers-color-scheme: dark) { :root { --ink: #f2f2f4; --paper: #151517; --line: #3a3a3e; --mark: #ff8a80; --soft: #202024 } }
* { box-sizing: border-box } body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
header, main { max-width: 60rem; margin: 0 auto; padding: 1rem } h1 { margin: 0; color: var(--mark) } h1 small { color: var(--ink); font-weight: 400 }
input { width: 100%; padding: .75rem; font: inherit; border: 1px solid var(--line); border-radius: .5rem; background: var(--soft); color: inherit }
section h2 { text-transform: capitalize; border-bottom: 1px solid var(--line) } details { border-bottom: 1px solid var(--line); padding: .4rem 0 }
summary { cursor: pointer; min-height: 2.75rem; display: flex; gap: .75rem; align-items: center; flex-wrap: wrap }
code, pre { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere } pre { background: var(--soft); padding: .75rem; border-radius: .5rem; white-space: pre-wrap }
.method { color: var(--mark); font-weight: 700; min-width: 4rem } .who { opacity: .75; font-size: .9em }
"""

API_SCRIPT = """
const make = (name, text, cls) => { const e = document.createElement(name); if (text) e.textContent = text; if (cls) e.className = cls; return e };
const list = document.getElementById('list');
const spec = await (await fetch('/api/openapi.json')).json();
const groups = new Map();
for (const [path, item] of Object.entries(spec.paths)) for (const [method, op] of Object.entries(item)) {
  const tag = (op.tags || ['other'])[0]; if (!groups.has(tag)) groups.set(tag, []); groups.get(tag).push({ path, method, op });
}
const draw = (needle) => {
  list.replaceChildren();
  for (const [tag, all] of groups) {
    const rows = all.filter(({ path, op }) => `${path} ${op.summary} ${op.operationId}`.toLowerCase().includes(needle));
    if (!rows.length) continue;
    const section = make('section'); section.append(make('h2', tag));
    for (const { path, method, op } of rows) {
      const d = make('details'), s = make('summary');
      s.append(make('span', method.toUpperCase(), 'method'), make('code', path), make('span', op.summary || ''));
      d.append(s);
      if (op.description) d.append(make('p', op.description));
      const who = [...(op['x-roles'] || []), ...(op['x-scopes'] || [])];
      d.append(make('p', who.length ? `Ai được gọi · who: ${who.join(', ')}` : 'Công khai · public', 'who'));
      const body = op.requestBody?.content; if (body) d.append(make('pre', JSON.stringify(body, null, 1)));
      d.append(make('pre', JSON.stringify(op.responses, null, 1)));
      section.append(d);
    }
    list.append(section);
  }
};
draw('');
document.getElementById('find').addEventListener('input', (e) => draw(e.target.value.trim().toLowerCase()));
"""
