"""What the buttons of the demonstration's page do, and what its panels show.

A document is handed in, recalled and fetched by the QLVB's driver, which has nothing but the public API. The other buttons are the world
around the product: its time stamps, its line to the exchange, its worker's life, one byte of its disk.

Longer than most: one method a button, and all of them change the same world.
"""

import asyncio
import datetime as dt
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from server.db import Database
from server.demo.auditor import Auditor
from server.demo.cast import Cast, DriverFailed, Event
from server.demo.judges import reason_of, verified
from server.demo.paper import SUBJECT, decision
from server.demo.people import PINS
from server.demo.play import metadata
from server.demo.showcase import ControlRefused
from server.demo.stage import Stage

__all__ = ["DemoControls"]

T = TypeVar("T")

_VIETNAM = dt.timezone(dt.timedelta(hours=7))
_SHOWN = 8
_OFF_S = 60.0
_LONGEST_OFF_S = 600.0
_LATE = re.compile(rb'^hoatoc_outbox_oldest_due_seconds\{lane="\w+"\} ([\d.e+-]+)', re.MULTILINE)
_OVER = {"recalled", "returned"}
_STILL_HERE = {"in_review", "signed", "sealed"}


class Paper(msgspec.Struct, kw_only=True):
    """A document of the QLVB as its feed tells it. `files`: which -> SHA-256 of what it fetched; `receipts`: paths."""

    id: str
    number: str
    notation: str
    subject: str
    urgency: int
    pages: int
    sha256: str
    state: str
    files: dict[str, str] = {}
    receipts: list[str] = []

    @property
    def newest(self) -> tuple[str, str]:
        """The newest file, if possible one that a receipt speaks of: which, and its digest."""
        files = [(which, self.files[which]) for which in ("final", "signed") if which in self.files]
        proved = [(which, digest) for which, digest in files if self.receipt_of(digest) is not None]
        return next(iter(proved + files), ("original", self.sha256))

    def receipt_of(self, revision: str) -> Path | None:
        return next((path for path in map(Path, self.receipts) if _revision(path) == revision), None)


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One byte of a stored file that is another now."""

    document: str
    number: str
    which: str
    digest: str
    path: Path
    offset: int


class DemoControls:
    """`Controls` of a demonstration that keeps serving. `read_head` fetches the log's newest head from the public API."""

    def __init__(
        self, stage: Stage, cast: Cast, db: Database, folder: Path, *, first: int, read_head: Callable[[], Awaitable[dict[str, Any]]]
    ) -> None:  # fmt: skip
        self._stage = stage
        self._cast = cast
        self._folder = folder
        self._auditor = Auditor(db, read_head)
        self._http = httpx2.AsyncClient(timeout=10, trust_env=False)
        self._run = secrets.token_hex(8)
        self._numbers = first
        self._read = 0
        self._papers: dict[str, Paper] = {}
        self._line_back: asyncio.Task[None] | None = None
        self._line_back_at = 0.0
        self._kills = 0
        self._damage: Damage | None = None
        self._busy: dict[str, asyncio.Lock] = {}
        self._deeds: dict[str, Callable[[Mapping[str, str], bytes], Awaitable[dict[str, Any]]]] = {
            "urgent": self._urgent,
            "own": self._own,
            "tsa": self._tsa,
            "exchange": self._exchange,
            "worker": self._worker,
            "recall": self._recall,
            "byte": self._byte,
            "verify": self._verify,
            "link": self._link,
        }

    async def close(self) -> None:
        if self._line_back is not None:
            self._line_back.cancel()
        await self._http.aclose()

    async def act(self, name: str, query: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        deed = self._deeds.get(name)
        if deed is None:
            return None
        lock = self._busy.setdefault(name, asyncio.Lock())
        async with lock:
            try:
                return await deed(query, body)
            except DriverFailed as failed:
                raise ControlRefused(failed.code, "Không làm được.", f"It did not work: {failed}") from None
            except (httpx2.HTTPError, OSError) as error:
                raise ControlRefused(
                    "not-reached", "Một phần của buổi trình diễn không trả lời.", type(error).__name__
                ) from None

    # Panels.

    async def state(self) -> dict[str, Any]:
        """Everything that the panels show, read from who knows it; a part that does not answer is null."""
        self._follow()
        stage = self._stage
        people = stage.handed.people
        axis, pki, late_s, log = await asyncio.gather(
            _or_none(self._packets()), _or_none(self._stamps()), _or_none(self._late()), _or_none(self._auditor.look())
        )
        return {
            "run": self._run,
            "base_url": stage.base_url,
            "people": {
                who: {
                    "name": people[who].name,
                    "position": people[who].position,
                    "pin": PINS[who],
                    "origin": origin,
                    "devices": self._cast.welcomed_of(people[who].id),
                }
                for who, origin in zip(PINS, stage.frames, strict=True)
            },
            "documents": [msgspec.to_builtins(paper) for paper in list(self._papers.values())[: -_SHOWN - 1 : -1]],
            "google": self._google(),
            "exchange": {"on": stage.line.joined, "back_in_s": self._back_in(), "packets": axis},
            "tsa": pki,
            "worker": self._worker_now(late_s),
            "log": None if log is None else msgspec.to_builtins(log),
            "damage": self._damaged(),
            "curl": self._curls(),
        }

    def _follow(self) -> None:
        """Take in what the QLVB has said since the last time."""
        events, self._read = self._cast.events[self._read :], len(self._cast.events)
        for event in events:
            if event.who == "qlvb":
                self._heard(event)

    def _heard(self, event: Event) -> None:
        said = event.fields
        if event.name == "taken":
            names = ("number", "notation", "subject", "urgency", "pages", "sha256", "state")
            self._papers[said["document"]] = Paper(id=said["document"], **{name: said[name] for name in names})
        paper = self._papers.get(str(said.get("document")))
        if paper is None:
            return
        if event.name == "change":
            paper.state = said["state"]
        elif event.name == "file":
            paper.files[said["which"]] = said["sha256"]
        elif event.name == "receipts":
            paper.receipts = said["paths"]

    def _google(self) -> dict[str, Any]:
        """The requests as the FCM double recorded them; `raw` is the whole body."""
        pushes = self._cast.pushes
        shown = [
            {"at_us": one["arrived_us"], "status": one["status"], "answer": one["answer"], "raw": one["raw"]}
            for one in pushes[: -_SHOWN - 1 : -1]
        ]
        return {"count": len(pushes), "requests": shown}

    async def _packets(self) -> dict[str, Any]:
        """Straight from the axis, not over the line that can be cut."""
        packets = (await self._http.get(f"{self._stage.parties.axis_url}/_oracle")).json()["packets"]
        names = ("kind", "sender", "document_id", "notation", "title", "status", "sha256", "size", "sent_us", "copies")
        return {
            "count": len(packets),
            "shown": [{name: one[name] for name in names} for one in packets[: -_SHOWN - 1 : -1]],
        }

    async def _stamps(self) -> dict[str, Any]:
        said = (await self._http.get(f"{self._stage.parties.pki_url}/_recorded")).json()
        return {"on": said["switches"]["tsa"] == "on", "stamps": len(said["stamps"])}

    async def _late(self) -> float:
        """For how many seconds the oldest job has been due that no worker has taken."""
        text = (await self._http.get(f"{self._stage.base_url}/metrics")).content
        return max((float(seconds) for seconds in _LATE.findall(text)), default=0.0)

    def _worker_now(self, late_s: float | None) -> dict[str, Any]:
        worker = self._stage.worker
        alive = worker is not None and not worker.ended
        return {"pid": worker.pid if worker else None, "alive": alive, "kills": self._kills, "late_s": late_s}

    def _back_in(self) -> int | None:
        return None if self._stage.line.joined else max(0, round(self._line_back_at - time.monotonic()))

    def _damaged(self) -> dict[str, Any] | None:
        found = self._damage
        return None if found is None else {"number": found.number, "which": found.which, "offset": found.offset}

    def _curls(self) -> dict[str, str]:
        """Real commands: to the page's controls, to the doubles' own records, to the public API."""
        stage = self._stage
        assert stage.page is not None
        here, base, parties = f"{stage.page.url}/controls", stage.base_url, stage.parties
        token = (
            f"TOKEN=$(curl -s {base}/api/v1/oauth/token -d grant_type=client_credentials -d client_id={stage.handed.client_id}"
            f' -d client_secret={stage.handed.client_secret} | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\')'
        )
        return {
            "urgent": f"curl -X POST {here}/urgent",
            "own": f"curl --data-binary @van-ban.pdf '{here}/own?name=van-ban.pdf'",
            "tsa": f"""curl -d '{{"on": false}}' {here}/tsa""",
            "exchange": f"""curl -d '{{"off_s": 60}}' {here}/exchange""",
            "worker": f"curl -X POST {here}/worker",
            "recall": f"curl -X POST {here}/recall",
            "byte": f"""curl -d '{{"changed": true}}' {here}/byte""",
            "verify": f"curl -X POST {here}/verify",
            "documents": f'{token}\ncurl -s {base}/api/v1/changes -H "Authorization: Bearer $TOKEN"',
            "google": f"curl -s {parties.fcm_url}/_recorded",
            "packets": f"curl -s {parties.axis_url}/_oracle",
            "log": f"curl -s {base}/api/v1/log/head",
        }

    # Buttons.

    async def _urgent(self, _query: Mapping[str, str], _body: bytes) -> dict[str, Any]:
        """The QLVB hands in an urgent decision."""
        self._numbers += 1
        number = self._numbers
        made = await asyncio.to_thread(decision, _today(), number)
        header = metadata(
            number, self._leader, day=_today().isoformat(), number=number, subject=SUBJECT, signature=made.signature, seal=made.seal
        )  # fmt: skip
        return await self._submitted(made.pdf, f"quyet-dinh-{number}.pdf", header)

    async def _own(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The QLVB hands in a PDF from outside."""
        if not body:
            raise ControlRefused("no-file", "Hãy chọn một tệp PDF.", "Choose a PDF first.")
        self._numbers += 1
        name = Path(query.get("name", "van-ban.pdf")).name
        subject = f"Văn bản {Path(name).stem}"[:200]
        header = metadata(self._numbers, self._leader, day=_today().isoformat(), number=self._numbers, subject=subject)
        return await self._submitted(body, name, header)

    @property
    def _leader(self) -> str:
        return self._stage.handed.people["leader"].id

    async def _submitted(self, pdf: bytes, name: str, header: dict[str, Any]) -> dict[str, Any]:
        path = self._folder / f"handed-in-{secrets.token_hex(8)}.pdf"
        await asyncio.to_thread(path.write_bytes, pdf)
        try:
            said = await self._cast.ask(
                "qlvb", do="submit", n=-1, path=str(path), metadata=header, key=secrets.token_hex(16)
            )
        finally:
            path.unlink(missing_ok=True)
        if said.name == "not-taken":
            return {"refused": await self._problem(said), "file": name}
        return {"document": said["document"], "number": said["number"], "notation": said["notation"], "ms": said["ms"]}

    async def _problem(self, said: Event) -> dict[str, Any]:
        """What the API refused with, in both languages."""
        code = str(said["code"])
        answer = await self._http.get(f"{self._stage.base_url}/problems/{code}")
        row = answer.json() if answer.status_code == 200 else {}
        return {
            "code": code,
            "status": said["status"],
            "vi": row.get("title_vi", code),
            "en": row.get("title_en", code),
        }

    async def _tsa(self, _query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Switch the time-stamping authority; what is signed meanwhile waits for its stamp."""
        on = bool(_order(body).get("on", True))
        answer = await self._http.put(f"{self._stage.parties.pki_url}/_switch", json={"tsa": "on" if on else "off"})
        answer.raise_for_status()
        return {"on": on}

    async def _exchange(self, _query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Cut the line to the exchange for `off_s` seconds; 0 joins it now."""
        seconds = _order(body).get("off_s", _OFF_S)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_OFF_S:
            raise ControlRefused("off_s", "off_s: từ 0 đến 600 giây.", "off_s: 0 to 600 seconds.")
        if self._line_back is not None:
            self._line_back.cancel()
            self._line_back = None
        if not seconds:
            await self._stage.line.join()
            return {"on": True}
        await self._stage.line.cut()
        self._line_back_at = time.monotonic() + seconds
        self._line_back = asyncio.create_task(self._join_after(seconds))
        return {"on": False, "back_in_s": seconds}

    async def _join_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._stage.line.join()

    async def _worker(self, _query: Mapping[str, str], _body: bytes) -> dict[str, Any]:
        """Kill -9 the worker, and start another as a supervisor would."""
        killed, started = await self._stage.kill_worker()
        self._kills += 1
        return {"killed": killed, "started": started}

    async def _recall(self, _query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The QLVB takes a document back: `document`, or its newest one that is still open."""
        self._follow()
        wanted = _order(body).get("document")
        papers = [paper for paper in self._papers.values() if paper.state not in _OVER and wanted in {None, paper.id}]
        # One that nobody outside has yet, if there is one.
        paper = max(papers, key=lambda one: (one.state in _STILL_HERE, int(one.number)), default=None)
        if paper is None:
            raise ControlRefused(
                "nothing-open",
                "Không có văn bản nào để thu hồi. Hãy gửi một văn bản hỏa tốc.",
                "Nothing can be recalled. Send an urgent one first.",
            )
        said = await self._cast.ask(
            "qlvb", do="recall", document=paper.id, reason="Thu hồi để trình diễn", key=secrets.token_hex(16)
        )
        if said.name == "not-recalled":
            return {"refused": await self._problem(said), "number": paper.number}
        return {"document": paper.id, "number": paper.number, "state": said["state"]}

    async def _byte(self, _query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Change one byte of the newest sealed document's stored file (or put it back), and show who notices."""
        self._follow()
        if _order(body).get("changed", True):
            if self._damage is None:
                self._damage = await asyncio.to_thread(_flip, self._stage.state, self._target())
        elif self._damage is not None:
            damage, self._damage = self._damage, None
            await asyncio.to_thread(_turn, damage.path, damage.offset)
            return await self._seen(damage)
        if self._damage is None:
            raise ControlRefused("nothing-changed", "Không có byte nào đang bị đổi.", "No byte is changed.")
        return await self._seen(self._damage)

    def _target(self) -> Paper:
        papers = [paper for paper in self._papers.values() if paper.state != "recalled"]
        # A receipt is there for what was signed: it is another one that notices.
        paper = max(papers, key=lambda one: (bool(one.receipts), int(one.number)), default=None)
        if paper is None:
            raise ControlRefused("no-document", "Chưa có văn bản nào.", "There is no document yet.")
        return paper

    async def _seen(self, damage: Damage) -> dict[str, Any]:
        """What the API answers to whoever fetches the file, and what the receipt says of the bytes on the disk."""
        said = await self._cast.ask("qlvb", do="fetch", document=damage.document, which=damage.which)
        found: dict[str, Any] = {
            "changed": self._damage is not None, "number": damage.number, "which": damage.which, "digest": damage.digest, "offset": damage.offset,
            "api": {"same": said["sha256"] == damage.digest} if said.name == "fetched" else {"refused": await self._problem(said)},
        }  # fmt: skip
        receipt = self._papers[damage.document].receipt_of(damage.digest)
        if receipt is not None:
            found["receipt"] = await self._judged(receipt, damage.path)
        return found

    async def _judged(self, receipt: Path, pdf: Path) -> dict[str, Any]:
        code, said = await verified(receipt, self._stage.parties.trust, "--pdf", str(pdf))
        vi, en = ("", "") if code == 0 else reason_of(said)
        wrong = next((step for step in said.get("steps", []) if step["outcome"] == "failed"), None)
        if wrong is not None:
            vi, en = wrong["vi"], wrong["en"]
        return {"holds": code == 0, "vi": vi, "en": en}

    async def _verify(self, _query: Mapping[str, str], _body: bytes) -> dict[str, Any]:
        """The log from its leaves on, and the newest receipts by `hoatoc verify`, with the stored files that they speak of."""
        self._follow()
        findings = await self._auditor.again()
        papers = [paper for paper in self._papers.values() if paper.receipts]
        about = self._damage.document if self._damage else ""
        paper = max(papers, key=lambda one: (one.id == about, int(one.number)), default=None)
        receipts = [Path(path) for path in paper.receipts] if paper else []
        files = [_blob(self._stage.state, _revision(path)) for path in receipts]
        verdicts = await asyncio.gather(*map(self._judged, receipts, files))
        judged = [{"receipt": path.name} | verdict for path, verdict in zip(receipts, verdicts, strict=True)]
        holds = findings.fault is None and all(one["holds"] for one in judged)
        number = paper.number if paper else None
        return {"holds": holds, "log": msgspec.to_builtins(findings), "number": number, "receipts": judged}

    async def _link(self, _query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """A fresh pairing link for a frame, which first forgets what an earlier demonstration left at the same address."""
        who = _order(body).get("who", "leader")
        if who not in PINS:
            raise ControlRefused("who", "who: leader hoặc clerk.", "who: leader or clerk.")
        link = (await self._stage.spare_links())[who]
        origin = self._stage.frames[list(PINS).index(who)]
        return {"url": f"{origin}/demo/fresh?key={self._stage.page_key}#{link.partition('#')[2]}", "link": link}


async def _or_none(work: Awaitable[T]) -> T | None:
    try:
        return await work
    except Exception:  # a panel says that its party is silent; whatever the reason, the other panels go on
        return None


def _today() -> dt.date:
    return dt.datetime.now(_VIETNAM).date()


def _order(body: bytes) -> dict[str, Any]:
    """The JSON object of a button's order; empty where there is none. Raises `ControlRefused`."""
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ControlRefused("not-json", "Lệnh không phải JSON.", "The order is no JSON object.")
    return said


def _revision(receipt: Path) -> str:
    return str(json.loads(receipt.read_bytes())["revision"])


def _blob(state: Path, digest: str) -> Path:
    return state / "blobs" / digest[:2] / digest


def _flip(state: Path, paper: Paper) -> Damage:
    which, digest = paper.newest
    path = _blob(state, digest)
    offset = path.stat().st_size // 2
    _turn(path, offset)
    return Damage(document=paper.id, number=paper.number, which=which, digest=digest, path=path, offset=offset)


def _turn(path: Path, offset: int) -> None:
    """One bit of one byte; the second time it is as before."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode & 0o777)
