"""Fuzz target: a phone's approval, as the signer and the receipt read it. Only refusals come out; what a key did not sign never
verifies, and every accepted text is its own encoding (threats A10, C3).

`python tests/fuzz/approval.py [libFuzzer options] [corpus]`.
"""

import contextlib
import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.core"]):
    from signing.core.activation import _claim
    from signing.core.codec import CodecError, parse_jws, public_jwk, verify_jws
    from signing.core.errors import SignerError
    from signing.core.model import APPROVAL_TYP, Approval
    from signing.core.wire import ActivateRequest

from signing import device
from tests.fakes.fuzz_corpus import corpus

VECTOR = json.loads((Path(__file__).resolve().parents[2] / "openapi" / "vectors" / "approval.json").read_text())
KEY = device.new_key()
JWK = public_jwk(KEY.public_key())
HEADER, PAYLOAD, SIGNATURE = VECTOR["jws"].split(".")
SEEDS = [
    VECTOR["jws"].encode(),
    b"\0" + json.dumps(VECTOR["payload"], separators=(",", ":"), ensure_ascii=False).encode(),
]


def one_input(data: bytes) -> None:
    if data[:1] == b"\0":  # a payload that a real key signed, so that what is behind the signature is reached
        header = device.b64u(
            json.dumps(
                {"alg": "ES256", "typ": APPROVAL_TYP, "kid": device.thumbprint(JWK)}, separators=(",", ":")
            ).encode()
        )
        text = f"{header}.{device.b64u(data[1:])}.{SIGNATURE}"
    else:
        text = data.decode("utf-8", "replace")
    request = ActivateRequest(kind="document", approval=text, sealed_pin=b"sealed")
    with contextlib.suppress(SignerError):
        _claim(request, frozenset({"H01.01"}))
    try:
        parse_jws(text, APPROVAL_TYP).peek(Approval)
        verify_jws(text, APPROVAL_TYP, JWK, Approval)
    except CodecError:
        return
    raise AssertionError("an approval verified that its key never signed")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4000", corpus("approval", SEEDS)], one_input)
    atheris.Fuzz()
