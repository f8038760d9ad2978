"""Builds `openapi/vectors/{approval,sealed_pin,voucher,envelope,signed_head}.json`; keys are fixed and published on purpose.

ECDSA is deterministic here (RFC 6979), so building twice gives the same bytes. HPKE with a fixed ephemeral key is written out
from RFC 9180 §4 and §5.1, because no library lets a caller choose that key.
"""

import hmac
import json
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from signing import device
from signing.core import log
from signing.core.codec import b64u, sign_jws, unb64u
from signing.core.envelope import Argon, Binding, _kek, derive
from signing.core.model import (
    APPROVAL_TYP,
    SEALING_TYP,
    VOUCHER_TYP,
    Approval,
    Item,
    KeyType,
    Kind,
    SealingStatement,
    Voucher,
    VoucherKind,
)
from signing.core.pin import Pin
from signing.proofs import root_of

FOLDER = Path(__file__).resolve().parents[4] / "openapi" / "vectors"
CREDENTIAL = b64u(bytes(range(16)))
CHALLENGE = b64u(bytes(range(32)))
POINT = ec.SECP256R1()


class FixedKey:
    def __init__(self, name):
        self.key = ec.derive_private_key(int.from_bytes(sha256(name.encode()).digest(), "big") % (2**255), POINT)

    def sign(self, data, _):
        return self.key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))

    def public_key(self):
        return self.key.public_key()

    @property
    def jwk(self):
        return device.public_jwk(self.public_key())

    @property
    def private(self):
        value = self.key.private_numbers().private_value.to_bytes(32, "big")
        return msgspec.to_builtins(self.jwk) | {"d": b64u(value)}


def _extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite, prk, label, info, length):
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]


