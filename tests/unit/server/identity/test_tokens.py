"""A14, A2, C3: secrets do not show, derive per kind, and a retired key still opens (D16)."""

import os
import pickle
import subprocess
import sys

import pytest

from server.errors import Refused
from server.identity.model import IdentitySettings
from server.identity.routes import ClientCreated, TokenRequest
from server.identity.service import clean
from server.identity.tokens import Secret, TokenKeys, canonical_code, pairing_code
from signing.device import short_code_of as short_code

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
FAMILY = "0190" + "ab" * 14


def test_a_secret_never_shows():
    secret = Secret("canary-0001")
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        repr([secret]),
        repr(TokenKeys([OLD])),
        "%s" % secret,  # noqa: UP031 - the old way of formatting is what is tested
    ):
        assert "canary" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    wire = (ClientCreated("id", "canary-0001"), TokenRequest("refresh_token", refresh_token="canary-0001"))
    assert "canary" not in repr(wire)


def test_kinds_families_and_generations_never_meet():
    keys = TokenKeys([OLD])
    made = [
        make(family, generation).reveal()
        for make in (keys.access, keys.refresh)
        for family in (FAMILY, "01" * 16)
        for generation in range(50)
    ]
    assert len({token[4:] for token in made}) == len(made)
    assert keys.access(FAMILY, 3).reveal() == keys.access(FAMILY, 3).reveal()
    assert keys.open_refresh(keys.access(FAMILY, 3).reveal()) is None
    assert keys.open_refresh("htr_" + keys.access(FAMILY, 3).reveal()[4:]) is None


def test_only_the_issued_spelling_of_a_refresh_token_opens():
    keys = TokenKeys([OLD])
    token = keys.refresh(FAMILY, 7).reveal()
    assert keys.open_refresh(token) == (FAMILY, 7)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [token[:-1] + c for c in last if c != token[-1]] + [
        token + "A",
        token + "=",
        token[:-1],
        token[4:],
        " " + token,
        "htr_é",
        "",
    ]
    assert not [other for other in others if keys.open_refresh(other) is not None]


def test_a_retired_key_still_opens_and_no_longer_derives():
    before, after = TokenKeys([OLD]), TokenKeys([NEW, OLD])
    assert after.open_refresh(before.refresh(FAMILY, 1).reveal()) == (FAMILY, 1)
    assert after.refresh(FAMILY, 1).reveal() == TokenKeys([NEW]).refresh(FAMILY, 1).reveal()
    assert TokenKeys([NEW]).open_refresh(before.refresh(FAMILY, 1).reveal()) is None


def test_the_key_file_is_made_once_and_private(tmp_path):
    path = tmp_path / "token.key"
    code = "import sys, pathlib; from server.identity.tokens import TokenKeys; print(TokenKeys.load_or_create(pathlib.Path(sys.argv[1])).access('00' * 16, 0).reveal())"
    running = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in running}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token.key"]
    os.chmod(path, 0o640)
    with pytest.raises(ValueError, match="0600"):
        TokenKeys.load(path)


def test_codes():
    code = pairing_code()
    typed = " ".join(code.reveal().lower()[n : n + 4] for n in range(0, 32, 4))
    assert canonical_code(typed).digest() == code.digest()
    assert short_code("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I") == short_code(
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    )
    assert len({short_code(str(n)) for n in range(1000)}) == 1000


@pytest.mark.parametrize("wrong", ["", "  ", "a\nb", "a\x00b", "a\u202eb", "a\u2066b", "\x1b[31m"])
def test_hostile_texts_are_refused(wrong):
    """B11, C17."""
    with pytest.raises(Refused):
        clean(wrong)


@pytest.mark.parametrize(
    "wrong", [{"access_seconds": 601}, {"pairing_seconds": 3600}, {"refresh_days": 0}, {"retry_seconds": 61}]
)
def test_lives_stay_within_the_threat_model(wrong):
    with pytest.raises(ValueError):
        IdentitySettings(origins=("http://127.0.0.1:1",), **wrong)
