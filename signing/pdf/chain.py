"""Paths of certificates, each proved once (RFC 5280, 6, by the verifier of `cryptography`).

Names, signatures and extensions of a path do not depend on the time it is asked about: only the periods of certificates do. So a proved path
is kept and answers for every moment at which the same of all certificates at hand are valid: the verifier would find the same one, and no
verdict hangs on what was asked before. Any other moment is proved anew. A failure is never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

__all__ = ["VerificationError", "load", "prove"]

_KEPT: Final = 512
_PATHS_KEPT: Final = 64
_SECOND: Final = timedelta(seconds=1)  # the grain of a certificate's period
_MOMENTS_KEPT: Final = 4  # of one certificate, where it chains by another path at another time


class _Path(msgspec.Struct, frozen=True):
    """DER, from the certificate to the root; `since` and `until`: when it is the one that is found, both included."""

    certificates: tuple[bytes, ...]
    since: datetime
    until: datetime


@lru_cache(_KEPT)
def load(der: bytes) -> x509.Certificate:
    """The certificate, parsed once. Raises `ValueError`; names and extensions may raise it only when they are asked for."""
    return x509.load_der_x509_certificate(der)


def prove(
    certificate: bytes, others: Sequence[bytes], roots: Sequence[bytes], moment: datetime, *, stamps: bool = False
) -> tuple[bytes, ...]:
    """The path (DER) from the certificate over some of `others` to one of the `roots`, both ends included, as it holds at `moment` (UTC).

    `stamps`: the certificate must be one for time stamps alone (RFC 3161, 2.3). Raises `VerificationError`, and `ValueError` for what is
    no certificate.
    """
    between = tuple(der for der in others if der != certificate)
    moment = moment.astimezone(UTC).replace(microsecond=0)  # what the verifier sees of it
    proved = _proved(certificate, between, tuple(roots), stamps)
    for path in proved:
        if path.since <= moment <= path.until:
            return path.certificates
    path = _prove(certificate, between, tuple(roots), moment, stamps=stamps)
    proved.insert(0, path)
    del proved[_MOMENTS_KEPT:]
    return path.certificates


@lru_cache(_PATHS_KEPT)
def _proved(_certificate: bytes, _between: tuple[bytes, ...], _roots: tuple[bytes, ...], _stamps: bool) -> list[_Path]:  # noqa: FBT001 -- part of the key
    """Where the paths are kept that were proved for exactly these bytes, the last one first."""
    return []


def _prove(
    certificate: bytes, between: tuple[bytes, ...], roots: tuple[bytes, ...], moment: datetime, *, stamps: bool
) -> _Path:
    leaf_policy = ExtensionPolicy.permit_all()
    if stamps:
        leaf_policy = leaf_policy.require_present(x509.ExtendedKeyUsage, Criticality.CRITICAL, _only_time_stamping)
    believed, others = [load(der) for der in roots], [load(der) for der in between]
    verifier = (
        PolicyBuilder()
        .store(Store(believed))
        .time(moment.replace(tzinfo=None))
        .max_chain_depth(4)
        .extension_policies(ca_policy=_authority_policy(), ee_policy=leaf_policy)
        .build_client_verifier()
    )
    own = load(certificate)
    path = verifier.verify(own, others).chain
    at_hand = (own, *others, *believed)
    begins, ends = {one.not_valid_before_utc for one in at_hand}, {one.not_valid_after_utc for one in at_hand}
    return _Path(
        tuple(one.public_bytes(Encoding.DER) for one in path),
        max({begin for begin in begins if begin <= moment} | {end + _SECOND for end in ends if end < moment}),
        min({end for end in ends if end >= moment} | {begin - _SECOND for begin in begins if begin > moment}),
    )


def _only_time_stamping(_policy: object, _certificate: object, usage: x509.ExtendedKeyUsage | None) -> None:
    """RFC 3161, 2.3: the extended key usage is critical and holds timeStamping alone."""
    if usage is None or list(usage) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise ValueError("not a certificate for time stamps alone")


def _authority_policy() -> ExtensionPolicy:
    """RFC 5280 for the certificates above: a critical basicConstraints that says CA, and keyCertSign where stated."""
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, _is_authority)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign_certificates)
    )


def _is_authority(_policy: object, _certificate: object, constraints: x509.BasicConstraints | None) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("not a certificate authority")


def _may_sign_certificates(_policy: object, _certificate: object, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")
