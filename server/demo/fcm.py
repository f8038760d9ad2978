"""A local double of FCM HTTP v1: checks what the real service checks, answers by a script, records everything.

    python -m server.demo.fcm --port 0 --service-account FILE

prints one JSON line {"url", "plain_url", "port", "project", "service_account"} and serves until it is ended. With `--tls FILE` messages are taken
over TLS (HTTP/2 or HTTP/1.1, as the client chooses) at "url"; the token endpoint and the oracle stay at "plain_url".

* `POST /token` is the OAuth 2.0 token endpoint (RFC 7523): the assertion must be a JWT signed (RS256) by the service
  account's key, for this endpoint and a messaging scope.
* `POST /v1/projects/{project}/messages:send` checks bearer and body.
* The oracle: `GET /_recorded?address=A&after=N&wait=S` gives all requests (N skips, S waits up to that many seconds for
  one more), `PUT /_script/{address}` with [{"answer": name, ...}] sets the next answers for an address (`*`: for all
  without an own script), `DELETE /_tokens` revokes all tokens, `PUT /_switch` {"tokens": "on" | "off" | "refuse"}.

Longer than most: checks, script and record of one service.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import re
import secrets
import ssl
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import errors, jwt
from joserfc.jwk import RSAKey

from server.demo.loopback import CUT, Cut, LoopbackServer, Reply, Request, json_reply

__all__ = ["FcmDouble", "Record", "Step", "body_faults", "server_tls"]

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_SCOPES = {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
# google-auth signs for Google's endpoint whatever the key file's token_uri says.
_AUDIENCE = "https://oauth2.googleapis.com/token"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TARGETS = {"fid", "token", "topic", "condition"}
_FIELDS = _TARGETS | {"data", "notification", "android", "apns", "webpush", "fcm_options"}
_DURATION = re.compile(r"(\d{1,7})(?:\.\d{1,9})?s")
_LONGEST_TTL_S = 2_419_200
_HANG_S = 3_600.0
_PAGE = b"<!doctype html><title>Sign in to the network</title>"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scripted answer. `times` None repeats it for ever; `seconds` belongs to `slow`, `retry_after` to a header."""

    answer: str
    times: int | None = 1
    retry_after: str | None = None
    seconds: float = 0.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One `messages:send` as it arrived and what was answered (status None: no answer). `raw` is the body's text."""

    address: str | None
    body: Any
    raw: str
    arrived_us: int
    connection: int
    status: int | None
    answer: str


