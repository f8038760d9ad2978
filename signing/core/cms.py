"""CMS SignedData of one profile, from DER: detached, one signer, three signed attributes, certificates once.

Sources: RFC 5652 (CMS), RFC 5035 (signing-certificate-v2), RFC 5754 and RFC 4056 (algorithms), ETSI EN 319 122-1 §5 and
EN 319 142-1 (PAdES baseline: content-type, message-digest, signing-certificate-v2; no signing-time). The signed
attributes are built from `tbs` alone, so whoever signs them needs no file.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from signing.core.model import KeyType

__all__ = ["assemble", "signature_value", "signed_attributes", "with_timestamp"]


class CmsError(ValueError):
    """The bytes are not DER of this module's profile."""


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return _tlv(0x06, bytes(body))


def _seq(*parts: bytes) -> bytes:
    return _tlv(0x30, *parts)


def _set_of(*parts: bytes) -> bytes:
    return _tlv(0x31, *sorted(parts))


def _int(value: int) -> bytes:
    return _tlv(0x02, bytes([value]))


_DATA = _oid("1.2.840.113549.1.7.1")
_SIGNED_DATA = _oid("1.2.840.113549.1.7.2")
_CONTENT_TYPE = _oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = _oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = _oid("1.2.840.113549.1.9.16.2.47")
_TIMESTAMP_TOKEN = _oid("1.2.840.113549.1.9.16.2.14")
_SHA256_OID = _oid("2.16.840.1.101.3.4.2.1")
_SHA256 = _seq(_SHA256_OID)
_SHA256_NULL = _seq(_SHA256_OID, _tlv(0x05))  # RFC 4055's own identifier carries NULL
_ALGORITHM = {
    KeyType.P256: _seq(_oid("1.2.840.10045.4.3.2")),
    KeyType.RSA3072: _seq(
        _oid("1.2.840.113549.1.1.10"),
        _seq(
            _tlv(0xA0, _SHA256_NULL), _tlv(0xA1, _seq(_oid("1.2.840.113549.1.1.8"), _SHA256_NULL)), _tlv(0xA2, _int(32))
        ),
    ),
}


def signed_attributes(tbs: bytes, certificate: bytes) -> bytes:
    """The DER SET OF that is signed: content-type id-data, message-digest `tbs` (32 bytes), signing-certificate-v2.

    ESSCertIDv2 has the default hash SHA-256 and no issuerSerial, which the SignerInfo names already.
    """
    if len(tbs) != 32:
        raise CmsError("tbs is a SHA-256 digest")
    certificate_id = _seq(_seq(_seq(_tlv(0x04, sha256(certificate).digest()))))
    return _set_of(
        _seq(_CONTENT_TYPE, _tlv(0x31, _DATA)),
        _seq(_MESSAGE_DIGEST, _tlv(0x31, _tlv(0x04, tbs))),
        _seq(_SIGNING_CERTIFICATE_V2, _tlv(0x31, certificate_id)),
    )


def assemble(
    attributes: bytes, signature: bytes, key_type: KeyType, certificate: bytes, chain: Sequence[bytes]
) -> bytes:
    """ContentInfo (DER) around a raw signature over `attributes`; every certificate stands in it once."""
    serial, issuer = _serial_and_issuer(certificate)
    signer_info = _seq(
        _int(1),
        _seq(issuer, serial),
        _SHA256,
        b"\xa0" + attributes[1:],  # the SET's bytes under the implicit tag [0]
        _ALGORITHM[key_type],
        _tlv(0x04, signature),
    )
    certificates = _tlv(0xA0, *sorted({certificate, *chain}))
    signed_data = _seq(_int(1), _set_of(_SHA256), _seq(_DATA), certificates, _tlv(0x31, signer_info))
    return _seq(_SIGNED_DATA, _tlv(0xA0, signed_data))


def with_timestamp(cms: bytes, token: bytes) -> bytes:
    """The same CMS with an RFC 3161 token (ContentInfo DER) as its only unsigned attribute; B-B becomes B-T.

    The token's message imprint must be over `signature_value(cms)`; the caller checks it.
    """
    signed_data = _signed_data(cms)
    *head, signer_infos = signed_data
    (signer_info,) = _children(signer_infos)
    fields = list(_children(signer_info))[:6]
    unsigned = _tlv(0xA1, _seq(_TIMESTAMP_TOKEN, _tlv(0x31, token)))
    return _seq(_SIGNED_DATA, _tlv(0xA0, _seq(*head, _tlv(0x31, _seq(*fields, unsigned)))))


def signature_value(cms: bytes) -> bytes:
    """The raw signature inside: what a time stamp's message imprint is computed over (RFC 3161 appendix A)."""
    (signer_info,) = _children(_signed_data(cms)[-1])
    return _body(list(_children(signer_info))[5])


def _signed_data(cms: bytes) -> list[bytes]:
    try:
        content_type, content = _children(cms)
        (signed_data,) = _children(content)
        fields = list(_children(signed_data))
    except ValueError as error:
        raise CmsError("not a SignedData of this profile") from error
    if content_type != _SIGNED_DATA or len(fields) != 5:
        raise CmsError("not a SignedData of this profile")
    return fields


def _serial_and_issuer(certificate: bytes) -> tuple[bytes, bytes]:
    tbs_certificate = next(_children(certificate))
    fields = list(_children(tbs_certificate))
    offset = 1 if fields[0][0] == 0xA0 else 0  # version is absent in v1
    return fields[offset], fields[offset + 2]


def _span(data: bytes, offset: int) -> tuple[int, int]:
    """Start of the content and end of the element at `offset`."""
    try:
        length, start = data[offset + 1], offset + 2
    except IndexError as error:
        raise CmsError("element is cut off") from error
    if length & 0x80:
        count = length & 0x7F
        start += count
        length = int.from_bytes(data[offset + 2 : start], "big")
    if start + length > len(data):
        raise CmsError("element is cut off")
    return start, start + length


def _body(element: bytes) -> bytes:
    start, end = _span(element, 0)
    return element[start:end]


def _children(element: bytes) -> Iterator[bytes]:
    offset, end = _span(element, 0)
    while offset < end:
        _, next_offset = _span(element, offset)
        yield element[offset:next_offset]
        offset = next_offset
