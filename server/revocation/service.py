"""Asking for a certificate's status: cached until nextUpdate, from configured hosts alone (SW-4; threats C11, D6).

The addresses stand in certificates, which are data: one that is not on the operator's list is never called. No redirect is
followed, no proxy of the environment used; size and time are bounded. What answers is judged by `signing.pdf.revocation`.
"""

import asyncio
import contextlib
import hashlib
import itertools
import secrets
from collections.abc import Mapping, Sequence
from functools import partial

import structlog
from asn1crypto import parser

from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.errors import Refused
from server.jobs import Context, Handler, Job, Periodic
from server.outgoing import AnswerTooLarge, NoAnswer, Outgoing
from server.revocation import queries
from server.revocation.model import Hosts, Known, State, known_from, not_checked, worst
from server.wire import iso
from signing.pdf.errors import PdfError
from signing.pdf.revocation import (
    MAX_CRL,
    MAX_OCSP,
    ON_HOLD,
    Status,
    ValidationData,
    check_crl,
    check_ocsp,
    ocsp_request,
    path_of,
    sources,
    status_of,
)

__all__ = ["RevocationService", "der_sequence"]

log = structlog.get_logger()

_UNUSED_US = 7 * 24 * 3600 * 1_000_000
_WHOLE_ANSWER = 2
_WHOLE_LIST = 6
"""How many times `timeout_s` a whole call may take: an answer is small, a list may have megabytes."""


