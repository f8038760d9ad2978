"""`hoatoc verify` and `hoatoc edxml inspect`: judge files offline; exit 0 valid, 1 not valid, 2 cannot be read or checked.

What is hostile is bounded first (size, kind of file), and a PDF is opened in limited children only.
"""

import asyncio
import contextlib
import hashlib
import json
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from server.cli.verify_screen import NOT_VALID, UNREADABLE, VALID, VERDICTS, Answer, plain, show, show_packet
from server.cli.verify_screen import as_json as render_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.preservation.record_file import Contents
    from server.previews.model import Manifest
    from server.sandbox.pool import Sandbox
    from server.verification import PdfReport, ReceiptReport, Step

_MAX_TRUST = 1 << 20
_MAX_MANIFEST = 32 << 20
_MAX_PACKET = 1 << 30
_MAX_RECORD = 9 << 30
_JUDGE_S = 120.0
_MEMORY_MB = 1024
_DRAW_S = 60.0
_DRAW_PAGES = 20

_file = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_file)
@click.option("--trust", required=True, type=_file, help="PEM file of roots, for signers and time-stamp authorities.")
@click.option("--redraw", type=_file, metavar="MANIFEST", help="Draw every page again and compare with the manifest.")
@click.option("--pdf", type=_file, help="With a receipt: the PDF that must be its revision.")
@click.option("--log-key", metavar="THUMBPRINT", help="With a receipt: the log's key must be this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def verify(
    file: Path, trust: Path, redraw: Path | None, pdf: Path | None, log_key: str | None, *, as_json: bool
) -> None:
    """Verify a signed PDF, a receipt, or the exported record of a document, offline.

    Revocation is not asked for: the verdict is about the file, the given roots and the proven time.
    """
    from server.verification import MAX_PDF, MAX_RECEIPT, Unreadable

    try:
        roots = _roots(trust)
        size = _size(file, _MAX_RECORD if _is_record(file) else MAX_PDF)
        manifest = None if redraw is None else _manifest(redraw)
        if _is_record(file):
            answer = asyncio.run(_record(file, roots, log_key))
        elif _is_receipt(file):
            if size > MAX_RECEIPT:
                raise Unreadable("not-a-receipt")
            if pdf is not None:
                _size(pdf, MAX_PDF)
            elif manifest is not None:
                raise click.UsageError("--redraw with a receipt needs --pdf")
            answer = asyncio.run(_receipt(file, roots, log_key, pdf, manifest))
        elif pdf is not None or log_key is not None:
            raise click.UsageError("--pdf and --log-key go with a receipt")
        else:
            answer = asyncio.run(_pdf(file, roots, manifest))
    except Unreadable as error:
        _give_up(error.code, as_json=as_json)
    except OSError:
        _give_up("file-unreadable", as_json=as_json)
    if as_json:
        click.echo(json.dumps(render_json(answer), ensure_ascii=False, indent=1))
    else:
        show(file, answer)
    sys.exit(answer.exit_code)


# --- input -----------------------------------------------------------------------------------------------------------


def _size(path: Path, limit: int) -> int:
    from server.verification import Unreadable

    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("not-a-file")  # a pipe or a device may never end
    if status.st_size == 0:
        raise Unreadable("file-empty")
    if status.st_size > limit:
        raise Unreadable("file-too-large")
    return status.st_size


