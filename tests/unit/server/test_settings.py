import json
import re
import stat
from pathlib import Path

import msgspec
import pytest

from server.settings import FCM_URL, Mode, Settings, SettingsError, StateDir, load, read_secret
from server.settings_production import UnsafeSettings


def write(tmp_path, text, name="hoatoc.toml"):
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def secret(tmp_path, name, content=b"0123456789abcdef0123456789abcdef\n", mode=0o600):
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_nothing_given_is_the_embedded_mode_in_one_folder(tmp_path):
    settings = load(None, {"HOATOC_STATE_DIR": str(tmp_path), "PATH": "/bin"})
    assert settings.server.mode is Mode.EMBEDDED
    assert settings.database.url == f"sqlite://{tmp_path}/database/hoatoc.db"
    assert settings.blobs.url == f"file://{tmp_path}/blobs"
    assert settings.signer.socket == f"{tmp_path}/run/signer.sock"
    assert settings.server.public_url == "http://127.0.0.1:8080"
    assert (settings.limits.document_bytes, settings.limits.document_pages) == (100 * 1024**2, 5000)
    assert (settings.signing.prepared_lifetime_s, settings.signing.intent_check_s) == (900, 30)
    assert settings.signing.unstamped_limit_s == 4 * 3600


def test_the_environment_wins_over_the_file_with_every_kind_of_value(tmp_path):
    path = write(tmp_path, '[server]\nport = 1\nhost = "::1"\n[tsa]\nurls = ["http://one.example"]\n')
    settings = load(
        path,
        {
            "HOATOC_SERVER__PORT": "8443",
            "HOATOC_SERVER__DEBUG": "true",
            "HOATOC_TSA__URLS": "http://two.example, http://three.example",
            "HOATOC_TSA__TIMEOUT_S": "2.5",
            "HOATOC_EXCHANGE__ORGAN_CODES": '{"A": "B"}',
            "HOATOC_CONFIG": "read by the command, not here",
        },
    )
    assert (settings.server.port, settings.server.host, settings.server.debug) == (8443, "::1", True)
    assert settings.tsa.urls == ("http://two.example", "http://three.example")
    assert (settings.tsa.timeout_s, settings.exchange.organ_codes) == (2.5, {"A": "B"})


