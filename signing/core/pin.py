"""The PIN: its 64-byte form, what may not be chosen (A9), and the ladder of tries (A6). Pure functions.

Sources: NIST SP 800-63B-4 §3.1.1 (blocklist, no composition rules, no periodic change); architecture §5 (the ladder).
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import msgspec

from signing.core.errors import PinForbidden, PinMalformed

MIN_DIGITS = 6
MAX_DIGITS = 31
_PERSONAL_PART = 4  # shorter parts of a birthday or phone number would forbid too much


class Pin:
    """Digits that never show: not in `repr`, not in an error, not in a log (A14)."""

    __slots__ = ("digits",)

    def __init__(self, digits: bytes) -> None:
        self.digits = digits

    def __repr__(self) -> str:
        return "Pin(******)"

    def __reduce__(self) -> str:
        raise TypeError("a PIN is never serialised")


def parse(plaintext: bytes) -> tuple[Pin, Pin | None]:
    """PIN and, for change_pin, the new PIN, from two 32-byte fields {length, digits, zeros}; raises `PinMalformed`."""
    if len(plaintext) != 64:
        raise PinMalformed
    first, second = plaintext[:32], plaintext[32:]
    return _field(first), None if second == bytes(32) else _field(second)


def _field(field: bytes) -> Pin:
    length = field[0]
    digits, padding = field[1 : 1 + length], field[1 + length :]
    if not MIN_DIGITS <= length <= MAX_DIGITS or any(padding) or not all(0x30 <= digit <= 0x39 for digit in digits):
        raise PinMalformed
    return Pin(digits)


def check_choice(pin: Pin, personal: Iterable[str] = (), previous: Pin | None = None) -> None:
    """Refuse a guessable new PIN; raises `PinForbidden` with its reason, never with its digits."""
    digits = pin.digits.decode()
    if previous is not None and previous.digits == pin.digits:
        reason = "unchanged"
    elif len(set(digits)) == 1:
        reason = "repeated"
    elif _constant_step(digits):
        reason = "run"
    elif digits in COMMON or _patterned(digits):
        reason = "common"
    elif _is_personal(digits, personal):
        reason = "personal"
    else:
        return
    raise PinForbidden(reason=reason)


def _constant_step(digits: str) -> bool:
    """All-same, 123456, 987654, 135791, 890123: every neighbour differs by the same step modulo 10."""
    steps = {(ord(b) - ord(a)) % 10 for a, b in pairwise(digits)}
    return len(steps) == 1


def _patterned(digits: str) -> bool:
    """A repeated block (121212, 12341234), pairs in a row (112233), a mirrored run (123321), two runs (123789)."""
    size = len(digits)
    half, odd = divmod(size, 2)
    if any(digits == (digits[:block] * size)[:size] for block in range(1, half + 1)):
        return True
    if not odd and digits[::2] == digits[1::2]:
        return True
    runs = [part for part in (digits[:half], digits[half:]) if _constant_step(part)]
    return len(runs) == 2 and half >= 3


def _is_personal(digits: str, personal: Iterable[str]) -> bool:
    for part in personal:
        for known in _forms(part):
            for text in (known, known[::-1]):
                if len(text) >= _PERSONAL_PART and (digits in text or text in digits):
                    return True
    return False


def _forms(part: str) -> Iterator[str]:
    """The digits themselves; of a date (YYYYMMDD or DDMMYYYY) also its other customary orders."""
    digits = "".join(filter(str.isdigit, part))
    yield digits
    if len(digits) != 8:
        return
    for year, month, day in ((digits[:4], digits[4:6], digits[6:]), (digits[4:], digits[2:4], digits[:2])):
        if year[:2] in ("19", "20") and "01" <= month <= "12" and "01" <= day <= "31":
            for form in (year, year[2:]):
                yield from (day + month + form, month + day + form, form + month + day, form + day + month)


def _common() -> Iterator[str]:
    """Published lists of the commonest PINs are, past their first hundred, these rules; all six digits unless noted."""
    pairs = [a + b for a in "0123456789" for b in "0123456789"]
    for a in pairs:
        yield from (a * 3, a + a[::-1] + a, a[0] * 3 + a[1] * 3, a[0] * 2 + a[1] * 4, a[0] * 4 + a[1] * 2)
        yield from (a[0] + a[1] * 4 + a[0], a[0] * 5 + a[1], a[0] + a[1] * 5)
    for year in range(1940, 2031):  # a year alone, doubled, or beside the usual fillers
        yield from (f"{year}{year}", f"{year}00", f"{year}01", f"{year}11", f"{year}12", f"{year}99", f"00{year}")
        yield f"01{year}"
    yield from _LIST.split()


_LIST = """
 142536 748596 123698 102030 112358 686886 683979 393979 797939 123455 123457 123450 246810 135790 975310 124578 235689
 314159 271828 141421 161803 520131 131452 199019 300475 020945 190890 190589 190519 101954 100954 221244 200820 010203
 123412 432143 121314 131415 141516 151617 161718 171819 181920 192021 202122 212223 123454 234561 345612 561234 612345
 147258369 159357456 14725836 15975346 10203040
"""

COMMON: frozenset[str] = frozenset(_common())


class Ladder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tries` per stage; after stage i < last the holder is locked for `lock_s[i]` seconds, after the last it ends."""

    tries: tuple[int, ...] = (3, 3, 3)
    lock_s: tuple[int, ...] = (3 * 3600, 24 * 3600)

    def __post_init__(self) -> None:
        if len(self.lock_s) != len(self.tries) - 1 or min(self.tries) < 1 or sum(self.tries) > 9:
            raise ValueError("a ladder has one lock between two stages and at most 9 tries in all")


class Charged(msgspec.Struct, frozen=True):
    """The holder's counters after one try is charged; they stand before the PIN is looked at."""

    failures: int
    locked_until_us: int
    ended: bool


def charge(ladder: Ladder, failures: int, now_us: int) -> Charged:
    """One try more: the lock or the end of a stage is set with the charge, so that a crash cannot save from it (A7)."""
    failures += 1
    total = 0
    for stage, tries in enumerate(ladder.tries):
        total += tries
        if failures == total and stage < len(ladder.lock_s):
            return Charged(failures, now_us + ladder.lock_s[stage] * 1_000_000, ended=False)
    return Charged(failures, 0, ended=failures >= total)


def tries_left(ladder: Ladder, failures: int, locked_until_us: int, now_us: int) -> int:
    """Tries to the next lock or to the end; 0 while locked and after the end."""
    if locked_until_us > now_us:
        return 0
    total = 0
    for tries in ladder.tries:
        total += tries
        if failures < total:
            return total - failures
    return 0
