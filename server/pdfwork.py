"""The server's PDF work: each piece in a limited child process, its refusals turned into problems.

What a child answers is well formed, not true (it met hostile bytes). It therefore writes no file that is signed: it says what to append,
this process copies the parent with that behind it and computes every digest on the way, and another child compares both files. One child writes and
another checks; what each of them does besides (judge the parent, draw the pages, judge the result) is done in the same process, because a fork
and the first touch of its memory cost more than most of these tasks.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from server.documents.model import Placement
from server.errors import Refused
from server.pdftasks import (
    AppendedAnswer,
    ArchiveCompareOrder,
    ArchiveOrder,
    CompareOrder,
    ImageAnswer,
    ImageOrder,
    InspectRequest,
    InspectResponse,
    LayoutOrder,
    PlacedField,
    PrepareOrder,
    SignedWithAnswer,
    SignedWithOrder,
    ValidateOrder,
)
from server.previews.model import FieldArea
from server.sandbox.model import Overloaded, Priority, SandboxFailure, SandboxRefused
from server.sandbox.pool import Child, Sandbox
from signing.pdf.appearance import INITIALS
from signing.pdf.archive import SignedWith
from signing.pdf.assemble import assemble
from signing.pdf.compare import Comparison, Expected
from signing.pdf.errors import PdfError
from signing.pdf.placement import FieldKind
from signing.pdf.prepare import FieldRect, Placed, Prepared
from signing.pdf.revision import Ready, append_bytes, append_revision
from signing.pdf.revocation import ValidationData
from signing.pdf.stamp_image import Ink
from signing.pdf.validation import Indication, ValidationResult

T = TypeVar("T")

_TIMEOUT_S = 20.0
_DRAWING_S = 60.0
_MEMORY_MB = 768
_EVIDENCE_MB = 256
"""Of the largest revision that an archive appends: certificates, OCSP answers and whole lists of revoked certificates."""
_LARGEST = _EVIDENCE_MB << 20
_AROUND = 9 << 20
"""Bytes of an archive's revision beside what was gathered: the stamp's hole, what the file's own lists and pages are made of."""


class RouteField(msgspec.Struct, frozen=True):
    """A step of the route with what its stamp says. `placement`: JSON of `Placement` or None.

    `kind`: of a step, or "annex" or "copy" for the seal that stands alone (SIG-4, SIG-6); `title` is then the form of the copy.
    """

    position: int
    kind: str
    field_name: str
    authority: str
    name: str
    title: str
    organisation: str
    placement: bytes | None


class PreparedPdf(msgspec.Struct, frozen=True):
    """A prepared file, compared. Digests hex, of the bytes as this process wrote them; offsets bytes; `assembly` is kept for `assemble`."""

    parent_digest: str
    prepared_digest: str
    length: int
    parent_length: int
    tbs: str
    hole_start: int
    hole_end: int
    fields: tuple[FieldArea, ...]
    touched_pages: tuple[int, ...]
    assembly: bytes