class RevocationService:
    """`hosts`: whom to ask (`trust.status_hosts`); none: every status stays `not_checked`, and nothing is refused for it.

    `fresh_us`: how long a good answer is used without asking again, though its nextUpdate may lie later. `grace_us`: how long
    signing goes on, with a warning, while no status can be had.
    """

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        hosts: Sequence[str],
        roots: Sequence[bytes],
        timeout_s: float,
        fresh_us: int,
        grace_us: int,
    ) -> None:
        self._db = db
        self._clock = clock
        self._hosts = Hosts(hosts)
        self._roots = tuple(roots)
        self._timeout_s = timeout_s
        self._fresh_us = fresh_us
        self._grace_us = grace_us
        self._http = Outgoing(read_s=timeout_s)
        self._under_way: dict[str, asyncio.Task[Known]] = {}

    async def close(self) -> None:
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._http.close()

    @property
    def configured(self) -> bool:
        return bool(self._hosts)

    def path(self, certificate: bytes, pool: Sequence[bytes]) -> tuple[bytes, ...]:
        """The certificate and those above it, up to a configured root where the pool leads there."""
        return path_of(certificate, (*pool, *self._roots))

    async def known_revoked(self, certificate: bytes) -> bool:
        """Whether an answer that was had before says so; nobody is asked, so a suspension, which may end, counts as long as its answer does."""
        found = await queries.known(self._db, _hex(certificate))
        if found is None or found.revoked_at_us is None:
            return False
        return found.reason != ON_HOLD or self._clock.now_us() <= found.usable_until_us

    async def check(self, certificate: bytes, pool: Sequence[bytes], *, since_us: int = 0) -> tuple[Known, ...]:
        """What is known of every certificate of the path but the root, asked for where need be; never raises for an outage.

        `since_us`: answers from before it are asked for anew, as they cannot speak of a signature made then.
        """
        path = self.path(certificate, pool)
        pairs = list(itertools.pairwise(path))
        if not pairs:
            # Without its issuer nothing can be asked about a certificate; since when stands written, or the grace would never end.
            key, now_us = _hex(certificate), self._clock.now_us()
            before = await queries.known(self._db, key)
            found = not_checked(key, now_us, before)
            if before is None and self._hosts:
                await self._db.transact(lambda tx: queries.put_known(tx, found))
            return (found,)
        keys = [_hex(own) for own, _ in pairs]

        async def look(reads: Reads) -> list[Known | None]:
            return [await queries.known(reads, key) for key in keys]

        one = partial(self._one, since_us=since_us)
        return tuple(await asyncio.gather(*map(one, keys, pairs, await self._db.read(look))))

    async def data(self, found: Sequence[Known]) -> ValidationData:
        """The answers behind what is known, as the store of a file keeps them."""
        digests = list(dict.fromkeys(known.answer for known in found if known.answer))
        rows = await self._db.read(lambda reads: queries.answers(reads, digests))
        by_source = {
            source: tuple(bytes(row["answer"]) for row in rows if row["source"] == source) for source in ("ocsp", "crl")
        }
        return ValidationData(ocsps=by_source["ocsp"], crls=by_source["crl"])

    async def _one(self, key: str, pair: tuple[bytes, bytes], before: Known | None, since_us: int) -> Known:
        """Of a certificate and its issuer's, by what was known `before`."""
        now_us = self._clock.now_us()
        if before is not None and self._usable(before, now_us, since_us):
            return before
        # One question at a time for each certificate, whoever asks: a sheet that closes does not end another's question.
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, *pair, before, now_us))
            self._under_way[key] = task
            task.add_done_callback(lambda _done: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    def _usable(self, known: Known, now_us: int, since_us: int) -> bool:
        # After a clock that was wrong (threat D7) an answer may seem to come from the future: it is asked for anew.
        if known.state not in {State.GOOD, State.REVOKED} or known.this_update_us > now_us + 60_000_000:
            return False
        # A list comes when it comes; a responder can be asked again.
        if known.source == "ocsp" and known.this_update_us < since_us - 1_000_000:
            return False
        return now_us <= min(known.usable_until_us, known.checked_us + self._fresh_us)

    async def _ask(self, key: str, certificate: bytes, issuer: bytes, before: Known | None, now_us: int) -> Known:
        answer = await self._fetch(certificate, issuer, now_us) if self._hosts else None
        found = not_checked(key, now_us, before) if answer is None else known_from(key, answer[0], now_us, before)

        async def body(tx: Transaction) -> Known:
            if answer is not None:
                await queries.put_answer(tx, found.answer, found.source, answer[1], now_us)
            if found is before:
                return found
            await queries.put_known(tx, found)
            stands = await queries.known(tx, key)
            # A revocation that this answer does not end is what is known, here as in the transaction that asks again.
            return stands if stands is not None and stands.state is State.REVOKED else found

        decided = await self._db.transact(body)
        if decided.state is not State.GOOD:
            log.warning("certificate-status", certificate=key, state=decided.state.value)
        return decided

    async def _fetch(self, certificate: bytes, issuer: bytes, now_us: int) -> tuple[Status, bytes] | None:
        """The first answer that holds: OCSP in the certificate's order, then its lists."""
        try:
            places = sources(certificate)
        except PdfError:
            return None
        last: tuple[Status, bytes] | None = None
        for url in places.ocsp:
            found = await self._ocsp(url, certificate, issuer, now_us)
            if found is not None:
                last = last or found
                if found[0].state in {"good", "revoked"}:
                    return found
        for url in places.crl:
            found = await self._crl(url, certificate, issuer, now_us)
            if found is not None and found[0].state in {"good", "revoked"}:
                return found
        return last

    async def _ocsp(self, url: str, certificate: bytes, issuer: bytes, now_us: int) -> tuple[Status, bytes] | None:
        nonce = secrets.token_bytes(32)
        try:
            request = ocsp_request(certificate, issuer, nonce)
            answer = await self._call("POST", url, MAX_OCSP, request)
            return check_ocsp(answer, certificate, issuer, at_us=now_us, now_us=now_us, nonce=nonce), answer
        except (PdfError, NoAnswer, OSError, ValueError) as error:
            log.warning("ocsp-failed", cause=getattr(error, "code", type(error).__name__))
            return None

    async def _crl(self, url: str, certificate: bytes, issuer: bytes, now_us: int) -> tuple[Status, bytes] | None:
        try:
            if not self._hosts.allow(url):
                raise PdfError("status-untrusted", "the address is on no list of ours")
            held = await queries.list_of(self._db, url, now_us)
            if held is not None:
                with contextlib.suppress(PdfError):
                    return await asyncio.to_thread(
                        check_crl, held, certificate, issuer, at_us=now_us, now_us=now_us
                    ), held
            raw = await self._call("GET", url, MAX_CRL, None)
            status = await asyncio.to_thread(check_crl, raw, certificate, issuer, at_us=now_us, now_us=now_us)
        except (PdfError, NoAnswer, OSError, ValueError) as error:
            log.warning("crl-failed", cause=getattr(error, "code", type(error).__name__))
            return None
        digest = hashlib.sha256(raw).hexdigest()
        until = min(status.usable_until_us, now_us + self._fresh_us)

        async def body(tx: Transaction) -> None:
            await queries.put_answer(tx, digest, "crl", raw, now_us)
            await queries.put_list(tx, url, digest, until, now_us)

        await self._db.transact(body)
        return status, raw

    async def _call(self, method: str, url: str, limit: int, body: bytes | None) -> bytes:
        if not self._hosts.allow(url):
            raise PdfError("status-untrusted", "the address is on no list of ours")
        headers = {"Content-Type": "application/ocsp-request"} if body is not None else {}
        # The client's own limit is for each read: a server that drips would hold a sheet for hours.
        async with (
            asyncio.timeout((_WHOLE_LIST if body is None else _WHOLE_ANSWER) * self._timeout_s),
            self._http.call(method, url, body=body or b"", headers=headers) as answer,
        ):
            if answer.status != 200:
                raise PdfError("status-bad-answer", f"HTTP {answer.status}")
            try:
                return await answer.read(limit)
            except AnswerTooLarge:
                raise PdfError("status-bad-answer", "the answer is too large") from None

    # Signing.

    def require(self, found: Sequence[Known]) -> Known:
        """The status that decides for a path.

        Raises: Refused("certificate-revoked"); Refused("certificate-status-unavailable") where none could be had for longer than
        the grace (D6: fail closed). Else signing may go on, with a warning where it is not good (SW-4).
        """
        decides = worst(found)
        if decides.state is State.REVOKED:
            at = decides.revoked_at_us
            raise Refused("certificate-revoked", revoked_at=None if at is None else iso(at))
        if decides.state is not State.GOOD and self._hosts and self.stops_us(decides) < self._clock.now_us():
            raise Refused("certificate-status-unavailable")
        return decides

    def stops_us(self, found: Known) -> int:
        """Until when signing goes on without a status; only where hosts are configured does it stop."""
        return (found.failing_since_us or found.checked_us) + self._grace_us

    async def keep(self, tx: Transaction, prepared: str, found: Sequence[Known]) -> None:
        """The evidence that a prepared revision was opened with (SW-5)."""
        for known in found:
            await queries.put_evidence(tx, prepared, known)

    async def require_still(self, tx: Reads, prepared: str) -> dict[str, str]:
        """The same judgement in the transaction that records the intent, by what is known then; no network.

        Returns what the audit event says of it. Raises: as `require`.
        """
        found = await queries.known_for(tx, prepared)
        if not found:
            return {"certificate_status": State.NOT_CHECKED.value}
        decides = self.require(found)
        return {"certificate_status": decides.state.value, "status_answer": decides.answer}

    # Evidence for a file's store.

    async def gather(
        self, certificate: bytes, pool: Sequence[bytes], at_us: int
    ) -> tuple[ValidationData, tuple[Known, ...]]:
        """Path, answers and verdicts for a signature made at `at_us`, with answers from after it wherever they can be had."""
        path = self.path(certificate, pool)
        found = await self.check(certificate, pool, since_us=at_us)
        answers = await self.data(found)
        return ValidationData(path, answers.ocsps, answers.crls), found

    def status_at(self, certificate: bytes, pool: Sequence[bytes], data: ValidationData, at_us: int) -> list[Status]:
        """What the gathered answers prove of every certificate of the path at `at_us`; empty where the path ends at no root."""
        path = self.path(certificate, pool)
        if path[-1] not in self._roots:
            return []
        now_us = self._clock.now_us()
        return [status_of(own, above, data, at_us=at_us, now_us=now_us) for own, above in itertools.pairwise(path)]

    # Jobs.

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="revocation.sweep", every_s=3600, handler=self.sweep)]

    async def sweep(self, _job: Job, _context: Context) -> None:
        """Forget answers that neither a cache nor a signature names."""
        await self._db.transact(lambda tx: queries.forget_answers(tx, self._clock.now_us() - _UNUSED_US))


def der_sequence(data: bytes) -> tuple[bytes, ...]:
    """DER elements that stand one after another, as a credential's chain is kept; empty where they cannot be told apart."""
    found: list[bytes] = []
    while data:
        try:
            length = int(parser.peek(data))
        except ValueError:
            return ()
        found.append(data[:length])
        data = data[length:]
    return tuple(found)


def _hex(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()
