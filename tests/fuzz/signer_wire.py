"""Fuzz target: frames on the signer's socket, answered by the real service over a real store. Every answer is a value or a refusal
with a listed code, never `internal` (threats A10, C18).

`python tests/fuzz/signer_wire.py [libFuzzer options] [corpus]`.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.core"]):
    from signing.core import daemon
    from signing.core.activation import Limits
    from signing.core.clock import SignerClock
    from signing.core.keys import Keys
    from signing.core.service import Service
    from signing.core.store import Store

import msgspec

from tests.fakes.fuzz_corpus import corpus
from tests.fakes.signer import SignerHost

HOST = SignerHost(Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-")) / "signer")
LOOP = asyncio.new_event_loop()
CHALLENGE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
CREDENTIAL = "AAECAwQFBgcICQoLDA0ODw"
SEEDS = [
    msgspec.msgpack.encode(request)
    for request in (
        {"op": "challenge", "credential": CREDENTIAL, "device": "x"},
        {"op": "sealing_key"},
        {"op": "enrol", "voucher": "a.b.c", "join": "a.b.c", "sealed_pin": b"x"},
        {"op": "import_certificate", "credential": CREDENTIAL, "certificate": b"0", "chain": [b"0"]},
        {"op": "activate", "kind": "document", "approval": "a.b.c", "sealed_pin": b"x"},
        {"op": "result", "challenge": CHALLENGE},
        {"op": "void", "challenge": CHALLENGE},
        {"op": "status", "credential": CREDENTIAL},
        {"op": "revoke_device", "credential": CREDENTIAL, "device": "x"},
        {"op": "freeze", "credential": CREDENTIAL, "frozen": True},
        {"op": "reactivate", "voucher": "a.b.c"},
        {"op": "log_head"},
        {"op": "log_events", "start": 0, "count": 10},
    )
]


async def opened() -> "daemon._Door":
    config = HOST.config
    keys = Keys(config.folder("keys"))
    store = Store.open(Path(config.state_dir), Path(config.head_dir), keys.row_key, keys.identity)
    limits = Limits(config.pin, config.argon, config.queue)
    service = Service(store, keys, daemon.trust(config), limits, SignerClock(store.time_us), config.connections)
    await service.start()
    return daemon._Door(service, config)


DOOR = LOOP.run_until_complete(opened())


def one_input(data: bytes) -> None:
    answer = msgspec.msgpack.decode(LOOP.run_until_complete(DOOR._answer(data)))
    if answer.get("error") in {"internal", "tampered", "unavailable"}:
        raise AssertionError(answer)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4000", corpus("signer_wire", SEEDS)], one_input)
    atheris.Fuzz()