SYSTEM = "[[exchange.systems]]\nurl = 'https://axis.example'\nsystem_id = 'a'\nsecret_file = 'k'\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[servers]\nport = 1\n", "servers"),
        ("stage_dir = 'x'\n", "stage_dir"),
        ("[server]\nport = 'x'\n", "server.port"),
        ("[server]\nport = 70000\n", "server.port"),
        ("[server]\nmode = 'fast'\n", "server.mode"),
        ("[limits]\ndocument_pages = 0\n", "limits.document_pages"),
        ("[database]\nurl = 'mysql://x'\n", "database.url"),
        ("[database]\nurl = 'sqlite://relative.db'\n", "database.url"),
        ("[blobs]\nurl = 'ftp://x'\n", "blobs.url"),
        ("[redis]\nurl = 'http://x'\n", "redis.url"),
        ("[tsa]\nurls = ['ldap://x']\n", "tsa.urls"),
        ("[exchange]\nurl = 'https://axis.example'\n", "exchange.system_id"),
        (
            "[[exchange.systems]]\nurl = 'ftp://x'\nsystem_id = 'a'\nsecret_file = 'k'\norganisations = ['A']\n",
            "exchange.systems[0].url",
        ),
        (f"{SYSTEM}organisations = []\n", "exchange.systems[0].organisations"),
        (f"{SYSTEM}organisations = ['A', 'a']\n", "exchange.systems[0].organisations"),
        (f"{SYSTEM}organisations = ['A']\n{SYSTEM}organisations = ['B']\n", "exchange.systems[1].system_id"),
        (f"{SYSTEM}organisations = ['A']\nsecret = 'x'\n", "secret"),
        ("[server]\ntls_key_file = 'k'\n", "server.tls_certificate_file"),
        ("[server]\nlog_level = 'loud'\n", "server.log_level"),
        ("[server\n", "hoatoc.toml"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(tmp_path, text, named):
    with pytest.raises(SettingsError, match=re.escape(named)):
        load(write(tmp_path, text), {})


def test_two_axes_may_give_their_systems_one_id(tmp_path):
    text = f"{SYSTEM}organisations = ['A']\n{SYSTEM.replace('axis.example', 'other.example')}organisations = ['B']\n"
    assert [one.system_id for one in load(write(tmp_path, text), {}).exchange.systems] == ["a", "a"]
    same = f"{SYSTEM}organisations = ['A']\n{SYSTEM.replace('axis.example', 'axis.example/')}organisations = ['B']\n"
    with pytest.raises(SettingsError, match=r"exchange\.systems\[1\]\.system_id"):
        load(write(tmp_path, same), {})


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("HOATOC_SERVER__PROT", "server.prot"),
        ("HOATOC_SERVR__PORT", "servr.port"),
        ("HOATOC_STATEDIR", "statedir"),
        ("HOATOC_SERVER__PORT__X", "server.port.x"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it(variable, named):
    with pytest.raises(SettingsError, match=f"{named}.*{variable}"):
        load(None, {variable: "1"})


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"nothing\.toml"):
        load(tmp_path / "nothing.toml", {})


def test_no_password_is_shown():
    settings = load(None, {"HOATOC_DATABASE__URL": "postgresql://user:hunter2@db.example/x"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.database)


def test_the_state_folder_is_closed_to_others(tmp_path):
    state = StateDir(tmp_path / "state")
    state.create()
    state.create()
    for folder in (state.root, state.database.parent, state.blobs, state.signer, state.head, state.secrets, state.run):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("content", "mode"), [(b"", 0o600), (b"x", 0o644), (b"x", 0o602)])
def test_an_unsafe_secret_file_is_not_read(tmp_path, content, mode):
    with pytest.raises(SettingsError, match=r"s\.key"):
        read_secret(secret(tmp_path, "s.key", content, mode))
    with pytest.raises(SettingsError):
        read_secret(tmp_path / "missing")
    assert read_secret(secret(tmp_path, "good.key", b"value\n")) == b"value"


@pytest.fixture
def safe(tmp_path):
    """Environment of a production start that is accepted."""
    roots = tmp_path / "roots.pem"
    roots.write_text("-----BEGIN CERTIFICATE-----\n")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return {
        "HOATOC_STATE_DIR": str(state),
        "HOATOC_SERVER__MODE": "production",
        "HOATOC_SERVER__PUBLIC_URL": "https://kyso.agency.example",
        "HOATOC_DATABASE__URL": "postgresql://hoatoc:Nk3vLq0@db.example/hoatoc?sslmode=verify-full",
        "HOATOC_REDIS__URL": "rediss://redis.example",
        "HOATOC_EXCHANGE__URL": "https://axis.example",
        "HOATOC_EXCHANGE__SYSTEM_ID": "sample",
        "HOATOC_EXCHANGE__SECRET_FILE": secret(tmp_path, "exchange.key"),
        "HOATOC_PUSH__FCM_CREDENTIALS": secret(tmp_path, "fcm.json"),
        "HOATOC_PUSH__VAPID_KEY_FILE": secret(tmp_path, "vapid.pem"),
        "HOATOC_PUSH__VAPID_CONTACT": "mailto:van-thu@example.gov.vn",
        "HOATOC_TSA__URLS": "http://tsa.example",
        "HOATOC_TSA__ROOTS": str(roots),
        "HOATOC_TRUST__ROOTS": str(roots),
        "HOATOC_TRUST__STATUS_HOSTS": "ocsp.ca.example,crl.ca.example:8080",
    }


def test_a_safe_production_start_is_accepted(safe):
    settings = load(None, safe)
    assert settings.server.mode is Mode.PRODUCTION
    assert isinstance(settings, Settings)


C20 = [
    ("HOATOC_SERVER__PUBLIC_URL", "http://kyso.agency.example", "server.public_url"),
    ("HOATOC_SERVER__PUBLIC_URL", "https://localhost:8443", "server.public_url"),
    ("HOATOC_SERVER__PUBLIC_URL", "", "server.public_url"),
    ("HOATOC_SERVER__DEBUG", "true", "server.debug"),
    ("HOATOC_SERVER__LOG_LEVEL", "debug", "server.log_level"),
    ("HOATOC_SERVER__ALLOWED_ORIGINS", "*", "server.allowed_origins"),
    ("HOATOC_SERVER__ALLOWED_ORIGINS", "http://a.example", "server.allowed_origins"),
    ("HOATOC_SERVER__TRUSTED_PROXIES", "0.0.0.0/0", "server.trusted_proxies"),
    ("HOATOC_DATABASE__URL", "postgresql://hoatoc:x@db.example/hoatoc", "database.url"),
    ("HOATOC_DATABASE__URL", "postgresql://hoatoc:changeme@127.0.0.1/hoatoc", "database.url"),
    ("HOATOC_REDIS__URL", "redis://redis.example", "redis.url"),
    ("HOATOC_EXCHANGE__URL", "", "exchange.url"),
    ("HOATOC_EXCHANGE__URL", "http://axis.example", "exchange.url"),
    ("HOATOC_EXCHANGE__URL", "https://127.0.0.1:9000", "exchange.url"),
    ("HOATOC_EXCHANGE__SECRET_FILE", "missing", "exchange.secret_file"),
    ("HOATOC_EXCHANGE__SECRET_FILE", (b"0123456789abcdef", 0o644), "exchange.secret_file"),
    ("HOATOC_EXCHANGE__SECRET_FILE", (b"changeme\n", 0o600), "exchange.secret_file"),
    ("HOATOC_EXCHANGE__SECRET_FILE", (b"short", 0o600), "exchange.secret_file"),
    ("HOATOC_PUSH__FCM_URL", "http://127.0.0.1:9100", "push.fcm_url"),
    ("HOATOC_PUSH__FCM_CREDENTIALS", "", "push.fcm_credentials"),
    ("HOATOC_PUSH__FCM_CREDENTIALS", (b"{}", 0o604), "push.fcm_credentials"),
    ("HOATOC_PUSH__VAPID_KEY_FILE", (b"k", 0o644), "push.vapid_key_file"),
    ("HOATOC_PUSH__VAPID_CONTACT", "", "push.vapid_contact"),
    ("HOATOC_PUSH__WEBPUSH_HOSTS", "*.com", "push.webpush_hosts"),
    ("HOATOC_PUSH__WEBPUSH_PRIVATE_ORIGINS", "http://127.0.0.1:8090", "push.webpush_private_origins"),
    ("HOATOC_TSA__URLS", "", "tsa.urls"),
    ("HOATOC_TSA__URLS", "http://tsa.example,http://localhost:9200", "tsa.urls"),
    ("HOATOC_TSA__ROOTS", "", "tsa.roots"),
    ("HOATOC_TRUST__ROOTS", "missing", "trust.roots"),
    ("HOATOC_TRUST__STATUS_HOSTS", "127.0.0.1:8080", "trust.status_hosts"),
    ("HOATOC_TRUST__STATUS_GRACE_S", "999999", "trust.status_grace_s"),
    ("HOATOC_SIGNING__PREPARED_LIFETIME_S", "86400", "signing.prepared_lifetime_s"),
    ("HOATOC_SIGNING__UNSTAMPED_LIMIT_S", "999999", "signing.unstamped_limit_s"),
    ("HOATOC_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true", "webhooks.allow_private_addresses"),
    ("HOATOC_CRASH_POINT", "db.before-commit", "HOATOC_CRASH_POINT"),
]


@pytest.mark.parametrize(("variable", "value", "named"), C20)
def test_production_refuses_each_unsafe_value_and_names_it(safe, tmp_path, variable, value, named):
    """Threat C20: one start per bad setting, refused 100 %."""
    if isinstance(value, tuple):
        value = secret(tmp_path, "unsafe", *value)
    with pytest.raises(UnsafeSettings) as caught:
        load(None, safe | {variable: value})
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(named)
    assert caught.value.problems[0] in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"url": "http://axis.example"}, "exchange.systems[0].url"),
        ({"url": "https://localhost:9400"}, "exchange.systems[0].url"),
        ({"secret_file": "missing"}, "exchange.systems[0].secret_file"),
    ],
)
def test_production_refuses_each_unsafe_value_of_an_organisations_own_system(safe, tmp_path, change, named):
    """C20, and the installation needs no system of all others then."""
    key = secret(tmp_path, "own", b"9f1d6c1e8a304b7dd2f5\n")
    right = {"organisations": ["H-02"], "url": "https://axis.example", "system_id": "X02", "secret_file": key}
    alone = {name: value for name, value in safe.items() if not name.startswith("HOATOC_EXCHANGE__")}
    settings = load(None, alone | {"HOATOC_EXCHANGE__SYSTEMS": json.dumps([right])})
    assert [*settings.exchange.connected] == ["exchange.systems[0]"]
    with pytest.raises(UnsafeSettings) as caught:
        load(None, safe | {"HOATOC_EXCHANGE__SYSTEMS": json.dumps([right | change])})
    assert [problem.split()[0] for problem in caught.value.problems] == [named]


