"""The registration officer's driver: it holds the officer key, vouches for phones whose short code was read out, brings certificates."""

import asyncio
import base64
from typing import Any

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server.demo.caller import Problem
from server.demo.lines import Say
from server.demo.phone import Phone
from signing.device import (
    KeyType,
    PublicJwk,
    VoucherKind,
    b64u,
    new_credential_id,
    new_key,
    public_jwk,
    short_code,
    thumbprint,
    voucher_jws,
)

__all__ = ["Officer"]

_WAIT_S = 60.0
_WELCOME_S = 2.0


class Officer:
    """Given: base_url, pairing_link, organisation (exchange code), pki_url of the certificate authority, ca_file.

    Orders: `vouch` {person, short_code, purpose, subject}: after the comparison by eye, sign the voucher, then fetch the CSR, have it
    certified and bring the certificate. `welcome` {credentials: person -> credential}: from now on vouch for every further device
    of these people without comparing, which only a demonstration does.
    """

    def __init__(self, given: dict[str, Any], say: Say) -> None:
        self._given = given
        self._say = say
        self._key = new_key()
        self._phone = Phone(given["base_url"], given["pairing_link"], "", ca_file=given.get("ca_file"))
        self._paired = asyncio.Event()

    async def start(self) -> None:
        jwk = public_jwk(self._key.public_key())
        self._say("key", thumbprint=thumbprint(jwk), jwk=msgspec.to_builtins(jwk))
        await self._phone.pair(label="Máy của cán bộ đăng ký", platform="other")
        self._paired.set()
        self._say("paired", person=self._phone.person, device=self._phone.device, short_code=self._phone.short_code)

    async def told(self, order: dict[str, Any]) -> None:
        await self._paired.wait()
        if order["do"] == "vouch":
            await self._vouch(order)
        elif order["do"] == "welcome":
            await self._welcome(order["credentials"])

    async def _vouch(self, order: dict[str, Any]) -> None:
        device = await self._find(order["person"], order["short_code"])
        credential = new_credential_id()
        voucher = self._voucher(VoucherKind.ENROL, device, credential, order["subject"])
        await self._phone.api.post("/api/v1/vouchers", {"voucher": voucher, "purpose": order["purpose"]})
        self._say("vouched", person=order["person"], credential=credential)
        csr = await self._csr(credential)
        certificate, chain = await self._certify(csr, "person" if order["purpose"] == "person" else "seal")
        await self._phone.api.post(
            f"/api/v1/credentials/{credential}/certificate", {"certificate": certificate, "chain": chain}
        )
        self._say("certified", person=order["person"], credential=credential)

    def _voucher(self, kind: VoucherKind, device: dict[str, Any], credential: str, subject: str) -> str:
        return voucher_jws(
            self._key,
            kind=kind,
            organisation=self._given["organisation"],
            person=device["person"],
            credential=credential,
            key_type=KeyType.P256,
            subject=subject,
            approval_key=_jwk(device),
            now_us=self._now_us(),
        )

    @staticmethod
    def _now_us() -> int:
        import time

        return time.time_ns() // 1000

    async def _find(self, person: str, code: str) -> dict[str, Any]:
        """The device whose key has the code that the person read out; the code is computed here, not believed."""
        for entry in await self._phone.api.get("/api/v1/devices/awaiting-voucher"):
            device: dict[str, Any] = entry["device"]
            if device["person"] == person and short_code(_jwk(device)) == code:
                return device
        raise Problem(404, {"code": "short-code-differs", "title": "No device of this person shows that code"})

    async def _csr(self, credential: str) -> bytes:
        end = asyncio.get_running_loop().time() + _WAIT_S
        while asyncio.get_running_loop().time() < end:
            for one in await self._phone.api.get("/api/v1/credentials/pending"):
                if one["id"] == credential:
                    text = one["csr"]
                    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            await asyncio.sleep(0.1)
        raise Problem(504, {"code": "waited-too-long", "title": "The phone did not enrol"})

    async def _certify(self, csr: bytes, kind: str) -> tuple[str, list[str]]:
        """The certificate (base64url DER) and the issuing authority's, from the authority in its own way."""
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
            answer = await http.post(f"{self._given['pki_url']}/issue", params={"kind": kind}, content=csr)
            made = answer.raise_for_status().json()
        return _der(made["certificate"]), [_der(made["chain"][0])]

    async def _welcome(self, credentials: dict[str, str]) -> None:
        done: set[str] = set()
        while True:
            for entry in await self._phone.api.get("/api/v1/devices/awaiting-voucher"):
                device = entry["device"]
                if device["id"] not in done and device["person"] in credentials:
                    done.add(device["id"])
                    credential = credentials[device["person"]]
                    voucher = self._voucher(VoucherKind.ADD_DEVICE, device, credential, "")
                    await self._phone.api.post("/api/v1/vouchers", {"voucher": voucher})
                    self._say("welcomed", person=device["person"], short_code=short_code(_jwk(device)))
            await asyncio.sleep(_WELCOME_S)


def _jwk(device: dict[str, Any]) -> PublicJwk:
    return msgspec.convert(device["approval_jwk"], PublicJwk)


def _der(pem: str) -> str:
    return b64u(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))
