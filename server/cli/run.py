"""`hoatoc serve | worker | migrate | openapi | axis`."""

import asyncio
import ctypes
import gc
import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from server.cli import load_settings
from server.logs import configure
from server.settings import Mode, Settings

_LIBC = ctypes.CDLL(None)
_BACKLOG = 1024
"""Connections that wait to be taken, and requests at once beside the live streams."""

if TYPE_CHECKING:
    from litestar.types import ASGIApp

    from server.wiring import Wiring

    Around = Callable[[Wiring, ASGIApp], ASGIApp]


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of server.port.")
@click.pass_context
def serve(context: click.Context, port: int | None) -> None:
    """Run the server; in embedded mode with its signer and worker."""
    import msgspec

    settings = load_settings(context)
    if port is not None and port != settings.server.port:
        public = settings.server.public_url.replace(f":{settings.server.port}", f":{port}")
        settings = msgspec.structs.replace(
            settings, server=msgspec.structs.replace(settings.server, port=port, public_url=public)
        )
    configure(level=settings.server.log_level)
    run_server(settings)


@click.command()
@click.pass_context
def worker(context: click.Context) -> None:
    """Work the outbox; any number of these may run on PostgreSQL."""
    settings = load_settings(context)
    configure(level=settings.server.log_level)
    _run(_worker(settings))


@click.command("migrate")
@click.pass_context
def migrate_command(context: click.Context) -> None:
    """Bring the database to this version's schema."""
    from server.db import migrate, open_database

    settings = load_settings(context)
    settings.state.create()

    async def run() -> None:
        db = await open_database(settings.database.url)
        try:
            await migrate(db)
        finally:
            await db.close()

    asyncio.run(run())
    click.echo("The schema is up to date.")


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("openapi"), show_default=True)
@click.option("--check", is_flag=True, help="Say whether the files are fresh; write nothing.")
def openapi(out: Path, *, check: bool) -> None:
    """Write openapi.json, problems.json and types.d.ts from the code."""
    from server.app import schema_document
    from server.openapi import pretty, problems_document
    from server.openapi_types import types_document

    stale = []
    schema = schema_document()
    for name, body in (
        ("openapi.json", pretty(schema)),
        ("problems.json", problems_document()),
        ("types.d.ts", types_document(json.loads(schema))),
    ):
        path = out / name
        if not path.exists() or path.read_bytes() != body:
            stale.append(name)
            if not check:
                path.write_bytes(body)
    if check and stale:
        raise click.ClickException(f"stale: {', '.join(stale)} (run: hoatoc openapi)")
    click.echo("fresh" if not stale else f"written: {', '.join(stale)}")


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("axis"),
    show_default=True,
    help="Folder that it keeps: packets, secrets.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Agencies, one TOML table [[agency]] each: code, name, parent, old_code, system, secret, closed. Default: samples.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9400, show_default=True, help="0: any free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address for the connected systems. Page, faults and oracle answer this machine alone.",
)
@click.option(
    "--clock-window",
    type=click.IntRange(min=1),
    help="Refuse requests signed further than this from its own time, in seconds. Default: any.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line when it serves, for programs.")
def axis(state: Path, config: Path | None, port: int, host: str, clock_window: int | None, *, as_json: bool) -> None:
    """Run a stand-in of the document exchange, to connect installations with each other and try faults.

    Trục liên thông mẫu để nối các hệ thống với nhau và thử lỗi; không phải trục quốc gia.
    """
    import uvloop

    from server.exchange import standin
    from server.exchange.standin_world import UNITS, ConfigError, configured

    def told(bound: int, files: Mapping[str, Path]) -> None:
        click.echo(
            f"Trục mẫu · the stand-in axis: http://{host}:{bound}\nTrang · its page:            http://127.0.0.1:{bound}/"
        )
        for code, path in files.items():
            click.echo(f'  system_id = "{code}"  secret_file = "{path}"')

    try:
        units = configured(config) if config else UNITS
        tell = standin.tell_json if as_json else told
        uvloop.run(standin.run(state, host=host, port=port, units=units, told=tell, clock_window_s=clock_window))
    except ConfigError as error:
        raise click.ClickException(error.reason) from None
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error.strerror or error}") from None


