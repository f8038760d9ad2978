"""What the fuzz targets found, each a regression: an exception of a parser where a refusal belongs (threats B4, C18)."""

import contextlib
import warnings
from pathlib import Path

import pytest

from signing.core.codec import CodecError, b64u, parse_jws
from signing.core.daemon import _request
from signing.core.errors import MalformedRequest
from signing.core.model import APPROVAL_TYP, Approval
from signing.pdf.errors import PdfError
from signing.pdf.revocation import path_of
from signing.pdf.timestamp import signature_value
from tests.fakes import pdf_signing as fakes

HEADER = b64u(b'{"alg":"ES256","typ":"%s","kid":"x"}' % APPROVAL_TYP.encode())


@pytest.mark.parametrize("payload", [b'{"v":1,"kind":"\xd2', b'{"kind":"\xff"}'])
def test_an_approval_with_bad_utf_8_is_refused_before_its_signature_is_looked_at(payload: bytes) -> None:
    text = f"{HEADER}.{b64u(payload)}.{b64u(bytes(64))}"
    with pytest.raises(CodecError):
        parse_jws(text, APPROVAL_TYP).peek(Approval)


@pytest.mark.parametrize("raw", [b"\x82\xa2op\xa8activate\xa4kind\xa2\xd2\xff", b"\x81\xa2op\xa3\xff\xfe\xfd"])
def test_a_frame_with_bad_utf_8_is_no_defect_of_the_signer(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        _request(raw)


def test_a_signer_info_that_ends_early_is_refused() -> None:
    der = bytearray(fakes.cms_for(fakes.leader(), bytes(32)))
    for at in range(len(der) - 90, len(der)):
        broken = bytes(der[:at]) + bytes([der[at] ^ 0x50]) + bytes(der[at + 1 :])
        with contextlib.suppress(PdfError):
            signature_value(broken)


def test_a_certificate_that_is_none_is_no_step_of_a_path() -> None:
    own, root = fakes.leader().der, fakes.root().der
    for at in range(4, 120):
        for value in (0x00, 0x58, 0xF4):
            broken = root[:at] + bytes([value]) + root[at + 1 :]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a serial number below one is only deplored
                assert path_of(own, [broken])[0] == own
    assert path_of(own, [root]) == (own, root)


def test_the_targets_have_no_find_left_behind() -> None:
    """A crash that libFuzzer wrote down must become a test here, not a file."""
    fuzz = Path(__file__).resolve().parents[2] / "fuzz"
    assert not [path.name for path in fuzz.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-"))]
