"""Whom the stand-in axis knows: units with codes, parents and systems, from a file; what merged meanwhile is kept beside it.

A *system* is what connects: it has a secret and sends and receives for the units that name it, usually one. A unit that was closed
by a merger is received for by its successor's system, and packets to it are refused (`23`), as on an axis that has closed the code.
"""

import re
import secrets
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from server.exchange.model import ExchangeError

__all__ = ["UNITS", "ConfigError", "Merger", "Unit", "World", "configured"]

_SECRET_MIN: Final = 16
_CODE: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]{0,62}[0-9A-Za-z])?")


class ConfigError(ExchangeError):
    """`axis-config`: the file does not describe a usable axis; the reason says where."""


class Unit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agency. `parent` is the code above it. `system`: whose credentials send and receive for it; empty: its own.

    `secret`: of its own system, at least 16 printable ASCII characters; empty: made at the first start. `unit`: the id in the axis'
    list; empty: given. A unit keeps it when its code changes.
    """

    code: str
    name: str = ""
    parent: str = ""
    old_code: str = ""
    system: str = ""
    secret: str = ""
    mail: str = ""
    unit: str = ""
    closed: bool = False
    successor: str = ""


class Merger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`codes` end and `into` has their units from now on: a code that stands already, or a new one with `name`."""

    codes: tuple[str, ...]
    into: str
    name: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    agency: list[Unit]


UNITS: Final = (
    Unit(code="X01", name="Cơ quan Mẫu Một", old_code="000.00.00.X01"),
    Unit(code="X01.02", name="Phòng Mẫu Một Hai", parent="X01", old_code="000.00.12.X01"),
    Unit(code="X02", name="Cơ quan Mẫu Hai", old_code="000.00.00.X02"),
    Unit(code="X03", name="Cơ quan Mẫu Ba", old_code="000.00.00.X03"),
    Unit(code="X04", name="Cơ quan Mẫu Bốn (đã đóng)", old_code="000.00.00.X04", closed=True),
    Unit(code="14.00.W00", name="Đơn vị thử nghiệm"),
)
"""Samples: codes whose first letter is no real level 1, one that is not the reversal of its old code, a closed one, a test unit."""


def configured(path: Path) -> tuple[Unit, ...]:
    """The units of a TOML file with one table `[[agency]]` a unit. Raises: ConfigError."""
    try:
        return tuple(msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).agency)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ConfigError("axis-config", f"{path}: {error}") from None


def _key(code: str) -> str:
    return code.strip().casefold()


class World:
    """Lookups over the units. Raises: ConfigError for units that contradict each other."""

    def __init__(self, units: Iterable[Unit], mergers: Iterable[Merger] = ()) -> None:
        self._units: dict[str, Unit] = {}
        for position, unit in enumerate(units, 1):
            if not _CODE.fullmatch(unit.code) or _key(unit.code) in self._units:
                raise ConfigError("axis-config", f"a code is not usable, or stands there twice: {unit.code!r}")
            self._units[_key(unit.code)] = msgspec.structs.replace(unit, unit=unit.unit or str(position))
        for unit in self._units.values():
            self._check(unit)
        for merger in mergers:
            self.merge(merger)

    def _check(self, unit: Unit) -> None:
        for other in (unit.parent, unit.system, unit.successor):
            if other and _key(other) not in self._units:
                raise ConfigError("axis-config", f"{unit.code} names {other!r}, which is no code of the file")
        secret = unit.secret
        if secret and not (len(secret) >= _SECRET_MIN and secret.isascii() and secret.isprintable()):
            raise ConfigError("axis-config", f"the secret of {unit.code} is not {_SECRET_MIN} printable characters")

    def units(self) -> list[Unit]:
        return list(self._units.values())

    def find(self, code: str) -> Unit | None:
        """By its code, else by the old one of an open unit."""
        asked = _key(code)
        if asked in self._units:
            return self._units[asked]
        return next((one for one in self._units.values() if not one.closed and _key(one.old_code) == asked), None)

    def system_of(self, unit: Unit) -> str:
        """The code whose credentials receive for this unit; a closed one is received for by who has it now."""
        for _ in range(len(self._units)):
            if unit.closed and unit.successor:
                unit = self._units[_key(unit.successor)]
            elif unit.system and _key(unit.system) != _key(unit.code):
                return self._units[_key(unit.system)].code
            else:
                break
        return unit.code

    def systems(self) -> list[Unit]:
        """Units with credentials of their own. One that was closed by a merger keeps them: its installation still asks."""
        return [one for one in self._units.values() if not one.system and (not one.closed or one.successor)]

    def codes_of(self, system: str) -> list[str]:
        """The units that a system receives for."""
        return [one.code for one in self._units.values() if self.system_of(one) == system]

    def merge(self, merger: Merger) -> None:
        """Close `codes` in favour of `into`. Raises: ConfigError; nothing is changed then."""
        ending = [self._units.get(_key(code)) for code in merger.codes if _key(code) != _key(merger.into)]
        if not ending or any(one is None or one.closed for one in ending) or not _CODE.fullmatch(merger.into):
            raise ConfigError("axis-config", "a code that should end is unknown or closed, or none is named")
        first = next(one for one in ending if one is not None)
        into = self._units.get(_key(merger.into))
        if into is not None and into.closed:
            raise ConfigError("axis-config", f"{merger.into} is closed itself")
        if into is None:
            # A new code of the same unit: its credentials and its place in the tree stay what they were.
            into = msgspec.structs.replace(
                first, code=merger.into, name=merger.name or first.name, old_code="", system=first.system or first.code, secret=""
            )  # fmt: skip
            self._units[_key(into.code)] = into
        elif merger.name:
            into = msgspec.structs.replace(into, name=merger.name)
            self._units[_key(into.code)] = into
        for one in ending:
            assert one is not None
            self._close(one, into)

    def _close(self, unit: Unit, into: Unit) -> None:
        self._units[_key(unit.code)] = msgspec.structs.replace(unit, closed=True, successor=into.code, unit=into.unit)
        for below in [one for one in self._units.values() if _key(one.parent) == _key(unit.code)]:
            above = unit.parent if below.code == into.code else into.code
            self._units[_key(below.code)] = msgspec.structs.replace(below, parent=above)

    # The lists of the wire (reference §8.3).

    def open_list(self) -> list[dict[str, object]]:
        return [
            self._row(one) | {"oldCode": one.old_code, "code102": one.old_code}
            for one in self.units()
            if not one.closed
        ]

    def whole_list(self) -> list[dict[str, object]]:
        """Closed units too. One that was taken over has the id of the unit that it belongs to now."""
        return [self._row(one) | {"version": "1", "deleted": one.closed} for one in self.units()]

    def _row(self, unit: Unit) -> dict[str, object]:
        parent = self._units[_key(unit.parent)].unit if unit.parent else "0"
        return {"id": unit.unit, "pid": parent, "code": unit.code, "name": unit.name, "mail": unit.mail}


def keys_of(folder: Path, world: World) -> dict[str, Path]:
    """The secret's file of every system, made where there is none; system code to path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {}
    for unit in world.systems():
        path = folder / unit.code
        if not path.exists():
            path.touch(0o600)
            path.write_text(unit.secret or fresh_secret())
        found[unit.code] = path
    return found


def fresh_secret() -> str:
    """It looks like base64 and is used as text, as those of the axis are."""
    return secrets.token_urlsafe(32) + "="
