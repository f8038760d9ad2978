"""C18: generated requests, good and bad, over the whole description, as everybody who has a session, and as nobody.

No answer is 500 or above, every error is a problem document of the table, every answer is in the description. `EXAMPLES` per operation.
"""

import asyncio
import json
import os
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import load_all_checks

from server.app import schema_document
from server.problems import PROBLEMS
from tests.api.conftest import World, code
from tests.fakes.live import PATH as LIVE
from tests.fakes.live import first_answer
from tests.fakes.stack import ORIGIN, Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = int(os.environ.get("EXAMPLES") or 12)
DOCUMENT = json.loads(schema_document())
for item in DOCUMENT["paths"].values():
    for described in item.values():
        described.pop("security", None)  # whoever calls proves it himself; without a session the matrix calls
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {result.ok().definition.raw["operationId"]: result.ok() for result in SCHEMA.get_all_operations()}
load_all_checks()
# Left out: what needs our error model (a valid body may well be 404 or 409) is asserted below instead; the others need a server
# whose tokens and objects schemathesis makes itself.
EXCLUDED = [
    check
    for check in schemathesis.checks.CHECKS.get_all()
    if check.__name__
    in {"positive_data_acceptance", "ignored_auth", "ensure_resource_availability", "use_after_free", "max_response_time", "object_level_authorization"}
]  # fmt: skip
# What would end the caller's own session or key, or the people of the stack; every one is tried once in the matrix.
ENDING = {"endSession", "freezeMyKey", "revokeDevice", "endPerson", "withdrawRole", "freezeKey", "revokeClient"}


async def send(caller: Caller, prepared: requests.PreparedRequest) -> Any:
    path = prepared.path_url
    if path.partition("?")[0] == LIVE:
        return await first_answer(
            caller, {name: prepared.headers[name] for name in prepared.headers if name.lower() == "last-event-id"}
        )
    headers = {
        name: value
        for name, value in prepared.headers.items()
        if name.lower() not in {"authorization", "dpop", "host", "cookie", "user-agent"}
    }
    request = {"content": prepared.body, "headers": headers}
    if not caller.access:
        return await caller.http.request(prepared.method, path, **request)
    return await caller.call(prepared.method, path, keyless=True, **request)


def known(caller: Caller, world: World, parameters: dict[str, Any]) -> dict[str, Any]:
    """Half of the time ids that exist, so that generated bodies reach what is behind the look-up."""
    return {name: world.known.get(name, value) for name, value in parameters.items()}


NEGATIVE = [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ == "negative_data_rejection"]


def judge(case: schemathesis.Case, answer: Any, *, mended: bool) -> None:
    """`mended`: real ids took the place of generated ones, and nothing else may have been wrong with the request."""
    assert answer.status_code < 500 or (answer.status_code == 503 and code(answer) == "busy"), answer.text
    if answer.status_code >= 400:
        assert code(answer) in PROBLEMS
        assert "Traceback" not in answer.text
        assert "site-packages" not in answer.text
    case.validate_response(answer, excluded_checks=EXCLUDED + NEGATIVE * mended)


def explore(
    operation: schemathesis.APIOperation,
    caller: Caller,
    world: World,
    loop: asyncio.AbstractEventLoop,
    mode: schemathesis.GenerationMode,
) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES <= 12, suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), real=hypothesis.strategies.booleans())
    def run(case: schemathesis.Case, real: bool) -> None:
        mended = real and bool(case.path_parameters)
        if mended:
            case.path_parameters.update(known(caller, world, case.path_parameters))
        prepared = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN)).prepare()
        judge(case, asyncio.run_coroutine_threadsafe(send(caller, prepared), loop).result(60), mended=mended)

    run()


@pytest.fixture(scope="session")
def callers() -> dict[str, Caller]:
    return {}


