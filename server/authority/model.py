"""What a grant of authority says, as its grantor's device signs it, and the rules that need no store.

**Signed form**: compact JWS (ES256, `typ` `hoatoc-grant+jws`) by the grantor's approval key over the JSON of `Grant` in declared
order, no white space, no member left out. There is one encoding of one grant; every other spelling is refused.

**Forms** (Decree 30/2020/NĐ-CP art. 13; annex I for Q.): which position may give and hold which is decided by `fits`. A deputy is known by the position
as it is recorded (`is_deputy`); nothing else in the house says who is whose deputy.
"""

import unicodedata
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from server.documents.model import clean
from server.errors import Refused

GRANT_TYP: Final = "hoatoc-grant+jws"
MAX_LIFE_US: Final = 5 * 366 * 24 * 3600 * 1_000_000  # a term of office; AUT-3 asks for a limit and names none

PersonId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Microseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Form(StrEnum):
    """Ký thay, thừa lệnh, thừa ủy quyền, thay mặt, quyền."""

    KT = "KT"
    TL = "TL"
    TUQ = "TUQ"
    TM = "TM"
    Q = "Q"


class GrantState(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed. `organisation` is the exchange code; `grantor` and `holder` are ids of people.

    `line`: the office (KT., TL., TUQ., Q.) or the body (TM.) behind the form on the page. `paper`: the written decision behind the
    grant (AUT-3, AUT-6). `types`: names of document types, empty for all; `urgency`: up to which. `parent`: SHA-256 (hex) of the TL.
    grant that is passed on to a deputy (AUT-4), else empty. Times are microseconds UTC, `not_after` exclusive. `nonce`: 16 bytes, base64url.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    organisation: Annotated[str, msgspec.Meta(min_length=1, max_length=13)]
    form: Form
    grantor: PersonId
    holder: PersonId
    line: Line
    paper: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    types: Annotated[tuple[Line, ...], msgspec.Meta(max_length=50)]
    urgency: Annotated[int, msgspec.Meta(ge=0, le=4)]
    parent: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
    not_before: Microseconds
    not_after: Microseconds
    nonce: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{22}$")]


class GrantRow(msgspec.Struct, frozen=True):
    """A row of `authority_grants`. `authority_line` is what stands on the page, a line each; `types` is a JSON array."""

    id: str
    organisation: str
    digest: str
    form: Form
    grantor: str
    device: str
    holder: str
    authority_line: str
    paper: str
    types: str
    urgency: int
    parent: str | None
    not_before_us: int
    not_after_us: int
    jws: str
    state: GrantState
    created_us: int
    used_us: int | None
    revoked_us: int | None
    revoked_by: str | None

    def type_names(self) -> list[str]:
        return msgspec.json.decode(self.types, type=list[str])


class Party(msgspec.Struct, frozen=True):
    """A person as a grant sees him: an active leader of the organisation, and his position as recorded."""

    id: str
    position: str


def folded(text: str) -> str:
    """For comparing names of positions and types: NFC, one space, no case."""
    return clean(unicodedata.normalize("NFC", text)).casefold()


def is_deputy(position: str) -> bool:
    """Phó … and thứ trưởng: who signs KT. (art. 13.1)."""
    return folded(position).startswith(("phó ", "thứ trưởng"))


def fits(grant: Grant, grantor: Party, holder: Party) -> None:
    """The form belongs to these two positions.

    KT. and TM. are a deputy's (AUT-1, AUT-2: the head signs TM. by his office and needs no grant); TL. and TUQ. go to the head of a unit, never to a deputy, and
    only for named types (AUT-3, AUT-4); none is given by a deputy, who has only what he was given himself.

    Raises: Refused("grant-invalid").
    """
    reason = ""
    if grant.grantor == grant.holder:
        reason = "to-oneself"
    elif not grantor.position or is_deputy(grantor.position):
        reason = "grantor-position"
    elif (grant.form in {Form.KT, Form.TM} and not is_deputy(holder.position)) or (
        grant.form in {Form.TL, Form.TUQ} and (not holder.position or is_deputy(holder.position))
    ):
        reason = "holder-position"
    elif grant.form in {Form.KT, Form.TL, Form.TUQ} and folded(grant.line) != folded(grantor.position):
        reason = "line"
    elif grant.form in {Form.TL, Form.TUQ} and not grant.types:
        reason = "types"
    elif grant.parent and grant.form is not Form.KT:
        reason = "not-delegable"
    if reason:
        raise Refused("grant-invalid", reason=reason)


def in_order(grant: Grant, now_us: int) -> None:
    """Texts are clean and its time is one. Raises: Refused("grant-invalid")."""
    if any(clean(text) != text for text in (grant.line, grant.paper, *grant.types)):
        raise Refused("grant-invalid", reason="text")
    if not max(now_us, grant.not_before) < grant.not_after or grant.not_after - grant.not_before > MAX_LIFE_US:
        raise Refused("grant-invalid", reason="time")


def passed_on(grant: Grant, parent: GrantRow) -> None:
    """`grant` passes `parent` on: only a TL., by its holder, to a deputy (AUT-4); TUQ. goes no further (AUT-3).

    Raises: Refused("grant-invalid").
    """
    if parent.form is not Form.TL or parent.holder != grant.grantor:
        raise Refused("grant-invalid", reason="not-delegable")


def authority_line(grant: Grant, grantor: Party, parent: GrantRow | None) -> str:
    """What stands above the position, a line each: `TM. ỦY BAN NHÂN DÂN` over `KT. CHỦ TỊCH`, `TL. BỘ TRƯỞNG` over `KT. CHÁNH VĂN PHÒNG`."""
    own = f"{grant.form}. {grant.line}"
    if grant.form is Form.TM:
        return f"{own}\nKT. {clean(grantor.position).upper()}"
    return own if parent is None else f"{parent.authority_line}\n{own}"


def stands_at(row: GrantRow, now_us: int) -> str:
    """Why a grant is good for nothing at `now_us`; empty where it stands."""
    if row.state is GrantState.REVOKED:
        return "revoked"
    if now_us < row.not_before_us:
        return "not-yet"
    return "ended" if now_us >= row.not_after_us else ""


def covers(row: GrantRow, type_name: str, urgency: int) -> str:
    """Why a document is out of the grant's scope; empty where it is in."""
    types = row.type_names()
    if types and folded(type_name) not in map(folded, types):
        return "type"
    return "urgency" if urgency > row.urgency else ""