def _run(main: Awaitable[None]) -> None:
    try:
        import uvloop

        uvloop.run(main)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        sys.exit(130)


def run_server(settings: Settings, around: "Around | None" = None) -> None:
    """Serve until a signal comes. `around` puts something around the application, as the demonstration does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each open stream is a file
    _run(_serve(settings, around))


async def _serve(settings: Settings, around: "Around | None") -> None:
    from server.wiring import Wiring

    child = None
    if settings.server.mode is Mode.EMBEDDED and settings.signer.embedded:
        # On this thread: the child ends with the thread that started it, and nothing else runs here yet.
        child = start_signer(settings)
    try:
        wiring = await Wiring.open(settings)
        try:
            if settings.worker.embedded:
                await wiring.start_worker()
            await _http(wiring, around)
        finally:
            await wiring.close()
    finally:
        if child is not None:
            await asyncio.to_thread(stop_signer, child)


async def _http(wiring: "Wiring", around: "Around | None" = None) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    from server.app import create_app

    server = wiring.settings.server
    tls = (
        {"ssl_cert": Path(server.tls_certificate_file), "ssl_key": Path(server.tls_key_file)}
        if server.tls_certificate_file
        else {}
    )
    app = create_app(wiring)
    http = Server(
        app if around is None else around(wiring, app),
        address=server.host,
        port=server.port,
        interface=Interfaces.ASGINL,
        # Nobody speaks HTTP/2 without TLS to us, and looking for it costs 12 kB a connection: a third of an open stream.
        http=HTTPModes.auto if tls else HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        backlog=_BACKLOG,
        # A live stream keeps its place for as long as it is open; what is answered at once has the rest.
        backpressure=wiring.settings.limits.live_streams + _BACKLOG,
        **tls,  # type: ignore[arg-type]
    )

    _spare_the_start()

    def stop() -> None:
        wiring.live.end()  # the server waits for answers under way, and these would go on
        http.stop()  # type: ignore[no-untyped-call]

    await _until_signal(http.serve, stop)


async def _worker(settings: Settings) -> None:
    from server.wiring import Wiring

    wiring = await Wiring.open(settings)
    try:
        await wiring.start_worker()
        _spare_the_start()
        stopped = asyncio.Event()
        await _until_signal(stopped.wait, stopped.set)
    finally:
        await wiring.close()


def _spare_the_start() -> None:
    """Let no later pass of the garbage collector look at what the start made: modules, routes and types, which live as long as the process.

    A pass over all of them takes 30 to 60 ms, in which nothing else runs, and comes again and again as the rest grows.
    """
    gc.collect()
    gc.freeze()


async def _until_signal(run: Callable[[], Awaitable[object]], stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT stop accepting; what runs is finished by `close` (threat D11)."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    await run()


def start_signer(settings: Settings) -> "subprocess.Popen[bytes]":
    """The signer as a child of the embedded server. One user runs all: the separation is structural, not a boundary."""
    from server.cli.signer import ensure

    config = ensure(settings)
    child = subprocess.Popen(
        [sys.executable, "-m", "signing.core", str(config)],
        stdin=subprocess.DEVNULL,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, before any thread of ours does more than wait
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise click.ClickException("the signer did not start; its reason stands above")
        if _listens(settings.signer.socket):
            return child
        time.sleep(0.02)
    child.terminate()
    raise click.ClickException("the signer did not open its socket within 20 s")


def _end_with_parent() -> None:
    """A killed server leaves no signer behind, whose socket the next one would take for its own (PR_SET_PDEATHSIG)."""
    _LIBC.prctl(1, signal.SIGTERM)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def stop_signer(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(40)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
