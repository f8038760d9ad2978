"""Parts of the client that need no browser, in Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


def run(part: str, given: Any = None) -> Any:
    found = subprocess.run(
        ["node", "--no-warnings", "parts.mjs", part, json.dumps(given)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


async def test_a_notice_leads_to_what_it_is_about_or_nowhere() -> None:
    """The list and the worker ask the same function; an announcement, a chain and a dossier have no screen."""
    id_ = "0" * 32
    wanted = {
        ("to_sign", id_, f"document:{id_}"): f"#/d/{id_}",
        ("arrived", None, f"arrival:{id_}"): f"#/a/{id_}",
        ("deadline_near", None, f"arrival:{id_}:receipt"): f"#/a/{id_}",
        ("document_overdue", None, f"overdue:arrival:{id_}"): f"#/a/{id_}",
        ("document_idle", None, f"idle:arrival:{id_}"): f"#/a/{id_}",
        ("document_idle", None, f"idle:order-{'1' * 32}:{id_}"): f"#/o/{id_}",
        ("idle_below", None, f"idle:arrival:{id_}"): "#/held",
        ("morning_digest", None, "digest:"): "#/held",
        ("meeting_papers", None, f"meeting-papers:{id_}"): f"#/m/{id_}",
        ("directive_late", None, f"order:{id_}:due"): f"#/o/{id_}",
        ("announced", None, f"announcement:{id_}"): None,
        ("unanswered", None, f"escalation:{id_}"): None,
        ("dossier_unhandled", None, f"dossier:{id_}"): None,
    }
    assert run("place", list(wanted)) == list(wanted.values())


async def test_a_network_that_goes_takes_nothing_from_the_screen() -> None:
    """What was drawn stays, with what is typed there, until the server says that it is gone; without a first answer there is nothing to keep."""
    assert run("live") == [[1, 2], 404, True]


async def test_a_second_tap_before_the_answer_sends_nothing() -> None:
    """A direction or a meeting would be given twice. Where the button had the focus it gets it back; what is not filled in is not sent."""
    assert run("sender") == [[1, 1, 1], False]


async def test_a_day_that_is_none_is_not_left_out_silently() -> None:
    """Whatever is no day goes to the server as it was written, which refuses it."""
    texts = ["", " 31/8/2027, 1.9.2027;02-09-2027", "30/4/27", "2027-05-01 ngày lễ"]
    found = [[], ["2027-08-31", "2027-09-01", "2027-09-02"], ["30/4/27"], ["2027-05-01", "ngày", "lễ"]]
    assert run("dates", texts) == found
