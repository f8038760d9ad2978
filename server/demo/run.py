"""`hoatoc demo` from beginning to end: stage, cast, documents, judges, refusals, files, and serving until Ctrl-C."""

import asyncio
import contextlib
import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from server.db import open_database
from server.demo.caller import Caller, Problem
from server.demo.cast import Cast, DriverFailed, World
from server.demo.controls import DemoControls
from server.demo.judges import Verdict, changed_byte, judge, merged, reason_of
from server.demo.paper import NUMBER, SUBJECT, decision, with_script
from server.demo.people import PINS
from server.demo.phone import pairing_parts
from server.demo.play import Outcome, Play, Refusal, StepTime, keep, metadata
from server.demo.processes import ChildFailed
from server.demo.screen import Screen, places
from server.demo.stage import Stage, trust_officer

__all__ = ["Options", "Summary", "run"]

_VIETNAM = dt.timezone(dt.timedelta(hours=7))
_RENEW_S = 540
"""Pairing codes live ten minutes and pair once; a demonstration that keeps serving hands out new ones before that, and after each use."""


_JUDGED_AT_ONCE = 2
_PREFIX = "hoatoc-demo-"
_LOCK = "alive"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """As on the command line. `out` None: files stay in the state folder, which goes when the demonstration ends."""

    pdfs: tuple[Path, ...] = ()
    out: Path | None = None
    once: bool = False
    port: int = 8080
    lan: str | None = None
    json: bool = False


class Summary(msgspec.Struct, kw_only=True):
    """`summary.json`. Times in milliseconds; digests SHA-256, hex."""

    ok: bool = False
    base_url: str = ""
    setup_ms: float = 0.0
    total_ms: float = 0.0
    documents: list[Outcome] = []
    judges: list[dict[str, Any]] = []
    refusals: list[dict[str, Any]] = []
    error: str | None = None


def acceptable(outcome: Outcome, listed: frozenset[str]) -> bool:
    """Through, or refused with a listed type; `internal` is a defect, not a refusal."""
    if outcome.outcome == "accepted":
        return True
    return outcome.outcome == "refused" and outcome.problem_type in listed and outcome.problem_type != "internal"


