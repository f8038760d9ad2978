"""Web Push subscriptions, and which of their endpoints may be called at all (threat C10).

An endpoint is a URL that a client chose, so a server that posts to it can be sent anywhere. It must be https to a host on the list
of push services, on port 443, by name; where the name leads is looked at again at each connection (`is_public`). Whoever runs a push
service of their own (UnifiedPush inside the agency's network, a test's double) names its exact origin.
"""

import base64
import binascii
import ipaddress
import re
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from push.model import PushError

__all__ = [
    "PUSH_SERVICES",
    "Endpoint",
    "EndpointPolicy",
    "EndpointRefusedError",
    "Subscription",
    "SubscriptionError",
    "is_public",
]

PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "web.push.apple.com",
    "*.push.apple.com",
    "wns2-*.notify.windows.com",
)
"""The push services of Chromium, Firefox, Safari and Edge, as host patterns."""

_LONGEST = 2048
# Lower case, two labels or more, the last one a word: no address in any of the spellings that a resolver would take for a number.
_NAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_TARGET = re.compile(r"/[!#-;=?-Z_a-z~%\[\]@$&'()*+,]*")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_TUNNELS = (ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32"))


class EndpointRefusedError(PushError, ValueError):
    """The endpoint may not be called; the message says why without naming it."""

    code = "endpoint-refused"


class SubscriptionError(PushError, ValueError):
    """Not a subscription: members, encodings or the point are wrong."""

    code = "subscription-invalid"


class Endpoint(msgspec.Struct, frozen=True):
    """The parts that a connection needs, so that nobody parses the URL a second time and differently."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """RFC 6454, the audience of a VAPID token: the port only where it is not the scheme's own."""
        usual = {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{self.host}" + ("" if self.port == usual else f":{self.port}")


class EndpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`hosts`: patterns of names (`*` is any part of a name). `private_origins`: exact origins (`http://127.0.0.1:8090`) that are
    exempt from scheme, port, list and address range.
    """

    hosts: tuple[str, ...] = PUSH_SERVICES
    private_origins: tuple[str, ...] = ()

    def check(self, url: str) -> Endpoint:
        """The endpoint's parts. Raises `EndpointRefusedError`."""
        endpoint = _parse(url)
        if self.is_private(endpoint.host, endpoint.port):
            if endpoint.origin in self.private_origins:
                return endpoint
            raise EndpointRefusedError("another scheme than the listed origin's")
        if endpoint.scheme != "https" or endpoint.port != 443:
            raise EndpointRefusedError("only https on port 443")
        if not _NAME.fullmatch(endpoint.host):
            raise EndpointRefusedError("the host is not a plain name")
        if not any(fnmatchcase(endpoint.host, pattern) for pattern in self.hosts):
            raise EndpointRefusedError("the host is not a listed push service")
        return endpoint

    def is_private(self, host: str, port: int) -> bool:
        """Whether this place is one of the listed origins, which may have any address."""
        listed = (_parse(f"{origin}/") for origin in self.private_origins)
        return any((one.host, one.port) == (host, port) for one in listed)


def _parse(url: str) -> Endpoint:
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable():
        raise EndpointRefusedError("not an address of printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointRefusedError("not an address") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or parts.fragment:
        raise EndpointRefusedError("not a plain web address")
    # What urlsplit forgave (an empty port, upper case, a space, a query without a path) other parsers read otherwise.
    written = host if port is None else f"{host}:{port}"
    target = url.removeprefix(f"{parts.scheme}://{written}")
    if target == url or not _TARGET.fullmatch(target) or port == 0:
        raise EndpointRefusedError("an address that can be read in two ways")
    return Endpoint(parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme], target)


def is_public(address: str) -> bool:
    """Whether an IP address, as a resolver gave it, is one of the public Internet: not private, loopback, link-local, shared
    (RFC 6598), multicast or reserved, and none of these wrapped in an IPv6 address.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        elif "%" in address or any(found in tunnel for tunnel in _TUNNELS):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class _Keys(msgspec.Struct, frozen=True):
    p256dh: str
    auth: str


class _Wire(msgspec.Struct, frozen=True):
    endpoint: str
    keys: _Keys


class Subscription(msgspec.Struct, frozen=True):
    """`point`: the receiver's P-256 public key, 65 bytes uncompressed. `auth`: its authentication secret, 16 bytes (RFC 8291 §2)."""

    endpoint: str
    point: bytes
    auth: bytes

    def __repr__(self) -> str:
        return "Subscription(…)"

    @classmethod
    def parse(cls, value: str) -> "Subscription":
        """From the JSON of a browser's PushSubscription. Raises `SubscriptionError`, also for a point that is not on the curve."""
        try:
            wire = msgspec.json.decode(value, type=_Wire)
            point, auth = _unb64u(wire.keys.p256dh), _unb64u(wire.keys.auth)
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except (msgspec.MsgspecError, ValueError):
            raise SubscriptionError("not a subscription") from None
        if len(point) != 65 or len(auth) != 16:
            raise SubscriptionError("key sizes")
        return cls(wire.endpoint, point, auth)

    def value(self) -> str:
        """Canonical JSON, the form in which it is an `Address`'s value: no spaces, unpadded base64url."""
        wire = _Wire(self.endpoint, _Keys(_b64u(self.point), _b64u(self.auth)))
        return msgspec.json.encode(wire).decode()


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64u(text: str) -> bytes:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
