"""What the PDF library raises: one type, told apart by a stable code.

The codes in `REFUSALS` are answers to "may this file be signed?" (rule DOC-3, threats B2, B3, B9); they are part of the
public interface. The remaining codes say that a caller's request, a prepared file or a time-stamp token does not fit.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CODES", "REFUSALS", "PdfError"]

REFUSALS: Final = frozenset(
    {
        "broken-structure",  # the file breaks ISO 32000 in a way that two readers may resolve differently
        "encrypted",
        "too-large",  # a bound of ours: objects, nesting, decoded bytes, pages, revisions
        "script",
        "active-content",  # an action or annotation that does more than navigate
        "embedded-file",
        "optional-content",
        "parsers-disagree",  # two independent readers see different pages or text
        "secrecy-mark",  # rule SEC-1
        "xfa",
        "hidden-content",
        "external-content",  # what is shown would come from outside the file
        "locked-by-signature",
        "no-room-for-signature",
        "form-appearance",
        "unsupported-filter",
    }
)

CODES: Final = REFUSALS | frozenset(
    {
        "bad-request",  # a prepare request that contradicts itself or the file's route
        "not-the-route",  # the file does not hold the route's empty field
        "bad-image",  # no image of a signature or a seal; the reason names what is wrong with it
        "placement-required",  # nothing says where on the page the image stands (SIG-1)
        "bad-font",  # the stamp's font lacks a letter or may not be embedded
        "hole-too-small",
        "hole-not-empty",
        "prepared-changed",
        "disk",  # the output could not be written whole
        "tsa-refused",
        "tsa-bad-reply",
        "tsa-untrusted",
        "tsa-clock-skew",
        "tsa-unreachable",
        "status-bad-answer",  # an OCSP answer or revocation list that says nothing about the certificate
        "status-untrusted",  # one that nobody with the authority to say so has signed
        "changed-beyond-signature",  # the comparison found a change that nobody approved
    }
)


MACHINE = (MemoryError, ImportError)
"""What says something about this machine and nothing about the file: never turned into a verdict on the file."""


class PdfError(Exception):
    """A PDF that cannot be used for what was asked.

    `code` is one of `CODES` and stable; the text is for logs of developers and never quotes content of the document.
    `place` names an object ("12 0") or a byte offset where that helps.
    """

    def __init__(self, code: str, reason: str = "", *, place: str = "") -> None:
        self.code = code
        self.reason = reason
        self.place = place
        super().__init__(": ".join(part for part in (code, place, reason) if part))