def _roots(path: Path) -> list[bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from server.verification import Unreadable

    _size(path, _MAX_TRUST)
    try:
        return [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(path.read_bytes())]
    except ValueError:
        raise Unreadable("not-trust") from None


def _manifest(path: Path) -> "tuple[Manifest, bytes]":
    from server.previews.model import ManifestError, parse
    from server.verification import Unreadable

    _size(path, _MAX_MANIFEST)
    body = path.read_bytes()
    try:
        return parse(body), body
    except (ManifestError, RecursionError):
        raise Unreadable("not-a-manifest") from None


def _is_receipt(path: Path) -> bool:
    from server.verification import Unreadable

    with path.open("rb") as file:
        head = file.read(1024)
    if head.lstrip().startswith(b"{"):
        return True
    if b"%PDF-" not in head:
        raise Unreadable("not-a-pdf")
    return False


def _is_record(path: Path) -> bool:
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


# --- work ------------------------------------------------------------------------------------------------------------


async def _receipt(
    file: Path, roots: list[bytes], log_key: str | None, pdf: Path | None, manifest: "tuple[Manifest, bytes] | None"
) -> Answer:
    from server.verification import Unreadable, later_step, pdf_step, verify_receipt

    report = verify_receipt(file.read_bytes(), roots=roots, now_us=_now_us(), log_key=log_key)
    steps = list(report.steps)
    if pdf is not None:
        step, end = pdf_step(report.receipt, pdf)
        if step.code == "pdf-extends":
            # What cannot be read is no archive's revision: the step stays as it is.
            with contextlib.suppress(Unreadable):
                step = later_step(await _judged(pdf, roots), end)
        steps.append(step)
        if manifest is not None:
            steps.extend(await _redrawn(manifest, pdf, report))
    answer = Answer("receipt", steps)
    answer.receipt = report
    return answer


async def _record(file: Path, roots: list[bytes], log_key: str | None) -> Answer:
    """The archive is whole and its course of handling in the log. Of ours, the last revision is valid, and every receipt holds and names a
    revision of it; of others, the files are the packet's and what was said of them.
    """
    from server.preservation.proofs import log_step
    from server.preservation.record_file import RecordError, check
    from server.verification import Outcome, Step, Unreadable

    with tempfile.TemporaryDirectory(prefix="hoatoc-verify-") as name:
        folder = Path(name)
        try:
            contents = check(file, folder)
        except RecordError as error:
            if error.reason == "record-unreadable":
                raise Unreadable(error.reason) from None
            return Answer("record", [Step("record", Outcome.FAILED, error.reason)])
        steps = [Step("record", Outcome.PASSED, "record-whole", f"{len(contents.files)}")]
        steps.append(log_step(contents, log_key, _parts(folder, contents)))
        if contents.kind == "arrival":
            return Answer("record", [*steps, *await _arrival(folder, contents, roots)])
        answer = await _pdf(folder / f"revision-{len(contents.revisions) - 1}.pdf", roots, None)
        places = {one.sha256: number for number, one in enumerate(contents.revisions)}
        for number in range(len(contents.receipts)):
            steps += await _receipt_of(folder, number, places, roots, log_key, contents)
        whole = Answer("record", steps)
        whole.pdf, whole.sha256 = answer.pdf, answer.sha256
        return whole


def _parts(folder: Path, contents: "Contents") -> "Callable[[str], bytes]":
    """Reads a file of the record by its path there, where `check` put it."""
    from server.preservation.record_file import parts

    kept = parts(contents)
    return lambda path: (folder / kept[path]).read_bytes()


async def _arrival(folder: Path, contents: "Contents", roots: list[bytes]) -> "list[Step]":
    """The packet's files are the record's, byte for byte, and each PDF is what was said of it when it came (EXC-2)."""
    from server.verification import Outcome, Step, Unreadable

    if not contents.packets or not contents.packets[0].path:
        # A text without the packet that brought it is nobody's: whoever takes the packet out could put any text in.
        if any(one.path for one in contents.enclosed):
            return [Step("packet", Outcome.FAILED, "record-packet-differs")]
        return [Step("packet", Outcome.NOTED, "record-withheld")]
    steps = [_packet_step(folder, contents)]
    for number, one in enumerate(contents.enclosed):
        if one.verdict is None or not one.path:
            continue
        try:
            valid = (await _judged(folder / f"file-{number}", roots)).result.valid
        except Unreadable:
            valid = False
        if one.verdict != "valid":
            steps.append(Step("file", Outcome.NOTED, "record-file-was-not-valid", one.name))
        elif valid:
            steps.append(Step("file", Outcome.PASSED, "record-file-valid", one.name))
        else:
            steps.append(Step("file", Outcome.FAILED, "record-file-not-valid", one.name))
    return steps


def _packet_step(folder: Path, contents: "Contents") -> "Step":
    from server.exchange.edxml import Unreadable, parse
    from server.exchange.model import DocumentPacket
    from server.verification import Outcome, Step

    into = folder / "enclosed"
    into.mkdir()
    try:
        packet = parse(folder / "packet", into).packet
    except Unreadable as error:
        return Step("packet", Outcome.FAILED, "record-packet-differs", f"{error.code} {error.line or ''}")
    found = [file.sha256 for file in packet.attachments] if isinstance(packet, DocumentPacket) else []
    if found != [one.sha256 for one in contents.enclosed if one.path]:
        return Step("packet", Outcome.FAILED, "record-packet-differs")
    return Step("packet", Outcome.PASSED, "record-packet-right", f"{len(found)}")


async def _receipt_of(
    folder: Path, number: int, places: dict[str, int], roots: list[bytes], log_key: str | None, contents: "Contents"
) -> "list[Step]":
    """The receipt's own step, and those of the authority and the openings that its event names."""
    from server.verification import Outcome, Step, Unreadable

    path = folder / f"receipt-{number}.json"
    try:
        named = json.loads(path.read_bytes()).get("revision")
        pdf = folder / f"revision-{places[named]}.pdf"
        found = await _receipt(path, roots, log_key, pdf, None)
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError, Unreadable):
        return [Step("receipt", Outcome.FAILED, "record-receipt-wrong", str(number + 1))]
    if found.exit_code == VALID:
        assert found.receipt is not None
        right = Step("receipt", Outcome.PASSED, "record-receipt-right", str(number + 1))
        return [right, *_rests_on(found.receipt, folder, contents)]
    outcome = Outcome.FAILED if found.exit_code == NOT_VALID else Outcome.UNKNOWN
    return [Step("receipt", outcome, "record-receipt-wrong", str(number + 1))]