def seal(ephemeral, recipient, info, plaintext):
    kem, suite = b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\x00\x02"
    shared = ephemeral.key.exchange(ec.ECDH(), recipient.public_key())
    enc, point = (b"\x04" + unb64u(key.jwk.x) + unb64u(key.jwk.y) for key in (ephemeral, recipient))
    secret = _expand(kem, _extract(kem, b"", b"eae_prk", shared), b"shared_secret", enc + point, 32)
    context = b"\x00" + _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
    prk = _extract(suite, secret, b"secret", b"")
    key, nonce = _expand(suite, prk, b"key", context, 32), _expand(suite, prk, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def build():
    phone, officer, identity, sealing = (FixedKey(name) for name in ("phone", "officer", "identity", "sealing"))
    point = b"\x04" + unb64u(sealing.jwk.x) + unb64u(sealing.jwk.y)
    sealing_id = sha256(point).digest()
    info = device.pin_info(sealing_id, CREDENTIAL, unb64u(CHALLENGE))
    sealed = seal(FixedKey("ephemeral"), sealing, info, device.pin_plaintext("482915"))
    statement = SealingStatement(v=1, key=sealing.jwk, id=b64u(sealing_id), not_after=2_000_000_000_000_000)
    manifest = '{"pages":1}'
    approval = Approval(
        v=1, kind=Kind.DOCUMENT, challenge=CHALLENGE, organisation="H01.01", credential=CREDENTIAL,
        device=device.thumbprint(phone.jwk),
        items=(Item(tbs=b64u(sha256(b"prepared").digest()), manifest=device.manifest_digest(manifest.encode())),),
        pin_sha256=device.digest(sealed), voucher_sha256="",
    )  # fmt: skip
    voucher = Voucher(
        v=1, kind=VoucherKind.ENROL, organisation="H01.01", person="sample-person", credential=CREDENTIAL,
        key_type=KeyType.P256, subject="CN=Nguyễn Văn Mẫu,O=Cơ quan mẫu,C=VN", approval_key=phone.jwk,
        pin_forbidden=("19800131",), not_after=2_000_000_000_000_000, nonce=b64u(bytes(range(16))),
    )  # fmt: skip
    jws, voucher_jws = sign_jws(approval, APPROVAL_TYP, phone), sign_jws(voucher, VOUCHER_TYP, officer)
    leaves = [log.leaf_hash(body) for body in (b"a", b"b", b"c")]
    head = log.sign_head(identity, sequence=9, log_size=3, root=root_of(leaves), row_sum=bytes(32), time_us=1)
    pepper, argon = bytes(range(32, 64)), Argon(memory_kib=64, iterations=1, lanes=1)
    bound = Binding("H01.01", CREDENTIAL, "sample-person", 1, "pepper-id", "custody-id")
    salt, nonce = bytes(range(16)), bytes(range(12))
    derived = derive(Pin(b"482915"), salt, argon)
    kek = _kek(lambda data: hmac.digest(pepper, data, "sha256"), bound.aad(), derived)
    return {
        "approval": {
            "key": msgspec.to_builtins(phone.jwk), "private_key": phone.private, "thumbprint": device.thumbprint(phone.jwk),
            "short_code": device.short_code(phone.jwk), "manifest": manifest, "manifest_sha256": device.digest(manifest.encode()),
            "payload": msgspec.to_builtins(approval), "jws": jws, "jws_sha256": device.jws_hash(jws),
            "invalid": _invalid(jws, phone, officer),
        },
        "voucher": {
            "key": msgspec.to_builtins(officer.jwk), "payload": msgspec.to_builtins(voucher), "jws": voucher_jws,
            "voucher_sha256": device.jws_hash(voucher_jws), "invalid": _invalid(voucher_jws, officer, phone),
        },
        "sealed_pin": {
            "suite": "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode, single shot, enc || ct",
            "identity": msgspec.to_builtins(identity.jwk), "identity_thumbprint": device.thumbprint(identity.jwk),
            "statement": sign_jws(statement, SEALING_TYP, identity), "sealing_key_id": b64u(sealing_id),
            "sealing_private_key": sealing.private, "ephemeral_private_key": FixedKey("ephemeral").private,
            "credential": CREDENTIAL, "challenge": CHALLENGE, "info": b64u(info), "pin": "482915",
            "plaintext": b64u(device.pin_plaintext("482915")), "sealed": b64u(sealed), "sealed_sha256": device.digest(sealed),
            "invalid": [
                {"why": "another challenge in info", "info": b64u(info[:-1] + b"\x00"), "sealed": b64u(sealed)},
                {"why": "one byte of the ciphertext changed", "info": b64u(info), "sealed": b64u(sealed[:-1] + bytes([sealed[-1] ^ 1]))},
                {"why": "enc is not a point", "info": b64u(info), "sealed": b64u(b"\x04" + bytes(64) + sealed[65:])},
                {"why": "cut off", "info": b64u(info), "sealed": b64u(sealed[:-1])},
            ],
        },
        "envelope": {
            "pin": "482915", "pepper": b64u(pepper), "salt": b64u(salt), "nonce": b64u(nonce),
            "argon": msgspec.to_builtins(argon), "derived": b64u(derived), "binding": msgspec.to_builtins(bound),
            "aad": b64u(bound.aad()), "inner": b64u(b"inner"), "sealed": b64u(kek.encrypt(nonce, b"inner", bound.aad())),
        },
        "signed_head": {
            "key": msgspec.to_builtins(identity.jwk), "leaves": ["YQ", "Yg", "Yw"], "root": b64u(root_of(leaves)),
            "jws": head, "invalid": _invalid(head, identity, phone),
        },
    }  # fmt: skip


def _invalid(jws, key, other):
    """Forms that must not verify: each differs from the valid one in the way that it names."""
    head, payload, signature = jws.split(".")
    raw, header = unb64u(payload), unb64u(head)

    def resigned(new_header, new_payload, signer=key):
        text = f"{b64u(new_header)}.{b64u(new_payload)}"
        r, s = device_signature(signer, text)
        return f"{text}.{b64u(r + s)}"

    doubled = raw[:-1] + b',"v":1}'
    return [
        {"why": "signature of another key", "jws": resigned(header, raw, other)},
        {"why": "payload changed", "jws": f"{head}.{b64u(raw.replace(b'1', b'2', 1))}.{signature}"},
        {"why": "space in the payload", "jws": resigned(header, raw.replace(b",", b", ", 1))},
        {"why": "duplicate key in the payload", "jws": resigned(header, doubled)},
        {"why": "unknown field in the payload", "jws": resigned(header, raw[:-1] + b',"x":1}')},
        {"why": "further header parameter", "jws": resigned(header[:-1] + b',"crit":[]}', raw)},
        {"why": "alg none", "jws": resigned(header.replace(b"ES256", b"none"), raw)},
        {"why": "another typ", "jws": resigned(header.replace(b"hoatoc-", b"h0atoc-"), raw)},
        {"why": "padding", "jws": f"{head}.{payload}.{signature}=="},
        {"why": "DER signature", "jws": f"{head}.{payload}.{b64u(key.sign(f'{head}.{payload}'.encode(), None))}"},
    ]


def device_signature(signer, text):
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    return (number.to_bytes(32, "big") for number in decode_dss_signature(signer.sign(text.encode(), None)))


def write():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in build().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write()
