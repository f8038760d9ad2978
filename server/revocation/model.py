"""What is known of a certificate, and what that means for signing (rules SW-1, SW-4; threat D6)."""

from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from signing.pdf.revocation import CertificateState, Status


class State(StrEnum):
    """`not_checked`: no answer that holds could be had. Only `good` is good."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    NOT_CHECKED = "not_checked"


class Known(msgspec.Struct, frozen=True):
    """A row of `certificate_statuses`: `certificate` and `answer` are hex SHA-256, times microseconds UTC.

    `failing_since_us`: since when no answer says good or revoked; None while one does.
    """

    certificate: str
    state: State
    source: str
    this_update_us: int
    usable_until_us: int
    revoked_at_us: int | None
    reason: str
    answer: str
    checked_us: int
    failing_since_us: int | None

    @property
    def good(self) -> bool:
        return self.state is State.GOOD


def known_from(certificate: str, status: Status, now_us: int, before: Known | None) -> Known:
    """What a fetched status makes of what was known before."""
    state = {
        CertificateState.GOOD: State.GOOD,
        CertificateState.REVOKED: State.REVOKED,
        CertificateState.UNKNOWN: State.UNKNOWN,
        CertificateState.STALE: State.NOT_CHECKED,
    }[status.state]
    settled = state in {State.GOOD, State.REVOKED}
    return Known(
        certificate=certificate,
        state=state,
        source=status.source,
        this_update_us=status.this_update_us,
        usable_until_us=status.usable_until_us,
        revoked_at_us=status.revoked_at_us,
        reason=status.reason,
        answer=status.answer_sha256,
        checked_us=now_us,
        failing_since_us=None if settled else _failing(before, now_us),
    )


def not_checked(certificate: str, now_us: int, before: Known | None) -> Known:
    """No answer could be had. A revocation stays known; a good answer counts until its nextUpdate (threat D6)."""
    if before is not None and (before.state is State.REVOKED or (before.good and now_us <= before.usable_until_us)):
        return before
    return Known(
        certificate=certificate,
        state=State.NOT_CHECKED,
        source="",
        this_update_us=0,
        usable_until_us=0,
        revoked_at_us=None,
        reason="",
        answer="",
        checked_us=now_us,
        failing_since_us=_failing(before, now_us),
    )


def _failing(before: Known | None, now_us: int) -> int:
    if before is None or before.failing_since_us is None:
        return now_us
    return before.failing_since_us


def worst(found: Sequence[Known]) -> Known:
    """The one that decides for a whole path."""
    order = (State.REVOKED, State.NOT_CHECKED, State.UNKNOWN, State.GOOD)
    return min(found, key=lambda known: order.index(known.state))


class Hosts:
    """The configured hosts, `name` or `name:port`; without a port the scheme's own (threat C11)."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._allowed = frozenset(host.strip().lower() for host in hosts)

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def allow(self, url: str) -> bool:
        """Whether an address that stands in a certificate may be called: exact host and port, http or https, nothing else."""
        try:
            parts = urlsplit(url)
            port, host = parts.port, (parts.hostname or "").lower()
        except ValueError:
            return False
        if parts.scheme not in {"http", "https"} or parts.username is not None or parts.password is not None:
            return False
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or len(url) > 2048:
            return False
        standard = {"http": 80, "https": 443}[parts.scheme]
        named = f"[{host}]" if ":" in host else host
        if f"{named}:{port or standard}" in self._allowed:
            return True
        return port in {None, standard} and named in self._allowed
