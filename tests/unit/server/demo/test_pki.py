"""The demonstration PKI in process: what it refuses, its switches, and a TLS certificate that a client accepts."""

import asyncio
import datetime as dt
import ssl

import httpx2
import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID
from pyhanko.sign.timestamps import HTTPTimeStamper

from server.demo.authority import IssueError, Kind
from server.demo.pki import DemoPki
from server.demo.tls import request_server_certificate


def broken(csr):
    """One bit of the request's signature changed."""
    der = x509.load_pem_x509_csr(csr).public_bytes(encoding=serialization.Encoding.DER)
    return der[:-1] + bytes([der[-1] ^ 1])


@pytest.mark.asyncio
async def test_pyhanko_gets_a_token(pki):
    token = await HTTPTimeStamper(pki.tsa_url).async_timestamp(b"\x11" * 32, "sha256")
    info = token["content"]["encap_content_info"]["content"].parsed
    assert isinstance(info, tsp.TSTInfo)
    assert info["message_imprint"]["hashed_message"].native == b"\x11" * 32
    assert [imprint for imprint, _ in pki.stamps] == ["11" * 32]


@pytest.mark.asyncio
async def test_time_is_the_given_clocks():
    moment = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    async with DemoPki(now=lambda: moment) as pki:
        token = await HTTPTimeStamper(pki.tsa_url).async_timestamp(b"\x11" * 32, "sha256")
        assert token["content"]["encap_content_info"]["content"].parsed["gen_time"].native == moment


@pytest.mark.asyncio
async def test_refused_requests(pki, make_csr):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    refused = [
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nxx\n-----END CERTIFICATE REQUEST-----\n",
        b"\x30" * 20_000,
        broken(make_csr()),
        make_csr(key=small),
        make_csr({NameOID.COUNTRY_NAME: "VN"}),
    ]
    for csr in refused:
        with pytest.raises(IssueError):
            pki.authority.issue(csr, Kind.PERSON)
    with pytest.raises(IssueError):
        pki.authority.issue(make_csr(), Kind.SEAL)
    with pytest.raises(IssueError):
        pki.authority.issue(make_csr(), Kind.SERVER)
    with pytest.raises(IssueError):
        pki.authority.issue(make_csr(address=x509.RFC822Name("a@b.example")), Kind.SERVER)
    with pytest.raises(IssueError):
        pki.authority.revoke(1, x509.ReasonFlags.key_compromise)
    async with httpx2.AsyncClient(trust_env=False) as client:
        for method, path, body in [
            ("POST", "/issue?kind=person", b"junk"),
            ("POST", "/issue?kind=emperor", make_csr()),
            ("POST", "/ocsp", b"junk"),
            ("POST", "/tsa", b"junk"),
            ("POST", "/revoke", b'{"serial": "zz"}'),
            ("PUT", "/_switch", b'{"tsa": "perhaps"}'),
        ]:
            answer = await client.request(method, pki.url + path, content=body)
            assert answer.status_code == 400, path
        assert (await client.get(f"{pki.url}/nowhere")).status_code == 404
    assert {entry.kind for entry in pki.authority.issued.values()} == {"unit"}


@pytest.mark.asyncio
async def test_ed25519_is_not_certified(pki):
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
    with pytest.raises(IssueError):
        pki.authority.issue(csr.public_bytes(serialization.Encoding.DER), Kind.PERSON)


@pytest.mark.asyncio
async def test_switches(pki):
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.put(f"{pki.url}/_switch", json={"tsa": "off"})).status_code == 204
        assert (await client.post(pki.tsa_url, content=b"")).status_code == 503
        assert (await client.get(f"{pki.url}/issuing.crl")).status_code == 200
        assert pki.stamps == []
        await client.put(f"{pki.url}/_switch", json={"tsa": "on", "crl": "off"})
        assert (await client.get(f"{pki.url}/issuing.crl")).status_code == 503
        assert await HTTPTimeStamper(pki.tsa_url).async_timestamp(b"\x11" * 32, "sha256")
        await client.put(f"{pki.url}/_switch", json={"delay_s": 3600})
        with pytest.raises(httpx2.ReadTimeout):
            await client.post(pki.tsa_url, content=_query(), timeout=0.2)


def _query():
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"\x22" * 32}
    return tsp.TimeStampReq({"version": 1, "message_imprint": imprint, "nonce": 7}).dump()


@pytest.mark.asyncio
async def test_revoking_twice_keeps_the_first_moment(make_csr):
    moments = iter(dt.datetime(2031, 1, day, tzinfo=dt.UTC) for day in range(1, 29))
    async with DemoPki(now=lambda: next(moments)) as pki:
        serial = pki.authority.issue(make_csr(), Kind.PERSON).serial_number
        pki.authority.revoke(serial, x509.ReasonFlags.superseded)
        first = pki.authority.issued[serial].revoked_at
        pki.authority.revoke(serial, x509.ReasonFlags.key_compromise)
        assert pki.authority.issued[serial].revoked_at == first
        assert pki.authority.issued[serial].reason is x509.ReasonFlags.superseded


@pytest.mark.asyncio
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
async def test_a_client_that_trusts_the_root_accepts_the_server(pki, tmp_path, address):
    made = await request_server_certificate(pki.url, address, tmp_path)
    assert made.key_file.stat().st_mode & 0o777 == 0o600
    assert len(made.fingerprint) == len(made.root_fingerprint) == 95
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(made.chain_file, made.key_file)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cadata=pki.authority.trust_pem)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=address)
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="other.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname=address)
    server.close()
    await server.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("address", ["", "a b", "http://x", "*.example", "x" * 300])
async def test_what_is_no_address(pki, tmp_path, address):
    with pytest.raises(ValueError, match="neither"):
        await request_server_certificate(pki.url, address, tmp_path)
