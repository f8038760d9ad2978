"""What production mode refuses to start with (threat C20): one rule, one sentence, one named setting."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from server import crash
from server.settings import FCM_URL, Settings, SettingsError, secret_file_problem

_SAMPLE_SECRETS = {"changeme", "change-me", "secret", "password", "postgres", "hoatoc", "admin", "test", "demo"}
_SECRET_MINIMUM = 16
_TLS_MODES = {"require", "verify-ca", "verify-full"}

Problems = Iterator[str]


class UnsafeSettings(SettingsError):  # noqa: N818 - named after what they are
    """`problems`: one sentence for each unsafe value, each starting with the name of its setting."""

    code = "settings-unsafe"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("production mode refuses to start:\n" + "\n".join(f"- {problem}" for problem in problems))
        self.problems = problems


def refuse_unsafe(settings: Settings, environ: Mapping[str, str], path: Path | None) -> None:
    """Raise UnsafeSettings with everything that is unsafe."""
    problems = [problem for rule in _RULES for problem in rule(settings)]
    if crash.VARIABLE in environ:
        problems.append(f"{crash.VARIABLE} is set: crash points are for tests")
    if path is not None and path.stat().st_mode & 0o007 and _password(settings.database.url):
        problems.append("database.url has a password, and the settings file is open to every user of this machine")
    if problems:
        raise UnsafeSettings(problems)


def is_loopback(url: str) -> bool:
    """Whether an address names this machine: what the demo's doubles listen on, and what no outside party does."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _server(settings: Settings) -> Problems:
    server = settings.server
    if not server.public_url.startswith("https://"):
        yield "server.public_url must be https: PINs and tokens pass through it"
    elif is_loopback(server.public_url):
        yield "server.public_url names this machine itself; phones cannot reach it"
    if server.debug:
        yield "server.debug shows internals in answers"
    if server.log_level == "debug":
        yield "server.log_level must not be debug"
    if "*" in server.allowed_origins:
        yield "server.allowed_origins must not hold a wildcard"
    if any(not origin.startswith("https://") for origin in server.allowed_origins if origin != "*"):
        yield "server.allowed_origins must be https"
    if any(one.endswith("/0") for one in server.trusted_proxies):
        yield "server.trusted_proxies must not hold every address: clients could choose their own"
    if server.tls_key_file and (problem := secret_file_problem(server.tls_key_file)):
        yield f"server.tls_key_file {problem}"


def _state(settings: Settings) -> Problems:
    root = settings.state.root
    if root.exists() and root.stat().st_mode & 0o007:
        yield "state_dir is open to every user of this machine (set mode 0700)"


def _database(settings: Settings) -> Problems:
    url = settings.database.url
    if url.startswith("sqlite"):
        return
    if (_password(url) or "").lower() in _SAMPLE_SECRETS:
        yield "database.url has a password that stands in examples"
    mode = parse_qs(urlsplit(url).query).get("sslmode", [""])[0]
    remote = bool(urlsplit(url).hostname) and not is_loopback(url)
    if remote and mode not in _TLS_MODES:
        yield "database.url goes over the network without TLS (add sslmode=verify-full)"


def _redis(settings: Settings) -> Problems:
    url = settings.redis.url
    if url.startswith("redis://") and not is_loopback(url):
        yield "redis.url goes over the network without TLS (use rediss://)"


def _exchange(settings: Settings) -> Problems:
    connected = settings.exchange.connected
    if not connected:
        yield "exchange.url is missing"
    for name, system in connected.items():
        if is_loopback(system.url):
            yield f"{name}.url is the stand-in axis of demo and tests"
        elif not system.url.startswith("https://"):
            yield f"{name}.url must be https"
        yield from _secret(f"{name}.secret_file", system.secret_file)


def _push(settings: Settings) -> Problems:
    push = settings.push
    if push.fcm_url.rstrip("/") != FCM_URL:
        yield f"push.fcm_url must be {FCM_URL}; anything else is a double of it"
    if not push.fcm_credentials:
        yield "push.fcm_credentials is missing: nobody would be notified"
    elif problem := secret_file_problem(push.fcm_credentials):
        yield f"push.fcm_credentials {problem}"
    if push.vapid_key_file and (problem := secret_file_problem(push.vapid_key_file)):
        yield f"push.vapid_key_file {problem}"
    if push.vapid_key_file and not push.vapid_contact:
        yield "push.vapid_contact is missing: push services refuse a sender whom they cannot reach"
    if push.sms_url and not push.sms_url.startswith("https://"):
        yield "push.sms_url must be https: telephone numbers pass through it"
    for name, file in (
        ("push.sms_token_file", push.sms_token_file),
        ("push.smtp_password_file", push.smtp_password_file),
    ):
        if file and (problem := secret_file_problem(file)):
            yield f"{name} {problem}"
    if any(not origin.startswith("https://") for origin in push.webpush_private_origins):
        yield "push.webpush_private_origins must be https"
    if any(not pattern.strip("*.").count(".") for pattern in push.webpush_hosts):
        yield "push.webpush_hosts must name push services, not whole domains"


def _tsa(settings: Settings) -> Problems:
    if not settings.tsa.urls:
        yield "tsa.urls is missing: signatures would stay without a time stamp"
    if any(is_loopback(url) for url in settings.tsa.urls):
        yield "tsa.urls holds the demo's authority"
    yield from _roots("tsa.roots", settings.tsa.roots)


def _trust(settings: Settings) -> Problems:
    yield from _roots("trust.roots", settings.trust.roots)
    if not settings.trust.status_hosts:
        yield "trust.status_hosts is missing: certificates would be used without asking for their status"
    if any(is_loopback(f"//{host}") for host in settings.trust.status_hosts):
        yield "trust.status_hosts holds the demo's authority"
    # The bound of threat D6: fail closed after a grace, not after days.
    if settings.trust.status_grace_s > 48 * 3600:
        yield "trust.status_grace_s is longer than 48 hours"


def _signing(settings: Settings) -> Problems:
    # The bounds of threat D5 and of the architecture; a deployment may be stricter, never laxer.
    if settings.signing.prepared_lifetime_s > 3600:
        yield "signing.prepared_lifetime_s is longer than an hour"
    if settings.signing.unstamped_limit_s > 48 * 3600:
        yield "signing.unstamped_limit_s is longer than 48 hours"


def _webhooks(settings: Settings) -> Problems:
    if settings.webhooks.allow_private_addresses:
        yield "webhooks.allow_private_addresses lets a registered address reach this network"


def _secret(name: str, path: str) -> Problems:
    if not path:
        yield f"{name} is missing"
        return
    problem = secret_file_problem(path)
    if problem:
        yield f"{name} {problem}"
        return
    content = Path(path).read_bytes().strip()
    if content.decode("utf-8", "replace").lower() in _SAMPLE_SECRETS:
        yield f"{name} holds a secret that stands in examples"
    elif len(content) < _SECRET_MINIMUM:
        yield f"{name} holds fewer than {_SECRET_MINIMUM} bytes"


def _roots(name: str, path: str) -> Problems:
    if not path:
        yield f"{name} is missing"
    elif not Path(path).is_file():
        yield f"{name} cannot be read"
    elif Path(path).stat().st_mode & 0o002:
        yield f"{name} can be written by every user of this machine"


def _password(url: str) -> str | None:
    return urlsplit(url).password


_RULES: tuple[Callable[[Settings], Problems], ...] = (
    _server,
    _state,
    _database,
    _redis,
    _exchange,
    _push,
    _tsa,
    _trust,
    _signing,
    _webhooks,
)
