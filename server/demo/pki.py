"""The demonstration's PKI over HTTP on loopback: certificate authority, OCSP, CRLs and RFC 3161 time stamps.

    python -m server.demo.pki --state DIR --port 0

prints one JSON line {"url", "port", "trust", "chain", "tsa", "ocsp"} and serves until it is ended. The root is written
to DIR/trust.pem; private keys are made for the run and never leave its memory.

OCSP answers and time stamps are made by certomancer's protocol classes. Its own registry knows only certificates of its
configuration file, so the registry behind them is `Authority`, which also issues.

* `POST /issue?kind=person|seal|server`, a PKCS#10 request (PEM or DER) → {"certificate", "chain", "serial"}
* `POST /revoke` {"serial": hex, "reason": "keyCompromise"}
* `POST /ocsp`, `GET /ocsp/{base64}` (RFC 6960) · `POST /tsa` (RFC 3161) · `GET /root.crl`, `/issuing.crl`, `/root.crt`,
  `/issuing.crt`, `/trust.pem`, `/chain.pem`
* the oracle: `GET /_recorded`, `PUT /_switch` {"tsa" | "ocsp" | "crl": "on" | "off", "delay_s": seconds}
"""

import argparse
import asyncio
import base64
import binascii
import contextlib
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import uvloop
from asn1crypto import core, ocsp, tsp
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from certomancer.services import RevocationInfoInterface, SimpleOCSPResponder, TimeStamper, choose_signed_digest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from server.demo.authority import REVOCATION_REASONS, Authority, Identity, IssueError, Kind, pem
from server.demo.loopback import LoopbackServer, Reply, Request, json_reply

__all__ = ["DemoPki", "Switches"]

_DIGEST_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}
_OCSP_TYPE = "application/ocsp-response"
_TSA_TYPE = "application/timestamp-reply"
# A policy of this demonstration alone, under the arc for which anyone may make identifiers (ITU-T X.667).
_POLICY = "2.25.326975549108061956060075435598634752100"
# RFC 6960, 4.4: how long an answer of the demonstration may be reused.
_OCSP_LIFE = dt.timedelta(minutes=10)


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    """Which services answer (off = 503), and how long each answer of them waits, in seconds."""

    tsa: bool = True
    ocsp: bool = True
    crl: bool = True
    delay_s: float = 0.0


class _SwitchOrder(msgspec.Struct, forbid_unknown_fields=True):
    tsa: str | None = None
    ocsp: str | None = None
    crl: str | None = None
    delay_s: float | None = None


class _RevokeOrder(msgspec.Struct, forbid_unknown_fields=True):
    serial: str
    reason: str = "unspecified"


