"""The pages that a new user reads: paths exist, commands exist, the settings shown are accepted by production mode."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from server.cli import cli
from server.settings import load

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("README.md", "server/README.md", "signing/README.md", "push/README.md")
OURS = ("server/", "signing/", "push/", "openapi/", "tests/", ".ci/")


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    body = text(page)
    named = set(re.findall(r"`([\w./-]+)`", body)) | set(re.findall(r"\]\(([\w./-]+)\)", body))
    paths = [one for one in named if one.startswith(OURS)]
    assert [one for one in paths if not (ROOT / one).exists()] == []


def test_the_map_names_what_is_there() -> None:
    tree = text("README.md").partition("## A map of the tree")[2].partition("```\n")[2].partition("```")[0]
    folder = ""
    for line in tree.splitlines():
        indent, names = len(line) - len(line.lstrip()), line.split("   ")[0 if not line.startswith(" ") else 1]
        if indent == 0:
            folder = line.split("/")[0]
            assert (ROOT / folder).is_dir()
            continue
        for name in re.split(r"  +", line.strip())[0].split():
            found = ROOT / folder / name.rstrip("/")
            assert found.exists() or found.with_suffix(".py").exists(), f"{folder}/{name} {names}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    for words in re.findall(r"\bhoatoc ((?:--config \S+ )?[a-z-]+(?: [a-z-]+)?)", text(page)):
        names = re.sub(r"--config \S+ ", "", words).split()
        group = cli
        context = click.Context(cli)
        for name in names:
            if not isinstance(group, click.Group):
                break
            found = group.get_command(context, name)
            assert found is not None or (group is not cli and not group.list_commands(context)), f"hoatoc {words}"
            if found is None:
                break
            group = found


def test_the_options_of_the_demonstration_exist() -> None:
    helped = CliRunner().invoke(cli, ["demo", "--help"]).output
    for option in ("--pdf", "--out", "--once", "--lan", "--json"):
        assert f"`{option}`" in text("README.md")
        assert option in helped


def test_the_settings_shown_start_in_production(tmp_path: Path) -> None:
    shown = re.search(r"```toml\n(.*?)```", text("README.md"), re.DOTALL)
    assert shown is not None
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o700)
    for name in set(re.findall(r'"/etc/hoatoc/([^"/]+)"', shown[1])):
        (etc / name).touch(mode=0o600)
        (etc / name).write_bytes(bytes(range(65, 65 + 48)))
    settings = shown[1].replace("/etc/hoatoc", str(etc)).replace("/var/lib/hoatoc", str(tmp_path / "state"))
    path = tmp_path / "hoatoc.toml"
    path.touch(mode=0o600)
    path.write_text(settings, "utf-8")
    loaded = load(path, {})
    assert loaded.server.mode == "production"
    assert not loaded.worker.embedded


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^\$ |`)make ([a-z]+)", text("README.md"), re.MULTILINE)) <= targets
