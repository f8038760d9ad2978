"""The signed attributes of a CMS' signer (RFC 5652, 5.3 and 5.4), walked over once."""

from __future__ import annotations

from typing import Any

__all__ = ["SignedAttributes"]


class SignedAttributes:
    """`signed`: the DER that is signed, the attributes as they stand under the tag of a SET OF.

    Made of the contents: the library's own encoding takes a length of ..80 (hex) for that of BER and encodes such attributes anew, in another
    order or without a default that is written out.
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
