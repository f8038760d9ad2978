"""The agency list as an index: codes are routed only if the list knows them, and old codes only by its own mapping."""

from collections.abc import Iterable
from itertools import islice

from server.exchange.axis import Agency, unmarked


class Agencies:
    """Look-ups by new or old code, without case. Old to new is never computed: it is not always a reversal."""

    def __init__(self, listed: Iterable[Agency]) -> None:
        self._all = tuple(listed)
        self._by_code = {_key(agency.old_code): agency for agency in self._all if agency.old_code}
        self._by_code |= {_key(agency.code): agency for agency in self._all}
        self._pickable = [
            (unmarked(f"{agency.name} {agency.code}").casefold(), agency)
            for agency in self._all
            if not agency.closed and "W00" not in agency.code.upper()
        ]

    def __len__(self) -> int:
        return len(self._all)

    def find(self, code: str) -> Agency | None:
        """The agency with this new or old code, closed ones included."""
        return self._by_code.get(_key(code))

    def same(self, one: str, other: str) -> bool:
        """Whether two codes name one agency, by the list or by spelling."""
        found = self.find(one)
        return _key(one) == _key(other) or (found is not None and found == self.find(other))

    def pick(self, words: str, limit: int = 20) -> list[Agency]:
        """Open agencies whose name or code holds every word, marks and case ignored. Test units (W00) never show."""
        wanted = unmarked(words).casefold().split()
        found = (agency for text, agency in self._pickable if all(word in text for word in wanted))
        return list(islice(found, limit))


def _key(code: str) -> str:
    return code.strip().casefold()
