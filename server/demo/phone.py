"""What a person's device does: pair, enrol with a PIN, take notice, read, approve. The same for the leader and the clerk.

It believes the server in nothing that it can check: the sealing key's statement is verified with the identity key whose
thumbprint stood in the pairing link, the manifest's digest and every image's digest are computed again, and the PIN leaves
this process only sealed.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from server.demo.caller import DeviceCaller, Problem
from signing.device import (
    Item,
    Kind,
    PublicJwk,
    SealingKey,
    approval_jws,
    b64u,
    join_jws,
    new_key,
    public_jwk,
    seal_pin,
    short_code,
    verify_statement,
)

__all__ = ["Phone", "Sheet", "Unsafe", "pairing_parts"]

_WIDTH = 720
_AT_ONCE = 4
_WAIT_S = 60.0


class Unsafe(Exception):  # noqa: N818 - the phone's refusal
    """What the server showed does not fit itself: the phone does not ask for the PIN."""


class Sheet(msgspec.Struct, frozen=True):
    """An approval sheet that the phone has checked."""

    view: dict[str, Any]
    manifest: bytes

    def item(self) -> Item:
        return Item(
            tbs=b64u(bytes.fromhex(self.view["tbs"])), manifest=b64u(bytes.fromhex(self.view["manifest_digest"]))
        )


class Approved(msgspec.Struct, frozen=True):
    """An approval as it was sent: what somebody who copied it could send again."""

    approval: str
    sealed_pin: str


def pairing_parts(link: str) -> tuple[str, str]:
    """The one-time code and the signer's identity thumbprint of a pairing link; both stand behind the `#`."""
    parts = parse_qs(urlsplit(link).fragment)
    return parts["code"][0], parts.get("signer", [""])[0]


