"""A certificate behind a time stamp that is on hold may come back: nothing is decided by it for good (RFC 5280, 5.3.1)."""

from typing import Any

import pytest

from server.clock import SystemClock
from server.notices.model import NoticeKind
from server.preservation.service import EvidenceMissingError, PreservationService, UnprovenError
from signing.pdf.archive import SignedWith
from signing.pdf.revocation import CertificateState, Status, ValidationData

pytestmark = pytest.mark.asyncio


class Statuses:
    """Says of every certificate that it was revoked after its signature."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def gather(self, *_about: Any) -> tuple[ValidationData, tuple[()]]:
        return ValidationData(), ()

    def status_at(self, certificate: bytes, *_about: Any) -> list[Status]:
        good = Status(state=CertificateState.GOOD)
        if certificate != b"tsa":
            return [good]
        return [Status(state=CertificateState.GOOD, revoked_at_us=9, reason=self.reason), good]


def keeper(reason: str) -> PreservationService:
    none: Any = None
    return PreservationService(
        db=none, blobs=none, pdf=none, previews=none, revocation=Statuses(reason), stamps=none,  # type: ignore[arg-type]
        clock=SystemClock(), level="B-LTA", wait_us=1, fallback="hold", renewal_us=1,
    )  # fmt: skip


SIGNED = SignedWith("HT_SIG1", 10, False, b"signer", (), (b"tsa",), 5)
ARCHIVED = SignedWith("HT_DTS1", 20, True, b"tsa", (), (), 6)


async def test_behind_a_signature_it_is_waited_for() -> None:
    with pytest.raises(EvidenceMissingError):
        await keeper("certificateHold")._evidence([SIGNED], {"HT_SIG1"})
    with pytest.raises(UnprovenError) as caught:
        await keeper("keyCompromise")._evidence([SIGNED], {"HT_SIG1"})
    assert caught.value.found is NoticeKind.STAMP_REVOKED


async def test_behind_the_archive_everything_is_proven_anew_at_once() -> None:
    bare = SignedWith("HT_SIG1", 10, False, b"signer", (), (b"another",), 5)
    assert await keeper("certificateHold")._renewed([bare, ARCHIVED], {"HT_SIG1"}) == ValidationData()
