"""Whom the signer believes: registration officers and roots that its operator put into its own folders, nobody else's
table.

The folders are read when needed, so a newly trusted officer or root counts at once. Sources: RFC 5280 §6 (the part of
path validation that one optional intermediate needs), rule "who vouches" of the architecture.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signing.core.codec import CodecError, PublicJwk, parse_jws, public_key, refused_as, thumbprint, unb64u
from signing.core.errors import CertificateRefused, KindRefused, OrganisationRefused, VoucherInvalid
from signing.core.model import RESTORE_TYP, VOUCHER_LIFE_US, VOUCHER_TYP, RestoreOrder, Voucher, VoucherKind

_SKEW_US = 300_000_000
E = TypeVar("E", bound=x509.ExtensionType)


class Officer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`officers.d/<thumbprint>.json`: whose vouchers count, and for which organisations."""

    key: PublicJwk
    organisations: tuple[str, ...]


class Trust:
    """Reads `officers.d` and `roots.d`; `organisations` are the signer's own."""

    def __init__(self, officers: Path, roots: Path, organisations: Sequence[str]) -> None:
        self._officers, self._roots, self.organisations = officers, roots, frozenset(organisations)

    def officer(self, kid: str) -> Officer:
        """The trusted officer with this key thumbprint; raises `VoucherInvalid`."""
        try:
            unb64u(kid, 32)  # also keeps a path out of the file's name
            found = msgspec.json.decode((self._officers / f"{kid}.json").read_bytes(), type=Officer)
        except (CodecError, OSError, msgspec.MsgspecError) as error:
            raise VoucherInvalid("no officer with this key is trusted") from error
        if thumbprint(found.key) != kid:
            raise VoucherInvalid("the officer's file is named after another key")
        return found

    def voucher(self, text: str, kind: VoucherKind, now_us: int) -> Voucher:
        """A verified voucher of this kind; raises VoucherInvalid, KindRefused, OrganisationRefused."""
        try:
            unverified = parse_jws(text, VOUCHER_TYP)
            officer = self.officer(unverified.kid)
            voucher = unverified.verify(officer.key, Voucher)
            unb64u(voucher.credential, 16)
            unb64u(voucher.nonce, 16)
            public_key(voucher.approval_key)
            if kind is VoucherKind.ENROL:
                x509.Name.from_rfc4514_string(voucher.subject)
        except CodecError as error:
            raise VoucherInvalid(str(error)) from error
        except ValueError as error:
            raise VoucherInvalid("the subject is not an RFC 4514 name") from error
        if voucher.kind is not kind:
            raise KindRefused("a voucher of another kind")
        if voucher.organisation not in self.organisations or voucher.organisation not in officer.organisations:
            raise OrganisationRefused("the officer does not vouch for this organisation")
        bounded = 0 < len(voucher.person) <= 128 and len(voucher.subject) <= 1024 and len(voucher.pin_forbidden) <= 32
        if voucher.v != 1 or not bounded or any(len(part) > 64 for part in voucher.pin_forbidden):
            raise VoucherInvalid("a field is out of bounds")
        if not now_us < voucher.not_after <= now_us + VOUCHER_LIFE_US + _SKEW_US:
            raise VoucherInvalid("expired, or valid for more than seven days")
        return voucher

    def restore_order(self, texts: Sequence[str]) -> RestoreOrder:
        """The order that two different officers signed; raises `VoucherInvalid`."""
        orders, signers = set(), set()
        for text in texts:
            with refused_as(VoucherInvalid):
                unverified = parse_jws(text, RESTORE_TYP)
                orders.add(unverified.verify(self.officer(unverified.kid).key, RestoreOrder))
            signers.add(unverified.kid)
        if len(orders) != 1 or len(signers) < 2:
            raise VoucherInvalid("two officers must sign the same order")
        return orders.pop()

    def check_certificate(
        self, certificate: bytes, chain: Sequence[bytes], *, subject: str, public_key: bytes, now_us: int
    ) -> None:
        """Key and subject are the credential's, and the chain (at most one intermediate) ends in a root now.

        Raises `CertificateRefused` with `reason`: form, key, subject, usage, dates, chain.
        """
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            issuers = [x509.load_der_x509_certificate(each) for each in chain]
            spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            usage_ok = _signs_documents(leaf) and all(_issues(ca) for ca in issuers)
        except ValueError as error:
            raise CertificateRefused(reason="form") from error
        if spki != public_key:
            raise CertificateRefused("not this credential's key", reason="key")
        if leaf.subject != x509.Name.from_rfc4514_string(subject):
            raise CertificateRefused(reason="subject")
        if not usage_ok:
            raise CertificateRefused(reason="usage")
        if not all(valid_at(each, now_us) for each in (leaf, *issuers)):
            raise CertificateRefused(reason="dates")
        if len(issuers) > 1 or not self._chains([leaf, *issuers], now_us):
            raise CertificateRefused(reason="chain")

    def _chains(self, path: list[x509.Certificate], now_us: int) -> bool:
        linked = all(_issued_by(lower, upper) for lower, upper in pairwise(path))
        return linked and any(
            _issued_by(path[-1], root) and _issues(root, len(path) - 1) and valid_at(root, now_us)
            for root in self._trusted_roots()
        )

    def _trusted_roots(self) -> list[x509.Certificate]:
        files = sorted(self._roots.glob("*.pem"))
        return [root for file in files for root in x509.load_pem_x509_certificates(file.read_bytes())]


def valid_at(certificate: x509.Certificate, now_us: int) -> bool:
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _issues(certificate: x509.Certificate, below: int = 0) -> bool:
    """May this be the issuer of certificates, with `below` intermediates under it?"""
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    deep_enough = constraints is not None and (constraints.path_length is None or constraints.path_length >= below)
    return constraints is not None and constraints.ca and deep_enough and (usage is None or usage.key_cert_sign)


def _signs_documents(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return not (constraints and constraints.ca) and (
        usage is None or usage.digital_signature or usage.content_commitment
    )


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