async def run(options: Options) -> int:
    """The exit code: 0 when all went as it must, 1 when a document failed, 2 when the demonstration could not run."""
    screen = Screen(quiet=options.json)
    clean_up()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = (folder / f"{_LOCK}.new").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the kernel, however this process ends
    Path(lock.name).rename(folder / _LOCK)  # never there without being held
    show = _Show(options, screen, folder)
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        """Once: a second Ctrl-C must not cut the cleaning up short."""
        nonlocal stopping
        if not stopping:
            stopping = True
            main.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    code = 2
    try:
        code = await show.perform()
    except (ChildFailed, DriverFailed, OSError, ValueError) as error:
        show.failed(str(error) or type(error).__name__)
    except asyncio.CancelledError:
        code = 130 if not show.served else 0
        screen.ended()
    except Exception as error:  # no traceback, ever: one line with the cause
        show.failed(f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()
    return code


def clean_up() -> None:
    """Remove what demonstrations left behind that were killed: folders of ours whose lock nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another one is cleaning up, or it is not ours to open
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r") as lock:  # one without the file is being made, or no demonstration's
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


class Public:
    """What anybody may ask the server: what a problem type means, whether there is a page."""

    def __init__(self, base_url: str, ca_file: str | None) -> None:
        self._caller = Caller(base_url, ca_file)

    async def problem(self, code: str) -> dict[str, Any] | None:
        """The row of a listed problem type; None for an unlisted one."""
        try:
            row: dict[str, Any] = await self._caller.get(f"/problems/{code}")
        except Problem:
            return None
        return row

    async def answers(self, path: str) -> bool:
        try:
            await self._caller.call("GET", path)
        except Problem:
            return False
        return True


class _Show:
    _public: Public

    def __init__(self, options: Options, screen: Screen, folder: Path) -> None:
        self._options = options
        self._screen = screen
        self._folder = folder
        self._summary = Summary()
        self._started = time.monotonic()
        self.served = False

    def _say(self, event: str, **fields: Any) -> None:
        """One JSON line, in the JSON form."""
        if self._options.json:
            print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)

    def failed(self, cause: str) -> None:
        self._summary.error = cause
        self._say("failed", cause=cause)
        if not self._options.json:
            self._screen.error(cause)
        self._write_summary()

    async def perform(self) -> int:
        options, screen = self._options, self._screen
        screen.opening()
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
        drivers = self._folder / "drivers"
        page = not options.once
        async with Stage(self._folder, port=options.port, lan=options.lan, page=page, tell=self._part) as stage:
            self._summary.base_url = stage.base_url
            world = World(
                base_url=stage.base_url, fcm_url=stage.parties.fcm_url, pki_url=stage.parties.pki_url, axis_url=stage.parties.axis_url,
                folder=drivers, ca_file=stage.ca_file,
            )  # fmt: skip
            async with Cast(drivers) as cast:
                await stage.serving()
                await cast.begin(world, stage.handed)
                self._public = Public(stage.base_url, stage.ca_file)
                officer = await cast.officer_key()
                trust_officer(stage.state, officer["jwk"], officer["thumbprint"])
                await cast.enrol()
                self._part("enrolled")
                self._summary.setup_ms = round((time.monotonic() - self._started) * 1e3, 1)
                screen.what_this_is()
                await self._documents(stage, world, cast)
                code = await self._finish()
                if not options.once:
                    await self._serve(stage, cast)
        return code

    def _part(self, name: str) -> None:
        self._screen.part(name)
        self._say("setup", part=name, ms=round((time.monotonic() - self._started) * 1e3, 1))

    def _told(self, outcome: Outcome, made: StepTime) -> None:
        self._screen.step(outcome, made)
        self._say("step", n=outcome.n, step=made.step, ms=made.ms)

    # Documents.

    async def _documents(self, stage: Stage, world: World, cast: Cast) -> None:
        play = Play(world, cast, self._told)
        day = dt.datetime.now(_VIETNAM).date()
        leader = stage.handed.people["leader"].id
        made = await asyncio.to_thread(decision, day)
        default = self._folder / "quyet-dinh.pdf"
        default.write_bytes(made.pdf)
        if self._options.out is not None:
            # What a client from outside may hand in next.
            shutil.copyfile(default, self._options.out / default.name)
        try:
            files = self._options.pdfs or (default,)
            for n, path in enumerate(files, 1):
                own = path == default
                header = metadata(
                    n, leader, day=day.isoformat(), number=NUMBER + n - 1, subject=SUBJECT if own else f"Văn bản {path.stem}"[:200],
                    signature=made.signature if own else None, seal=made.seal if own else None,
                )  # fmt: skip
                self._screen.document(n, path.name, len(files))
                outcome = await play.road(n, path, header)
                self._screen.done(outcome)
                self._summary.documents.append(outcome)
                self._say("document", **msgspec.to_builtins(outcome))
                await asyncio.to_thread(self._keep, outcome)
                if outcome.outcome == "failed":
                    # A process that has just died is known as dead a moment later.
                    await asyncio.sleep(0.5)
                _check_alive(stage, cast)
            await self._judged(stage)
            header = metadata(
                len(files) + 1, leader, day=day.isoformat(), number=NUMBER + len(files), subject=SUBJECT,
                signature=made.signature, seal=made.seal,
            )  # fmt: skip
            script = self._folder / "script.pdf"
            script.write_bytes(await asyncio.to_thread(with_script, day))
            await self._refused(play, script, default, header, stage.parties.trust)
        finally:
            await play.close()

    def _keep(self, outcome: Outcome) -> None:
        out = self._options.out
        if out is not None and outcome.files:
            keep(outcome, out / str(outcome.n))

    async def _judged(self, stage: Stage) -> None:
        """Every document that went through is judged; shown is one line a judge."""
        if self._options.out is not None:
            shutil.copyfile(stage.parties.trust, self._options.out / "trust.pem")
        self._screen.working("giám định · judging")
        gate = asyncio.Semaphore(_JUDGED_AT_ONCE)

        async def one(outcome: Outcome) -> list[Verdict]:
            receipts = [Path(path) for key, path in outcome.files.items() if key.startswith("receipt")]
            async with gate:
                return await judge(
                    Path(outcome.files["final"]),
                    outcome.size,
                    receipts,
                    stage.parties.trust,
                    self._folder / f"judge-{outcome.n}",
                )

        done = [outcome for outcome in self._summary.documents if outcome.outcome == "accepted"]
        found = merged([verdict for each in await asyncio.gather(*map(one, done)) for verdict in each])
        if found:
            self._screen.judges(found)
        self._summary.judges = [msgspec.to_builtins(verdict) for verdict in found]
        for verdict in self._summary.judges:
            self._say("verdict", **verdict)

    async def _refused(self, play: Play, script: Path, paper: Path, header: dict[str, Any], trust: Path) -> None:
        self._screen.working("thử làm sai · trying what must be refused")
        shown = await play.refusals(script, paper, header)
        english = {one.code: (await self._public.problem(one.code) or {}).get("title_en", "") for one in shown}
        done = next((one for one in self._summary.documents if one.outcome == "accepted"), None)
        if done is not None:
            code, said = await changed_byte(Path(done.files["final"]), trust, self._folder)
            detected = code == 1 and said.get("verdict") == "not_valid"
            vi, english["not_valid"] = reason_of(said)
            shown.insert(1, Refusal("changed-file", "not_valid", "not_valid" if detected else "valid", vi.rstrip(".")))
            english["not_valid"] = english["not_valid"].rstrip(".")
        self._screen.refusals(shown, english)
        self._summary.refusals = [msgspec.to_builtins(one) | {"right": one.right} for one in shown]
        for one in self._summary.refusals:
            self._say("refusal", **one)

    async def _finish(self) -> int:
        summary = self._summary
        refused = {one.problem_type for one in summary.documents if one.problem_type is not None}
        listed = frozenset([code for code in refused if await self._public.problem(code) is not None])
        documents = all(acceptable(one, listed) for one in summary.documents)
        judged = all(one["holds"] is not False for one in summary.judges)
        summary.ok = documents and judged and all(one["right"] for one in summary.refusals)
        self._write_summary()
        self._say("summary", **msgspec.to_builtins(summary))
        self._screen.total(ok=summary.ok, total_ms=summary.total_ms, setup_ms=summary.setup_ms)
        return 0 if summary.ok else 1

    def _write_summary(self) -> None:
        self._summary.total_ms = round((time.monotonic() - self._started) * 1e3, 1)
        out = self._options.out
        if out is not None and out.is_dir():
            body = json.dumps(msgspec.to_builtins(self._summary), ensure_ascii=False, indent=1)
            (out / "summary.json").write_text(body + "\n", "utf-8")

    # Serving.

    async def _serve(self, stage: Stage, cast: Cast) -> None:
        options = self._options
        files = options.out or self._folder
        await cast.welcome()
        links = await stage.spare_links()
        if options.out is None:
            shutil.copyfile(stage.parties.trust, files / "trust.pem")
        self._write_demo(stage, cast, links)
        async with AsyncExitStack() as stack:
            if stage.page is not None:
                await stage.work_apart()
                stage.page.open(await self._controls(stage, cast, stack))
            await self._keep_serving(stage, cast, links)

    async def _controls(self, stage: Stage, cast: Cast, stack: AsyncExitStack) -> DemoControls:
        """What the page's buttons do, over the database file that an auditor may read."""
        db = await open_database(f"sqlite://{stage.state / 'database' / 'hoatoc.db'}")
        stack.push_async_callback(db.close)
        caller = Caller(stage.base_url)
        stack.push_async_callback(caller.close)
        first = NUMBER + len(self._summary.documents) + 10
        controls = DemoControls(
            stage, cast, db, self._folder, first=first, read_head=lambda: caller.get("/api/v1/log/head")
        )
        stack.push_async_callback(controls.close)
        return controls

    async def _keep_serving(self, stage: Stage, cast: Cast, links: dict[str, str]) -> None:
        screen, files = self._screen, self._options.out or self._folder
        web = await self._public.answers("/")
        lan = stage.fingerprints is not None
        shown = places(stage.base_url, str(files), str(files / "demo.json"), web=web, lan=lan)
        screen.serving(shown)
        if stage.fingerprints is not None:
            screen.trust(*stage.fingerprints, str(files / "trust.pem"))
        screen.pairing(links["leader"], qr=lan)
        self.served = True
        leaf, root = stage.fingerprints or ("", "")
        page = f"{stage.base_url}/demo" if stage.page is not None else None
        self._say(
            "serving", base_url=stage.base_url, files=str(files), fingerprint=leaf, root_fingerprint=root, page=page
        )  # fmt: skip
        renewed, welcomed = time.monotonic(), 0
        while True:
            await asyncio.sleep(1)
            _check_alive(stage, cast)
            if cast.welcomed > welcomed or time.monotonic() - renewed > _RENEW_S:
                renewed, welcomed = time.monotonic(), cast.welcomed
                self._write_demo(stage, cast, await stage.spare_links())

    def _write_demo(self, stage: Stage, cast: Cast, links: dict[str, str]) -> None:
        """For clients from outside: what they need to pair, to sign and to hand in. All of it is worth nothing elsewhere."""
        handed = stage.handed
        body = {
            "base_url": stage.base_url,
            "origins": list(stage.origins),
            "organisation": {"code": "X01"},
            "signer_key": stage.signer_key,
            "people": {
                who: {
                    "id": person.id, "name": person.name, "position": person.position, "pairing_link": links[who],
                    "pairing_code": pairing_parts(links[who])[0], "pin": PINS.get(who),
                    "credential": cast.credentials.get(who),
                }
                for who, person in handed.people.items()
            },
            "service": {"client_id": handed.client_id, "client_secret": handed.client_secret},
            "page": None if stage.page is None else {"url": f"{stage.base_url}/demo", "controls": f"{stage.page.url}/controls"},
            "axis_url": stage.parties.axis_url,
            "fcm_url": stage.parties.fcm_url,
            "pki_url": stage.parties.pki_url,
        }  # fmt: skip
        place = self._options.out or self._folder
        path = place / "demo.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _check_alive(stage: Stage, cast: Cast) -> None:
    """Raises `ChildFailed`."""
    if stage.server.ended:
        raise ChildFailed(f"the server ended: {stage.server.last_words()}")
    if stage.worker is not None and stage.worker.ended and not stage.worker_killed:
        raise ChildFailed(f"the worker ended: {stage.worker.last_words()}")
    cast.check_alive()
