"""`hoatoc demo`: the whole product on this machine, walked through by drivers in processes of their own."""

import asyncio
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--pdf",
    "pdfs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="A PDF to send along the road; may be given more than once. Default: a decision that the demo makes.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep files here. Without it they lie in the temporary state folder, which goes when the demo ends.",
)
@click.option("--once", is_flag=True, help="End after the walk; exit code 0 if all went as it must.")
@click.option("--port", type=click.IntRange(1024, 65000), default=8080, show_default=True, help="First port to try.")
@click.option("--lan", metavar="ADDRESS", help="Serve HTTPS on this address, for a phone in the same network.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of the screen.")
def demo(pdfs: tuple[Path, ...], out: Path | None, port: int, lan: str | None, *, once: bool, as_json: bool) -> None:
    """Show the product: a document comes in, is signed on the phone, sealed, sent to the exchange, and comes back.

    Everything runs on this machine in a fresh state folder; keys and certificates are made for it and have no legal value.
    """
    from server.demo.run import Options, run

    sys.exit(asyncio.run(run(Options(pdfs=pdfs, out=out, once=once, port=port, lan=lan, json=as_json))))
