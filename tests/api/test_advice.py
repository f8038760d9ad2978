"""What a person reads when something is refused: every problem that a phone can meet says what can be done (C18)."""

import json

import msgspec

from server.advice import ADVICE
from server.app import schema_document
from server.problems import PROBLEMS, document

# The title says it all, or the client meets it before a person does: it proves again, refreshes, or asks for another code itself.
TITLE_ENOUGH = {
    "invalid-request", "proof-invalid", "refresh-invalid", "client-invalid", "scope-invalid", "host-unknown", "unsupported-media-type",
    "idempotency-key-missing", "idempotency-key-reused", "internal", "pin-wrong", "pin-locked", "insufficient-storage",
}  # fmt: skip


def test_every_problem_of_a_phone_says_what_to_do() -> None:
    described = json.loads(schema_document())
    met = {
        code
        for item in described["paths"].values()
        for operation in item.values()
        if "phone" in operation.get("tags", [])
        for code in operation["x-problems"]
    }
    assert met - TITLE_ENOUGH <= set(ADVICE), met - TITLE_ENOUGH - set(ADVICE)
    assert set(ADVICE) <= set(PROBLEMS)
    assert not TITLE_ENOUGH & set(ADVICE)


def test_advice_is_the_detail_in_the_callers_language_unless_the_refusal_has_its_own() -> None:
    """RFC 9457, 3.1.4."""
    vi, en = ADVICE["key-frozen"]
    assert msgspec.json.decode(document("key-frozen", None, "t")[1])["detail"] == vi
    assert msgspec.json.decode(document("key-frozen", "en-GB,vi;q=0.5", "t")[1])["detail"] == en
    assert msgspec.json.decode(document("key-frozen", "en", "t", {"detail": "own"})[1])["detail"] == "own"
    assert "detail" not in msgspec.json.decode(document("internal", "en", "t")[1])
    for texts in ADVICE.values():
        assert all(text.endswith(".") and len(text) < 130 for text in texts)
