"""What the store holds: the rows of its tables, the events of its log, and the SQL that follows from them.

A table is declared once, as a struct: columns, primary key, types and statements all come from its fields, and so does
what its rows' MACs cover.
"""

from collections.abc import Iterator
from typing import ClassVar, TypeVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf of the log (its JSON in this order). `detail`: the approval or voucher as JWS, or a digest of the
    result.
    """

    v: int = 1
    event: str
    time_us: int
    organisation: str = ""
    credential: str = ""
    person: str = ""
    device: str = ""
    challenge: str = ""
    detail: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table: `TABLE` is its name, `KEY` how many of the first columns are its primary key."""

    TABLE: ClassVar[str] = ""
    KEY: ClassVar[int] = 1


class CredentialRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "credential"

    credential: str
    organisation: str
    key_type: str
    subject: str
    public_key: bytes
    csr: bytes
    certificate: bytes = b""
    chain: bytes = msgspec.msgpack.encode(())
    frozen: int = 0


class HolderRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "holder"
    KEY: ClassVar[int] = 2

    credential: str
    person: str
    state: str
    epoch: int = 1
    failures: int = 0
    locked_until_us: int = 0
    pin_forbidden: str
    envelope: bytes = b""


class DeviceRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "device"
    KEY: ClassVar[int] = 2

    credential: str
    device: str
    person: str
    key: bytes
    state: str


class RevokedRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "revoked"

    device: str
    time_us: int


class VoucherRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "voucher"

    voucher: str
    kind: str
    credential: str
    join_sha256: str
    time_us: int


class ActivationRow(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "activation"

    challenge: str
    kind: str = ""
    credential: str = ""
    person: str = ""
    device: str = ""
    approval_sha256: str = ""
    state: str
    epoch: int = 0
    time_us: int
    result: bytes = b""


TABLES: tuple[type[Row], ...] = (CredentialRow, HolderRow, DeviceRow, RevokedRow, VoucherRow, ActivationRow)
R = TypeVar("R", bound=Row)
Column = str | int | bytes
Columns = tuple[Column, ...] | list[Column]
_SQL_TYPE = {str: "TEXT", int: "INTEGER", bytes: "BLOB"}
TYPES = {table: tuple(field.type for field in msgspec.structs.fields(table)) for table in TABLES}
FIELDS = {table: table.__struct_fields__ for table in TABLES}
_KEY_IS = {table: " AND ".join(f"{name} = ?" for name in FIELDS[table][: table.KEY]) for table in TABLES}
SELECT = {table: f"SELECT {', '.join(FIELDS[table])}, sequence, mac FROM {table.TABLE}" for table in TABLES}  # noqa: S608 - names are ours
GET = {table: f"{SELECT[table]} WHERE {_KEY_IS[table]}" for table in TABLES}
DELETE = {table: f"DELETE FROM {table.TABLE} WHERE {_KEY_IS[table]}" for table in TABLES}  # noqa: S608 - names are ours
REPLACE = {
    table: f"INSERT OR REPLACE INTO {table.TABLE} VALUES ({', '.join('?' * (len(FIELDS[table]) + 2))})"  # noqa: S608 - names are ours
    for table in TABLES
}


def schema() -> Iterator[str]:
    for table in TABLES:
        columns = [f"{field.name} {_SQL_TYPE[field.type]} NOT NULL" for field in msgspec.structs.fields(table)]
        columns += ["sequence INTEGER NOT NULL", "mac BLOB NOT NULL"]
        key = ", ".join(FIELDS[table][: table.KEY])
        yield f"CREATE TABLE {table.TABLE} ({', '.join(columns)}, PRIMARY KEY ({key})) WITHOUT ROWID"
    yield "CREATE TABLE event (position INTEGER PRIMARY KEY, body BLOB NOT NULL)"
    yield (
        "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, row_sum BLOB NOT NULL,"
        " log_size INTEGER NOT NULL, frontier BLOB NOT NULL, time_us INTEGER NOT NULL, mac BLOB NOT NULL)"
    )
