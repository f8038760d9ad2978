"""The signer's wire for whoever may speak to it. Sealed PINs, approvals and vouchers pass through as they came.

Every method raises a subclass of `SignerError` (see `signing.core.errors`; `.code` is stable): `Unavailable` when the
signer cannot be reached or does not answer in time. After `Unavailable`, and after being cancelled, an activation may
have happened: ask `result(challenge)`, or fence it with `void(challenge)`.
"""

import asyncio
import contextlib
import select
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from signing import cms as _cms
from signing.core import wire
from signing.core.codec import PublicJwk
from signing.core.errors import Busy, SignerError, Unavailable, WrongPin, error_from
from signing.core.model import (
    FRAME_LIMIT,
    Activation,
    ActivationState,
    Approval,
    ChallengeGrant,
    ChallengeId,
    CredentialId,
    DeviceId,
    Enrolment,
    Item,
    KeyType,
    Kind,
    LogEvents,
    LogHead,
    Outcome,
    Signature,
    Status,
    Voucher,
    VoucherKind,
)

__all__ = [
    "Activation",
    "ActivationState",
    "Approval",
    "Busy",
    "ChallengeGrant",
    "ChallengeId",
    "CredentialId",
    "DeviceId",
    "Enrolment",
    "Item",
    "KeyType",
    "Kind",
    "LogEvents",
    "LogHead",
    "Outcome",
    "PublicJwk",
    "Signature",
    "SignerClient",
    "SignerError",
    "Status",
    "Unavailable",
    "Voucher",
    "VoucherKind",
    "WrongPin",
    "cms",
]

T = TypeVar("T")


