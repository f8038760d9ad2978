"""The operator's offline commands, run on the signer's host as its user: whom it believes, and a restored store.

They lie outside the core because nothing that comes through the socket can reach them: they write the files that the
process reads, or hold the store's lock while it is stopped. They are as trusted as the operator who runs them.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.x509 import load_pem_x509_certificates

from signing.core import daemon
from signing.core.clock import SignerClock
from signing.core.codec import PublicJwk, b64u, public_key, sha256, thumbprint
from signing.core.heads import read_head
from signing.core.keys import Keys
from signing.core.model import DeviceState, Head, HolderState
from signing.core.rows import DeviceRow, Event, HolderRow
from signing.core.store import StartRefused, Store, Tx
from signing.core.trust import Officer

__all__ = ["accept_restore", "describe_restore", "trust_officer", "trust_root"]


def trust_officer(config: daemon.Config, jwk: PublicJwk, organisations: Sequence[str]) -> str:
    """Believe vouchers of this key for these organisations; counts at once in a running signer. Returns the
    thumbprint.
    """
    public_key(jwk)
    strangers = set(organisations) - set(config.organisations)
    if strangers or not organisations:
        raise daemon.ConfigRefused("an officer vouches for organisations of this signer")
    name = thumbprint(jwk)
    _publish(config.folder("officers") / f"{name}.json", msgspec.json.encode(Officer(jwk, tuple(organisations))))
    return name


def trust_root(config: daemon.Config, pem: bytes, name: str) -> None:
    """Believe certificates that chain to this root (PEM); counts at once in a running signer."""
    load_pem_x509_certificates(pem)
    _publish(config.folder("roots") / f"{Path(name).name}.pem", pem)


def describe_restore(config: daemon.Config) -> tuple[str, int, bytes]:
    """For the officers' order: the abandoned head (JWS), and sequence and log root of the store as it lies there."""
    keys = Keys(config.folder("keys"))
    head, _ = _last_head(config, keys)
    state = Store.inspect(Path(config.state_dir), Path(config.head_dir), keys.row_key, keys.identity)
    return head, state.sequence, state.root


def accept_restore(config: daemon.Config, orders: Sequence[str]) -> None:
    """Two officers order the restored store to be used: every holder and device is suspended until `reactivate`
    vouchers.

    Raises `StartRefused` unless both signed the same order, for this head and exactly this store.
    """
    keys, trust = Keys(config.folder("keys")), daemon.trust(config)
    order = trust.restore_order(orders)
    head, sequence, root = describe_restore(config)
    if (order.old_head_sha256, order.sequence, order.root) != (b64u(sha256(head.encode())), sequence, b64u(root)):
        raise StartRefused("restore-order", "the order is for another head or store")
    store = Store.open(Path(config.state_dir), Path(config.head_dir), keys.row_key, keys.identity, order=order)
    now = SignerClock(store.time_us).now_us()

    def body(tx: Tx) -> None:
        for holder in tx.find(HolderRow, "state = ?", HolderState.ACTIVE):
            tx.put(msgspec.structs.replace(holder, state=HolderState.SUSPENDED))
        for device in tx.find(DeviceRow, "state = ?", DeviceState.ACTIVE):
            tx.put(msgspec.structs.replace(device, state=DeviceState.SUSPENDED))
        tx.log(Event(event="restored", time_us=now, detail=" ".join(orders)))

    store.durably(body)
    store.close()


def _last_head(config: daemon.Config, keys: Keys) -> tuple[str, Head]:
    found = read_head(Path(config.head_dir), keys.identity_jwk)
    if found is None:
        raise StartRefused("head-missing", "no head verifies")
    return found


def _publish(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    temporary.replace(path)