class PdfWork:
    """`font`: the stamp's font file. `largest_token`: bytes of the largest time-stamp token to make room for.

    `certify`: the first signature of a file without one certifies it, P=2. `seal_locks`: the seal, which is last, forbids every
    later change but the archive's. `allow_invisible`: see `Inspector`.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        font: Path,
        roots: Sequence[bytes],
        tsa_roots: Sequence[bytes],
        largest_token: int = 8 * 1024,
        certify: bool = False,
        seal_locks: bool = False,
        allow_invisible: bool = False,
    ) -> None:
        self._sandbox = sandbox
        self._font = font
        self._roots = roots
        self._tsa_roots = tsa_roots
        self._largest_token = largest_token
        self._certify = certify
        self._seal_locks = seal_locks
        self._allow_invisible = allow_invisible

    async def inspect(
        self,
        path: Path,
        *,
        fields: Sequence[str] = (),
        allow_invisible: bool = False,
        layout: LayoutOrder | None = None,
    ) -> InspectResponse:
        """Raises: Refused with a PDF refusal code, "cannot-be-checked" or "busy"."""
        request = InspectRequest(path=str(path), fields=list(fields), allow_invisible=allow_invisible, layout=layout)
        return await self._call("pdf.inspect", request, InspectResponse, reads=[path])

    async def read_image(self, path: Path, out: Path, ink: Ink) -> tuple[int, int]:
        """Write the image of a signature or a seal in the PNG at `path` to `out`, as stamps embed it; gives its pixels.

        Raises: Refused("image-refused") with the reason, also where the child dies of the file (B4); Refused("busy").
        """
        made = _beside(out)
        order = ImageOrder(path=str(path), out=str(made), ink=ink.value)
        async with _own_folder(made.parent):
            try:
                found = await self._call("pdf.read_image", order, ImageAnswer, reads=[path], scratch=made.parent)
            except Refused as error:
                if error.code != "cannot-be-checked":
                    raise
                found = ImageAnswer(reason="not-readable")
            if found.reason or not found.width or not found.height or made.is_symlink() or not made.is_file():
                raise Refused("image-refused", reason=found.reason)
            made.rename(out)
        return found.width, found.height

    @asynccontextmanager
    async def prepare(
        self,
        parent: Path,
        out: Path,
        *,
        route: Sequence[RouteField],
        position: int,
        signer_name: str,
        signer_title: str,
        reference: str,
        certificate: bytes,
        chain: bytes,
        now_us: int,
        image: Path | None = None,
        diameter_mm: float = 0.0,
        first: Callable[[Child], Awaitable[None]] | None = None,
    ) -> AsyncGenerator[tuple[PreparedPdf, Child], None]:
        """Write `out`, compare it with `parent`, and say what it shows; with the child that compared them, for whoever draws `out`.

        `image`: what `read_image` wrote for the signer, drawn instead of text; `diameter_mm` of the real seal. `first`: what the child that writes
        the revision does before, which may read `parent`. Neither child may be kept while the caller waits for another one.
        Raises: Refused with a PDF refusal code, "integrity-failed" when the comparison finds more than was to be added.
        """
        mine = next(index for index, field in enumerate(route) if field.position == position)
        kind = route[mine].kind
        noted = kind in {FieldKind.ANNEX, FieldKind.COPY}
        sealing = noted or kind == FieldKind.SEAL
        tail = _beside(out)
        order = PrepareOrder(
            parent=str(parent),
            tail=str(tail),
            route=[_placed(field, locks=self._seal_locks and field is route[-1]) for field in route],
            signer=mine,
            name=route[mine].organisation if sealing else signer_name,
            position=route[mine].title if noted else f"Văn thư: {signer_name}" if sealing else signer_title,
            authority=route[mine].authority,
            reference=reference,
            now_us=now_us,
            # Two signatures' worth of room above certificate and chain: attributes, algorithm names, the raw signature.
            cms_size=len(certificate) + len(chain) + 2048,
            largest_token=self._largest_token,
            font=str(self._font),
            certify=self._certify,
            allow_invisible=self._allow_invisible,
            image="" if image is None else str(image),
            diameter_mm=diameter_mm,
            reason=_reason(route[mine], reference),
        )
        reads = [parent, self._font] if image is None else [parent, self._font, image]
        file_mb = 8 + (0 if image is None else _megabytes(image))
        async with _own_folder(tail.parent):
            with self._child(reads, tail.parent, timeout_s=2 * _TIMEOUT_S, file_mb=file_mb) as writer:
                if first is not None:
                    await first(writer)
                placed = await _asked(writer, "pdf.prepare", order, Placed)
            ready = await asyncio.to_thread(_written, parent, placed, tail, out)
        prepared, pages = ready.info, out.with_suffix(".pages")
        async with _own_folder(pages):
            with self._child([parent, out], pages, timeout_s=_TIMEOUT_S + _DRAWING_S) as checker:
                await self._compare(checker, parent, out, prepared)
                yield (
                    PreparedPdf(
                        parent_digest=prepared.parent_digest.hex(),
                        prepared_digest=ready.digest.hex(),
                        length=prepared.size,
                        parent_length=prepared.parent_length,
                        tbs=prepared.tbs.hex(),
                        hole_start=prepared.hole_start,
                        hole_end=prepared.hole_start + prepared.hole_length,
                        fields=tuple(_area(rect) for rect in prepared.rects),
                        touched_pages=tuple(page + 1 for page in prepared.touched_pages),
                        assembly=msgspec.msgpack.encode(prepared),
                    ),
                    checker,
                )

    async def _compare(self, child: Child, parent: Path, out: Path, prepared: Prepared) -> None:
        order = CompareOrder(parent=str(parent), child=str(out), expected=Expected.of(prepared))
        found = await _asked(child, "pdf.compare", order, Comparison)
        if tuple(sorted(found.touched_pages)) != tuple(sorted(prepared.touched_pages)):
            raise Refused("changed-beyond-signature")
        # `tbs` leaves out the hole that the first child named; the file must leave out the same one, or another text than this is signed.
        if found.byte_range != prepared.byte_range:
            raise Refused("integrity-failed")

    @asynccontextmanager
    async def archiving(self, parent: Path, out: Path) -> AsyncGenerator["Archiving", None]:
        """For an archive's revision behind `parent`, written to `out`; it counts once `check_archive` has compared both."""
        tail = _beside(out)
        async with _own_folder(tail.parent):
            with self._child([parent], tail.parent, timeout_s=2 * _TIMEOUT_S, file_mb=_EVIDENCE_MB) as child:
                yield Archiving(child, parent, tail, out, room=max(16 * 1024, 2 * self._largest_token))

    async def check_archive(
        self,
        parent: Path,
        out: Path,
        stamped: tuple[int, int, int, int] | None,
        required: Sequence[str],
        now_us: int,
    ) -> tuple[str, bytes]:
        """Compare what `archiving` wrote, filled, with its parent, then judge it as `validate` does.

        `stamped`: what the time stamp is about, None where there is to be none. Raises: Refused as `prepare`.
        """
        order = ArchiveCompareOrder(parent=str(parent), child=str(out))
        with self._child([parent, out], timeout_s=2 * _TIMEOUT_S) as child:
            found = await _asked(child, "pdf.compare_archive", order, Comparison)
            if found.touched_pages and any(field.box is not None for field in found.fields):
                raise Refused("changed-beyond-signature")
            if found.byte_range != stamped:
                raise Refused("integrity-failed")
            return await self.validate(out, required, now_us, child)

    @staticmethod
    def capacity(assembly: bytes) -> int:
        """Bytes of CMS that the prepared hole takes."""
        return msgspec.msgpack.decode(assembly, type=Prepared).capacity

    def assemble(self, prepared: Path, assembly: bytes, cms: bytes, out: Path) -> str:
        """The revision's SHA-256; proves on the way that the prepared bytes are the approved ones. For a thread, not the loop."""
        return assemble(prepared, msgspec.msgpack.decode(assembly, type=Prepared), cms, out).hex()

    async def validate(
        self, path: Path, required: Sequence[str], now_us: int, child: Child | None = None
    ) -> tuple[str, bytes]:
        """`valid` when each of the `required` signature fields passes, else `not_valid`; and the whole report as JSON.

        Signatures that the file brought along are reported but do not decide: they may end at roots that we do not know.
        `child`: one that may read `path`; else a fresh one.
        """
        order = self._to_validate(path, now_us)
        if child is None:
            result = await self._call("pdf.validate", order, ValidationResult, reads=[path])
        else:
            result = await _asked(child, "pdf.validate", order, ValidationResult)
        passed = {found.field for found in result.signatures if found.indication is Indication.PASSED}
        valid = bool(required) and not result.reason and set(required) <= passed
        return "valid" if valid else "not_valid", msgspec.json.encode(result)

    def _to_validate(self, path: Path, now_us: int) -> ValidateOrder:
        return ValidateOrder(
            path=str(path), roots=list(self._roots), timestamp_roots=list(self._tsa_roots), now_us=now_us
        )

    async def judge(self, path: Path, now_us: int, *, waiting: bool) -> ValidationResult:
        """Every signature of a file from outside. `waiting`: somebody waits for the answer.

        A file on which the child dies or runs out of its time or memory is not valid, like one that it refuses (threat B4).
        Raises: Refused("busy").
        """
        order = self._to_validate(path, now_us)
        priority = Priority.INTERACTIVE if waiting else Priority.BACKGROUND
        try:
            return await self._call("pdf.validate", order, ValidationResult, reads=[path], priority=priority)
        except Refused as error:
            if error.code == "busy":
                raise
            return ValidationResult((), 0, "cannot-be-checked")

    async def _call(
        self,
        task: str,
        request: msgspec.Struct,
        response: type[T],
        *,
        reads: Sequence[Path],
        scratch: Path | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> T:
        with self._child(reads, scratch, priority=priority) as child:
            answer = await _asked(child, task, request, response)
            if scratch is not None:
                await child.gone()
            return answer

    def _child(
        self,
        reads: Sequence[Path],
        scratch: Path | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        file_mb: int = 64,
        priority: Priority = Priority.INTERACTIVE,
    ) -> AbstractContextManager[Child]:
        return self._sandbox.child(
            reads=reads,
            scratch=scratch,
            timeout_s=timeout_s,
            memory_mb=_MEMORY_MB,
            priority=priority,
            file_mb=file_mb,
        )


class Archiving:
    """One child at an archive's revision: it says whose signatures the file holds, and when their evidence was gathered, what to append.

    Every method raises: Refused as `PdfWork.prepare`.
    """

    def __init__(self, child: Child, parent: Path, tail: Path, out: Path, *, room: int) -> None:
        self._child = child
        self._parent = parent
        self._tail = tail
        self._out = out
        self._room = room

    async def signed_with(self) -> tuple[SignedWith, ...]:
        """The certificates that the signatures of the parent bring along."""
        order = SignedWithOrder(path=str(self._parent))
        return (await _asked(self._child, "pdf.signed_with", order, SignedWithAnswer)).signatures

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """While others are asked, who may take their time."""
        with self._child.resting():
            yield

    async def place_stamp(self, data: ValidationData) -> Ready:
        """Write the parent with validation data and an empty document time stamp, to be filled here."""
        placed, most = await self._append("pdf.archive", Placed, data, self._room)
        return await asyncio.to_thread(_written, self._parent, placed, self._tail, self._out, most)

    async def append_data(self, data: ValidationData) -> bytes:
        """Write the parent with validation data alone; gives the file's SHA-256."""
        answer, most = await self._append("pdf.append_data", AppendedAnswer, data, 0)
        return await asyncio.to_thread(_appended, self._parent, answer.parent_length, self._tail, self._out, most)

    async def _append(self, task: str, response: type[T], data: ValidationData, room: int) -> tuple[T, int]:
        """The answer, and the most bytes that may have been made of `data`."""
        held, body = self._tail.with_name("data"), msgspec.msgpack.encode(data)
        await asyncio.to_thread(_laid, held, body)
        order = ArchiveOrder(parent=str(self._parent), tail=str(self._tail), data=str(held), room=room)
        answer = await _asked(self._child, task, order, response)
        with suppress(OSError):  # the child may have done it
            held.unlink()
        return answer, len(body) + _AROUND


async def _asked(child: Child, task: str, request: msgspec.Struct, response: type[T]) -> T:
    try:
        return await child.call(task, request, response)
    except Overloaded:
        raise Refused("busy") from None
    except SandboxRefused as error:
        if error.code == "disk":  # the child's word for a full volume; it says nothing about the document (D8)
            raise Refused("insufficient-storage") from None
        raise Refused(error.code, **error.fields) from None
    except SandboxFailure:
        raise Refused("cannot-be-checked") from None


def _reason(step: RouteField, reference: str) -> str:
    """Whoever validates the file alone must be able to tell initials from the signature of the competent person, and an annex or a copy from a
    document that lacks one.
    """
    if step.kind == FieldKind.ANNEX:
        return f"Phụ lục của {reference}"
    return step.title if step.kind == FieldKind.COPY else INITIALS if step.kind == FieldKind.INITIALS else ""


def _placed(field: RouteField, *, locks: bool) -> PlacedField:
    place = None
    if field.placement is not None:
        wanted = msgspec.json.decode(field.placement, type=Placement)
        place = (wanted.page, wanted.x_mm, wanted.y_mm, wanted.width_mm, wanted.height_mm)
    return PlacedField(field_name=field.field_name, kind=field.kind, place=place, locks=locks)


def _area(rect: FieldRect) -> FieldArea:
    left, bottom, right, top = (round(value * 1000) for value in rect.rect)
    return FieldArea(
        name=rect.field_name,
        state="filled" if rect.filled else "reserved",
        page=rect.page_index + 1,
        rect=(left, bottom, right, top),
    )


def _beside(out: Path) -> Path:
    """Where the child that works for `out` writes what it made, in a folder of its own."""
    return out.with_suffix(".new") / "made"


@asynccontextmanager
async def _own_folder(folder: Path) -> AsyncGenerator[None, None]:
    """A child writes here and nowhere else, so that none reaches another's files."""
    folder.mkdir(mode=0o700)
    try:
        yield
    finally:
        try:
            folder.rmdir()  # what was made is mostly taken by now, and this takes no thread's turn
        except OSError:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _laid(path: Path, data: bytes) -> None:
    """Write a new file for a child that wrote in this folder before: a link or a pipe that it left under the name is neither followed nor filled."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise Refused("integrity-failed") from None


def _written(parent: Path, placed: Placed, tail: Path, out: Path, most: int = _LARGEST) -> Ready:
    with _refusals():
        return append_revision(parent, placed, _taken(tail, most), out)


def _appended(parent: Path, length: int, tail: Path, out: Path, most: int) -> bytes:
    with _refusals():
        return append_bytes(parent, length, _taken(tail, most), out)


def _taken(path: Path, most: int) -> bytes:
    """The bytes that a child left, which are there no more. Raises Refused where there are more than `most`."""
    data = _made(path, most + 1)
    path.unlink()
    if len(data) > most:
        raise Refused("integrity-failed")
    return data


def _made(path: Path, most: int = _LARGEST) -> bytes:
    """The first `most` bytes of what a child left. Where the kernel has no wall round its files it may have left a link, which this process would follow
    further than the child can, or a pipe, which nobody fills. Raises FileNotFoundError where it left no file.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise FileNotFoundError(path)
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(most)


@contextmanager
def _refusals() -> Generator[None, None, None]:
    """A full volume is waited for (D8); everything else means that a child's answer does not fit the file."""
    try:
        yield
    except PdfError as error:
        if error.code == "disk":
            raise Refused("insufficient-storage") from None
        raise Refused("integrity-failed") from None
    except FileNotFoundError:
        raise Refused("integrity-failed") from None


def _megabytes(path: Path) -> int:
    return path.stat().st_size // (1 << 20) + 8
