"""`hoatoc`: one command for the server, its worker, its signer, the demo, and the operator's work.

Commands are loaded when they are called, so that a small one starts quickly.
"""

import importlib
import sys
from pathlib import Path

import click

from server.settings import Settings, SettingsError

_COMMANDS = {
    "serve": ("server.cli.run", "serve"),
    "worker": ("server.cli.run", "worker"),
    "migrate": ("server.cli.run", "migrate_command"),
    "openapi": ("server.cli.run", "openapi"),
    "signer": ("server.cli.signer", "signer"),
    "org": ("server.cli.admin", "org"),
    "user": ("server.cli.admin", "user"),
    "device": ("server.cli.admin", "device"),
    "client": ("server.cli.admin", "client"),
    "jobs": ("server.cli.given_up", "jobs"),
    "parked": ("server.cli.given_up", "parked"),
    "doctor": ("server.cli.doctor", "doctor"),
    "verify": ("server.cli.verify", "verify"),
    "edxml": ("server.cli.verify", "edxml"),
    "axis": ("server.cli.run", "axis"),
    "demo": ("server.cli.demo", "demo"),
}


class _Lazy(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), envvar="HOATOC_CONFIG", help="Settings file (TOML)."
)
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="State folder; default: ./state.")
@click.pass_context
def cli(context: click.Context, config: Path | None, state: Path | None) -> None:
    """Hỏa Tốc: văn bản được ký và chuyển đi ngay trên điện thoại. Sign and send official documents from the phone."""
    context.obj = (config, state)


def load_settings(context: click.Context) -> Settings:
    """The settings of this command, or an end with one clear sentence."""
    import os

    from server.settings import load

    config, state = context.find_root().obj
    environ = dict(os.environ)
    if state is not None:
        environ["HOATOC_STATE_DIR"] = str(state)
    try:
        return load(config, environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def main() -> None:
    """Entry point. What is not foreseen ends with one line, not with a traceback; `HOATOC_DEBUG` is no setting for users."""
    try:
        cli.main(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