def _rests_on(report: "ReceiptReport", folder: Path, contents: "Contents") -> "list[Step]":
    from server.preservation.proofs import authority_step, lacking_step, openings_step
    from server.preservation.record_file import metadata_of

    part = _parts(folder, contents)
    manifests = {one.sha256: one.path for one in contents.files if one.path.endswith("/manifest.json")}
    found = (
        lacking_step(report.receipt, part),
        authority_step(report.receipt, metadata_of(contents, report.receipt.revision), report.signature.time_us, part),
        openings_step(report.receipt, manifests, part),
    )
    return [step for step in found if step is not None]


async def _pdf(file: Path, roots: list[bytes], manifest: "tuple[Manifest, bytes] | None") -> Answer:
    report = await _judged(file, roots)
    answer = Answer("pdf", [] if manifest is None else await _redrawn(manifest, file, None))
    answer.pdf = report
    with file.open("rb") as source:
        answer.sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return answer


async def _judged(file: Path, roots: list[bytes]) -> "PdfReport":
    """Every signature and every revision, by a limited child. Raises `Unreadable`."""
    from server.sandbox.model import SandboxFailure, SandboxRefused
    from server.sandbox.pool import Sandbox
    from server.sandbox.tasks import Task
    from server.verification import JudgeOrder, PdfReport, Unreadable

    tasks = {"verify.pdf": Task("server.verification:judge_file")}
    async with Sandbox(concurrency=1, tasks=tasks) as sandbox:
        try:
            return await sandbox.call(
                "verify.pdf",
                JudgeOrder(path=str(file.absolute()), roots=roots, now_us=_now_us()),
                PdfReport,
                reads=[file],
                timeout_s=_JUDGE_S,
                memory_mb=_MEMORY_MB,
            )
        except SandboxRefused as error:
            raise Unreadable(str(error.code)) from None
        except SandboxFailure as error:
            raise Unreadable(f"child-{error.code}") from None


async def _redrawn(given: "tuple[Manifest, bytes]", pdf: Path, receipt: "ReceiptReport | None") -> "list[Step]":
    """The manifest's own steps and, where it is about this file, every page drawn again."""
    from server.sandbox.pool import Sandbox
    from server.sandbox.tasks import TASKS
    from server.verification import Outcome, manifest_steps

    manifest, body = given
    steps = manifest_steps(manifest, body, pdf, None if receipt is None else receipt.receipt)
    if steps[0].outcome is not Outcome.PASSED:
        return steps
    with tempfile.TemporaryDirectory(prefix="hoatoc-verify-") as folder:
        shown = pdf.absolute()
        if pdf.stat().st_size != manifest.length:
            shown = Path(folder) / "beginning.pdf"
            _copy_beginning(pdf, shown, manifest.length)
        async with Sandbox(tasks={"pages.render": TASKS["pages.render"]}) as sandbox:
            return [*steps, await _pages_step(sandbox, manifest, shown, Path(folder))]


