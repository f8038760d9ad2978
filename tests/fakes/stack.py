"""The whole product in one process, with real parts around it: signer process, demo PKI, FCM double, stand-in axis.

People are driven through the HTTP API by real keys; the application is called without a socket (ASGI). For tests of what crosses
processes there is the demo.

Longer than most: what a person's phone computes and what it is paired with are used together by every test.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from httpx2 import ASGITransport, AsyncClient
from joserfc import jws
from joserfc.jwk import ECKey

from server.app import create_app
from server.demo.fcm import FcmDouble
from server.demo.pki import DemoPki
from server.exchange.standin import serving
from server.identity.model import Role
from server.identity.service import operator
from server.settings import Settings, load
from server.wiring import Wiring
from signing import device, offline
from signing.client import Item, KeyType, Kind, VoucherKind
from signing.core import daemon
from signing.core.codec import PublicJwk, public_jwk

ORIGIN = "http://testserver.local"
ORGANISATION = "X01"
RECEIVERS = ("X02", "X03")
PIN = "70412986"
SCOPES = ("documents:write", "documents:read", "changes:read", "webhooks:manage", "directory:read")
# A test asks more in a minute than any person does; C7 has its own tests.
UNLIMITED = {
    f"HOATOC_LIMITS__{name.upper()}": "10000000"
    for name in (
        "sessions_per_address", "public_per_address", "signs_per_device", "signs_per_person", "intakes_per_client", "writes_per_caller", "reads_per_caller",
        "calls_per_organisation",
    )
}  # fmt: skip


def b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


_RENEW_S = 400  # an access token lives ten minutes, a suite's stack longer


class Caller:
    """Whoever calls the API: a person's phone with DPoP, or a service with its bearer token. Its token is renewed in time."""

    def __init__(self, http: AsyncClient, code: str = ORGANISATION) -> None:
        self.http = http
        self.code = code
        self._renewal: dict[str, str] = {}
        self._renewed = time.monotonic()
        self._renewing = asyncio.Lock()
        self.session = ECKey.generate_key("P-256")
        self.approval = device.new_key()
        self.access = ""
        self.person = ""
        self.device = ""
        self.service = False

    def proof(self, method: str, path: str, token: str | None = None) -> str:
        public = self.session.as_dict(private=False)
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": ORIGIN + path.partition("?")[0],
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = b64u(hashlib.sha256(token.encode()).digest())
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
        registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims).encode(), self.session, registry=registry)

    async def _in_time(self) -> None:
        async with self._renewing:
            if not self._renewal or time.monotonic() - self._renewed < _RENEW_S:
                return
            self._renewed = time.monotonic()
            path = "/api/v1/oauth/token"
            proof = {} if self.service else {"DPoP": self.proof("POST", path)}
            answer = await self.http.post(path, data=self._renewal, headers=proof)
            # Whoever was revoked keeps the old one, and is told so by the call itself.
            if answer.status_code == 200:
                self._take(answer.json(), self._renewal)

    def _take(self, tokens: dict[str, Any], renewal: dict[str, str]) -> None:
        self.access = tokens["access_token"]
        if "refresh_token" in tokens:
            renewal = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        self._renewal = renewal

    async def call(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> Any:
        await self._in_time()
        headers = dict(options.pop("headers", {}))
        if self.service:
            headers["Authorization"] = f"Bearer {self.access}"
        else:
            headers |= {"Authorization": f"DPoP {self.access}", "DPoP": self.proof(method, path, self.access)}
        if not options.pop("keyless", False) and method == "POST":
            headers.setdefault("Idempotency-Key", secrets.token_urlsafe(16))
        answer = await self.http.request(method, path, headers=headers, **options)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def json(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        return (await self.call(method, path, expect=expect, **options)).json()

    async def pair(self, code: str) -> None:
        public = self.session.as_dict(private=False)
        body = {
            "code": code, "session_jwk": {name: public[name] for name in ("kty", "crv", "x", "y")},
            "approval_jwk": msgspec.to_builtins(public_jwk(self.approval.public_key())), "label": "Điện thoại mẫu", "platform": "web",
        }  # fmt: skip
        path = "/api/v1/pairings/redeem"
        answer = await self.http.post(path, json=body, headers={"DPoP": self.proof("POST", path)})
        assert answer.status_code == 200, answer.text
        self.device = answer.json()["device"]["id"]
        self._take(answer.json()["tokens"], {})

    # What a phone computes.

    async def enrol(self, pin: str = PIN) -> str:
        """Redeem the waiting voucher; the credential's id."""
        waiting = (await self.json("GET", "/api/v1/me/enrolments"))[0]
        join, sealed = await self.join(waiting, pin)
        body = {"join": join, "sealed_pin": sealed}
        return str(
            (await self.json("POST", f"/api/v1/me/enrolments/{waiting['digest']}", expect=201, json=body))["credential"]
        )

    async def join(self, waiting: dict[str, Any], pin: str) -> tuple[str, str]:
        """The newcomer's signature under a voucher and the first PIN, sealed (base64url)."""
        shown = await self.json("GET", "/api/v1/signer/sealing-key")
        identity = msgspec.convert(shown["identity"], PublicJwk)
        sealing = device.verify_statement(
            shown["statement"], identity, device.thumbprint(identity), now_us=time.time_ns() // 1000
        )
        sealed = device.seal_pin(pin, sealing, waiting["credential"], voucher=waiting["voucher"])
        join = device.join_jws(
            self.approval,
            voucher=waiting["voucher"],
            organisation=self.code,
            credential=waiting["credential"],
            sealed_pin=sealed,
        )
        return join, b64u(sealed)

    async def approval_for(self, *sheets: dict[str, Any], pin: str = PIN, **change: Any) -> dict[str, str]:
        """The body of POST /approvals for open sheets."""
        items = [
            Item(tbs=b64u(bytes.fromhex(one["tbs"])), manifest=b64u(bytes.fromhex(one["manifest_digest"])))
            for one in sheets
        ]
        return await self.activation(sheets[0]["credential"], Kind.DOCUMENT, pin, **{"items": items, **change})

    async def activation(
        self, credential: str, kind: Kind, pin: str = PIN, /, *, new_pin: str = "", voucher: str = "", **change: Any
    ) -> dict[str, str]:
        """A fresh challenge, the PIN sealed to it, and this device's approval of the given kind."""
        grant = await self.json("POST", f"/api/v1/credentials/{credential}/challenge", expect=201)
        identity = msgspec.convert(grant["identity"], PublicJwk)
        sealing = device.verify_statement(
            grant["statement"], identity, device.thumbprint(identity), now_us=time.time_ns() // 1000
        )
        sealed = device.seal_pin(pin, sealing, credential, challenge=grant["challenge"], new_pin=new_pin)
        values: dict[str, Any] = {
            "kind": kind, "challenge": grant["challenge"], "organisation": self.code, "credential": credential, "sealed_pin": sealed, "voucher": voucher,
            **change,
        }  # fmt: skip
        return {"approval": device.approval_jws(self.approval, **values), "sealed_pin": b64u(sealed)}

    async def sheet(self, document: str) -> dict[str, Any]:
        return dict(await self.json("POST", f"/api/v1/documents/{document}/sheet", expect=201))

    async def approve(self, *sheets: dict[str, Any], pin: str = PIN, **change: Any) -> Any:
        return await self.call("POST", "/api/v1/approvals", json=await self.approval_for(*sheets, pin=pin, **change))

    async def sign(self, document: str, pin: str = PIN) -> Any:
        sheet = await self.sheet(document)
        manifest = await self.call("GET", f"/api/v1/prepared/{sheet['prepared']}/manifest", expect=200)
        assert hashlib.sha256(manifest.content).hexdigest() == sheet["manifest_digest"]
        return await self.approve(sheet, pin=pin)


class Stack:
    """A running product; see `running`."""

    def __init__(self, folder: Path, code: str = ORGANISATION) -> None:
        self.folder = folder
        self.code = code
        self.settings: Settings
        self.wiring: Wiring
        self.http: AsyncClient
        self.pki: DemoPki
        self.fcm: FcmDouble
        self.axis: Any
        self.axis_url = ""
        self.organisation = ""
        self.signer: subprocess.Popen[bytes] | None = None
        self.officer_key = device.new_key()
        self.officer: Caller
        self.qlvb: Caller

    @property
    def operator(self) -> Any:
        return operator(self.organisation)

    def start_signer(self, **environment: str) -> None:
        config = self.settings.state.signer / "signer.toml"
        self.signer = subprocess.Popen(
            [sys.executable, "-m", "signing.core", str(config)], env={**os.environ, **environment}
        )
        deadline = time.monotonic() + 20
        while not Path(self.settings.signer.socket).exists():
            assert self.signer.poll() is None, "the signer did not start"
            assert time.monotonic() < deadline, "the signer does not listen"
            time.sleep(0.02)

    def stop_signer(self, *, kill: bool = False) -> None:
        if self.signer is not None:
            self.signer.kill() if kill else self.signer.terminate()
            self.signer.wait(30)
            Path(self.settings.signer.socket).unlink(missing_ok=True)

    async def person(
        self, name: str, *roles: Role, office: bool = False, position: str = "CHỦ TỊCH", organisation: str | None = None
    ) -> Caller:
        actor = operator(organisation or self.organisation)
        made = await self.wiring.identity.create_person(actor, name=name, position=position, roles=list(roles))
        return await self.phone(made.id, office=office, organisation=organisation)

    async def phone(self, person: str, *, office: bool = False, organisation: str | None = None) -> Caller:
        """A (further) paired device of a person."""
        code = await self.wiring.identity.pairing_code(
            operator(organisation or self.organisation), person, office=office
        )
        caller = Caller(self.http, self.code)
        caller.person = person
        await caller.pair(code.code.reveal())
        return caller

    async def service(self, name: str, *scopes: str, organisation: str | None = None) -> Caller:
        """A service client with its token; all scopes if none is named."""
        actor = operator(organisation or self.organisation)
        client = await self.wiring.identity.create_client(actor, name=name, scopes=list(scopes or SCOPES))
        form = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret.reveal()}
        caller = Caller(self.http)
        caller.service = True
        caller._take((await self.http.post("/api/v1/oauth/token", data=form)).json(), form)
        return caller

    async def credential(self, caller: Caller, name: str, purpose: str = "person", pin: str = PIN) -> str:
        """Officer's voucher, enrolment on the phone, certificate from the demo CA."""
        await self.vouch(caller, VoucherKind.ENROL, device.new_credential_id(), name, purpose)
        credential = await caller.enrol(pin)
        await self.certify(credential, purpose)
        return credential

    async def vouch(
        self, caller: Caller, kind: VoucherKind, credential: str, name: str, purpose: str = "person"
    ) -> str:
        """The officer leaves a voucher for this phone; its digest."""
        voucher = device.voucher_jws(
            self.officer_key, kind=kind, organisation=self.code, person=caller.person, credential=credential, key_type=KeyType.P256,
            subject=f"CN={name},O=Cơ quan mẫu,C=VN", approval_key=public_jwk(caller.approval.public_key()), now_us=time.time_ns() // 1000,
        )  # fmt: skip
        body = {"voucher": voucher, "purpose": purpose}
        return str((await self.officer.json("POST", "/api/v1/vouchers", expect=201, json=body))["digest"])

    async def certify(self, credential: str, purpose: str) -> None:
        pending = await self.officer.json("GET", "/api/v1/credentials/pending")
        csr = next(one["csr"] for one in pending if one["id"] == credential)
        raw = base64.urlsafe_b64decode(csr + "=" * (-len(csr) % 4))
        async with AsyncClient() as http:
            made = (await http.post(f"{self.pki.url}/issue?kind={purpose}", content=raw)).json()
        der = [
            x509.load_pem_x509_certificate(one.encode()).public_bytes(serialization.Encoding.DER)
            for one in (made["certificate"], made["chain"][0])
        ]
        body = {"certificate": b64u(der[0]), "chain": [b64u(der[1])]}
        await self.officer.call("POST", f"/api/v1/credentials/{credential}/certificate", expect=204, json=body)

    async def take_in(
        self,
        pdf: bytes,
        signers: list[Caller],
        /,
        *,
        key: str | None = None,
        path: str = "/api/v1/documents",
        by: Caller | None = None,
        **metadata: Any,
    ) -> Any:
        body = {
            "number": str(secrets.randbelow(10**6)), "notation": "QĐ-UBND", "subject": "Về việc phân công nhiệm vụ mẫu", "type_name": "Quyết định", "urgency": 1,
            "promulgation_place": "Xã Mẫu", "promulgation_date": "2026-11-22", "receivers": [{"organ_id": code, "name": f"Cơ quan {code}"} for code in RECEIVERS],
            "signers": [{"person": one.person} for one in signers], **metadata,
        }  # fmt: skip
        files = {"metadata": (None, json.dumps(body)), "file": ("van-ban.pdf", pdf, "application/pdf")}
        headers = {"Idempotency-Key": key} if key else {}
        return await (by or self.qlvb).call("POST", path, files=files, headers=headers)

    async def state(self, document: str) -> str:
        return str((await self.qlvb.json("GET", f"/api/v1/documents/{document}"))["state"])

    async def until(self, document: str, *states: str, within_s: float = 90.0) -> str:
        deadline = time.monotonic() + within_s
        while (state := await self.state(document)) not in states:
            assert time.monotonic() < deadline, f"still {state}, not {states}"
            await asyncio.sleep(0.02)
        return state


SIGNER_TOML = """profile = "test"
state_dir = "{state}"
head_dir = "{head}"
socket = "{socket}"
organisations = ["{organisation}"]

[argon]
memory_kib = 256
iterations = 1
"""


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    database: str = "",
    worker: bool = True,
    pki: DemoPki | None = None,
    code: str = ORGANISATION,
    name: str = "Ủy ban nhân dân xã Mẫu",
    among: "Stack | None" = None,
    config: Path | None = None,
    **environment: str,
) -> AsyncIterator[Stack]:
    """A stack with one organisation, its officer and its document management system; people are added by the test.

    `among`: another stack whose exchange, certificate authority and push double this one shares, under an agency `code` of its own. `config`: a file of further settings.
    """
    stack = Stack(folder, code)
    folder.mkdir(exist_ok=True)
    shared: Any = contextlib.nullcontext
    async with (
        shared(among.pki) if among else pki or DemoPki() as stack.pki,
        shared(among.fcm) if among else FcmDouble() as stack.fcm,
        shared((among.axis, among.axis_url)) if among else serving(folder / "axis") as (stack.axis, stack.axis_url),
    ):
        stack.fcm.write_service_account(folder / "fcm.json")
        (folder / "roots.pem").write_text(stack.pki.authority.trust_pem)
        stack.settings = load(
            config,
            {
                "HOATOC_STATE_DIR": str(folder / "state"), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_PUSH__FCM_CREDENTIALS": str(folder / "fcm.json"),
                "HOATOC_TRUST__STATUS_HOSTS": stack.pki.url.removeprefix("http://"),
                "HOATOC_PUSH__FCM_URL": stack.fcm.url, "HOATOC_TSA__URLS": stack.pki.tsa_url, "HOATOC_TSA__ROOTS": str(folder / "roots.pem"),
                "HOATOC_TRUST__ROOTS": str(folder / "roots.pem"), "HOATOC_EXCHANGE__URL": stack.axis_url, "HOATOC_EXCHANGE__SYSTEM_ID": code,
                "HOATOC_EXCHANGE__SECRET_FILE": str(stack.axis.secrets[code]), "HOATOC_EXCHANGE__POLL_S": "1", "HOATOC_EXCHANGE__SETTLE_S": "1",
                "HOATOC_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true", "HOATOC_WORKER__POLL_S": "0.2", "HOATOC_BLOBS__RESERVE_BYTES": "0",
                **UNLIMITED, **({"HOATOC_DATABASE__URL": database} if database else {}), **environment,
            },
        )  # fmt: skip
        state = stack.settings.state
        state.create()
        config = state.signer / "signer.toml"
        config.write_text(
            SIGNER_TOML.format(
                state=state.signer, head=state.head, socket=stack.settings.signer.socket, organisation=code
            )
        )
        daemon.init(daemon.load_config(config))
        offline.trust_officer(daemon.load_config(config), public_jwk(stack.officer_key.public_key()), [code])
        offline.trust_root(daemon.load_config(config), stack.pki.authority.trust_pem.encode(), "demo")
        stack.start_signer()
        try:
            stack.wiring = await Wiring.open(stack.settings)
            try:
                if worker:
                    await stack.wiring.start_worker()
                stack.http = AsyncClient(
                    transport=ASGITransport(app=create_app(stack.wiring)), base_url=ORIGIN, timeout=60
                )
                stack.organisation = (await stack.wiring.identity.create_organisation(code, name)).id
                stack.officer = await stack.person("Cán bộ đăng ký mẫu", Role.REGISTRATION_OFFICER)
                stack.qlvb = await stack.service("QLVB mẫu")
                yield stack
                await stack.http.aclose()
            finally:
                await stack.wiring.close()
        finally:
            stack.stop_signer()
