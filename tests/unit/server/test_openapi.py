"""What the description adds by hand fits what it describes: examples are valid, problem types are listed, every operation is explained."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from server.app import schema_document
from server.documents.model import Metadata, checked
from server.openapi_samples import EXAMPLES, METADATA, PROBLEM, PROBLEMS_OF, WEBHOOK
from server.problems import PROBLEMS, document
from server.webhooks.service import EVENTS
from signing.device import PublicJwk, StatementInvalid, thumbprint, verify_statement

DOCUMENT = json.loads(schema_document())
OPERATIONS = {one["operationId"]: one for item in DOCUMENT["paths"].values() for one in item.values()}


def media(operation: dict[str, Any]) -> list[dict[str, Any]]:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    return [one for body in bodies for one in body.get("content", {}).values()]


def judge(schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(value)]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_examples_are_valid(name: str) -> None:
    for one in media(OPERATIONS[name]):
        if "example" in one:
            assert judge(one["schema"], one["example"]) == []


def test_a_wrong_example_would_be_noticed() -> None:
    schema = next(iter(OPERATIONS["approve"]["requestBody"]["content"].values()))["schema"]
    assert judge(schema, {"approval": "short"})


def test_every_example_and_problem_list_belongs_to_an_operation() -> None:
    assert set(EXAMPLES) <= set(OPERATIONS)
    assert set(PROBLEMS_OF) <= set(OPERATIONS)
    for name, examples in EXAMPLES.items():
        shown = [one["example"] for one in media(OPERATIONS[name]) if "example" in one]
        assert all(example in shown for example in examples.values()), name


def test_the_metadata_of_the_example_would_be_taken_in() -> None:
    import datetime as dt

    text = EXAMPLES["takeInDocument"]["request"]["metadata"]
    metadata = msgspec.json.decode(text, type=Metadata)
    assert checked(metadata, dt.date(2026, 11, 22)) == metadata
    assert judge({"$ref": "#/components/schemas/Metadata"}, METADATA) == []


def test_the_sample_of_the_sealing_key_verifies() -> None:
    grant = EXAMPLES["askChallenge"]["201"]
    identity = PublicJwk(**grant["identity"])
    assert verify_statement(grant["statement"], identity, thumbprint(identity), now_us=0).id
    with pytest.raises(StatementInvalid):
        verify_statement(grant["statement"], identity, "A" * 43, now_us=0)


def test_the_sample_problem_is_what_the_server_says() -> None:
    status, body = document("pin-wrong", "vi", PROBLEM["trace_id"], {"tries_left": 2})
    assert (status, json.loads(body)) == (PROBLEM["status"], PROBLEM)


def test_the_sample_webhook_is_valid_and_its_events_are_all() -> None:
    content = DOCUMENT["webhooks"]["documentChanged"]["post"]["requestBody"]["content"]["application/json"]
    assert judge(content["schema"], WEBHOOK) == []
    assert content["schema"]["properties"]["type"]["enum"] == list(EVENTS)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_says_what_who_and_which_problems(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["security"] == [] or operation.get("x-roles") or operation.get("x-scopes")
    assert set(operation["x-problems"]) <= set(PROBLEMS)
    assert set(DOCUMENT["x-problem-types"]) == set(PROBLEMS)
