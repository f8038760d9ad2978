"""Sign (or, as the clerk, seal) what waits in the inbox, as a person's phone does it, with nothing but the public API.

    python openapi/examples/sign_first_document.py out/demo.json leader
    python openapi/examples/sign_first_document.py out/demo.json clerk

The first run pairs a new device by the one-time code in demo.json and has it admitted; its keys stay beside demo.json for the next
run. A real phone keeps both keys in hardware and asks its owner for the PIN; here it stands in demo.json.
"""

import argparse
import hashlib
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives import serialization
from joserfc import jws
from joserfc.jwk import ECKey

from signing import device

WAIT_S = 60
JWS = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)


class Phone:
    """Two P-256 keys and what pairing gave: the session key proves who calls (DPoP, RFC 9449), the approval key signs decisions."""

    def __init__(self, base_url: str, place: Path, http: httpx2.Client) -> None:
        kept = json.loads(place.read_text("utf-8")) if place.exists() else {}
        self.is_new = kept.get("base_url") != base_url
        if self.is_new:
            keys = {name: ECKey.generate_key("P-256").as_dict(private=True) for name in ("session", "approval")}
            kept = {"base_url": base_url, **keys, "tokens": None, "admitted": False}
        self.kept, self._place, self._http = kept, place, http
        self._session = ECKey.import_key(kept["session"])
        pem = ECKey.import_key(kept["approval"]).as_pem(private=True)
        self.approval_key: Any = serialization.load_pem_private_key(pem, None)
        self.approval_jwk = device.public_jwk(self.approval_key.public_key())

    def keep(self, **news: Any) -> None:
        self.kept |= news
        self._place.touch(mode=0o600)
        self._place.write_text(json.dumps(self.kept), "utf-8")

    def call(self, method: str, path: str, *, token: str | None = None, **content: Any) -> httpx2.Response:
        """One request with a fresh proof for exactly this method and address. A problem document ends the program."""
        public = self._session.as_dict(private=False)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
        claims = {"jti": device.new_credential_id(), "htm": method, "htu": self.kept["base_url"] + path, "iat": int(time.time())}
        headers = {}
        if token is not None:
            claims["ath"] = device.digest(token.encode())
            headers["Authorization"] = f"DPoP {token}"
        headers["DPoP"] = jws.serialize_compact(header, json.dumps(claims), self._session, registry=JWS)
        try:
            answer = self._http.request(method, path, headers=headers, **content)
        except httpx2.TransportError as error:
            sys.exit(f"{self.kept['base_url']} does not answer ({error}): does the demonstration still serve?")
        if answer.is_error:
            problem = answer.json()
            sys.exit(f"{method} {path}: {problem['status']} {problem['code']}: {problem['title']} {problem.get('detail', '')}")
        return answer

    def raw(self, method: str, path: str, **content: Any) -> httpx2.Response:
        return self.call(method, path, token=self.kept["tokens"]["access_token"], **content)

    def api(self, method: str, path: str, **content: Any) -> Any:
        return self.raw(method, path, **content).json()

    def pair(self, code: str) -> None:
        """New: redeem the one-time code. Known: exchange the refresh token for the next pair; each is good once."""
        if not self.is_new:
            form = {"grant_type": "refresh_token", "refresh_token": self.kept["tokens"]["refresh_token"]}
            self.keep(tokens=self.call("POST", "/api/v1/oauth/token", data=form).json())
            return
        session = {name: self._session.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
        approval = {"kty": "EC", "crv": "P-256", "x": self.approval_jwk.x, "y": self.approval_jwk.y}
        asked = {"code": code, "session_jwk": session, "approval_jwk": approval, "label": "Điện thoại ví dụ", "platform": "other"}
        self.keep(tokens=self.call("POST", "/api/v1/pairings/redeem", json=asked).json()["tokens"])

    def wait(self, path: str, found: Any) -> Any:
        """Ask again until `found(answer)` is something."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if value := found(self.api("GET", path)):
                return value
            time.sleep(0.5)
        sys.exit(f"{path}: nothing came within {WAIT_S} s")

    def activation(self, kind: device.Kind, signer: str, pin: str, credential: str, organisation: str, **what: Any) -> dict[str, str]:
        """Challenge → sealed PIN → approval. `signer`: the identity thumbprint of the pairing link; another key never gets a PIN."""
        grant = self.api("POST", f"/api/v1/credentials/{credential}/challenge")
        identity = device.PublicJwk(**grant["identity"])
        key = device.verify_statement(grant["statement"], identity, signer, now_us=time.time_ns() // 1000)
        sealed = device.seal_pin(pin, key, credential, challenge=grant["challenge"])
        values = {"kind": kind, "challenge": grant["challenge"], "organisation": organisation, "credential": credential}
        return {"approval": device.approval_jws(self.approval_key, **values, sealed_pin=sealed, **what), "sealed_pin": device.b64u(sealed)}


def same(body: bytes, digest: str) -> bytes:
    if hashlib.sha256(body).hexdigest() != digest:
        sys.exit("these are not the bytes that the digest names: no PIN for this server")
    return body


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("demo", type=Path, help="demo.json of a demonstration that serves")
    arguments.add_argument("who", choices=["leader", "clerk"])
    asked = arguments.parse_args()
    demo = json.loads(asked.demo.read_text("utf-8"))
    who, signer, base_url = demo["people"][asked.who], demo["signer_key"], demo["base_url"]
    root = asked.demo.parent / "trust.pem"
    verify = ssl.create_default_context(cafile=str(root)) if base_url.startswith("https") else True
    with httpx2.Client(base_url=base_url, timeout=60, trust_env=False, verify=verify) as http:
        phone = Phone(base_url, asked.demo.parent / f"phone-{asked.who}.json", http)
        phone.pair(who["pairing_code"])
        if not phone.kept["admitted"]:
            print(f"paired; the registration officer compares the short code {device.short_code(phone.approval_jwk)}")
            waiting = phone.wait("/api/v1/me/enrolments", lambda all_: next((one for one in all_ if one["kind"] == "add_device"), None))
            body = phone.activation(
                device.Kind.ADD_DEVICE, signer, who["pin"], waiting["credential"], demo["organisation"]["code"], voucher=waiting["voucher"]
            )
            phone.raw("POST", f"/api/v1/me/enrolments/{waiting['digest']}/device", json=body)
            phone.keep(admitted=True)
            print("admitted with the PIN: this device may sign")
        line = phone.wait("/api/v1/inbox", lambda page: next((one for one in page["items"] if one["waiting"]), None))
        print(f"inbox     {line['number']}/{line['notation']}  {line['subject']}\nrevision  {line['revision']}")
        sheet = phone.api("POST", f"/api/v1/documents/{line['id']}/sheet")
        manifest = same(phone.raw("GET", f"/api/v1/prepared/{sheet['prepared']}/manifest").content, sheet["manifest_digest"])
        shown = json.loads(manifest)
        if (shown["tbs"], shown["parent"]) != (sheet["tbs"], line["revision"]) or sheet["parent"] != line["revision"]:
            sys.exit("the sheet is about another document: no PIN for this server")
        for image in shown["images"]:
            same(phone.raw("GET", f"/api/v1/prepared/{sheet['prepared']}/images/{image['digest']}").content, image["digest"])
        print(f"tbs       {sheet['tbs']}\nmanifest  {sheet['manifest_digest']}  ({len(shown['images'])} images compared)")
        item = device.Item(tbs=device.b64u(bytes.fromhex(sheet["tbs"])), manifest=device.manifest_digest(manifest))
        approval = phone.activation(device.Kind.DOCUMENT, signer, who["pin"], sheet["credential"], sheet["organisation"], items=[item])
        phone.raw("POST", "/api/v1/approvals", json=approval)
        done = phone.wait(f"/api/v1/documents/{line['id']}", lambda one: one if one["revision"] != line["revision"] else None)
        print(f"signed    {done['revision']}  with its time stamp; the document is {done['state']}")


if __name__ == "__main__":
    main()
