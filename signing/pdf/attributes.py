"""The signed attributes of a CMS' signer (RFC 5652, 5.3 and 5.4), walked over once, and the bytes of what a CMS carries."""

from __future__ import annotations

from typing import Any

__all__ = ["SignedAttributes", "as_it_stands"]


def as_it_stands(value: Any) -> bytes:
    """The DER of a value that asn1crypto has read; empty for one that is absent.

    The library's own `dump` takes a length of ..80 (hex) for BER's indefinite one and encodes such a value anew: sets in another order, defaults
    that were written out left out, and no digest or signature over it holds any more.
    """
    contents = value.contents
    if not contents or value._header[1:] == b"\x80":  # noqa: SLF001 -- nothing public tells BER's form from DER's
        return bytes(value.dump())
    return bytes(value._header + contents)  # noqa: SLF001


class SignedAttributes:
    """`signed`: the DER that is signed, the attributes as they stand under the tag of a SET OF.

    Made of the contents, as `as_it_stands` is.
    """

    __slots__ = ("_found", "signed")

    def __init__(self, signer: Any) -> None:
        from asn1crypto import parser

        attributes = signer["signed_attrs"]
        self.signed = bytes(parser.emit(0, 1, 17, attributes.contents))
        self._found: dict[str, list[Any]] = {}
        for item in attributes:
            self._found.setdefault(item["type"].native, []).append(item)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __getitem__(self, name: str) -> Any:
        """The only value of an attribute that must stand exactly once (RFC 5652, 11). Raises `LookupError`."""
        found = self._found.get(name, [])
        if len(found) != 1 or len(found[0]["values"]) != 1:
            raise LookupError(name)
        return found[0]["values"][0]
