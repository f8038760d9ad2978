"""The demonstration PKI before a judge that is not ours: OpenSSL's verify, ocsp, crl and ts."""

import hashlib
import json
import subprocess
import urllib.request

import pytest
from cryptography.x509.oid import NameOID


def openssl(*arguments, **options):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False, **options)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def http(method, url, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


@pytest.fixture
def issued(pki_process, make_csr, tmp_path):
    """A person's certificate got over HTTP, as files."""
    answer = json.loads(http("POST", f"{pki_process.url}/issue?kind=person", make_csr()))
    leaf, issuing = tmp_path / "leaf.pem", tmp_path / "issuing.pem"
    leaf.write_text(answer["certificate"])
    issuing.write_text(answer["chain"][0])
    return leaf, issuing, answer["serial"]


def write_crls(pki, tmp_path):
    path = tmp_path / "crls.pem"
    text = b""
    for name in ("root", "issuing"):
        (tmp_path / "crl.der").write_bytes(http("GET", f"{pki.url}/{name}.crl"))
        code, _ = openssl("crl", "-inform", "DER", "-in", tmp_path / "crl.der", "-out", tmp_path / "crl.pem")
        assert code == 0
        text += (tmp_path / "crl.pem").read_bytes()
    path.write_bytes(text)
    return path


def verify(pki, leaf, issuing, *more):
    return openssl("verify", "-x509_strict", *more, "-CAfile", pki.trust, "-untrusted", issuing, leaf)


def test_chain_and_revocation_lists_of_a_dynamic_certificate(pki_process, issued, tmp_path):
    leaf, issuing, serial = issued
    checks = ["-crl_check_all", "-CRLfile", write_crls(pki_process, tmp_path)]
    code, text = verify(pki_process, leaf, issuing, *checks)
    assert (code, "OK" in text) == (0, True), text
    http("POST", f"{pki_process.url}/revoke", json.dumps({"serial": serial, "reason": "keyCompromise"}).encode())
    checks = ["-crl_check_all", "-CRLfile", write_crls(pki_process, tmp_path)]
    code, text = verify(pki_process, leaf, issuing, *checks)
    assert code != 0
    assert "certificate revoked" in text


def ocsp(pki, leaf, issuing, *more):
    return openssl(
        "ocsp", "-issuer", issuing, "-cert", leaf, "-url", f"{pki.url}/ocsp", "-CAfile", pki.trust,
        "-verify_other", issuing, *more,
    )  # fmt: skip


def test_ocsp_knows_a_dynamic_certificate_from_its_first_second(pki_process, issued):
    leaf, issuing, serial = issued
    code, text = ocsp(pki_process, leaf, issuing)
    assert code == 0, text
    assert "Response verify OK" in text
    assert f"{leaf}: good" in text
    http("POST", f"{pki_process.url}/revoke", json.dumps({"serial": serial, "reason": "superseded"}).encode())
    _, text = ocsp(pki_process, leaf, issuing)
    assert "Response verify OK" in text
    assert f"{leaf}: revoked" in text
    assert "superseded" in text


def test_ocsp_says_unknown_of_a_serial_it_never_gave(pki_process, issued, tmp_path):
    _leaf, issuing, _serial = issued
    _, text = openssl(
        "ocsp", "-issuer", issuing, "-serial", "0x1234", "-url", f"{pki_process.url}/ocsp", "-CAfile", pki_process.trust
    )
    assert "0x1234: unknown" in text


def test_ocsp_url_in_the_certificate_is_the_one_that_answers(pki_process, issued):
    leaf, issuing, _ = issued
    _, url = openssl("x509", "-in", leaf, "-noout", "-ocsp_uri")
    code, text = openssl("ocsp", "-issuer", issuing, "-cert", leaf, "-url", url.strip(), "-CAfile", pki_process.trust)
    assert (code, "good" in text) == (0, True), text


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_time_stamp_is_verified_by_openssl(pki_process, tmp_path, algorithm):
    data, query, reply = tmp_path / "data", tmp_path / "query", tmp_path / "reply"
    data.write_bytes(b"to be stamped")
    assert openssl("ts", "-query", "-data", data, f"-{algorithm}", "-cert", "-out", query)[0] == 0
    reply.write_bytes(http("POST", pki_process.tsa, query.read_bytes()))
    code, text = openssl("ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", pki_process.trust)
    assert (code, "Verification: OK" in text) == (0, True), text
    data.write_bytes(b"something else")
    code, text = openssl("ts", "-verify", "-data", data, "-in", reply, "-CAfile", pki_process.trust)
    assert (code != 0, "FAILED" in text) == (True, True), text
    recorded = json.loads(http("GET", f"{pki_process.url}/_recorded"))["stamps"]
    assert recorded[-1]["imprint"] == hashlib.new(algorithm, b"to be stamped").hexdigest()


def test_sha1_is_not_stamped(pki_process, tmp_path):
    data, query = tmp_path / "data", tmp_path / "query"
    data.write_bytes(b"old")
    openssl("ts", "-query", "-data", data, "-sha1", "-out", query)
    reply = tmp_path / "reply"
    reply.write_bytes(http("POST", pki_process.tsa, query.read_bytes()))
    _, text = openssl("ts", "-reply", "-in", reply, "-text")
    assert "Status: Rejected" in text
    assert "unrecognized or unsupported algorithm" in text
    assert openssl("ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", pki_process.trust)[0] != 0


def test_a_foreign_policy_is_not_claimed(pki_process, tmp_path):
    query, reply = tmp_path / "query", tmp_path / "reply"
    openssl("ts", "-query", "-digest", "11" * 32, "-sha256", "-tspolicy", "1.2.3.4.1", "-out", query)
    reply.write_bytes(http("POST", pki_process.tsa, query.read_bytes()))
    _, text = openssl("ts", "-reply", "-in", reply, "-text")
    assert "the requested TSA policy is not supported" in text


def test_time_stamping_unit_is_nothing_else(pki_process, tmp_path):
    data, query, reply, token = (tmp_path / name for name in ("data", "query", "reply", "token"))
    data.write_bytes(b"x")
    openssl("ts", "-query", "-data", data, "-sha256", "-cert", "-out", query)
    reply.write_bytes(http("POST", pki_process.tsa, query.read_bytes()))
    openssl("ts", "-reply", "-in", reply, "-token_out", "-out", token)
    _, text = openssl("pkcs7", "-inform", "DER", "-in", token, "-print_certs")
    certificates = [part.split("-----END")[0] for part in text.split("-----BEGIN CERTIFICATE-----")[1:]]
    texts = []
    for part in certificates:
        body = f"-----BEGIN CERTIFICATE-----{part}-----END CERTIFICATE-----\n"
        texts.append(openssl("x509", "-noout", "-text", input=body.encode())[1])
    unit = next(text for text in texts if "Time-Stamping Unit" in text)
    assert "X509v3 Extended Key Usage: critical\n                Time Stamping\n" in unit


def test_every_certificate_says_that_it_has_no_legal_value(pki_process, issued):
    leaf, issuing, _ = issued
    for certificate in (leaf, issuing, pki_process.trust):
        _, text = openssl("x509", "-in", certificate, "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
        assert "no legal value" in text
        assert "Issuer: C=VN,O=Hỏa Tốc Demo — không có giá trị pháp lý" in text


def test_a_person_may_sign_and_commit_and_nothing_else(issued):
    _, text = openssl("x509", "-in", issued[0], "-noout", "-ext", "keyUsage,extendedKeyUsage,basicConstraints")
    assert "X509v3 Key Usage: critical\n    Digital Signature, Non Repudiation\n" in text
    assert "Extended" not in text
    assert "CA:FALSE" in text


def test_subject_is_the_requests_byte_for_byte(pki_process, make_csr, tmp_path):
    names = {NameOID.COUNTRY_NAME: "VN", NameOID.ORGANIZATION_NAME: "Cơ quan mẫu", NameOID.COMMON_NAME: "Con dấu mẫu"}
    csr = make_csr(names)
    answer = json.loads(http("POST", f"{pki_process.url}/issue?kind=seal", csr))
    options = ["-noout", "-subject", "-nameopt", "dump_all,dump_der,sep_comma_plus"]
    assert openssl("req", *options, input=csr) == openssl("x509", *options, input=answer["certificate"].encode())


def test_private_keys_touch_no_disk(pki_process):
    files = list(pki_process.state.rglob("*"))
    assert sorted(file.name for file in files) == ["chain.pem", "trust.pem"]
    assert not any(b"PRIVATE" in file.read_bytes() for file in files)
