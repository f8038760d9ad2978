"""`hoatoc jobs | parked`: what was given up or put aside is seen with its reason, and taken up by somebody whose name stays in the log."""

import asyncio
import json
import sqlite3

import pytest
from click.testing import CliRunner

from server.cli import cli
from server.clock import SystemClock
from server.doctor_texts import TEXTS
from server.storage.files import FileBlobs

JOB = (
    "INSERT INTO jobs (id, kind, lane, payload, ordering_key, state, due_us, created_us, attempt, failures, reason)"
    " VALUES (?, ?, 'normal', '{}', ?, ?, 0, ?, 3, 3, ?)"
)


@pytest.fixture
def hoatoc(tmp_path):
    """Runs a command on an installation of its own; exit code and output."""

    def run(*arguments):
        done = CliRunner().invoke(cli, ["--state", str(tmp_path / "state"), *arguments], env={"SUDO_USER": "nguoi-mau"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    code, output = run("migrate")
    assert code == 0, output
    return run


def stored(folder, *statements):
    connection = sqlite3.connect(folder / "state" / "database" / "hoatoc.db")
    with connection:
        found = [connection.execute(*one).fetchall() for one in statements]
    connection.close()
    return found[-1]


def test_what_was_given_up_is_listed_and_run_again(hoatoc, tmp_path):
    """D14: a dead letter keeps its reason, and waits as new once an operator says so."""
    stored(
        tmp_path,
        (JOB, ("a", "exchange.forward", "exchange:d1", "buried", 1_000_000, "axis-refused-18")),
        (JOB, ("b", "push.deliver", None, "buried", 2_000_000, "job-workers-died")),
        (JOB, ("c", "push.deliver", None, "waiting", 3_000_000, None)),
    )
    code, output = hoatoc("jobs", "list")
    listed = json.loads(output)
    assert (code, listed["buried"], [one["id"] for one in listed["jobs"]]) == (0, 2, ["a", "b"])
    assert listed["jobs"][0] == {
        "id": "a", "kind": "exchange.forward", "about": "exchange:d1", "reason": "axis-refused-18", "attempts": 3, "created_at": "1970-01-01T00:00:01.000000Z",
    }  # fmt: skip
    assert hoatoc("jobs", "again", "a") == (0, '{"revived": ["a"]}\n')
    [row] = stored(tmp_path, ("SELECT state, attempt, failures, due_us FROM jobs WHERE id = 'a'", ()))
    assert row == ("waiting", 0, 0, 0)
    [(kind, actor, subject, body)] = stored(
        tmp_path, ("SELECT kind, actor, subject, body FROM audit_events WHERE kind LIKE 'job.%'", ())
    )
    assert (kind, actor, subject) == ("job.revived", "operator", "a")
    assert json.loads(body) == {"by": "nguoi-mau", "kind": "exchange.forward"}
    assert json.loads(hoatoc("jobs", "list")[1])["buried"] == 1


def test_what_a_terminal_obeys_is_written_as_its_number(hoatoc, tmp_path):
    """B11: an axis' words reach the operator's screen."""
    reason = "axis-refused-\x9b31m\u202e\U000e0041 Mẫu"
    stored(tmp_path, (JOB, ("a", "exchange.forward", None, "buried", 1, reason)))
    _, output = hoatoc("jobs", "list")
    assert json.loads(output)["jobs"][0]["reason"] == reason
    assert "Mẫu" in output
    assert output.rstrip("\n").isprintable()


def test_of_several_none_runs_again_where_one_was_not_given_up(hoatoc, tmp_path):
    stored(tmp_path, (JOB, ("a", "x", None, "buried", 1, "r")), (JOB, ("c", "x", None, "waiting", 1, None)))
    for wrong in ("c", "nobody"):
        code, output = hoatoc("jobs", "again", "a", wrong)
        assert code == 1
        assert wrong in output
    assert stored(tmp_path, ("SELECT state FROM jobs WHERE id = 'a'", ())) == [("buried",)]
    assert stored(tmp_path, ("SELECT count(*) FROM audit_events", ())) == [(0,)]


def test_a_parked_packet_is_listed_saved_and_dismissed(hoatoc, tmp_path):
    """D14. Taking one up is held to account in tests/unit/server/exchange/test_parked.py; here no exchange is configured."""
    raw = b"<no packet>"
    digest = asyncio.run(FileBlobs(tmp_path / "state" / "blobs", SystemClock()).put_bytes(raw))
    stored(
        tmp_path,
        ("INSERT INTO organisations (id, code, name, created_us) VALUES ('o', 'X01', 'Cơ quan Mẫu', 1)", ()),
        (
            (
                "INSERT INTO incoming_packets (axis_id, organisation, kind, sender, receiver, blob, state, error, received_us, confirmed_us)"
                " VALUES ('p1', 'o', 'edoc', 'X02', 'X01', ?, 'unreadable', 'not-xml', 1000000, 1)"
            ),
            (digest,),
        ),
    )
    [one] = json.loads(hoatoc("parked", "list")[1])["parked"]
    assert one == {
        "id": "p1", "kind": "edoc", "sender": "X02", "receiver": "X01", "organisation": "X01", "state": "unreadable", "reason": "not-xml",
        "received_at": "1970-01-01T00:00:01.000000Z", "sha256": digest,
    }  # fmt: skip
    file = tmp_path / "packet.edxml"
    assert hoatoc("parked", "save", "p1", str(file))[0] == 0
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (raw, 0o600)
    code, output = hoatoc("parked", "save", "p1", str(file))
    assert (code, "packet.edxml" in output) == (1, True)
    code, output = hoatoc("parked", "again", "p1")
    assert (code, "exchange-not-configured" in output) == (1, True)
    assert hoatoc("parked", "dismiss", "p1")[0] == 0
    assert json.loads(hoatoc("parked", "list")[1]) == {"parked": []}
    [(actor, organisation, body)] = stored(
        tmp_path,
        ("SELECT actor, organisation, body FROM audit_events WHERE kind = 'exchange.packet_dismissed'", ()),
    )
    assert (actor, organisation, json.loads(body)["by"]) == ("operator", "o", "nguoi-mau")


@pytest.mark.parametrize(
    ("finding", "commands"),
    [
        ("jobs-buried", ("hoatoc jobs list", "hoatoc jobs again")),
        (
            "packets-parked",
            ("hoatoc parked list", "hoatoc parked save", "hoatoc parked again", "hoatoc parked dismiss"),
        ),
    ],
)
def test_doctor_names_commands_that_exist(finding, commands):
    for command in commands:
        for cure in (TEXTS[finding].cure_vi, TEXTS[finding].cure_en):
            assert command in cure
        assert CliRunner().invoke(cli, [*command.split()[1:], "--help"]).exit_code == 0
