"""The play: one PDF goes the whole road while the steps are timed, and what must be refused is refused."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from server.demo.cast import Cast, DriverFailed, Event, World
from server.demo.parties import RECEIVERS

__all__ = ["STEPS", "Outcome", "Play", "Refusal", "StepTime", "metadata"]

STEPS: dict[str, tuple[str, str]] = {
    "intake": ("QLVB gửi văn bản", "intake"),
    "push": ("FCM nhận thông báo, không nội dung", "push, no content"),
    "notice": ("Điện thoại nhận, báo đã hiện", "notice, receipts"),
    "inbox": ("Hộp việc của lãnh đạo", "inbox"),
    "pages": ("Ảnh trang, so từng mã băm", "page images"),
    "sheet": ("Phiếu phê duyệt có dấu ký", "approval sheet"),
    "approve": ("PIN niêm phong trên máy; bộ ký ký", "PIN sealed, signed"),
    "stamp": ("Dấu thời gian, PAdES B-T", "time stamp"),
    "seal": ("Văn thư đóng dấu cơ quan", "the clerk's seal"),
    "archive": ("Chứng cứ lâu dài, PAdES B-LTA", "evidence for years"),
    "axis": ("Trục liên thông nhận edXML", "exchange has it"),
    "statuses": ("Nơi nhận trả 01 đến, 03 tiếp nhận", "receivers' 01, 03"),
    "told": ("Điện thoại lãnh đạo được báo", "leader is told"),
    "final": ("QLVB có final.pdf, đúng từng byte", "final.pdf is back"),
}
"""Key of a step in `summary.json` -> what it is in Vietnamese, and in English."""


class StepTime(msgspec.Struct, frozen=True):
    """`ms`: how long the step took. Steps of machines that wait for each other are counted from what they wait for."""

    step: str
    ms: float


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one PDF. `outcome`: accepted, refused (with `problem_type`), failed (with `cause`)."""

    n: int
    file: str
    outcome: str = "failed"
    problem_type: str | None = None
    problem_title: str | None = None
    cause: str | None = None
    document: str | None = None
    pages: int | None = None
    size: int = 0
    steps: list[StepTime] = []
    total_ms: float = 0.0
    digests: dict[str, str] = {}
    checks: dict[str, bool] = {}
    files: dict[str, str] = {}


class Refusal(msgspec.Struct, frozen=True):
    """One refusal shown on purpose: `expected` problem type, `code` what came."""

    case: str
    expected: str
    code: str
    title: str
    extra: dict[str, Any] = {}

    @property
    def right(self) -> bool:
        return self.code == self.expected


Tell = Callable[[Outcome, StepTime], None]


def metadata(
    n: int, leader: str, *, day: str, subject: str, number: int, signature: Any = None, seal: Any = None
) -> dict[str, Any]:
    """The fields of an edXML MessageHeader, as a document management system has them. Urgency 3 is Hỏa tốc."""
    signer: dict[str, Any] = {"person": leader}
    whole: dict[str, Any] = {
        "number": str(number),
        "notation": "QĐ-UBND",
        "subject": subject,
        "type_name": "Quyết định",
        "urgency": 3,
        "promulgation_place": "Xã Mẫu",
        "promulgation_date": day,
        "receivers": [{"organ_id": code, "name": name} for code, name in RECEIVERS],
        "signers": [signer],
        "to_places": ["Như Điều 3", "Lưu: VT"],
        "source_reference": f"demo-{n}",
    }
    if signature is not None:
        signer["placement"] = msgspec.to_builtins(signature)
        whole["seal_placement"] = msgspec.to_builtins(seal)
    return whole