def cms(activation: Activation) -> list[bytes]:
    """One CMS SignedData (DER, ContentInfo) per item, without a time stamp; add it with
    `signing.cms.with_timestamp`.
    """
    return [
        _cms.assemble(
            item.signed_attributes, item.signature, activation.key_type, activation.certificate, activation.chain
        )
        for item in activation.signatures
    ]


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def call(self, request: bytes) -> bytes:
        self._writer.write(len(request).to_bytes(4, "big") + request)
        await self._writer.drain()
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if length > FRAME_LIMIT:
            raise ConnectionError("frame too large")
        return await self._reader.readexactly(length)

    def usable(self) -> bool:
        """An idle connection that can be read from has ended; the event loop may not have noticed yet."""
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._writer.is_closing() and not poll.poll(0)

    def close(self) -> None:
        self._writer.close()

    async def closed(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class SignerClient:
    """Connections to one signer, opened as needed and kept; safe for any number of tasks of one event loop.

    `timeout_s` bounds one call, queueing included; `connections` bounds how many calls are on the wire at once.
    """

    def __init__(self, socket_path: str | Path, *, timeout_s: float = 30.0, connections: int = 64) -> None:
        self._path = str(socket_path)
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        """Close the idle connections; calls that run finish on theirs."""
        while self._idle:
            await self._idle.pop().closed()

    async def challenge(self, credential: str, approval_key: str) -> ChallengeGrant:
        """A challenge for one activation of `credential` by the device whose approval key has this thumbprint; 120 s."""
        return await self._call(wire.ChallengeRequest(CredentialId(credential), approval_key), ChallengeGrant)

    async def sealing_key(self) -> ChallengeGrant:
        """The sealing key's statement without a challenge (`challenge` is ""): for enrolment, where the voucher binds
        the PIN.
        """
        return await self._call(wire.SealingKeyRequest(), ChallengeGrant)

    async def enrol(self, voucher: str, join: str, sealed_pin: bytes) -> Enrolment:
        """Create the credential that an officer's voucher names; the same voucher and join give the same CSR again.

        Raises VoucherInvalid, VoucherSpent, KindRefused, OrganisationRefused, ApprovalInvalid, PinMalformed,
        PinForbidden, CredentialExists, Busy.
        """
        return await self._call(wire.EnrolRequest(voucher, join, sealed_pin), Enrolment)

    async def import_certificate(self, credential: str, certificate: bytes, chain: Sequence[bytes] = ()) -> None:
        """Give the credential its certificate (DER) and at most one intermediate; also renewal (same key and subject).

        Raises CertificateRefused(`reason`), UnknownCredential.
        """
        await self._call(wire.ImportCertificateRequest(CredentialId(credential), certificate, tuple(chain)), type(None))

    async def activate(self, approval: str, sealed_pin: bytes) -> Activation:
        """Sign all items of a `document` approval, or none.

        Raises, before a try is charged: ApprovalInvalid, KindRefused, UnknownCredential, UnknownDevice, DeviceRevoked,
        ChallengeExpired, ChallengeUsed, Locked, Ended, Frozen, Suspended, Busy, CertificateMissing, PinMalformed,
        ClockDrift; after it: WrongPin(tries_left, locked_until_us), Void, Unavailable.
        """
        return await self._activate(wire.ActivateRequest(Kind.DOCUMENT, approval, sealed_pin))

    async def change_pin(self, approval: str, sealed_pin: bytes) -> Activation:
        """Old and new PIN are both in the sealed blob. Raises as `activate`, and PinForbidden(`reason`) uncharged."""
        return await self._activate(wire.ActivateRequest(Kind.CHANGE_PIN, approval, sealed_pin))

    async def add_device(self, approval: str, sealed_pin: bytes, voucher: str) -> Activation:
        """Admit a further approval key of a holder: approved by the new key, named in the voucher, with the holder's
        PIN.
        """
        return await self._activate(wire.ActivateRequest(Kind.ADD_DEVICE, approval, sealed_pin, voucher))

    async def add_holder(
        self, approval: str, sealed_pin: bytes, voucher: str, join: str, join_sealed_pin: bytes
    ) -> Activation:
        """Hand the key to a further holder: an existing holder's approval and PIN, the newcomer's voucher, join and
        PIN.
        """
        return await self._activate(
            wire.ActivateRequest(Kind.ADD_HOLDER, approval, sealed_pin, voucher, join, join_sealed_pin)
        )

    async def reactivate(self, voucher: str) -> None:
        """After an accepted restore: the officer's voucher names an approval key to keep, and its holder."""
        await self._call(wire.ReactivateRequest(voucher), type(None))

    async def result(self, challenge: str) -> Outcome:
        """How an activation stands: running, signed (with the signatures), void, wrong_pin, or unknown to the signer."""
        return await self._call(wire.ResultRequest(challenge), Outcome)

    async def void(self, challenge: str) -> Outcome:
        """Fence an activation: afterwards it is void for ever, or was already signed (then the signatures come back)."""
        return await self._call(wire.VoidRequest(challenge), Outcome)

    async def status(self, credential: str) -> Status:
        """Holders with tries, locks and devices; certificate and CSR. Raises UnknownCredential."""
        return await self._call(wire.StatusRequest(CredentialId(credential)), Status)

    async def revoke_device(self, credential: str, device: str) -> None:
        """End an approval key for ever; its running activations become void. Idempotent."""
        await self._call(wire.RevokeDeviceRequest(CredentialId(credential), device), type(None))

    async def freeze(self, credential: str) -> None:
        """Stop all signing with the credential; running activations become void. Idempotent."""
        await self._call(wire.FreezeRequest(CredentialId(credential), frozen=True), type(None))

    async def unfreeze(self, credential: str) -> None:
        await self._call(wire.FreezeRequest(CredentialId(credential), frozen=False), type(None))

    async def log_head(self) -> LogHead:
        """The newest durable signed head; `Head` is its payload."""
        return await self._call(wire.LogHeadRequest(), LogHead)

    async def log_events(self, start: int, count: int = 1000) -> LogEvents:
        """Events of the signer's log from index `start`, for proofs with `signing.proofs`; fewer if the frame is
        full.
        """
        return await self._call(wire.LogEventsRequest(start, count), LogEvents)

    async def _activate(self, request: wire.ActivateRequest) -> Activation:
        return await self._call(request, Activation)

    async def _call(self, request: wire.Request, type_: type[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                answer = await self._exchange(msgspec.msgpack.encode(request))
        except (OSError, EOFError, TimeoutError) as error:
            raise Unavailable("the signer does not answer") from error
        decoded = msgspec.msgpack.decode(answer, type=dict[str, msgspec.Raw])
        if "ok" in decoded:
            return msgspec.msgpack.decode(decoded["ok"], type=type_)
        refusal = msgspec.msgpack.decode(answer, type=wire.Refusal)
        raise error_from(refusal.error, refusal.detail, refusal.fields)

    async def _exchange(self, request: bytes) -> bytes:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                break
            connection.close()
        else:
            connection = _Connection(*await asyncio.open_unix_connection(self._path, limit=FRAME_LIMIT))
        try:
            answer = await connection.call(request)
        except BaseException:
            connection.close()  # half a dialogue must not be given to the next caller
            raise
        self._idle.append(connection)
        return answer