class Phone:
    """`fcm_token` is the device's registration token at the push service; empty for a device without push."""

    def __init__(self, base_url: str, link: str, pin: str, *, ca_file: str | None = None) -> None:
        self._code, self._identity = pairing_parts(link)
        self._pin = pin
        self.api = DeviceCaller(base_url, ca_file)
        self.approval_key = new_key()
        self.person = ""
        self.device = ""

    @property
    def short_code(self) -> str:
        """What the screen shows, for the registration officer to compare."""
        return short_code(public_jwk(self.approval_key.public_key()))

    async def pair(self, *, label: str, platform: str) -> None:
        jwk = msgspec.to_builtins(public_jwk(self.approval_key.public_key()))
        device = await self.api.pair(self._code, jwk, label=label, platform=platform)
        self.device, self.person = device["id"], device["person"]

    async def register(self, fcm_token: str) -> None:
        await self.api.put("/api/v1/me/push-addresses/fcm", {"registration_token": fcm_token})

    # Enrolment.

    async def enrol(self) -> str:
        """Wait for the officer's voucher, join with the PIN; the credential, which then waits for its certificate."""
        found = await _until(partial(self._waiting, "enrol"), "the officer's voucher")
        key = await self._sealing_key(await self.api.get("/api/v1/signer/sealing-key"))
        voucher, credential = found["voucher"], found["credential"]
        organisation = _claim(voucher, "organisation")
        if _claim(voucher, "credential") != credential:
            raise Unsafe("the voucher is about another credential")
        sealed = seal_pin(self._pin, key, credential, voucher=voucher)
        join = join_jws(
            self.approval_key, voucher=voucher, organisation=organisation, credential=credential, sealed_pin=sealed
        )
        asked = {"join": join, "sealed_pin": b64u(sealed)}
        await self.api.post(f"/api/v1/me/enrolments/{found['digest']}", asked)
        return str(credential)

    async def add(self) -> str:
        """A further device of a person who has a credential already: the officer's voucher and the person's own PIN admit it."""
        found = await _until(partial(self._waiting, "add_device"), "the officer's voucher")
        voucher, credential = found["voucher"], found["credential"]
        grant = await self.api.post(f"/api/v1/credentials/{credential}/challenge")
        key = await self._sealing_key(grant)
        sealed = seal_pin(self._pin, key, credential, challenge=grant["challenge"])
        approval = approval_jws(
            self.approval_key,
            kind=Kind.ADD_DEVICE,
            challenge=grant["challenge"],
            organisation=_claim(voucher, "organisation"),
            credential=credential,
            sealed_pin=sealed,
            voucher=voucher,
        )
        asked = {"approval": approval, "sealed_pin": b64u(sealed)}
        await self.api.post(f"/api/v1/me/enrolments/{found['digest']}/device", asked)
        return str(credential)

    async def _waiting(self, kind: str) -> Any:
        vouchers = await self.api.get("/api/v1/me/enrolments")
        return next((one for one in vouchers if one["kind"] == kind), None)

    async def certified(self, credential: str) -> None:
        """Wait until the officer has brought the certificate."""

        async def there() -> Any:
            mine = await self.api.get("/api/v1/me/credentials")
            return any(one["id"] == credential and one["certificate"] for one in mine)

        await _until(there, "the certificate")

    async def _sealing_key(self, grant: dict[str, Any]) -> SealingKey:
        identity = msgspec.convert(grant["identity"], PublicJwk)
        return verify_statement(grant["statement"], identity, self._identity, now_us=time.time_ns() // 1000)

    # Notices.

    async def notice(self, id_: str) -> dict[str, Any]:
        """Fetch what a push announced, and report that this device received and showed it."""
        notice: dict[str, Any] = await self.api.get(f"/api/v1/notices/{id_}")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        reports = [{"notice": id_, "event": event, "at": at} for event in ("received", "shown")]
        await self.api.post("/api/v1/receipts", {"reports": reports})
        return notice

    async def inbox(self, document: str) -> dict[str, Any]:
        """The line of a document in the inbox. Raises `Unsafe` when it is not there."""
        page = await self.api.get("/api/v1/inbox")
        found: dict[str, Any] | None = next((one for one in page["items"] if one["id"] == document), None)
        if found is None:
            raise Unsafe("the document is not in the inbox")
        return found

    # Reading.

    async def pages(self, document: str, revision: str, folder: Path | None = None) -> tuple[int, int]:
        """Fetch every page's image and compare each with the manifest; (pages, bytes). The first one goes to `folder`."""
        manifest = await self.api.get(f"/api/v1/documents/{document}/revisions/{revision}/manifest")
        images = [one for one in manifest["images"] if one["width"] == _WIDTH]
        if manifest["revision"] != revision or {one["page"] for one in images} != set(
            range(1, manifest["page_count"] + 1)
        ):
            raise Unsafe("the manifest is not about this revision")
        gate = asyncio.Semaphore(_AT_ONCE)

        async def fetch(image: dict[str, Any]) -> int:
            async with gate:
                path = f"/api/v1/documents/{document}/revisions/{revision}/pages/{image['page']}"
                body = await self.api.bytes(path, params={"width": _WIDTH})
            _same(body, image["digest"])
            if folder is not None and image["page"] == 1:
                (folder / f"page-1.{_suffix(body)}").write_bytes(body)
            return len(body)

        sizes = await asyncio.gather(*(fetch(image) for image in images))
        return len(sizes), sum(sizes)

    async def sheet(self, document: str, parent: str) -> Sheet:
        """Open the approval sheet: the manifest's digest is computed here, and so is that of the stamped page's image."""
        view = await self.api.post(f"/api/v1/documents/{document}/sheet")
        manifest = await self.api.bytes(f"/api/v1/prepared/{view['prepared']}/manifest")
        _same(manifest, view["manifest_digest"])
        said = msgspec.json.decode(manifest)
        if said["tbs"] != view["tbs"] or said["parent"] != view["parent"] or view["parent"] != parent:
            raise Unsafe("the sheet is about other bytes than those that were read")
        for image in said["images"]:
            if image["width"] == _WIDTH and image["page"] == view["page"]:
                body = await self.api.bytes(f"/api/v1/prepared/{view['prepared']}/images/{image['digest']}")
                _same(body, image["digest"])
        return Sheet(view=view, manifest=manifest)

    # Approving.

    async def approval(self, sheet: Sheet, pin: str | None = None) -> Approved:
        """Ask for a challenge, seal the PIN, sign. Nothing is sent yet."""
        credential = sheet.view["credential"]
        grant = await self.api.post(f"/api/v1/credentials/{credential}/challenge")
        key = await self._sealing_key(grant)
        sealed = seal_pin(pin or self._pin, key, credential, challenge=grant["challenge"])
        text = approval_jws(
            self.approval_key,
            kind=Kind.DOCUMENT,
            challenge=grant["challenge"],
            organisation=sheet.view["organisation"],
            credential=credential,
            sealed_pin=sealed,
            items=[sheet.item()],
        )
        return Approved(approval=text, sealed_pin=b64u(sealed))

    async def send(self, approved: Approved) -> list[str]:
        """Raises `Problem`: pin-wrong, approval-used, approval-invalid, …"""
        answer = await self.api.post("/api/v1/approvals", msgspec.to_builtins(approved))
        documents: list[str] = answer["documents"]
        return documents


async def _until(found: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + _WAIT_S
    pause = 0.05
    while time.monotonic() < end:
        if value := await found():
            return value
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, 0.5)
    raise Problem(504, {"code": "waited-too-long", "title": f"{what} did not come within {_WAIT_S:.0f} s"})


def _claim(jws: str, name: str) -> str:
    """A member of a JWS' payload. The signer checks its signature; the phone only reads what it joins."""
    import base64

    payload = jws.split(".")[1]
    said = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(said[name])


def _same(body: bytes, digest: str) -> None:
    if hashlib.sha256(body).hexdigest() != digest:
        raise Unsafe("the bytes are not those that their digest names")


def _suffix(image: bytes) -> str:
    return "jpg" if image.startswith(b"\xff\xd8") else "webp" if image[8:12] == b"WEBP" else "png"
