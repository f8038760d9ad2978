"""Fuzz target: a registration officer's voucher. Only refusals come out, and none verifies that the officer did not sign (threat A3).

`python tests/fuzz/voucher.py [libFuzzer options] [corpus]`.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.core"]):
    from signing.core.codec import public_jwk, thumbprint
    from signing.core.errors import SignerError
    from signing.core.model import VOUCHER_TYP, VoucherKind
    from signing.core.trust import Trust

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from signing import device
from tests.fakes.fuzz_corpus import corpus

VECTOR = json.loads((Path(__file__).resolve().parents[2] / "openapi" / "vectors" / "voucher.json").read_text())
FOLDER = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-"))
KEY = device.new_key()
JWK = public_jwk(KEY.public_key())
for jwk in (JWK, msgspec.convert(VECTOR["key"], type(JWK))):
    officer = {"key": msgspec.to_builtins(jwk), "organisations": ["H01.01"]}
    (FOLDER / f"{thumbprint(jwk)}.json").write_text(json.dumps(officer))
TRUST = Trust(FOLDER, FOLDER, ("H01.01",))
NOW_US = VECTOR["payload"]["not_after"] - 1_000_000
SIGNED = VECTOR["jws"]
SEEDS = [SIGNED.encode(), b"\0" + json.dumps(VECTOR["payload"], separators=(",", ":"), ensure_ascii=False).encode()]


def signed(payload: bytes) -> str:
    """The officer's own signature around any bytes, so that what is behind the signature is reached."""
    header = json.dumps({"alg": "ES256", "typ": VOUCHER_TYP, "kid": thumbprint(JWK)}, separators=(",", ":")).encode()
    text = f"{device.b64u(header)}.{device.b64u(payload)}"
    r, s = decode_dss_signature(KEY.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{device.b64u(r.to_bytes(32) + s.to_bytes(32))}"


def one_input(data: bytes) -> None:
    own = data[:1] == b"\0"
    text = signed(data[1:]) if own else data.decode("utf-8", "replace")
    for kind in VoucherKind:
        try:
            found = TRUST.voucher(text, kind, NOW_US)
        except SignerError:
            continue
        if not own and text != SIGNED:
            raise AssertionError("a voucher verified that no officer signed")
        if found.organisation != "H01.01" or found.kind is not kind:
            raise AssertionError("a voucher passed for another organisation or use")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4000", corpus("voucher", SEEDS)], one_input)
    atheris.Fuzz()
