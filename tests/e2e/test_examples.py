"""The README's walkthrough as it stands there, run by a shell against a demonstration that keeps serving, and its example once more."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.demo.stage import free_port

ROOT = Path(__file__).parents[2]
TITLE = "## Sign your first document through the API in ten minutes"


def blocks(title: str = TITLE) -> list[str]:
    """The shell blocks of a section, by default the walkthrough, in order."""
    section = (ROOT / "README.md").read_text("utf-8").partition(title)[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that looks like the project's to the commands, with a demonstration that serves from its `out`."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "openapi").symlink_to(ROOT / "openapi")
    port = free_port("127.0.0.1", 23_000)
    command = [
        sys.executable,
        "-c",
        "from server.cli import main; main()",
        "demo",
        "--json",
        "--out",
        folder / "out",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        said = next((line for line in map(json.loads, process.stdout) if line["event"] in {"serving", "failed"}), {})
        assert said.get("event") == "serving", said
        yield folder
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
        process.kill()


def shell(place: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=place,
        env=environment,
    )


@pytest.fixture(scope="module")
def walked(place: Path) -> subprocess.CompletedProcess[str]:
    return shell(place, "\n".join(blocks()))


def test_the_walkthrough_signs_seals_and_fetches_a_document(place: Path, walked: subprocess.CompletedProcess[str]):
    assert walked.returncode == 0, walked.stdout + walked.stderr
    document = json.loads((place / "out" / "taken.json").read_text("utf-8"))["id"]
    assert walked.stdout.count("admitted with the PIN") == 2
    assert "the document is signed" in walked.stdout
    for file in ("first.pdf", "first-receipt.json"):
        assert f"HỢP LỆ · valid  {file}" in walked.stdout
    judged = subprocess.run(
        ["pdfsig", "-nocert", place / "out" / "first.pdf"], capture_output=True, text=True, check=False
    ).stdout
    assert judged.count("Signature is Valid.") == 2
    assert json.loads((place / "out" / "first-receipt.json").read_text("utf-8"))["document"] == document


def test_a_device_that_is_known_signs_again_without_a_code(place: Path, walked: subprocess.CompletedProcess[str]):
    assert walked.returncode == 0, walked.stdout + walked.stderr
    taking, signing = "\n".join(blocks()[:2]), blocks()[2]
    again = shell(place, taking.replace('"31"', '"32"') + "\n" + signing)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "paired" not in again.stdout
    assert "the document is signed" in again.stdout


def test_demo_json_gets_a_new_code_for_a_spent_one(place: Path, walked: subprocess.CompletedProcess[str]):
    """Both codes were used by the walkthrough; another phone of the leader can pair at once."""
    assert walked.returncode == 0, walked.stdout + walked.stderr
    out = place / "out"
    for who in ("leader", "clerk"):
        (out / f"phone-{who}.json").unlink()
    end = time.monotonic() + 60
    while True:
        done = shell(place, "\n".join(blocks()[:3]).replace('"31"', '"33"'))
        if done.returncode == 0 or time.monotonic() > end:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paired" in done.stdout


def test_other_systems_announce_call_and_post_steps_as_the_page_says(place: Path):
    others = blocks("\n## Other systems\n")
    assert len(others) == 4
    done = shell(place, "\n".join([blocks()[0], *others]))
    assert done.returncode == 0, done.stdout + done.stderr
    announced, meeting, step, letters, queued = map(json.loads, done.stdout.strip().splitlines())
    assert announced["source_reference"] == "PCTT-7"
    assert [one["chain"] for one in announced["people"]] == ["running", "running"]
    assert (meeting["title"], len(meeting["attendees"])) == ("Giao ban công tác", 2)
    assert step["sequence"] > json.loads((place / "out" / "dossier.json").read_text("utf-8"))["sequence"]
    assert (letters["items"], queued) == ([], {"queued": 0})


def test_a_demonstration_that_is_not_there_is_one_line(tmp_path: Path):
    person = {"id": "0" * 32, "pairing_code": "A" * 32, "pin": "000000"}
    port = free_port("127.0.0.1", 24_000)
    given = {"base_url": f"http://127.0.0.1:{port}", "signer_key": "", "people": {"leader": person}}
    (tmp_path / "demo.json").write_text(json.dumps(given), "utf-8")
    command = [
        sys.executable,
        ROOT / "openapi" / "examples" / "sign_first_document.py",
        tmp_path / "demo.json",
        "leader",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "does not answer" in done.stderr
