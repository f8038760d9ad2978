"""The client against the description of the API: every operation of a phone is called, or is listed with the reason why not."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "server" / "web" / "static").rglob("*.js")]
# Operations tagged `phone` that this client does not call.
LEFT_OUT: dict[str, str] = json.loads((Path(__file__).parent / "left_out.json").read_text())
METHODS = {"read": "get", "post": "post", "later": "post"}


def paths(source: str) -> set[tuple[str, str]]:
    """Method and path of every call that stands in a source; a variable part is `{}`."""
    found = set()
    # `const path = …` once, then `${path}/manifest` or the name itself.
    for name, value in re.findall(r"const (\w+) = [`\"](/api/v1/[^`\"]*)", source):
        source = source.replace(f"${{{name}}}", value)
        source = re.sub(rf"(\"[A-Z]+\", |\bread\(|\bpost\(){name}\b", rf'\1"{value}"', source)
    for match in re.finditer(r"[\"`](/api/v1/(?:\$\{[^}]*\}|[^\"`?$])*)", source):
        before = source[: match.start()][-120:]
        verb = re.search(r"\"(GET|POST|PUT|DELETE)\",[^;]*$", before)
        call = re.search(r"\b(read|post|later)\([^;]*$", before)
        method = verb[1].lower() if verb else METHODS[call[1]] if call else "any"
        found.add((method, re.sub(r"\$\{[^}]*\}", "{}", match[1]).rstrip("/")))
    return found


def test_every_operation_of_a_phone_is_called() -> None:
    document = json.loads((ROOT / "openapi" / "openapi.json").read_text())
    operations = {
        operation["operationId"]: (method, re.sub(r"\{\w+\}", "{}", path), operation["tags"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    called = set().union(*(paths(path.read_text()) for path in SOURCES))
    known = {(method, path) for method, path, _ in operations.values()}
    # Where no method stands beside it, a text is a part of a path.
    assert {one for one in called - known if one[0] != "any"} == set()
    missing = {
        name
        for name, (method, path, tags) in operations.items()
        if "phone" in tags and (method, path) not in called and ("any", path) not in called
    }
    assert sorted(missing) == sorted(LEFT_OUT)
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())