class FcmDouble:
    """The double, in process: `async with FcmDouble() as fcm`, then `fcm.url`, `fcm.service_account`, `fcm.records`."""

    def __init__(
        self,
        *,
        port: int = 0,
        project: str = "hoatoc-demo",
        token_life_s: int = 3600,
        tls: ssl.SSLContext | None = None,
        keep: int | None = None,
    ) -> None:
        self.project = project
        self.records: list[Record] = []
        self.tokens_issued = 0
        self.token_requests = 0
        self._token_life_s = token_life_s
        self._tokens: dict[str, float] = {}
        self._token_switch = "on"
        self._scripts: dict[str, list[Step]] = {}
        self._arrival = asyncio.Condition()
        self._keep = keep
        self.accepted = 0
        self._server = LoopbackServer(self._handle, port=port)
        self._tls_server = None if tls is None else LoopbackServer(self._handle, tls=tls)
        self._private_pem = _account_key()
        self._key = RSAKey.import_key(self._private_pem)
        self._email = f"sender@{project}.iam.gserviceaccount.com"

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        if self._tls_server is not None:
            await self._tls_server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._tls_server is not None:
            await self._tls_server.__aexit__(*exc)
        await self._server.__aexit__(*exc)

    @property
    def url(self) -> str:
        """Where messages go: over TLS, if there is any."""
        return (self._tls_server or self._server).url

    @property
    def plain_url(self) -> str:
        """The token endpoint and the oracle, over plain HTTP always: the client's trust is asked for messages alone."""
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def connections(self) -> int:
        return self._server.connections + (self._tls_server.connections if self._tls_server is not None else 0)

    @property
    def service_account(self) -> dict[str, str]:
        """A service account's JSON key file whose token endpoint is this double. Its key is made in each process."""
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "demo",
            "private_key": self._private_pem,
            "client_email": self._email,
            "client_id": "1",
            "token_uri": f"{self.plain_url}/token",
        }

    def write_service_account(self, path: Path) -> None:
        """Write the key file, readable by its owner alone."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.service_account, indent=1))

    def script(self, address: str, *steps: Step) -> None:
        """Answer the next messages to `address` (`*`: to any without a script) by these steps, then accept."""
        unknown = {step.answer for step in steps} - _ANSWERS.keys() - _CONDUCT
        if unknown:
            raise ValueError(f"no such answers: {sorted(unknown)}")
        self._scripts[address] = list(steps)

    def revoke_tokens(self) -> None:
        self._tokens.clear()

    def switch_tokens(self, mode: str) -> None:
        """`on`; `off`: the token endpoint answers 503; `refuse`: it answers invalid_grant."""
        if mode not in {"on", "off", "refuse"}:
            raise ValueError("tokens are on, off or refuse")
        self._token_switch = mode

    async def _handle(self, request: Request) -> Reply | Cut:
        match request.method, request.path:
            case "POST", "/token":
                return self._issue(request)
            case "POST", path if path == f"/v1/projects/{self.project}/messages:send":
                return await self._send(request)
            case "GET", "/_recorded":
                return await self._recorded(request)
            case _:
                return self._control(request)

    def _control(self, request: Request) -> Reply:
        try:
            if request.method == "PUT" and request.path.startswith("/_script/"):
                self.script(request.path[len("/_script/") :], *msgspec.json.decode(request.body, type=list[Step]))
            elif request.method == "PUT" and request.path == "/_switch":
                self.switch_tokens(msgspec.json.decode(request.body, type=dict[str, str])["tokens"])
            elif request.method == "DELETE" and request.path == "/_tokens":
                self.revoke_tokens()
            else:
                return _error(404, "NOT_FOUND", "Requested entity was not found.")
        except (ValueError, KeyError) as error:
            return json_reply({"error": str(error)}, 400)
        return Reply(204)

    def _issue(self, request: Request) -> Reply:
        self.token_requests += 1
        if self._token_switch == "off":
            return json_reply({"error": "internal_failure"}, 503)
        form = dict(parse_qsl(request.body.decode("latin-1")))
        if self._token_switch == "refuse" or form.get("grant_type") != _GRANT or not self._assertion_holds(form):
            return json_reply({"error": "invalid_grant", "error_description": "Invalid JWT"}, 400)
        self.tokens_issued += 1
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + self._token_life_s
        return json_reply({"access_token": token, "expires_in": self._token_life_s, "token_type": "Bearer"})

    def _assertion_holds(self, form: dict[str, str]) -> bool:
        try:
            claims = jwt.decode(form.get("assertion", ""), self._key, algorithms=["RS256"]).claims
            lasts = float(claims["exp"]) - float(claims["iat"])
            return (
                claims["iss"] == self._email
                and claims["aud"] in {_AUDIENCE, f"{self.plain_url}/token"}
                and bool(_SCOPES & set(claims["scope"].split()))
                and 0 < lasts <= 3600
                and time.time() < claims["exp"]
            )
        except (errors.JoseError, KeyError, TypeError, ValueError, AttributeError):
            return False

    async def _send(self, request: Request) -> Reply | Cut:
        body, address = _parse(request.body)
        answer, reply = self._decide(request, body, address)
        record = Record(
            address=address,
            body=body,
            raw=request.body.decode("utf-8", "replace"),
            arrived_us=request.arrived_us,
            connection=request.connection,
            status=None if isinstance(reply, Cut) else reply.status,
            answer=answer,
        )
        async with self._arrival:
            self.records.append(record)
            self.accepted += record.status == 200
            if self._keep is not None and len(self.records) > 2 * self._keep:
                del self.records[: -self._keep]
            self._arrival.notify_all()
        return reply

    def _decide(self, request: Request, body: Any, address: str | None) -> tuple[str, Reply | Cut]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0.0) < time.monotonic():
            return "unauthenticated", _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if faults := body_faults(body):
            return "invalid_payload", _bad_request(faults)
        step = self._next(address or "*")
        if step.answer in _CONDUCT:
            return step.answer, self._conduct(step)
        reply = _ANSWERS[step.answer]
        if step.retry_after is not None:
            reply = msgspec.structs.replace(reply, headers={"Retry-After": step.retry_after})
        return step.answer, reply

    def _conduct(self, step: Step) -> Reply | Cut:
        accepted = json_reply({"name": f"projects/{self.project}/messages/{secrets.token_hex(8)}"})
        match step.answer:
            case "cut":
                return CUT
            case "hang":
                return Cut(delay_s=_HANG_S)
            case "slow":
                return msgspec.structs.replace(accepted, delay_s=step.seconds)
            case _:
                return accepted

    def _next(self, address: str) -> Step:
        steps = self._scripts.get(address) or self._scripts.get("*")
        if not steps:
            return Step("ok")
        step = steps[0]
        if step.times is not None:
            steps[0] = msgspec.structs.replace(step, times=step.times - 1)
            if steps[0].times == 0:
                del steps[0]
        return step

    async def _recorded(self, request: Request) -> Reply:
        after, wait_s = int(request.query.get("after", "0")), min(float(request.query.get("wait", "0")), 60.0)
        address = request.query.get("address")

        def found() -> list[Record]:
            return [record for record in self.records if address in {None, record.address}][after:]

        try:
            async with self._arrival, asyncio.timeout(wait_s):
                await self._arrival.wait_for(lambda: wait_s == 0 or bool(found()))
        except TimeoutError:
            pass
        answer = {"requests": found(), "connections": self.connections, "tokens_issued": self.tokens_issued}
        answer["accepted"] = self.accepted
        return Reply(200, msgspec.json.encode(answer))


@functools.cache
def _account_key() -> str:
    """The service account's key, made anew in each process and the same for all doubles of one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _parse(raw: bytes) -> tuple[Any, str | None]:
    try:
        body = json.loads(raw)
    except ValueError:
        return None, None
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        return body, None
    return body, next((message[kind] for kind in ("fid", "token") if isinstance(message.get(kind), str)), None)


