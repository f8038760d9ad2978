"""The HTTP side of time stamps: configured authorities in order, and nobody else."""

import pytest

from server.demo.loopback import LoopbackServer, Reply
from server.demo.pki import DemoPki
from server.timestamps import NoStamp, TimeStamps
from signing.pdf.timestamp import TimeStampTrust
from tests.fakes.clock import FrozenClock


def clock_now() -> FrozenClock:
    import time

    return FrozenClock(time.time_ns() // 1000)


def trust(pki: DemoPki) -> TimeStampTrust:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    roots = x509.load_pem_x509_certificates(pki.authority.trust_pem.encode())
    return TimeStampTrust(roots=tuple(root.public_bytes(Encoding.DER) for root in roots))


@pytest.mark.asyncio
async def test_the_next_authority_is_asked_when_one_fails_and_redirects_lead_nowhere():
    """C11, D5: a redirect is never followed; an authority that fails is passed over."""
    led: list[str] = []

    async def canary(request):
        led.append(request.path)
        return Reply(200, b"")

    async with LoopbackServer(canary) as elsewhere, DemoPki() as pki:

        async def redirecting(_request):
            return Reply(302, headers={"Location": elsewhere.url + "/led"})

        async with LoopbackServer(redirecting) as bad:
            stamps = TimeStamps([bad.url, pki.tsa_url], trust(pki), clock_now())
            try:
                assert await stamps.fetch(b"a signature value")
            finally:
                await stamps.close()
        assert led == []
        assert len(pki.stamps) == 1


@pytest.mark.asyncio
async def test_a_token_that_does_not_fit_or_is_too_early_is_no_token():
    async with DemoPki() as pki:
        clock = clock_now()
        stamps = TimeStamps([pki.tsa_url], trust(pki), clock)
        try:
            with pytest.raises(NoStamp):
                await stamps.fetch(b"a signature value", room=100)
            with pytest.raises(NoStamp):
                await stamps.fetch(b"a signature value", not_before_us=clock.now_us() + 5_000_000)
        finally:
            await stamps.close()


@pytest.mark.asyncio
async def test_no_authority_means_no_stamp():
    async with DemoPki() as pki:
        pki.switches.tsa = False
        stamps = TimeStamps([pki.tsa_url, "http://127.0.0.1:1"], trust(pki), clock_now())
        try:
            with pytest.raises(NoStamp):
                await stamps.fetch(b"a signature value")
        finally:
            await stamps.close()
