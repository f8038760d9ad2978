"""The signer with a witness: every derivation's PIN is written to the file HOATOC_TEST_TRACE before it starts.

HOATOC_TEST_HEAD_DELAY makes the other volume slow (seconds a head), so that whoever does not wait for it is found out.
A written line outlives kill -9 of the process, so the file counts derivations independently of the store.
"""

import os
import sys
import time

from signing.core import activation, daemon, heads

_derive = activation.derive
_trace = os.open(os.environ["HOATOC_TEST_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def derive(pin, salt, argon):
    os.write(_trace, pin.digits + b"\n")
    return _derive(pin, salt, argon)


activation.derive = derive

if delay := float(os.environ.get("HOATOC_TEST_HEAD_DELAY", "0")):
    _write = heads.HeadKeeper.write

    def write(keeper, state, events):
        time.sleep(delay)
        _write(keeper, state, events)

    heads.HeadKeeper.write = write

sys.exit(daemon.main(sys.argv[1]))
