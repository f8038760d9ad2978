"""Configuration, time, the process's own protection."""

import contextlib
import sqlite3

import msgspec
import pytest

from signing import device, offline
from signing.core import daemon
from signing.core.clock import SignerClock
from signing.core.errors import ClockDrift, SignerError, WrongPin, error_from
from tests.fakes.signer import SignerHost, enrol, sign


def config(tmp_path, extra=""):
    path = tmp_path / "signer.toml"
    path.write_text(
        f'state_dir = "{tmp_path}/s"\nhead_dir = "{tmp_path}/h"\nsocket = "{tmp_path}/k"\norganisations = ["A"]\n{extra}'
    )
    return path


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("colour = 1", "colour"),
        ("[argon]\nmemory_kib = 64", "argon"),
        ("[argon]\niterations = 1", "argon"),
        ('profile = "embedded"\n[pin]\ntries = [9]\nlock_s = []', "pin"),
        ('profile = "fast"', "profile"),
        ('custody = "none"', "custody"),
        ("queue = 0", "queue"),
        ("[pin]\ntries = [5, 5]\nlock_s = [1]", "ladder"),
    ],
)
def test_unknown_and_unsafe_values_are_refused_by_name(tmp_path, extra, named):
    with pytest.raises(daemon.ConfigRefused, match=named):
        daemon.load_config(config(tmp_path, extra))


def test_init_creates_once_and_private(tmp_path):
    loaded = daemon.load_config(config(tmp_path))
    thumbprint = daemon.init(loaded)
    assert daemon.identity(loaded)[0] == thumbprint
    with pytest.raises(FileExistsError):
        daemon.init(loaded)
    private = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "signer.toml"]
    assert private
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    (tmp_path / "s/keys/pepper").chmod(0o644)
    with pytest.raises(PermissionError):
        daemon.identity(loaded)


def test_officers_vouch_for_the_signers_organisations_only(tmp_path):
    loaded = daemon.load_config(config(tmp_path))
    daemon.init(loaded)
    jwk = device.public_jwk(device.new_key().public_key())
    assert offline.trust_officer(loaded, jwk, ["A"]) == device.thumbprint(jwk)
    for organisations in ([], ["B"], ["A", "B"]):
        with pytest.raises(daemon.ConfigRefused):
            offline.trust_officer(loaded, jwk, organisations)


def test_the_clock_never_goes_below_the_stores_last_time():
    wall, monotonic = [10**15], [5]
    clock = SignerClock(10**15 + 30_000_000, lambda: wall[0], lambda: monotonic[0])
    assert clock.now_us() == 10**15 + 30_000_000
    with pytest.raises(ClockDrift):
        SignerClock(10**15 + 60_000_001, lambda: wall[0], lambda: monotonic[0])
    monotonic[0] += 1000
    wall[0] -= 3_600_000_000  # somebody sets the clock back: time goes on, signing stops
    assert clock.now_us() == 10**15 + 30_001_000
    with pytest.raises(ClockDrift):
        clock.checked_us()


def test_every_refusal_crosses_the_wire_as_its_own_type():
    error = error_from("wrong-pin", "", {"tries_left": 2, "locked_until_us": 7})
    assert isinstance(error, WrongPin)
    assert (error.tries_left, error.locked_until_us) == (2, 7)
    assert type(error_from("something-new", "", {})) is SignerError


@pytest.mark.asyncio
async def test_the_process_cannot_be_dumped_and_logs_no_secret(client, host, officer):
    """A14."""
    phone = await enrol(host, client, officer, pin="618034")
    with pytest.raises(WrongPin):
        await sign(client, phone, bytes(32), pin="905173")
    await sign(client, phone, bytes(32))
    limits = (host.base / "/proc" / str(host.process.pid) / "limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]
    host.stop()
    stored = [path for folder in ("state", "head") for path in (host.base / folder).rglob("*") if path.is_file()]
    keys = [(host.base / "state/keys" / name).read_bytes() for name in ("custody", "pepper")]
    for path in (*stored, host.base / "log"):
        content = path.read_bytes()
        assert b"618034" not in content
        assert path.parent.name == "keys" or not any(key in content for key in keys)


def test_a_start_that_cannot_be_recorded_is_a_refusal(tmp_path):
    """A15: the operator reads one line with its reason, no traceback."""
    host = SignerHost(tmp_path / "h")
    with contextlib.closing(sqlite3.connect(host.database)) as database:
        database.execute("CREATE TRIGGER refuse BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'x'); END")
    with pytest.raises(RuntimeError, match='"reason": "unavailable"') as refused:
        host.start()
    assert "Traceback" not in str(refused.value)
    assert host.process.wait(10) == 2


def test_production_is_the_default_profile(tmp_path):
    loaded = daemon.load_config(config(tmp_path))
    assert (loaded.profile, loaded.argon.memory_kib, loaded.pin.tries) == ("production", 65536, (3, 3, 3))
    assert msgspec.structs.replace(loaded, queue=1).queue == 1


@pytest.mark.asyncio
async def test_it_runs_with_the_products_own_costs(tmp_path):
    host = SignerHost(tmp_path / "h", profile="embedded", argon=(65536, 3, 1)).start()
    client = host.client()
    phone = await enrol(host, client, host.officer())
    assert (await sign(client, phone, bytes(32))).signatures
    await client.close()
    assert host.stop() == 0
