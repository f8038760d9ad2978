"""The published vectors hold in Python and in Node's WebCrypto, and what Node makes the real signer accepts."""

import hashlib
import json
import subprocess

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from signing import device
from signing.client import KeyType, VoucherKind
from signing.core import log
from signing.core.codec import CodecError, PublicJwk, unb64u, verify_jws
from signing.core.envelope import Argon, Binding, Envelope, derive, open_envelope
from signing.core.errors import WrongPin
from signing.core.model import APPROVAL_TYP, HEAD_TYP, VOUCHER_TYP, Approval, Head, Voucher
from signing.core.pin import Pin
from signing.proofs import root_of
from tests.fakes.phone import Phone, item
from tests.fakes.signer import ORGANISATION, now_us
from tests.unit.signing.core import vectors

SCRIPT = vectors.FOLDER / "check.mjs"


def load(name):
    return json.loads((vectors.FOLDER / f"{name}.json").read_text("utf-8"))


def jwk(value):
    return msgspec.convert(value, PublicJwk)


def node(*arguments, stdin=None):
    run = subprocess.run(["node", SCRIPT, *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_files_are_what_the_builder_builds():
    for name, content in vectors.build().items():
        assert load(name) == json.loads(json.dumps(content)), name


def test_node_passes_the_vectors():
    assert node() == "vectors pass\n"


@pytest.mark.parametrize(
    ("name", "typ", "payload"),
    [("approval", APPROVAL_TYP, Approval), ("voucher", VOUCHER_TYP, Voucher), ("signed_head", HEAD_TYP, Head)],
)
def test_jws_vectors(name, typ, payload):
    vector = load(name)
    decoded = verify_jws(vector["jws"], typ, jwk(vector["key"]), payload)
    assert json.loads(msgspec.json.encode(decoded)) == vector.get("payload", msgspec.to_builtins(decoded))
    assert len(vector["invalid"]) == 10
    for bad in vector["invalid"]:
        with pytest.raises(CodecError):
            verify_jws(bad["jws"], typ, jwk(vector["key"]), payload)


def test_sealed_pin_vector():
    vector = load("sealed_pin")
    key = device.verify_statement(vector["statement"], jwk(vector["identity"]), vector["identity_thumbprint"], now_us=1)
    assert key.id == unb64u(vector["sealing_key_id"])
    private = ec.derive_private_key(int.from_bytes(unb64u(vector["sealing_private_key"]["d"]), "big"), ec.SECP256R1())
    opened = device._SUITE.decrypt(unb64u(vector["sealed"]), private, info=unb64u(vector["info"]))
    assert opened == unb64u(vector["plaintext"]) == device.pin_plaintext(vector["pin"])
    for bad in vector["invalid"]:
        with pytest.raises((InvalidTag, ValueError)):
            device._SUITE.decrypt(unb64u(bad["sealed"]), private, info=unb64u(bad["info"]))
    for identity, thumbprint, now in (
        (vector["identity"], "A" * 43, 1),
        (load("approval")["key"], load("approval")["thumbprint"], 1),
        (vector["identity"], vector["identity_thumbprint"], 2_000_000_000_000_001),
    ):
        with pytest.raises(device.StatementInvalid):
            device.verify_statement(vector["statement"], jwk(identity), thumbprint, now_us=now)


def test_envelope_vector():
    import hmac

    vector = load("envelope")
    argon, bound = msgspec.convert(vector["argon"], Argon), msgspec.convert(vector["binding"], Binding)
    raw = {name: unb64u(vector[name]) for name in ("pepper", "salt", "nonce", "derived", "aad", "inner", "sealed")}
    assert bound.aad() == raw["aad"]
    assert derive(Pin(vector["pin"].encode()), raw["salt"], argon) == raw["derived"]
    envelope = Envelope(1, "pepper-id", "custody-id", argon, raw["salt"], raw["nonce"], raw["sealed"])
    pepper = lambda data: hmac.digest(raw["pepper"], data, "sha256")
    assert open_envelope(envelope, raw["derived"], bound, pepper) == raw["inner"]


def test_signed_head_vector():
    vector = load("signed_head")
    leaves = [log.leaf_hash(unb64u(leaf)) for leaf in vector["leaves"]]
    assert log.verify_head(vector["jws"], jwk(vector["key"])).root == vector["root"] == device.b64u(root_of(leaves))


@pytest.mark.asyncio
@pytest.mark.parametrize("key_type", list(KeyType))
async def test_the_signer_accepts_a_phone_made_of_webcrypto(client, host, officer, key_type):
    phone = Phone(ORGANISATION, "node", host.identity)
    numbers = phone.key.private_numbers().private_value.to_bytes(32, "big")
    base = {
        "identity_thumbprint": host.identity,
        "organisation": ORGANISATION,
        "credential": phone.credential,
        "private_key": msgspec.to_builtins(phone.jwk) | {"d": device.b64u(numbers)},
        "pin": phone.pin,
    }

    def produced(grant, **more):
        identity = msgspec.to_builtins(grant.identity)
        asked = base | {"statement": grant.statement, "identity": identity} | more
        answer = json.loads(node("produce", stdin=json.dumps(asked)))
        return answer["approval"], unb64u(answer["sealed_pin"])

    voucher = officer.voucher(VoucherKind.ENROL, phone, now_us=now_us(), key_type=key_type)
    join, sealed = produced(await client.sealing_key(), kind="join", voucher=voucher)
    enrolment = await client.enrol(voucher, join, sealed)
    await client.import_certificate(phone.credential, host.authority.answer(enrolment.csr))
    digest = hashlib.sha256(b"prepared").digest()
    items = [msgspec.to_builtins(item(digest))]
    grant = await client.challenge(phone.credential, phone.device)
    with pytest.raises(WrongPin):
        await client.activate(*produced(grant, kind="document", challenge=grant.challenge, items=items, pin="905173"))
    grant = await client.challenge(phone.credential, phone.device)
    activation = await client.activate(*produced(grant, kind="document", challenge=grant.challenge, items=items))
    assert [each.tbs for each in activation.signatures] == [digest]
