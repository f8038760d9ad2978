"""`hoatoc signer …`: the signer's process and its operator's commands. They run on the signer's host, as its user."""

import json
import sys
from pathlib import Path

import click

from server.cli import load_settings
from server.settings import Settings

_CONFIG = "signer.toml"


def config_path(settings: Settings) -> Path:
    return settings.state.signer / _CONFIG


def ensure(settings: Settings, organisations: tuple[str, ...] = ()) -> Path:
    """The embedded signer's configuration, keys, store and head: made on first use."""
    from signing.core import daemon

    settings.state.create()
    path = config_path(settings)
    if not path.exists():
        write_config(settings, organisations)
        daemon.init(daemon.load_config(path))
    return path


def write_config(settings: Settings, organisations: tuple[str, ...], profile: str = "embedded") -> None:
    """`signer.toml` with the given organisations (exchange codes)."""
    path = config_path(settings)
    lines = [
        f"profile = {json.dumps(profile)}",
        f"state_dir = {json.dumps(str(settings.state.signer))}",
        f"head_dir = {json.dumps(str(settings.state.head))}",
        f"socket = {json.dumps(settings.signer.socket)}",
        f"organisations = {json.dumps(list(organisations))}",
    ]
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)


@click.group()
def signer() -> None:
    """The signer: a process of its own that holds keys and checks PINs."""


@signer.command("init")
@click.option(
    "--organisation",
    "organisations",
    multiple=True,
    required=True,
    help="Exchange code of an organisation that it signs for.",
)
@click.option("--profile", type=click.Choice(["production", "embedded"]), default="embedded", show_default=True)
@click.pass_context
def init_command(context: click.Context, organisations: tuple[str, ...], profile: str) -> None:
    """Create configuration, keys, store and head."""
    from signing.core import daemon

    settings = load_settings(context)
    settings.state.create()
    if config_path(settings).exists():
        raise click.ClickException("the signer is already initialised here")
    write_config(settings, organisations, profile)
    click.echo(f"identity key: {daemon.init(daemon.load_config(config_path(settings)))}")


@signer.command("run")
@click.pass_context
def run_command(context: click.Context) -> None:
    """Run the signer until SIGTERM."""
    from signing.core import daemon

    sys.exit(daemon.main(config_path(load_settings(context))))


@signer.command("add-organisation")
@click.argument("code")
@click.pass_context
def add_organisation(context: click.Context, code: str) -> None:
    """Let the signer sign for one more organisation; takes effect when it starts again."""
    from signing.core import daemon

    settings = load_settings(context)
    known = daemon.load_config(config_path(settings))
    if code in known.organisations:
        click.echo("already known")
        return
    write_config(settings, (*known.organisations, code), known.profile)
    click.echo(f"organisations: {', '.join((*known.organisations, code))} (start the signer again)")


@signer.command("trust-officer")
@click.argument("jwk", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--thumbprint", required=True, help="As the officer reads it out; the file must have it.")
@click.option("--organisation", "organisations", multiple=True, required=True)
@click.pass_context
def trust_officer(context: click.Context, jwk: Path, thumbprint: str, organisations: tuple[str, ...]) -> None:
    """Believe a registration officer's key for these organisations."""
    import msgspec

    from signing import offline
    from signing.core import codec, daemon

    key = msgspec.json.decode(jwk.read_bytes(), type=codec.PublicJwk)
    if codec.thumbprint(key) != thumbprint:
        raise click.ClickException("the file's key has another thumbprint than the officer read out")
    offline.trust_officer(daemon.load_config(config_path(load_settings(context))), key, organisations)
    click.echo(f"trusted: {thumbprint}")


@signer.command("trust-root")
@click.argument("pem", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def trust_root(context: click.Context, pem: Path) -> None:
    """Accept certificates that chain to this root."""
    from signing import offline
    from signing.core import daemon

    offline.trust_root(daemon.load_config(config_path(load_settings(context))), pem.read_bytes(), pem.stem)
    click.echo("trusted")
