"""RFC 3161: honest replies of two authorities pass, every lie is refused, and the token lands where readers look."""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import algos, cms, core, parser, tsp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from signing import cms as core_cms
from signing.pdf.errors import PdfError
from signing.pdf.timestamp import (
    MAX_REPLY,
    TimeStampToken,
    TimeStampTrust,
    attach_timestamp,
    check_reply,
    check_token,
    obtain,
    signature_value,
    timestamp_request,
)
from tests.fakes import pdf_signing as fakes

IMPRINT = hashlib.sha256(b"signature").digest()
NONCE = 0x1234_5678_9ABC_DEF0


def judge(reply: bytes, **changes: object) -> TimeStampToken:
    values: dict[str, object] = {"trust": fakes.trust(), "now_us": fakes.NOW_US} | changes
    return check_reply(reply, IMPRINT, NONCE, **values)  # type: ignore[arg-type]


def refused(reply: bytes, **changes: object) -> str:
    with pytest.raises(PdfError) as caught:
        judge(reply, **changes)
    return caught.value.code


def reply(**changes: object) -> bytes:
    return fakes.stamp_reply(timestamp_request(IMPRINT, NONCE), **changes)  # type: ignore[arg-type]


def test_the_request_says_what_rfc_3161_wants() -> None:
    request = tsp.TimeStampReq.load(timestamp_request(IMPRINT, NONCE), strict=True).native
    assert request["version"] == "v1"
    assert request["message_imprint"]["hash_algorithm"]["algorithm"] == "sha256"
    assert request["message_imprint"]["hashed_message"] == IMPRINT
    assert (request["nonce"], request["cert_req"]) == (NONCE, True)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_as_authority_is_believed_and_believes_us(tmp_path: Path, digest: str) -> None:
    query = timestamp_request(IMPRINT, NONCE)
    answered = fakes.openssl_reply(query, tmp_path, digest)
    now_us = time.time_ns() // 1000
    token = judge(answered, now_us=now_us)
    assert abs(token.gen_time_us - now_us) < 60_000_000
    assert token.policy == "1.2.3.4"
    assert token.certificate == fakes.authority().der
    (tmp_path / "token").write_bytes(token.der)
    (tmp_path / "root.pem").write_bytes(fakes.root().pem)
    (tmp_path / "data").write_bytes(b"signature")
    fakes.run(
        *("openssl", "ts", "-verify", "-data", tmp_path / "data", "-in", tmp_path / "token", "-token_in"),
        *("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "tsa.pem"),
    )


def test_pyhanko_as_authority_is_believed() -> None:
    token = judge(reply())
    assert token.gen_time_us == fakes.NOW_US


def test_a_token_of_any_length_is_read_as_it_stands() -> None:
    """asn1crypto takes ..80 (hex) at the end of a length for BER's indefinite one and would encode the token anew."""
    emit, tsa = parser.emit, fakes.authority()
    signed = tsp.TimeStampResp.load(reply())["time_stamp_token"]["content"]
    signer, info = signed["signer_infos"][0], signed["encap_content_info"]
    sha256 = algos.DigestAlgorithm({"algorithm": "sha256"}).dump()  # the default, written out as many authorities do
    named = emit(0, 1, 16, sha256 + core.OctetString(hashlib.sha256(tsa.der).digest()).dump())

    def attribute(oid: str, value: bytes) -> bytes:
        return bytes(emit(0, 1, 16, core.ObjectIdentifier(oid).dump() + emit(0, 1, 17, value)))

    def token(pad: int) -> bytes:
        attributes = sorted(
            [
                attribute("1.2.840.113549.1.9.3", info["content_type"].dump()),
                attribute(
                    "1.2.840.113549.1.9.4", core.OctetString(hashlib.sha256(info["content"].contents).digest()).dump()
                ),
                attribute("1.2.840.113549.1.9.16.2.47", emit(0, 1, 16, emit(0, 1, 16, named))),
                attribute("1.3.6.1.4.1.99999.1", core.OctetString(bytes(pad)).dump()),
            ]
        )
        signature = tsa.key.sign(emit(0, 1, 17, b"".join(attributes)), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[call-arg, arg-type]
        head = b"".join(signer[name].dump() for name in ("version", "sid", "digest_algorithm"))
        tail = algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"}).dump() + core.OctetString(signature).dump()
        one = emit(0, 1, 16, head + emit(2, 1, 0, b"".join(attributes)) + tail)
        outer = b"".join(signed[name].dump() for name in ("version", "digest_algorithms")) + info.dump()
        body = emit(0, 1, 16, outer + signed["certificates"].dump() + emit(0, 1, 17, one))
        return bytes(emit(0, 1, 16, core.ObjectIdentifier("1.2.840.113549.1.7.2").dump() + emit(2, 1, 0, body)))

    short = int.from_bytes(token(300)[2:4])
    odd = token(300 + (0x80 - short) % 256)
    assert odd[3] == 0x80
    assert judge(emit(0, 1, 16, emit(0, 1, 16, core.Integer(0).dump()) + odd)).der == odd


@pytest.mark.parametrize("away_s", [-61, 61, 86_400])
def test_a_clock_more_than_a_minute_away_is_refused(away_s: int) -> None:
    # D7
    assert refused(reply(now_us=fakes.NOW_US + away_s * 1_000_000)) == "tsa-clock-skew"


@pytest.mark.parametrize("away_s", [-60, 0, 60])
def test_a_clock_within_a_minute_is_accepted(away_s: int) -> None:
    judge(reply(now_us=fakes.NOW_US + away_s * 1_000_000))


def test_a_token_about_something_else_is_refused() -> None:
    other = hashlib.sha256(b"other").digest()
    assert refused(fakes.stamp_reply(timestamp_request(other, NONCE))) == "tsa-bad-reply"
    assert refused(fakes.stamp_reply(timestamp_request(IMPRINT, NONCE + 1))) == "tsa-bad-reply"


def test_only_listed_policies_pass() -> None:
    listed = TimeStampTrust((fakes.root().der,), policies=frozenset({"1.3.6.1.4.1.4146.2.2"}))
    judge(reply(), trust=listed)
    assert refused(reply(), trust=TimeStampTrust((fakes.root().der,), policies=frozenset({"1.2.3"}))) == "tsa-untrusted"


@pytest.mark.parametrize("flaw", ["stranger", "no-usage", "two-usages", "uncritical", "ended", "leaf-as-authority"])
def test_certificates_that_may_not_stamp_are_refused(flaw: str) -> None:
    key, stamping = fakes.rsa_key("tsa-bad"), ExtendedKeyUsageOID.TIME_STAMPING
    usages: tuple[object, ...] = (stamping,)
    others: tuple[fakes.Holder, ...] = ()
    issuer, extra = fakes.root(), {}
    if flaw == "stranger":
        issuer = fakes.issue("Stranger Root", None, authority=True)
        others = (issuer,)
    elif flaw == "no-usage":
        usages = ()
    elif flaw == "two-usages":
        usages = (stamping, ExtendedKeyUsageOID.CODE_SIGNING)
    elif flaw == "uncritical":
        extra = {"critical": False}
    elif flaw == "ended":
        extra = {"end": datetime.fromtimestamp(fakes.NOW_US / 1e6, UTC) - timedelta(days=1)}
    else:
        issuer = fakes.leader()
        others = (issuer,)
    bad = fakes.issue("Bad TSA", issuer, key=key, usages=usages, **extra)  # type: ignore[arg-type]
    assert refused(reply(tsa=bad, others=others)) == "tsa-untrusted"


def test_an_intermediate_authority_is_followed() -> None:
    between = fakes.issue("Sample Intermediate", fakes.root(), authority=True)
    tsa = fakes.issue("Deep TSA", between, key=fakes.rsa_key("tsa-deep"), usages=(ExtendedKeyUsageOID.TIME_STAMPING,))
    judge(reply(tsa=tsa, others=(between,)))
    judge(reply(tsa=tsa), trust=TimeStampTrust((fakes.root().der,), (between.der,)))
    assert refused(reply(tsa=tsa)) == "tsa-untrusted"


def test_a_refusal_is_named() -> None:
    no = bytes.fromhex("30053003020102")  # SEQUENCE { SEQUENCE { INTEGER 2 } }
    assert refused(no) == "tsa-refused"


def test_replies_out_of_bounds_are_refused() -> None:
    assert refused(b"") == "tsa-bad-reply"
    assert refused(b"\x30" * (MAX_REPLY + 1)) == "tsa-bad-reply"
    assert refused(reply() + b"\0") == "tsa-bad-reply"


def test_a_wrong_signature_is_refused() -> None:
    parsed = tsp.TimeStampResp.load(reply())
    signer = parsed["time_stamp_token"]["content"]["signer_infos"][0]
    value = bytearray(signer["signature"].native)
    value[10] ^= 1
    signer["signature"] = bytes(value)
    assert refused(parsed.dump(force=True)) == "tsa-bad-reply"


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_harmless(place: int, flip: int) -> None:
    # Nothing but a `PdfError` leaves, and what is accepted still says our imprint, nonce and time.
    data = bytearray(_REPLY())
    data[place % len(data)] ^= flip
    try:
        token = judge(bytes(data))
    except PdfError:
        return
    assert token.gen_time_us == fakes.NOW_US


_MADE: list[bytes] = []


def _REPLY() -> bytes:
    if not _MADE:
        _MADE.append(reply())
    return _MADE[0]


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert refused(data) in {"tsa-bad-reply", "tsa-refused"}


@pytest.mark.parametrize("holder", [fakes.leader, fakes.clerk])
def test_the_token_is_attached_to_the_signature_it_is_about(holder: object) -> None:
    signature = fakes.cms_for(holder(), b"\1" * 32)  # type: ignore[operator]
    imprint = hashlib.sha256(signature_value(signature)).digest()
    assert signature_value(signature) == core_cms.signature_value(signature)
    answered = fakes.stamp_reply(timestamp_request(imprint, 5))
    token = check_reply(answered, imprint, 5, trust=fakes.trust(), now_us=fakes.NOW_US)
    stamped = attach_timestamp(signature, token)
    # The signer's core builds the same bytes on its own.
    assert stamped == core_cms.with_timestamp(signature, token.der)
    again = cms.ContentInfo.load(stamped)["content"]["signer_infos"][0]["unsigned_attrs"][0]
    assert again["values"][0].dump() == token.der
    # Tokens from the past are judged without clock and nonce.
    check_token(token.der, imprint, nonce=None, trust=fakes.trust(), now_us=None)
    with pytest.raises(PdfError):
        attach_timestamp(stamped, token)
    with pytest.raises(PdfError):
        attach_timestamp(fakes.cms_for(holder(), b"\2" * 32), token)  # type: ignore[operator]


@pytest.mark.asyncio
async def test_obtain_asks_once_and_names_silence() -> None:
    asked: list[tuple[str, bytes]] = []

    async def post(url: str, body: bytes) -> bytes:
        asked.append((url, body))
        return fakes.stamp_reply(body)

    token = await obtain(
        post, "http://tsa.test/", b"signature", nonce=9, trust=fakes.trust(), now_us=lambda: fakes.NOW_US
    )
    assert token.gen_time_us == fakes.NOW_US
    assert len(asked) == 1

    async def silent(_url: str, _body: bytes) -> bytes:
        raise ConnectionRefusedError

    with pytest.raises(PdfError) as caught:
        await obtain(silent, "http://tsa.test/", b"x", nonce=9, trust=fakes.trust(), now_us=lambda: fakes.NOW_US)
    assert caught.value.code == "tsa-unreachable"
