"""The signed attributes of our one CMS profile, as DER, and the few DER writers that they need.

Sources: RFC 5652 §5.4 and §11 (CMS), RFC 5035 (signing-certificate-v2), ETSI EN 319 122-1 §5 and EN 319 142-1 (PAdES
baseline: content-type, message-digest, signing-certificate-v2; no signing-time). The attributes are built from `tbs`
alone, so whoever signs them needs no file. `signing.cms` puts the SignedData around them, outside the signer.
"""

from hashlib import sha256


class CmsError(ValueError):
    """The bytes are not DER of this module's profile."""


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return tlv(0x06, bytes(body))


def seq(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    return tlv(0x31, *sorted(parts))


DATA = oid("1.2.840.113549.1.7.1")
_CONTENT_TYPE = oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = oid("1.2.840.113549.1.9.16.2.47")


def signed_attributes(tbs: bytes, certificate: bytes) -> bytes:
    """The DER SET OF that is signed: content-type id-data, message-digest `tbs` (32 bytes), signing-certificate-v2.

    ESSCertIDv2 has the default hash SHA-256 and no issuerSerial, which the SignerInfo names already.
    """
    if len(tbs) != 32:
        raise CmsError("tbs is a SHA-256 digest")
    certificate_id = seq(seq(seq(tlv(0x04, sha256(certificate).digest()))))
    return set_of(
        seq(_CONTENT_TYPE, tlv(0x31, DATA)),
        seq(_MESSAGE_DIGEST, tlv(0x31, tlv(0x04, tbs))),
        seq(_SIGNING_CERTIFICATE_V2, tlv(0x31, certificate_id)),
    )