class Play:
    """Runs documents through a world with a cast. `tell` hears each step as it ends."""

    def __init__(self, world: World, cast: Cast, tell: Tell) -> None:
        self._world = world
        self._cast = cast
        self._tell = tell
        self._http = httpx2.AsyncClient(timeout=60, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def road(self, n: int, path: Path, header: dict[str, Any]) -> Outcome:
        """One PDF from intake to `final.pdf` at the QLVB. What fails is an outcome, not an exception."""
        outcome = Outcome(n=n, file=path.name, size=path.stat().st_size)
        started = time.monotonic()
        try:
            await self._road(outcome, path, header)
        except DriverFailed as error:
            outcome.outcome, outcome.problem_type, outcome.cause = "failed", error.code, str(error)
        except (httpx2.HTTPError, OSError) as error:
            outcome.outcome, outcome.cause = "failed", f"{type(error).__name__}: {error}"
        outcome.total_ms = round((time.monotonic() - started) * 1e3, 1)
        return outcome

    def _step(self, outcome: Outcome, step: str, ms: float) -> None:
        made = StepTime(step, round(max(ms, 0.0), 1))
        outcome.steps.append(made)
        self._tell(outcome, made)

    async def _road(self, outcome: Outcome, path: Path, header: dict[str, Any]) -> None:
        cast, pushes = self._cast, len(self._cast.pushes)
        taken = await self.submit(outcome.n, path, header)
        self._step(outcome, "intake", taken["ms"])
        if taken.name == "not-taken":
            outcome.outcome, outcome.problem_type = "refused", taken["code"]
            outcome.problem_title = str(taken["problem"].get("title", ""))
            return
        document = outcome.document = taken["document"]
        outcome.pages = taken["pages"]
        outcome.digests["original"] = taken["sha256"]
        push = await cast.push_for("leader", pushes)
        self._step(outcome, "push", (push["seen_at"] - taken.at) * 1e3)
        for step, event in (
            ("notice", "notice"),
            ("inbox", "inbox"),
            ("pages", "pages"),
            ("sheet", "sheet"),
            ("approve", "approved"),
        ):
            said = await cast.wait("leader", event, document=document)
            self._step(outcome, step, said["ms"])
        outcome.files["phone"] = said["folder"]
        signed = await cast.wait("qlvb", "change", document=document, kind="document.signed")
        self._step(outcome, "stamp", (signed.at - said.at) * 1e3)
        stamped = await cast.wait("qlvb", "change", document=document, kind="document.sealed_pending_archive")
        self._step(outcome, "seal", (stamped.at - signed.at) * 1e3)
        sealed = await cast.wait("qlvb", "change", document=document, kind="document.sealed")
        self._step(outcome, "archive", (sealed.at - stamped.at) * 1e3)
        packet = await self._accepted(taken["exchange_id"])
        at_axis = time.monotonic()
        self._step(outcome, "axis", (at_axis - sealed.at) * 1e3)
        accepted = await cast.wait("qlvb", "change", document=document, kind="document.accepted")
        self._step(outcome, "statuses", (accepted.at - at_axis) * 1e3)
        told = await cast.wait("leader", "notice", document=document, kind="accepted")
        self._step(outcome, "told", (told.at - accepted.at) * 1e3)
        final = await cast.wait("qlvb", "file", document=document, which="final")
        self._step(outcome, "final", final["ms"])
        await self._checked(outcome, taken, packet, final, header, pushes)

    async def submit(self, n: int, path: Path, header: dict[str, Any]) -> Event:
        """Hand a file in; `taken`, or `not-taken` with the problem document."""
        key = hashlib.sha256(f"{n} {time.monotonic_ns()}".encode()).hexdigest()
        await self._cast.tell("qlvb", do="submit", n=n, path=str(path), metadata=header, key=key)
        refused: list[Event] = []

        def not_taken(event: Event) -> bool:
            if event.name == "not-taken" and event.fields.get("n") == n:
                refused.append(event)
                return True
            return False

        try:
            return await self._cast.wait("qlvb", "taken", n=n, failing=not_taken)
        except DriverFailed:
            if refused:
                return refused[0]
            raise

    async def _oracle(self) -> list[dict[str, Any]]:
        packets: list[dict[str, Any]] = (await self._http.get(f"{self._world.axis_url}/_oracle")).json()["packets"]
        return packets

    async def _accepted(self, exchange_id: str) -> dict[str, Any]:
        """The packet of a document that the axis has accepted."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for packet in await self._oracle():
                if packet["document_id"] == exchange_id and packet["kind"] == "edoc":
                    return packet
            await asyncio.sleep(0.03)
        raise DriverFailed(
            "axis", {"code": "waited-too-long", "detail": "the axis accepted no packet of this document"}
        )

    async def _checked(
        self, outcome: Outcome, taken: Event, packet: dict[str, Any], final: Event, header: dict[str, Any], pushes: int
    ) -> None:
        cast, document = self._cast, outcome.document
        signed = await cast.wait("qlvb", "file", document=document, which="signed")
        receipts = await cast.wait("qlvb", "receipts", document=document)
        packets = await self._oracle()
        copies = [one for one in packets if one["document_id"] == taken["exchange_id"] and one["kind"] == "edoc"]
        statuses = {
            one["status"] for one in packets if one["document_id"] == taken["exchange_id"] and one["kind"] == "status"
        }
        hooks = [event for event in cast.events if event.name == "webhook" and event.fields.get("document") == document]
        outcome.digests |= {"signed": signed["sha256"], "final": final["sha256"], "packet": packet["sha256"]}
        outcome.files |= {"signed": signed["path"], "final": final["path"]}
        outcome.files |= {f"receipt{number or ''}": path for number, path in enumerate(receipts["paths"])}
        outcome.files["packet"] = str(self._world.folder / f"package-{outcome.n}.edxml")
        raw = (await self._http.get(f"{self._world.axis_url}/_oracle/raw/{packet['doc_id']}")).content
        await asyncio.to_thread(Path(outcome.files["packet"]).write_bytes, raw)
        mine = cast.pushes[pushes:]
        (self._world.folder / f"push-{outcome.n}.json").write_text(
            json.dumps(mine, ensure_ascii=False, indent=1), "utf-8"
        )
        outcome.files["push"] = str(self._world.folder / f"push-{outcome.n}.json")
        secrets = [header["subject"], header["notation"], header["type_name"], str(document)]
        outcome.checks = {
            "axis-has-final": final["sha256"] in {one["sha256"] for one in packet["attachments"]},
            "sent-once": len(copies) == 1,
            "statuses-01-03": {"01", "03"} <= statuses,
            "push-without-content": bool(mine) and not any(text in push["raw"] for push in mine for text in secrets),
            "webhooks-signed": bool(hooks) and all(event["valid"] for event in hooks),
            "extends-the-original": await asyncio.to_thread(_extends, final["path"], signed["path"]),
        }
        wrong = [name for name, holds in outcome.checks.items() if not holds]
        outcome.outcome = "failed" if wrong else "accepted"
        if wrong:
            outcome.cause = f"checks that do not hold: {', '.join(wrong)}"

    # Refusals on purpose.

    async def refusals(self, script: Path, paper: Path, header: dict[str, Any]) -> list[Refusal]:
        """A script PDF, an approval changed by one byte, a wrong PIN, a used approval sent again."""
        shown = []
        answer = await self.submit(9001, script, {**header, "source_reference": "demo-script"})
        problem = answer.fields.get("problem") or {}
        shown.append(_refusal("script", "script", {"code": answer.fields.get("code", "taken"), "problem": problem}))
        await self._cast.tell("leader", do="rehearse")
        number = str(int(header["number"]) + 2)
        taken = await self.submit(9002, paper, {**header, "number": number, "source_reference": "demo-refusals"})
        if taken.name != "taken":
            raise DriverFailed("qlvb", taken.fields)
        for case, expected in (
            ("changed-approval", "approval-invalid"),
            ("wrong-pin", "pin-wrong"),
            ("replayed-approval", "approval-used"),
        ):
            said = await self._cast.wait("leader", "refused", document=taken["document"], case=case)
            shown.append(_refusal(case, expected, said.fields))
        return shown


def _refusal(case: str, expected: str, said: dict[str, Any]) -> Refusal:
    problem = said.get("problem") or {}
    known = {"type", "title", "status", "code", "trace_id", "retry"}
    extra = {name: value for name, value in problem.items() if name not in known}
    return Refusal(case, expected, str(said.get("code")), str(problem.get("title", "")), extra)


def _extends(longer: str, shorter: str) -> bool:
    """Every revision extends its parent byte for byte."""
    head = Path(shorter).read_bytes()
    with Path(longer).open("rb") as file:
        return file.read(len(head)) == head


def keep(outcome: Outcome, place: Path) -> None:
    """What `--out` gets of one document."""
    place.mkdir(parents=True, exist_ok=True)
    names = {
        "signed": "signed.pdf",
        "final": "final.pdf",
        "packet": "package.edxml",
        "push": "push.json",
        "receipt": "receipt.json",
    }
    for key, path in outcome.files.items():
        if key == "phone":
            for found in Path(path).iterdir():
                shutil.copyfile(found, place / found.name)
        else:
            shutil.copyfile(path, place / names.get(key, f"{key}.json"))
