"""The signer with a witness: every derivation's PIN is written to the file HOATOC_TEST_TRACE before it starts.

A written line outlives kill -9 of the process, so the file counts derivations independently of the store.
"""

import os
import sys

from signing.core import activation, daemon

_derive = activation.derive
_trace = os.open(os.environ["HOATOC_TEST_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def derive(pin, salt, argon):
    os.write(_trace, pin.digits + b"\n")
    return _derive(pin, salt, argon)


activation.derive = derive
sys.exit(daemon.main(sys.argv[1]))
