"""Threats A14 (second net) and C17 (one event, one line)."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from server import logs

JWS = "eyJhbGciOiJFUzI1NiJ9.eyJwaW4iOiIxMjM0NTYifQ.c2lnbmF0dXJl"
CANARY = "739104"


@pytest.fixture
def output():
    stream = io.StringIO()
    logs.configure(stream=stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def events(stream):
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


@pytest.mark.parametrize(
    "fields",
    [
        {"pin": CANARY},
        {"new_pin": CANARY},
        {"sealed_pin": CANARY.encode()},
        {"Authorization": f"Bearer {CANARY}abcdef"},
        {"header": f"Bearer {CANARY}abcdef"},
        {"header": f"DPoP {CANARY}abcdef"},
        {"value": JWS.replace("c2ln", CANARY)},
        {"body": f'{{"pin": "{CANARY}"}}'},
        {"query": f"a=1&pin={CANARY}&b=2"},
        {"url": f"postgresql://user:{CANARY}@host/db"},
        {"nested": {"list": [{"access_token": CANARY}]}},
        {"key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
        {"url": f"https://mau.example/f/{CANARY}{'a' * 26}"},
        {"title": CANARY},
        {"raw": CANARY.encode()},
    ],
)
def test_no_secret_comes_out(output, fields):
    structlog.get_logger().info("event", **fields)
    assert CANARY not in output.getvalue()
    assert events(output)[0]["event"] == "event"


def test_no_secret_comes_out_of_a_traceback_or_a_foreign_logger(output):
    pin = CANARY
    try:
        raise ValueError(f"pin={pin}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed with %s", f"Bearer {pin}xxxxxxx")
    assert CANARY not in output.getvalue()
    assert ["ValueError" in event["exception"] for event in events(output)] == [True, True]


def test_harmless_things_stay(output):
    structlog.get_logger().info("job-failed", kind="push", count=3, digest="ab" * 32, spinning="x", pinned=2, none=None)
    (event,) = events(output)
    assert event | {"time": ""} == {
        "event": "job-failed",
        "kind": "push",
        "count": 3,
        "digest": "ab" * 32,
        "spinning": "x",
        "pinned": 2,
        "none": None,
        "level": "info",
        "time": "",
    }


def test_the_request_id_follows(output):
    logs.bind_request("abc")
    assert logs.request_id() == "abc"
    structlog.get_logger().info("event")
    assert events(output)[0]["request_id"] == "abc"


@given(st.text(alphabet=st.characters(codec="utf-8")), st.text(alphabet="\r\n\x00\x1b\x9b\u2028\u202e{}\"'\\"))
def test_one_event_is_one_line_without_control_characters(value, controls):
    stream = io.StringIO()
    logs.configure(stream=stream)
    structlog.get_logger().info(controls + value, field=value + controls, more=[value])
    structlog.reset_defaults()
    (line,) = stream.getvalue().removesuffix("\n").split("\n")
    assert isinstance(json.loads(line), dict)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 or letter in "\u2028\u2029\u202e" for letter in line)
