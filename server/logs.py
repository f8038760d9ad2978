"""Structured logs: one JSON object a line on standard error (threats A14, C17).

Secrets do not belong in log calls at all; what `redact` takes out is the second net. JSON escapes every control
character, so one event is one line whatever a field holds. `request_id` is bound through structlog's context variables
and follows a request through tasks, threads and the database's writer.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

REDACTED = "[redacted]"
_DEPTH = 6
_SECRET_FIELD = re.compile(
    r"(?i)(^|_)(pin|pins|password|passphrase|secret|token|tokens|authorization|dpop|cookie|pepper|private_key|key_pem"
    r"|sealed_pin|sad|assertion|jwt|jws|refresh|pairing_code|title|subject|abstract|full_name|phone)($|_)"
)
_SECRET_TEXT = (
    # JWS and JWT, compact: two or three base64url parts of which the first is a JSON object's start.
    re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{4,}(\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)\b(bearer|dpop|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(r"(?i)\b(pin|password|secret|token)(\"|')?\s*[=:]\s*(\"|')?[^\s\"',;&}]+"),
    re.compile(r"((?<=/calendar/)|(?<=/f/))[A-Za-z0-9_-]{20,}"),  # whoever knows the address reads it
    re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"),  # user and password of a URL
)
# The C1 controls and the Unicode line ends, which JSON leaves as they are and terminals and viewers obey.
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")

Event = MutableMapping[str, Any]


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """Structlog processor: hide values of secret-sounding fields, and secret-looking parts of every text."""
    for name, value in list(event.items()):
        event[name] = REDACTED if _SECRET_FIELD.search(name) and value is not None else _clean(value, _DEPTH)
    return event


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth == 0:
        return "[nested]"
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _SECRET_FIELD.search(str(key)) else _clean(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth - 1) for item in value]
    return _clean_text(repr(value))


def _clean_text(text: str) -> str:
    for pattern in _SECRET_TEXT:
        text = pattern.sub(REDACTED, text)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _render(_logger: Any, _method: str, event: Event) -> str:
    return msgspec.json.encode(event).decode()


def configure(*, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging, redacted, to `stream` (standard error)."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    # Tracebacks without local variables: those may hold a PIN.
    last: list[Any] = [structlog.processors.format_exc_info, redact, _render]
    output = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    # Libraries that log requests with their headers or addresses in full, or statements with their parameters.
    _quieten(("aiosqlite", "httpx", "httpcore", "httpx2", "aiohttp", "hpack", "urllib3", "google", "asyncio"))


def _quieten(names: Iterable[str]) -> None:
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)


def bind_request(request_id: str) -> None:
    """Put `request_id` on every event of the current context."""
    structlog.contextvars.bind_contextvars(request_id=request_id)


def request_id() -> str | None:
    """The request id of the current context."""
    value = structlog.contextvars.get_contextvars().get("request_id")
    return value if isinstance(value, str) else None
