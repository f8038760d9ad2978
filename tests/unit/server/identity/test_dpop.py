"""C3, C5: a proof with any part changed is refused; RFC 9449 §4.3 step by step; the vectors, also in Node's WebCrypto."""

import base64
import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from server.errors import Refused
from server.identity.dpop import Origins, Verifier, access_token_hash, normal_url, public_key, single
from tests.fakes.identity import b64u, sign

VECTORS = Path(__file__).parents[4] / "openapi" / "vectors"
NOW = 1_790_000_000_000_000
KEY = ECKey.generate_key("P-256")
PUBLIC = {name: KEY.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
TOKEN = "hta_" + "A" * 43
URL = "https://sign.example/api/v1/me"
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PUBLIC}
CLAIMS = {"jti": "0123456789abcdef", "htm": "GET", "htu": URL, "iat": NOW // 1_000_000, "ath": access_token_hash(TOKEN)}


def verify(proof, **changes):
    what = {"method": "GET", "target": URL, "now_us": NOW, "token": TOKEN, **changes}
    return Verifier().verify(proof, **what)


def refused(proof, **changes):
    with pytest.raises(Refused) as caught:
        verify(proof, **changes)
    assert caught.value.code == "proof-invalid"
    return caught.value.fields["reason"]


def raw_signed(header_text, payload_text):
    """A true ES256 signature over segments that no honest encoder makes."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    data = f"{b64u(header_text.encode())}.{b64u(payload_text.encode())}"
    r, s = decode_dss_signature(KEY.private_key.sign(data.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{data}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_an_honest_proof_passes_and_names_its_key():
    proof = verify(sign(KEY, HEADER, CLAIMS))
    assert proof.thumbprint == KEY.thumbprint() == public_key(PUBLIC).thumbprint
    webcrypto = {**PUBLIC, "key_ops": ["verify"], "ext": True}
    assert verify(sign(KEY, {**HEADER, "jwk": webcrypto}, CLAIMS)).seen == proof.seen


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "JWT"}, "header"), ({"typ": "DPoP+JWT"}, "header"), ({"typ": None}, "header"), ({"alg": "none"}, "header"),
        ({"alg": "HS256"}, "header"), ({"alg": "ES384"}, "header"), ({"alg": ["ES256"]}, "header"), ({"kid": "1"}, "header"),
        ({"kid": "../../etc/passwd"}, "header"), ({"jku": "http://127.0.0.1/"}, "header"), ({"x5u": "http://127.0.0.1/"}, "header"),
        ({"x5c": []}, "header"), ({"crit": ["exp"]}, "header"), ({"b64": False}, "header"), ({"zip": "DEF"}, "header"),
        ({"jwk": "key"}, "key"), ({"jwk": None}, "key"), ({"jwk": {}}, "key"), ({"jwk": {**PUBLIC, "d": PUBLIC["x"]}}, "key"),
        ({"jwk": {**PUBLIC, "k": "AA"}}, "key"), ({"jwk": {"kty": "oct", "k": "AAAA"}}, "key"), ({"jwk": {**PUBLIC, "crv": "P-384"}}, "key"),
        ({"jwk": {**PUBLIC, "crv": "secp256k1"}}, "key"), ({"jwk": {**PUBLIC, "kty": "OKP"}}, "key"), ({"jwk": {**PUBLIC, "x": "AA"}}, "key"),
        ({"jwk": {**PUBLIC, "x": PUBLIC["y"]}}, "key"), ({"jwk": {**PUBLIC, "x": b64u(bytes(32)), "y": b64u(bytes(32))}}, "key"),
        ({"jwk": {**PUBLIC, "x": 7}}, "key"), ({"jwk": {**PUBLIC, "alg": "HS256"}}, "key"), ({"jwk": {**PUBLIC, "use": "enc"}}, "key"),
    ],
)  # fmt: skip
def test_each_part_of_the_header(header, reason):
    assert refused(raw_signed(json.dumps({**HEADER, **header}), json.dumps(CLAIMS))) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"htm": "POST"}, "method"), ({"htm": "get"}, "method"), ({"htm": None}, "claims"), ({"htm": ["GET"]}, "claims"),
        ({"htu": "https://sign.example/api/v1/you"}, "target"), ({"htu": "https://evil.example/api/v1/me"}, "target"),
        ({"htu": "http://sign.example/api/v1/me"}, "target"), ({"htu": "https://sign.example:444/api/v1/me"}, "target"),
        ({"htu": "https://a@sign.example/api/v1/me"}, "target"), ({"htu": "https://sign.example/api/v1/x/../me"}, "target"),
        ({"htu": "/api/v1/me"}, "target"), ({"htu": ""}, "target"), ({"htu": "https://sign.example/api/v1/me/"}, "target"),
        ({"htu": "https://sign.example/api/v1%2Fme"}, "target"), ({"htu": "https://[/api"}, "target"), ({"htu": 1}, "claims"),
        ({"iat": CLAIMS["iat"] - 61}, "time"), ({"iat": CLAIMS["iat"] + 61}, "time"), ({"iat": str(CLAIMS["iat"])}, "claims"),
        ({"iat": float(CLAIMS["iat"])}, "claims"), ({"iat": True}, "claims"), ({"iat": -1}, "time"), ({"iat": 10**30}, "time"),
        ({"jti": ""}, "claims"), ({"jti": "short"}, "claims"), ({"jti": "a" * 129}, "claims"), ({"jti": 12345678901234}, "claims"),
        ({"jti": "\ud800" * 12}, "claims"), ({"ath": "A" * 43}, "token"), ({"ath": None}, "token"), ({"ath": TOKEN}, "token"),
    ],
)  # fmt: skip
def test_each_claim(claims, reason):
    assert refused(sign(KEY, HEADER, {**CLAIMS, **claims})) == reason


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat", "ath"])
def test_a_missing_claim(name):
    assert refused(sign(KEY, HEADER, {key: value for key, value in CLAIMS.items() if key != name})) in {
        "claims",
        "token",
    }


@pytest.mark.parametrize("name", ["typ", "alg", "jwk"])
def test_a_missing_header_member(name):
    assert (
        refused(
            raw_signed(json.dumps({key: value for key, value in HEADER.items() if key != name}), json.dumps(CLAIMS))
        )
        == "header"
    )


def test_names_that_stand_twice_and_odd_json_are_refused():
    header, claims = json.dumps(HEADER), json.dumps(CLAIMS)
    assert refused(raw_signed(header[:-1] + ',"alg":"ES256"}', claims)) == "header"
    assert refused(raw_signed(header, claims[:-1] + ',"htm":"GET"}')) == "claims"
    for odd in ("[]", '"x"', "", "{", "NaN", '{"iat":NaN}', "[" * 3000, "\x00"):
        assert refused(raw_signed(header, odd)) in {"claims", "form"}
        assert refused(raw_signed(odd, claims)) in {"header", "form"}


def test_edges_of_the_window_and_other_spellings_of_the_url():
    for offset in (-60, 60):
        verify(sign(KEY, HEADER, {**CLAIMS, "iat": CLAIMS["iat"] + offset}))
    for spelling in (
        "HTTPS://SIGN.example:443/api/v1/me",
        URL + "?limit=2",
        URL + "#x",
        "https://sign.example/api/v1/%6de",
    ):
        verify(sign(KEY, HEADER, {**CLAIMS, "htu": spelling}))


def test_the_refusal_of_a_wrong_clock_tells_the_servers_time():
    with pytest.raises(Refused) as caught:
        verify(sign(KEY, HEADER, {**CLAIMS, "iat": CLAIMS["iat"] - 3600}))
    assert caught.value.fields["server_time"].startswith("2026-09-")


def test_no_mutation_of_one_byte_is_accepted():
    """C3: more than 500 mutants of one good proof, also by a verifier that knows the key already."""
    good, seed = sign(KEY, HEADER, CLAIMS), random.Random(20261122)
    knowing = Verifier()
    knowing.verify(good, method="GET", target=URL, now_us=NOW, token=TOKEN)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\u00e9"
    for index in range(len(good)):
        for _ in range(2):
            mutant = good[:index] + seed.choice([c for c in alphabet if c != good[index]]) + good[index + 1 :]
            for verifier in (Verifier(), knowing):
                with pytest.raises(Refused):
                    verifier.verify(mutant, method="GET", target=URL, now_us=NOW, token=TOKEN)
    for mutant in (good + ".", good + "=", "." + good, good[:-1], good + good, good.replace(".", "..", 1), good * 9):
        with pytest.raises(Refused):
            knowing.verify(mutant, method="GET", target=URL, now_us=NOW, token=TOKEN)


def test_segments_of_two_proofs_do_not_mix():
    other = ECKey.generate_key("P-256")
    jwk = {name: other.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
    one, two = (
        sign(KEY, HEADER, CLAIMS).split("."),
        sign(other, {**HEADER, "jwk": jwk}, {**CLAIMS, "jti": "another-one-000"}).split("."),
    )
    for pick in range(1, 7):
        mixed = ".".join((one, two)[pick >> bit & 1][bit] for bit in range(3))
        assert refused(mixed) == "signature"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: ".".join([b64u(raw)] * 3)))
def test_any_text_is_refused_and_nothing_else(text):
    assert refused(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_normal_url_never_fails(text):
    once = normal_url("https://h.example/" + text)
    assert once is None or normal_url(once) == once
    normal_url(text)


def test_a_header_that_stands_twice_or_is_not_ascii_is_refused():
    assert single([]) is None
    assert single([b"x"]) == "x"
    for values in ([b"x", b"x"], ["é".encode()], [b"x" * 5000]):
        with pytest.raises(Refused):
            single(values)


def test_origins_are_the_host_list():
    origins = Origins(["https://sign.example", "http://127.0.0.1:8765"])
    assert origins.target("Sign.Example:443", "/a%7eb") == "https://sign.example/a~b"
    assert origins.target("127.0.0.1:8765", "/") == "http://127.0.0.1:8765/"
    for host in (
        "",
        "evil.example",
        "sign.example:80",
        "sign.example:8443",
        "127.0.0.1",
        "sign.example.",
        "sign.example@evil",
    ):
        with pytest.raises(Refused) as caught:
            origins.target(host, "/")
        assert caught.value.code == "host-unknown"
    for wrong in ("ftp://x", "https://x/path", "https://u@x", "x", "https://"):
        with pytest.raises(ValueError):
            Origins([wrong])


# -- Vectors --------------------------------------------------------------------------------------------------------

CASES = json.loads((VECTORS / "dpop.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_vectors(case):
    request = {
        "method": case["method"],
        "target": case["url"],
        "now_us": CASES["now"] * 1_000_000,
        "token": case["access_token"],
    }
    if case["refused"] is None:
        assert Verifier().verify(case["proof"], **request).thumbprint == case["thumbprint"]
    else:
        with pytest.raises(Refused) as caught:
            Verifier().verify(case["proof"], **request)
        assert caught.value.fields["reason"] == case["refused"]


def test_vectors_in_node():
    done = subprocess.run(["node", VECTORS / "dpop.mjs"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["cases"] == len(CASES["cases"])
    made = Verifier().verify(
        report["proof"],
        method="POST",
        target=report["url"],
        now_us=report["now"] * 1_000_000,
        token=report["access_token"],
    )
    assert made.thumbprint == report["thumbprint"], "a proof that WebCrypto made"


def test_every_good_vector_has_canonical_segments():
    for case in CASES["cases"]:
        if case["refused"] is None:
            for segment in case["proof"].split("."):
                assert b64u(base64.urlsafe_b64decode(segment + "==")) == segment