def test_the_same_values_are_fine_in_embedded_mode(safe):
    for variable, value, _ in C20:
        if isinstance(value, str):
            load(None, safe | {variable: value, "HOATOC_SERVER__MODE": "embedded"})


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"HOATOC_SIGNING__LEVEL": "B-X"}, "signing.level"),
        ({"HOATOC_SIGNING__LEVEL": "B-LTA"}, "signing.level"),  # without anybody to ask
        ({"HOATOC_SIGNING__ARCHIVE_FALLBACK": "drop"}, "signing.archive_fallback"),
        ({"HOATOC_TRUST__STATUS_HOSTS": "http://ocsp.example"}, "trust.status_hosts"),
        ({"HOATOC_TRUST__STATUS_HOSTS": "*.example"}, "trust.status_hosts"),
    ],
)
def test_levels_that_cannot_be_reached_are_refused_in_every_mode(environment, named):
    with pytest.raises(SettingsError, match=named):
        load(None, environment)


def test_the_level_follows_from_whom_may_be_asked():
    assert load(None, {}).signing.level == "B-T"
    assert load(None, {"HOATOC_TRUST__STATUS_HOSTS": "ocsp.example"}).signing.level == "B-LTA"
    said = {"HOATOC_TRUST__STATUS_HOSTS": "ocsp.example", "HOATOC_SIGNING__LEVEL": "B-LT"}
    assert load(None, said).signing.level == "B-LT"


def test_an_open_state_folder_and_an_open_file_with_a_password_are_refused(safe, tmp_path):
    Path(safe["HOATOC_STATE_DIR"]).chmod(0o755)
    path = write(tmp_path, "")
    path.chmod(0o644)
    with pytest.raises(UnsafeSettings) as caught:
        load(path, safe)
    assert [problem.split()[0] for problem in caught.value.problems] == ["state_dir", "database.url"]


def test_all_problems_are_told_at_once():
    with pytest.raises(UnsafeSettings) as caught:
        load(None, {"HOATOC_SERVER__MODE": "production"})
    assert len(caught.value.problems) >= 6
    assert FCM_URL in msgspec.json.encode(load(None, {})).decode()
