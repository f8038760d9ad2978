"""CMS SignedData of one profile around what the signer signed: detached, one signer, certificates once, time stamp.

Sources: RFC 5652 (CMS), RFC 5754, RFC 4055 and RFC 4056 (algorithms), RFC 3161 appendix A (the token as unsigned
attribute), ETSI EN 319 122-1 §5. It holds no secret and decides nothing, so it lies outside the signer's core.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from signing.core.cms import DATA, CmsError, oid, seq, set_of, signed_attributes, tlv
from signing.core.model import KeyType

__all__ = ["CmsError", "assemble", "signature_value", "signed_attributes", "with_timestamp"]


def _int(value: int) -> bytes:
    return tlv(0x02, bytes([value]))


_SIGNED_DATA = oid("1.2.840.113549.1.7.2")
_TIMESTAMP_TOKEN = oid("1.2.840.113549.1.9.16.2.14")
_SHA256_OID = oid("2.16.840.1.101.3.4.2.1")
_SHA256 = seq(_SHA256_OID)
_SHA256_NULL = seq(_SHA256_OID, tlv(0x05))  # RFC 4055's own identifier carries NULL
_ALGORITHM = {
    KeyType.P256: seq(oid("1.2.840.10045.4.3.2")),
    KeyType.RSA3072: seq(
        oid("1.2.840.113549.1.1.10"),
        seq(tlv(0xA0, _SHA256_NULL), tlv(0xA1, seq(oid("1.2.840.113549.1.1.8"), _SHA256_NULL)), tlv(0xA2, _int(32))),
    ),
}


def assemble(
    attributes: bytes, signature: bytes, key_type: KeyType, certificate: bytes, chain: Sequence[bytes]
) -> bytes:
    """ContentInfo (DER) around a raw signature over `attributes`; every certificate stands in it once."""
    serial, issuer = _serial_and_issuer(certificate)
    signer_info = seq(
        _int(1),
        seq(issuer, serial),
        _SHA256,
        b"\xa0" + attributes[1:],  # the SET's bytes under the implicit tag [0]
        _ALGORITHM[key_type],
        tlv(0x04, signature),
    )
    certificates = tlv(0xA0, *sorted({certificate, *chain}))
    signed_data = seq(_int(1), set_of(_SHA256), seq(DATA), certificates, tlv(0x31, signer_info))
    return seq(_SIGNED_DATA, tlv(0xA0, signed_data))


def with_timestamp(cms: bytes, token: bytes) -> bytes:
    """The same CMS with an RFC 3161 token (ContentInfo DER) as its only unsigned attribute; B-B becomes B-T.

    The token's message imprint must be over `signature_value(cms)`; the caller checks it.
    """
    signed_data = _signed_data(cms)
    *head, signer_infos = signed_data
    (signer_info,) = _children(signer_infos)
    fields = list(_children(signer_info))[:6]
    unsigned = tlv(0xA1, seq(_TIMESTAMP_TOKEN, tlv(0x31, token)))
    return seq(_SIGNED_DATA, tlv(0xA0, seq(*head, tlv(0x31, seq(*fields, unsigned)))))


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


@lru_cache(maxsize=64)
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
