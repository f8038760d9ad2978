"""B1, B2, B9: at least twenty variants of every class of attack are refused that a naive checker accepts; no clean file is accused."""

import time
from pathlib import Path

import pytest

from signing.pdf.validation import Indication, Trust, ValidationResult, validate
from tests.fakes import attacks, products
from tests.fakes import pdf_signing as fakes

TRUST = Trust(roots=(fakes.root().der,))


def judged(data: bytes, path: Path, now_us: int = fakes.NOW_US) -> ValidationResult:
    path.write_bytes(data)
    return validate(path, TRUST, now_us)


@pytest.mark.parametrize("make", [attacks.base, attacks.certified, attacks.packed])
def test_the_files_that_are_attacked_are_valid(make, tmp_path: Path) -> None:
    signed = make()
    result = judged(signed.data, tmp_path / "signed.pdf")
    assert result.valid, result
    assert attacks.naive(signed.data)


@pytest.mark.parametrize("name", attacks.CLASSES)
def test_no_variant_of_an_attack_passes(name: str, tmp_path: Path) -> None:
    variants = list(attacks.CLASSES[name]())
    assert len(variants) >= 20
    assert len({data for _variant, data in variants}) == len({variant for variant, _data in variants}) == len(variants)
    for variant, data in variants:
        assert attacks.naive(data), f"{variant}: not even the naive checker accepts this one, so it proves nothing"
        result = judged(data, tmp_path / "attack.pdf")
        assert not result.valid, variant
        assert all(found.indication is not Indication.PASSED for found in result.signatures[:1]), variant


def test_clean_files_are_not_accused(tmp_path: Path) -> None:
    now_us = max(fakes.NOW_US, time.time_ns() // 1000) + 10_000_000  # other products stamp at the machine's own time
    names = set()
    for name, data in products.clean(tmp_path):
        result = judged(data, tmp_path / "clean.pdf", now_us)
        assert result.valid, (name, result)
        names.add(name)
    assert len(names) >= 50