def body_faults(body: Any) -> list[tuple[str, str]]:
    """What FCM would refuse in a request body, as (field, description); empty where it is well-formed."""
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("message"), dict)
        or body.keys() - {"message", "validate_only"}
    ):
        return [("", "Invalid JSON payload received.")]
    message = body["message"]
    parts = [(name, message.get(name, {})) for name in ("data", "notification", "android", "apns")]
    if wrong := [name for name, part in parts if not isinstance(part, dict)]:
        return [(f"message.{name}", "Invalid value.") for name in wrong]
    faults = [(f"message.{name}", "Unknown name.") for name in sorted(message.keys() - _FIELDS)]
    if len(message.keys() & _TARGETS) != 1 or not all(message[name] for name in message.keys() & _TARGETS):
        faults.append(("message", "Exactly one of token, fid, topic or condition is required."))
    faults += _data_faults(message.get("data", {}))
    faults += _android_faults(message.get("android", {}))
    faults += _apns_faults(message.get("apns", {}))
    shown = [message.get("notification"), message.get("android", {}).get("notification"), message.get("data")]
    if sum(_text_bytes(part) for part in shown) > 4096:
        faults.append(("message", "Message is too big."))
    return faults


def _data_faults(data: Any) -> list[tuple[str, str]]:
    if not all(isinstance(value, str) for value in data.values()):
        return [("message.data", "Data is a map of strings.")]
    reserved = [key for key in data if key in {"from", "gcm", "message_type"} or key.startswith(("google", "gcm."))]
    return [(f"message.data.{key}", "Reserved key.") for key in reserved]


def _android_faults(android: Any) -> list[tuple[str, str]]:
    faults = []
    if android.get("priority", "normal") not in {"high", "normal", "HIGH", "NORMAL"}:
        faults.append(("message.android.priority", "Invalid value."))
    ttl = _DURATION.fullmatch(android.get("ttl", "0s"))
    if ttl is None or int(ttl[1]) > _LONGEST_TTL_S:
        faults.append(("message.android.ttl", "TTL must be between 0 and 2419200 seconds."))
    return faults


