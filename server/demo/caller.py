"""How a driver calls the public API: problem documents as exceptions, DPoP proofs (RFC 9449), token renewal.

It knows a base URL and what was handed to the driver, nothing of the server's code: a client in another language does the
same with its own HTTP library and an ECDSA key.
"""

import asyncio
import hashlib
import secrets
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from signing.device import b64u, new_key, public_jwk

__all__ = ["Caller", "DeviceCaller", "NotReached", "Problem", "ServiceCaller", "proof"]

_TIMEOUT_S = 120.0
_ES256 = ec.ECDSA(hashes.SHA256())


class Problem(Exception):  # noqa: N818 - an answer of the API
    """A problem document (RFC 9457): `code` is the last part of its type."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        self.code = str(body.get("code", "unlisted"))
        super().__init__(f"{status} {self.code}")


class NotReached(Exception):  # noqa: N818 - what became of a call
    """The server did not answer."""


def proof(key: ec.EllipticCurvePrivateKey, method: str, url: str, token: str | None = None) -> str:
    """A DPoP proof for one request; `url` without query. With a token, its hash goes in as `ath`."""
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": msgspec.to_builtins(public_jwk(key.public_key()))}
    claims: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(time.time())}
    if token is not None:
        claims["ath"] = b64u(hashlib.sha256(token.encode()).digest())
    text = f"{b64u(msgspec.json.encode(header))}.{b64u(msgspec.json.encode(claims))}"
    r, s = decode_dss_signature(key.sign(text.encode(), _ES256))
    return f"{text}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Caller:
    """Connections to one server, without identity. `ca_file`: PEM of the root that its HTTPS certificate ends at."""

    def __init__(self, base_url: str, ca_file: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        verify: ssl.SSLContext | bool = True
        if ca_file is not None:
            verify = ssl.create_default_context(cafile=str(Path(ca_file)))
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=verify)

    async def close(self) -> None:
        await self._http.aclose()

    async def _headers(self, _method: str, _path: str) -> dict[str, str]:
        return {}

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> httpx2.Response:
        """One request; `content` as httpx takes it (json, data, files, params). Raises `Problem`, `NotReached`."""
        while True:
            own = await self._headers(method, path)
            try:
                answer = await self._http.request(
                    method, self.base_url + path, headers={**own, **(headers or {})}, **content
                )
            except (httpx2.HTTPError, OSError) as error:
                raise NotReached(f"{method} {path}: {type(error).__name__}") from None
            if answer.status_code != 429:  # whoever is asked to wait, waits (nothing was done)
                break
            await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.status_code >= 400:
            raise Problem(answer.status_code, _body(answer))
        return answer

    async def get(self, path: str, **content: Any) -> Any:
        return (await self.call("GET", path, **content)).json()

    async def bytes(self, path: str, **content: Any) -> bytes:
        return bytes((await self.call("GET", path, **content)).content)

    async def post(self, path: str, json: Any = None, **content: Any) -> Any:
        answer = await self.call("POST", path, **({} if json is None else {"json": json}), **content)
        return answer.json() if answer.content else None

    async def put(self, path: str, json: Any) -> None:
        await self.call("PUT", path, json=json)


def _body(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"title": answer.text[:200], "status": answer.status_code}


class DeviceCaller(Caller):
    """A paired device: every call carries its token and a proof by its session key; tokens are renewed when they end."""

    def __init__(self, base_url: str, ca_file: str | None = None) -> None:
        super().__init__(base_url, ca_file)
        self.session_key = new_key()
        self._access = ""
        self._refresh = ""
        self._ends = 0.0
        self._renewing = asyncio.Lock()

    async def pair(self, code: str, approval_jwk: dict[str, str], *, label: str, platform: str) -> dict[str, Any]:
        """Redeem a one-time code; the device as the server knows it now."""
        path = "/api/v1/pairings/redeem"
        asked = {
            "code": code,
            "session_jwk": msgspec.to_builtins(public_jwk(self.session_key.public_key())),
            "approval_jwk": approval_jwk,
            "label": label,
            "platform": platform,
        }
        answer = await self.call("POST", path, headers=self._bare_proof(path), json=asked)
        made: dict[str, Any] = answer.json()
        self._keep(made["tokens"])
        device: dict[str, Any] = made["device"]
        return device

    def _bare_proof(self, path: str) -> dict[str, str]:
        return {"DPoP": proof(self.session_key, "POST", self.base_url + path)}

    def _keep(self, tokens: dict[str, Any]) -> None:
        self._access, self._refresh = tokens["access_token"], tokens["refresh_token"]
        self._ends = time.monotonic() + float(tokens["expires_in"])

    async def _headers(self, method: str, path: str) -> dict[str, str]:
        if not self._access:
            return {}
        if time.monotonic() > self._ends - 30:
            await self._renew()
        url = self.base_url + quote(urlsplit(path).path, safe="/:@!$&'()*+,;=-._~%")
        return {"Authorization": f"DPoP {self._access}", "DPoP": proof(self.session_key, method, url, self._access)}

    async def _renew(self) -> None:
        async with self._renewing:
            if time.monotonic() <= self._ends - 30:
                return
            path = "/api/v1/oauth/token"
            asked = {"grant_type": "refresh_token", "refresh_token": self._refresh}
            # Straight to the transport: a call through `call` would ask for headers, and so for a renewal, again.
            answer = await self._http.post(self.base_url + path, data=asked, headers=self._bare_proof(path))
            if answer.status_code >= 400:
                raise Problem(answer.status_code, _body(answer))
            self._keep(answer.json())


class ServiceCaller(Caller):
    """A system with a client id and secret; its bearer token is fetched and renewed here."""

    def __init__(self, base_url: str, client_id: str, client_secret: str, ca_file: str | None = None) -> None:
        super().__init__(base_url, ca_file)
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._token = ""
        self._ends = 0.0

    async def token(self) -> str:
        """A token with at least half a minute to live."""
        if time.monotonic() > self._ends - 30:
            asked = {"grant_type": "client_credentials", **self._client}
            answer = await self._http.post(f"{self.base_url}/api/v1/oauth/token", data=asked)
            if answer.status_code >= 400:
                raise Problem(answer.status_code, _body(answer))
            self._token = answer.json()["access_token"]
            self._ends = time.monotonic() + float(answer.json()["expires_in"])
        return self._token

    async def _headers(self, _method: str, _path: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token()}"}
