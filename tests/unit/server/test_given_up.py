"""`hoatoc jobs`: what was given up is seen with its reason, and run again by somebody whose name stays in the log."""

import json
import sqlite3

import pytest
from click.testing import CliRunner

from server.cli import cli
from server.doctor_texts import TEXTS

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


def test_of_several_none_runs_again_where_one_was_not_given_up(hoatoc, tmp_path):
    stored(tmp_path, (JOB, ("a", "x", None, "buried", 1, "r")), (JOB, ("c", "x", None, "waiting", 1, None)))
    for wrong in ("c", "nobody"):
        code, output = hoatoc("jobs", "again", "a", wrong)
        assert code == 1
        assert wrong in output
    assert stored(tmp_path, ("SELECT state FROM jobs WHERE id = 'a'", ())) == [("buried",)]
    assert stored(tmp_path, ("SELECT count(*) FROM audit_events", ())) == [(0,)]


@pytest.mark.parametrize(("finding", "commands"), [("jobs-buried", ("hoatoc jobs list", "hoatoc jobs again"))])
def test_doctor_names_commands_that_exist(finding, commands):
    for command in commands:
        for cure in (TEXTS[finding].cure_vi, TEXTS[finding].cure_en):
            assert command in cure
        assert CliRunner().invoke(cli, [*command.split()[1:], "--help"]).exit_code == 0