def _apns_faults(apns: Any) -> list[tuple[str, str]]:
    faults = []
    headers, payload = apns.get("headers", {}), apns.get("payload", {})
    if not all(isinstance(value, str) for value in headers.values()):
        faults.append(("message.apns.headers", "Headers are strings."))
    if headers.get("apns-priority", "10") not in {"10", "5", "1"}:
        faults.append(("message.apns.headers.apns-priority", "Invalid value."))
    if not str(headers.get("apns-expiration", "0")).isdigit():
        faults.append(("message.apns.headers.apns-expiration", "Invalid value."))
    if len(str(headers.get("apns-collapse-id", "")).encode()) > 64:
        faults.append(("message.apns.headers.apns-collapse-id", "At most 64 bytes."))
    if payload and not isinstance(payload.get("aps"), dict):
        faults.append(("message.apns.payload.aps", "Missing."))
    if len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()) > 4096:
        faults.append(("message.apns.payload", "Payload is too big."))
    return faults


def _text_bytes(part: Any) -> int:
    if not isinstance(part, dict):
        return 0
    return sum(len(key.encode()) + len(str(value).encode()) for key, value in part.items())


def _error(status: int, name: str, message: str, *details: dict[str, Any]) -> Reply:
    return json_reply({"error": {"code": status, "message": message, "status": name, "details": list(details)}}, status)


def _fcm(code: str) -> dict[str, str]:
    return {"@type": _FCM_ERROR, "errorCode": code}


def _bad_request(faults: list[tuple[str, str]]) -> Reply:
    violations = [{"field": field, "description": text} for field, text in faults]
    detail = {"@type": _BAD_REQUEST, "fieldViolations": violations}
    return _error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.", _fcm("INVALID_ARGUMENT"), detail)


_CONDUCT = {"ok", "cut", "hang", "slow"}
_ANSWERS: dict[str, Reply] = {
    "unregistered": _error(404, "NOT_FOUND", "Requested entity was not found.", _fcm("UNREGISTERED")),
    "not_found": _error(404, "NOT_FOUND", "Requested entity was not found."),
    "sender_id_mismatch": _error(403, "PERMISSION_DENIED", "SenderId mismatch", _fcm("SENDER_ID_MISMATCH")),
    "permission_denied": _error(403, "PERMISSION_DENIED", "Permission denied on resource project."),
    "invalid_token": _error(
        400,
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
        _fcm("INVALID_ARGUMENT"),
    ),
    "invalid_token_field": _bad_request([("message.token", "Invalid registration token")]),
    "invalid_payload": _bad_request([("message.data", "Invalid value")]),
    "invalid_argument_bare": _error(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "unauthenticated": _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "third_party_auth": _error(401, "UNAUTHENTICATED", "Auth error from APNS", _fcm("THIRD_PARTY_AUTH_ERROR")),
    "quota": _error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", _fcm("QUOTA_EXCEEDED")),
    "too_large": _error(413, "INVALID_ARGUMENT", "Request is too large."),
    "unavailable": _error(503, "UNAVAILABLE", "The service is currently unavailable.", _fcm("UNAVAILABLE")),
    "internal": _error(500, "INTERNAL", "Internal error encountered.", _fcm("INTERNAL")),
    "bad_gateway": Reply(502, _PAGE, "text/html"),
    "gateway_timeout": Reply(504, _PAGE, "text/html"),
    "html": Reply(200, _PAGE, "text/html"),
    "redirect": Reply(302, b"", "text/html", {"Location": "/sign-in"}),
}


def server_tls(file: Path) -> ssl.SSLContext:
    """TLS that offers HTTP/2 and HTTP/1.1, by the key and certificate in a PEM file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def _main(port: int, service_account: Path, project: str, tls_file: Path | None, keep: int | None) -> None:
    tls = None if tls_file is None else server_tls(tls_file)
    async with FcmDouble(port=port, project=project, tls=tls, keep=keep) as fcm:
        fcm.write_service_account(service_account)
        started = {
            "url": fcm.url,
            "plain_url": fcm.plain_url,
            "port": fcm.port,
            "project": project,
            "service_account": str(service_account),
        }
        print(json.dumps(started), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A local double of FCM HTTP v1.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--service-account", type=Path, required=True, help="where to write the account's key file")
    parser.add_argument("--project", default="hoatoc-demo")
    parser.add_argument("--tls", type=Path, help="a PEM file of key and certificate: messages then come over TLS")
    parser.add_argument("--keep", type=int, help="how many of the last requests are kept for the oracle")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(*(vars(arguments)[name] for name in ("port", "service_account", "project", "tls", "keep"))))