async def cast(world: World, kept: dict[str, Caller]) -> dict[str, Caller]:
    if not kept:
        from server.identity.model import Role

        kept["leader"] = await world.stack.person("Người Thử Một", Role.LEADER)
        kept["clerk"] = await world.stack.person("Người Thử Hai", Role.CLERK, office=True)
        kept["registration_officer"] = await world.stack.person("Người Thử Ba", Role.REGISTRATION_OFFICER)
        kept["administrator"] = await world.stack.person("Người Thử Bốn", Role.ADMINISTRATOR)
        kept["duty_officer"] = await world.stack.person("Người Thử Năm", Role.DUTY_OFFICER)
        kept["service"] = await world.stack.service("Hệ thống thử")
        kept["anonymous"] = Caller(world.stack.http)
        document = await world.taken(kept["leader"])
        notices = await kept["leader"].json("GET", "/api/v1/notices")
        world.known = {
            "document": document, "person": kept["duty_officer"].person, "notice": notices["items"][0]["id"],
            "revision": (await kept["leader"].json("GET", f"/api/v1/documents/{document}"))["revision"],
        }  # fmt: skip
    return kept


def caller_of(operation: schemathesis.APIOperation, kept: dict[str, Caller]) -> list[str]:
    raw = operation.definition.raw
    names = [
        role
        for role in ("leader", "clerk", "registration_officer", "administrator", "duty_officer")
        if role in raw.get("x-roles", [])
    ][:1]
    names += ["service"] if raw.get("x-scopes") else []
    return names or ["anonymous"]


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - ENDING))
async def test_generated_requests(world: World, callers: dict[str, Caller], name: str, mode: str) -> None:
    kept = await cast(world, callers)
    operation = OPERATIONS[name]
    loop = asyncio.get_running_loop()
    generation = schemathesis.GenerationMode(mode)
    for who in caller_of(operation, kept):
        try:
            await asyncio.to_thread(explore, operation, kept[who], world, loop, generation)
        except hypothesis.errors.Unsatisfiable:
            assert mode == "negative", "nothing of this operation can be wrong"


async def test_unknown_paths_methods_and_types_are_problems(world: World) -> None:
    http = world.stack.http
    assert code(await http.get("/api/v1/khong-co")) == "not-found"
    assert code(await http.patch("/api/v1/documents")) == "method-not-allowed"
    wrong = await world.leader.call(
        "POST", "/api/v1/approvals", content=b"<a/>", headers={"Content-Type": "application/xml"}
    )
    assert code(wrong) in {"unsupported-media-type", "invalid-request"}
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"reason": "\\ud800"}',
        b"\xff\xfe",
        b'{"reason": 1e999}',
        b"[" * 100_000,
    ):
        answer = await world.leader.call(
            "POST", f"/api/v1/documents/{'0' * 32}/return", content=body, headers={"Content-Type": "application/json"}
        )
        assert code(answer) == "invalid-request", body[:20]
    for query in ("limit=0", "limit=x", "cursor=%00", "cursor=" + "9" * 40, "limit=99999999999999999999"):
        assert code(await world.leader.call("GET", f"/api/v1/documents?{query}")) == "invalid-request"


@pytest.mark.parametrize(
    "value", [[2**63, "a"], [-(2**70), "a"], [1, "\x00"], [1, 2], ["a"], {}, 2**64, -1, "x", [1, 2, 3, "\x00"], [2**63, 1, 1, "a"], [[]], None, ["\x00", "a"]]
)  # fmt: skip
async def test_a_forged_cursor_is_refused(world: World, value: Any) -> None:
    from server.http import cursor

    for path, caller in (
        ("documents", world.leader),
        ("inbox", world.leader),
        ("changes", world.leader),
        ("notices", world.leader),
        ("people", world.leader),
    ):
        answer = await caller.call("GET", f"/api/v1/{path}?cursor={cursor(value)}")
        assert answer.status_code == 200 or code(answer) == "invalid-request", (path, answer.text)


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "https://" + "a" * 70 + ".example/",
        "https://a\x00b/",
        "https://x:99999999/",
        "https://xn--\u1e9e/",
        "//",
        "https://u:p@h/",
    ],
)
async def test_an_impossible_webhook_address_is_refused(world: World, url: str) -> None:
    answer = await world.qlvb.call(
        "POST", "/api/v1/webhooks", json={"url": url.ljust(10, "/"), "events": ["document.signed"]}
    )
    assert code(answer) == "webhook-url-invalid"
