"""The PDF work once over on a file of our own, for a process that is forked for each hostile one.

Libraries make their tables when they are first used: asn1crypto its fields, OpenSSL its algorithms, fontTools the cut font. Made before the fork,
they are there for every child: a fresh one took ten times as long over a sealed file as the same one over a second file.
`rehearsal.pdf.gz` is such a file: signed, sealed, with validation data and archive time stamp, by sample certificates without value.
"""

import gzip
import tempfile
from importlib import resources
from pathlib import Path

import msgspec

from signing.pdf.archive import place_archive, signed_with
from signing.pdf.chain import load
from signing.pdf.compare import compare_archive
from signing.pdf.placement import FieldKind
from signing.pdf.placing import Placing, PrepareRequest, RouteField, StampText
from signing.pdf.reader import open_document
from signing.pdf.revocation import ValidationData, read_dss
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import agreement, secrecy_mark
from signing.pdf.validation import Trust, ValidationResult, validate

__all__ = ["rehearse"]

_REQUEST = PrepareRequest(
    route=(RouteField("Rehearsed1", FieldKind.PERSON), RouteField("Rehearsed2", FieldKind.SEAL)),
    signer=0,
    stamp=StampText(name="Người ký mẫu", position="CHỦ TỊCH", authority="KT.", reference="1/QĐ-MẪU"),
    now_us=0,
    cms_size=4096,
    largest_token=8192,
)


def rehearse() -> ValidationResult:
    """Inspect, place, judge, compare and read the sample's file; what was judged. Raises OSError where it cannot write a temporary file."""
    data = gzip.decompress(resources.files(__package__).joinpath("rehearsal.pdf.gz").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        whole, sealed, first = (Path(folder) / name for name in ("whole", "sealed", "first"))
        whole.write_bytes(data)
        with open_document(whole) as document:
            ends = [revision.end for revision in document.revisions]
            found = read_dss(document.head)
        sealed.write_bytes(data[: ends[-2]])
        first.write_bytes(data[: ends[0]])
        inspect(first)
        agreement(first)
        secrecy_mark(first)
        with open_document(first) as document:
            Placing(document, _REQUEST).render()
        # As the data come to whoever appends them: msgspec finds out a type's form when it first decodes it.
        data_again = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=ValidationData)
        place_archive(sealed, data_again, room=8192)
        compare_archive(sealed, whole)
        stamped_us = signed_with(whole)[-1].token_time_us
        roots = tuple(one for one in found.certificates if _is_root(one))
        return validate(whole, Trust(roots), stamped_us or 0)


def _is_root(certificate: bytes) -> bool:
    own = load(certificate)
    return own.subject == own.issuer