def _copy_beginning(source: Path, target: Path, length: int) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        while length and (chunk := reading.read(min(1 << 20, length))):
            writing.write(chunk)
            length -= len(chunk)


async def _pages_step(sandbox: "Sandbox", manifest: "Manifest", pdf: Path, folder: Path) -> "Step":
    from server.previews.model import redraw_differences
    from server.previews.render import RENDERER
    from server.sandbox.model import SandboxError
    from server.verification import Outcome, Step

    if manifest.renderer != RENDERER:
        return Step("pages", Outcome.UNKNOWN, "pages-other-renderer", f"{manifest.renderer} / {RENDERER}")
    widths = tuple(sorted({image.width for image in manifest.images}))
    gate = asyncio.Semaphore(2)

    async def draw(first: int) -> list[tuple[int, int, str]]:
        async with gate:
            return await _draw(sandbox, pdf, folder / f"{first}", widths, first, manifest.page_count)

    try:
        parts = await asyncio.gather(*(draw(first) for first in range(1, manifest.page_count + 1, _DRAW_PAGES)))
    except SandboxError as error:
        return Step("pages", Outcome.UNKNOWN, "pages-not-shown", str(error.code))
    differences = redraw_differences(manifest, RENDERER, [image for part in parts for image in part])
    if differences:
        return Step("pages", Outcome.FAILED, "pages-differ", "; ".join(differences[:5]))
    return Step("pages", Outcome.PASSED, "pages-same", f"{manifest.page_count} × {len(widths)}")


async def _draw(
    sandbox: "Sandbox", pdf: Path, out: Path, widths: tuple[int, ...], first: int, page_count: int
) -> list[tuple[int, int, str]]:
    """(page, width, digest) of some pages. Digests are computed here, because a child that met a hostile file may say anything."""
    from server.previews.render import RenderRequest, RenderResponse

    out.mkdir()
    last = min(first + _DRAW_PAGES - 1, page_count)
    answer = await sandbox.call(
        "pages.render",
        RenderRequest(path=str(pdf), out=str(out), widths=widths, first=first, last=last),
        RenderResponse,
        reads=[pdf],
        scratch=out,
        timeout_s=_DRAW_S,
        memory_mb=_MEMORY_MB,
    )
    drawn = []
    for image in answer.images:
        path = out / image.file
        if not path.is_symlink() and path.is_file():
            with path.open("rb") as source:
                drawn.append((image.page, image.width, hashlib.file_digest(source, "sha256").hexdigest()))
            path.unlink()
    return drawn


def _now_us() -> int:
    return time.time_ns() // 1000


def _give_up(code: str, *, as_json: bool) -> NoReturn:
    from server.verification_texts import text

    vi, en = (plain(sentence) for sentence in text(code))
    if as_json:
        verdict, _, _ = VERDICTS[UNREADABLE]
        click.echo(json.dumps({"verdict": verdict, "code": code, "vi": vi, "en": en}, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{VERDICTS[UNREADABLE][1]}: {vi}\n{VERDICTS[UNREADABLE][2]}: {en}", err=True)
    sys.exit(UNREADABLE)


# --- edXML -----------------------------------------------------------------------------------------------------------


@click.group()
def edxml() -> None:
    """Packets of the document exchange."""


@edxml.command("inspect")
@click.argument("file", type=_file)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def inspect_command(file: Path, *, as_json: bool) -> None:
    """Show what a packet says and what had to be repaired to read it; exit 0 readable, 1 with repairs or findings, 2 not."""
    from server.verification import Unreadable

    try:
        _size(file, _MAX_PACKET)
    except Unreadable as error:
        _give_up(error.code, as_json=as_json)
    except OSError:
        _give_up("file-unreadable", as_json=as_json)
    from server.exchange.edxml import inspect

    try:
        found = inspect(file)
    except OSError:
        _give_up("file-unreadable", as_json=as_json)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        show_packet(file, found)
    if not found["readable"]:
        sys.exit(UNREADABLE)
    sys.exit(NOT_VALID if found["repairs"] or _file_findings(found) else VALID)


def _file_findings(found: dict[str, Any]) -> bool:
    return any(file["findings"] for file in found.get("attachments", ()))
