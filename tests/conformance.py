"""`make check`: every rule or threat id quoted in code has its row in tests/CONFORMANCE.md, and every row its tests.

A rule id looks like SIG-7, a threat id like A6. Threat ids count where they are quoted as such: in parentheses, or behind the
word "threat" — a bare A4 may be a sheet of paper.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "CONFORMANCE.md"
_RULE = re.compile(r"\b(?:SIG|AUT|SW|DOC|TIM|EXC|NOT|MTG|REC|SEC|PDP)-\d{1,2}\b")
_THREAT = r"(?:A(?:1[0-5]|[1-9])|B(?:1[01]|[1-9])|C(?:20|1\d|[1-9])|D(?:1[0-8]|[1-9]))"
_LIST = rf"{_THREAT}(?:(?:, | and |; ){_THREAT})*"
_QUOTED = re.compile(rf"(?:threats?\s+({_LIST})\b)|\((?:[^()]*?\b(?:threats?|rules?)\s+)?({_LIST})\)")
_ROW = re.compile(r"^\|\s*([A-Z]+-?\d+)\s*\|([^|]*)\|([^|]*)\|(.*)\|\s*$")
_TEST = re.compile(r"(tests/[\w/.-]+\.(?:py|mjs))(?:::(\w+))?")


def quoted() -> dict[str, set[str]]:
    """Ids in the code, with the files that quote them."""
    found: dict[str, set[str]] = {}
    for folder in ("server", "push", "signing", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            ids = set(_RULE.findall(text))
            for groups in _QUOTED.findall(text):
                for group in groups:
                    ids.update(re.findall(_THREAT, group))
            for one in ids:
                found.setdefault(one, set()).add(str(path.relative_to(ROOT)))
    return found


def rows() -> dict[str, list[tuple[str, str | None]]]:
    """Ids of the table, with the tests that each row names."""
    found: dict[str, list[tuple[str, str | None]]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        row = _ROW.match(line)
        if row:
            tests = [(file, name or None) for file, name in _TEST.findall(row[4])]
            found.setdefault(row[1], []).extend(tests)
    return found


def problems() -> list[str]:
    table = rows()
    wrong = [
        f"{one} is quoted in {min(files)} but has no row" for one, files in sorted(quoted().items()) if one not in table
    ]
    for one, tests in sorted(table.items()):
        if not tests:
            wrong.append(f"the row {one} names no test")
        for file, name in tests:
            path = ROOT / file
            if not path.exists():
                wrong.append(f"the row {one} names {file}, which does not exist")
            elif name is not None and not re.search(rf"\bdef {name}\b|\b{name}\b", path.read_text(encoding="utf-8")):
                wrong.append(f"the row {one} names {file}::{name}, which does not exist")
    return wrong


if __name__ == "__main__":
    wrong = problems()
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)