class DemoPki:
    """The PKI in process: `async with DemoPki() as pki`, then `pki.url`, `pki.authority`, `pki.switches`.

    `stamps` holds (hex of the imprint, genTime) of every token given out, in order.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        now: Callable[[], dt.datetime] | None = None,
        tsa_life: dt.timedelta = dt.timedelta(days=730),
    ) -> None:
        self._now = now or (lambda: dt.datetime.now(dt.UTC))
        self._tsa_life = tsa_life
        self._server = LoopbackServer(self._handle, port=port)
        self.switches = Switches()
        self.stamps: list[tuple[str, dt.datetime]] = []
        self.ocsp_answers = 0

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        # The port is known only now, and it stands in every certificate.
        self.authority = Authority(self.url, now=self._now, tsa_life=self._tsa_life)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def tsa_url(self) -> str:
        return f"{self.url}/tsa"

    @property
    def chain_pem(self) -> str:
        """Issuing authority, then root."""
        return pem(self.authority.issuing.certificate) + self.authority.trust_pem

    async def _handle(self, request: Request) -> Reply:
        try:
            match request.method, request.path:
                case "POST", "/tsa":
                    return self._switched(self.switches.tsa, self._stamp(request.body))
                case "POST", "/ocsp":
                    return self._switched(self.switches.ocsp, self._answer_ocsp(request.body))
                case "GET", path if path.startswith("/ocsp/"):
                    body = base64.b64decode(path[len("/ocsp/") :], validate=True)
                    return self._switched(self.switches.ocsp, self._answer_ocsp(body))
                case "GET", "/root.crl" | "/issuing.crl":
                    return self._switched(self.switches.crl, self._list(request.path))
                case _:
                    return self._authority_routes(request)
        except (IssueError, binascii.Error, ValueError, KeyError) as error:
            return json_reply({"error": str(error)}, 400)

    def _switched(self, on: bool, make: Callable[[], Reply]) -> Reply:  # noqa: FBT001  # a state, read at the call
        reply = make() if on else json_reply({"error": "switched off"}, 503)
        return msgspec.structs.replace(reply, delay_s=self.switches.delay_s)

    def _authority_routes(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/issue":
                return self._issue(request)
            case "POST", "/revoke":
                order = msgspec.json.decode(request.body, type=_RevokeOrder)
                self.authority.revoke(int(order.serial, 16), x509.ReasonFlags(order.reason))
                return Reply(204)
            case "PUT", "/_switch":
                self._switch(msgspec.json.decode(request.body, type=_SwitchOrder))
                return Reply(204)
            case "GET", "/_recorded":
                return self._recorded()
            case "GET", "/trust.pem":
                return Reply(200, self.authority.trust_pem.encode(), "application/x-pem-file")
            case "GET", "/chain.pem":
                return Reply(200, self.chain_pem.encode(), "application/x-pem-file")
            case "GET", "/root.crt" | "/issuing.crt":
                der = self._authority_of(request.path).certificate.public_bytes(serialization.Encoding.DER)
                return Reply(200, der, "application/pkix-cert")
            case _:
                return json_reply({"error": "not found"}, 404)

    def _authority_of(self, path: str) -> Identity:
        return self.authority.root if path.startswith("/root.") else self.authority.issuing

    def _issue(self, request: Request) -> Reply:
        certificate = self.authority.issue(request.body, Kind(request.query.get("kind", "person")))
        chain = [pem(self.authority.issuing.certificate), self.authority.trust_pem]
        return json_reply(
            {"certificate": pem(certificate), "chain": chain, "serial": f"{certificate.serial_number:x}"}, 201
        )

    def _switch(self, order: _SwitchOrder) -> None:
        for name in ("tsa", "ocsp", "crl"):
            if (value := getattr(order, name)) is not None:
                setattr(self.switches, name, {"on": True, "off": False}[value])
        if order.delay_s is not None:
            self.switches.delay_s = order.delay_s

    def _recorded(self) -> Reply:
        stamps = [{"imprint": imprint, "gen_time": time.isoformat()} for imprint, time in self.stamps]
        issued = [
            {"serial": f"{serial:x}", "kind": entry.kind, "revoked": entry.revoked_at is not None}
            for serial, entry in self.authority.issued.items()
        ]
        switches = {name: "on" if getattr(self.switches, name) else "off" for name in ("tsa", "ocsp", "crl")}
        return json_reply({"stamps": stamps, "ocsp_answers": self.ocsp_answers, "issued": issued, "switches": switches})

    def _list(self, path: str) -> Callable[[], Reply]:
        def make() -> Reply:
            der = self.authority.crl(self._authority_of(path)).public_bytes(serialization.Encoding.DER)
            return Reply(200, der, "application/pkix-crl")

        return make

    def _answer_ocsp(self, body: bytes) -> Callable[[], Reply]:
        def make() -> Reply:
            signer, now = self.authority.ocsp, self._now().replace(microsecond=0)
            certificate = _asn1(signer.certificate)
            responder = SimpleOCSPResponder(
                responder_cert=certificate,
                responder_key=_asn1_key(signer),
                signature_algo=choose_signed_digest("sha256", certificate.public_key),
                at_time=now,
                revinfo_interface=_Register(self.authority),
                validity=_OCSP_LIFE,
            )
            self.ocsp_answers += 1
            request = ocsp.OCSPRequest.load(body, strict=True)
            return Reply(200, responder.build_ocsp_response(request).dump(), _OCSP_TYPE)

        return make

    def _stamp(self, body: bytes) -> Callable[[], Reply]:
        def make() -> Reply:
            request = tsp.TimeStampReq.load(body, strict=True)
            imprint = request["message_imprint"]
            algorithm, digest = imprint["hash_algorithm"]["algorithm"].native, imprint["hashed_message"].native
            if _DIGEST_BYTES.get(algorithm) != len(digest):
                return _refuse("bad_alg")
            if request["req_policy"].native not in {None, _POLICY}:
                return _refuse("unaccepted_policy")
            unit, now = self.authority.tsa, self._now().replace(microsecond=0)
            stamper = TimeStamper(
                tsa_cert=_asn1(unit.certificate),
                tsa_key=_asn1_key(unit),
                certs_to_embed=[_asn1(self.authority.issuing.certificate)],
                fixed_dt=now,
                policy=core.ObjectIdentifier(_POLICY),
            )
            answer = stamper.request_tsa_response(request).dump()
            self.stamps.append((digest.hex(), now))
            return Reply(200, answer, _TSA_TYPE)

        return make


class _Refusal(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    """A TimeStampResp without a token (RFC 3161, 2.4.2); asn1crypto's own class takes the token for mandatory."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo)]


def _refuse(reason: str) -> Reply:
    status = tsp.PKIStatusInfo({"status": "rejection", "fail_info": {reason}})
    return Reply(200, _Refusal({"status": status}).dump(), _TSA_TYPE)


class _Register(RevocationInfoInterface):
    """What certomancer's responder asks about a certificate, answered from the authority's own register."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def get_issuer_cert(self) -> Any:
        return _asn1(self._authority.issuing.certificate)

    def check_revocation_status(self, cid: Any, _at_time: dt.datetime) -> tuple[Any, list[Any]]:
        entry = self._authority.issued.get(cid["serial_number"].native)
        if entry is None:
            return ocsp.CertStatus("unknown"), []
        if entry.revoked_at is None:
            return ocsp.CertStatus("good"), []
        revoked = {"revocation_time": entry.revoked_at, "revocation_reason": REVOCATION_REASONS[entry.reason]}
        return ocsp.CertStatus(name="revoked", value=ocsp.RevokedInfo(revoked)), []


def _asn1(certificate: x509.Certificate) -> Any:
    return asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))


def _asn1_key(identity: Identity) -> Any:
    der = identity.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return asn1_keys.PrivateKeyInfo.load(der)


async def _main(port: int, state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True)
    async with DemoPki(port=port) as pki:
        trust, chain = state / "trust.pem", state / "chain.pem"
        trust.write_text(pki.authority.trust_pem)
        chain.write_text(pki.chain_pem)
        started = {"url": pki.url, "port": pki.port, "trust": str(trust), "chain": str(chain)}
        print(json.dumps(started | {"tsa": pki.tsa_url, "ocsp": f"{pki.url}/ocsp"}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A demonstration PKI on loopback.")
    parser.add_argument("--state", type=Path, required=True, help="folder for trust.pem and chain.pem")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_main(arguments.port, arguments.state))
