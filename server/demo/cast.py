"""The cast: the four drivers as processes, what they said, and the two things that reach them from outside the API.

A push reaches a phone as it does in life: the server sends it to FCM (here the double, which records it), and FCM hands the data to
the app. A short code is read out from one person to another.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec

from server.demo.paper import AGENCY, LEADER
from server.demo.parties import CODE
from server.demo.people import PINS, Handed
from server.demo.processes import Child, ChildFailed, module

__all__ = ["Cast", "DriverFailed", "Event", "World"]

PARTS = ("officer", "leader", "clerk", "qlvb")
_WAIT_S = 90.0


class DriverFailed(Exception):  # noqa: N818 - an outcome
    """A driver met a refusal that was not expected; `code` is its problem type."""

    def __init__(self, who: str, said: dict[str, Any]) -> None:
        self.code = str(said.get("code", "internal"))
        problem = said.get("problem") or {}
        detail = problem.get("title") or said.get("detail") or ""
        super().__init__(f"{who}: {self.code} {detail}".strip())


class World(msgspec.Struct, frozen=True):
    """Where everything is; the same for one process in embedded mode and for a scaled stack.

    `doors`: who calls which server, where there are several; the others call `base_url`.
    """

    base_url: str
    fcm_url: str
    pki_url: str
    axis_url: str
    folder: Path
    ca_file: str | None = None
    doors: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True):
    """`at`: seconds of the monotonic clock when it was said."""

    who: str
    name: str
    at: float
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


class Cast:
    """`async with Cast(folder) as cast` starts the processes, `begin` hands them what they get, `enrol` makes them able to sign."""

    _world: World
    _handed: Handed

    def __init__(self, folder: Path, *, webhooks: bool = True) -> None:
        self._folder = folder
        self._webhooks = webhooks
        self._children: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Condition()
        self.events: list[Event] = []
        self.pushes: list[dict[str, Any]] = []
        self.credentials: dict[str, str] = {}
        self._asked = 0

    async def __aenter__(self) -> Self:
        try:
            for who in PARTS:
                (self._folder / who).mkdir(parents=True, exist_ok=True)
                command = module("server.demo.driver", who)
                self._children[who] = await Child.start(who, command, self._folder / f"{who}.log")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def begin(self, world: World, handed: Handed) -> None:
        """Hand every driver the base URL and its one-time code or secret; from here on they act."""
        self._world, self._handed = world, handed
        given = self._given()
        for who, child in self._children.items():
            self._tasks.append(asyncio.create_task(self._listen(who, child)))
            await child.tell(given[who])
        self._tasks.append(asyncio.create_task(self._hand_on_pushes()))

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    def _given(self) -> dict[str, dict[str, Any]]:
        world, people = self._world, self._handed.people

        def common(who: str) -> dict[str, Any]:
            return {"base_url": world.doors.get(who, world.base_url), "ca_file": world.ca_file}

        signing = {
            who: {
                **common(who), "pairing_link": people[who].link, "label": label, "platform": platform, "pin": PINS[who],
                "fcm_token": _token(who), "folder": str(self._folder / who),
            }
            for who, label, platform in (("leader", "Điện thoại của lãnh đạo", "android"), ("clerk", "Máy của văn thư", "other"))
        }  # fmt: skip
        return {
            **signing,
            "officer": {
                **common("officer"), "pairing_link": people["officer"].link, "organisation": CODE, "pki_url": world.pki_url,
            },
            "qlvb": {
                **common("qlvb"), "client_id": self._handed.client_id, "client_secret": self._handed.client_secret,
                "folder": str(self._folder / "qlvb"), "webhooks": self._webhooks,
            },
        }  # fmt: skip

    async def tell(self, who: str, **order: Any) -> None:
        await self._children[who].tell(order)

    async def ask(self, who: str, *, timeout_s: float = _WAIT_S, **order: Any) -> Event:
        """Order something and give what is said to it, a refusal too. Raises `DriverFailed` when nothing is said, or `failed`."""
        self._asked += 1
        number, seen = self._asked, len(self.events)
        await self.tell(who, ask=number, **order)

        def said() -> Event | None:
            mine = (event for event in self.events[seen:] if event.who == who)
            return next((event for event in mine if event.name == "gone" or event.fields.get("ask") == number), None)

        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: said() is not None)
        except TimeoutError:
            raise DriverFailed(who, {"code": "waited-too-long", "detail": f"nothing said to “{order['do']}”"}) from None
        event = said()
        assert event is not None
        if event.name in {"failed", "gone"}:
            raise DriverFailed(who, event.fields)
        return event

    async def _listen(self, who: str, child: Child) -> None:
        while (said := await child.line()) is not None:
            event = Event(who, str(said.pop("event", "")), float(said.pop("at", time.monotonic())), said)
            async with self._news:
                self.events.append(event)
                self._news.notify_all()
        async with self._news:
            self.events.append(Event(who, "gone", time.monotonic(), {"detail": child.last_words()}))
            self._news.notify_all()

    async def _hand_on_pushes(self) -> None:
        """What FCM does after its 200: give the message's data to the app that holds the registration token."""
        holders = {_token(who): who for who in ("leader", "clerk")}
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
            while True:
                params = {"after": len(self.pushes), "wait": 30}
                answer = (await http.get(f"{self._world.fcm_url}/_recorded", params=params)).json()
                for record in answer["requests"]:
                    record["seen_at"] = time.monotonic()
                    self.pushes.append(record)
                    who = holders.get(record["address"])
                    if record["status"] == 200 and who is not None:
                        await self.tell(who, do="push", data=record["body"]["message"]["data"])
                async with self._news:
                    self._news.notify_all()

    async def wait(
        self,
        who: str,
        name: str,
        *,
        timeout_s: float = _WAIT_S,
        failing: Callable[[Event], bool] | None = None,
        **fields: Any,
    ) -> Event:
        """The first event of this driver with these fields. Raises `DriverFailed` when one says `failed` about them instead."""

        def fits(event: Event, names: set[str]) -> bool:
            same = all(event.fields.get(key) == value for key, value in fields.items())
            return event.who == who and event.name in names and same

        def found() -> Event | None:
            return next((event for event in self.events if fits(event, {name})), None)

        def broken() -> Event | None:
            document = fields.get("document")
            for event in self.events:
                about = event.fields.get("document")
                if event.name == "gone" and event.who == who:
                    return event
                if event.name == "failed" and (event.who == who if about is None else about == document):
                    return event
                if failing is not None and failing(event):
                    return event
            return None

        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: found() is not None or broken() is not None)
        except TimeoutError:
            raise DriverFailed(
                who, {"code": "waited-too-long", "detail": f"no “{name}” within {timeout_s:.0f} s"}
            ) from None
        event = found()
        if event is not None:
            return event
        bad = broken()
        assert bad is not None
        raise DriverFailed(bad.who, bad.fields)

    async def push_for(self, who: str, after: int, *, timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """The first push to this person's phone among those from number `after` on."""

        def found() -> dict[str, Any] | None:
            mine = (push for push in self.pushes[after:] if push["address"] == _token(who))
            return next((push for push in mine if "g" not in push["body"]["message"]["data"]), None)

        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise DriverFailed(who, {"code": "waited-too-long", "detail": "no push reached FCM"}) from None
        push = found()
        assert push is not None
        return push

    # Before the first document.

    async def officer_key(self) -> Event:
        """The key that the officer reads out; the operator then trusts it."""
        return await self.wait("officer", "key")

    async def enrol(self) -> None:
        """Pair, compare short codes, vouch, enrol with PIN, certify: leader and clerk at the same time."""
        await self.wait("officer", "paired")
        subjects = {
            "leader": ("person", f"CN={LEADER},O={AGENCY},C=VN"),
            "clerk": ("seal", f"CN={AGENCY},O={AGENCY},C=VN"),
        }

        async def one(who: str) -> None:
            paired = await self.wait(who, "paired")
            purpose, subject = subjects[who]
            await self.tell(
                "officer", do="vouch", person=paired["person"], short_code=paired["short_code"], purpose=purpose, subject=subject
            )  # fmt: skip
            ready = await self.wait(who, "ready")
            self.credentials[who] = ready["credential"]

        await asyncio.gather(one("leader"), one("clerk"), self.wait("qlvb", "ready"))

    async def welcome(self) -> None:
        """From now on people from outside decide: leader and clerk rest, the officer vouches for every further device of theirs."""
        people = self._handed.people
        for who in self.credentials:
            await self.tell(who, do="rest")
        await self.tell("officer", do="welcome", credentials={people[who].id: c for who, c in self.credentials.items()})

    @property
    def welcomed(self) -> int:
        """Devices from outside that were vouched for; each has used up a pairing code."""
        return sum(event.name == "welcomed" for event in self.events)

    def welcomed_of(self, person: str) -> int:
        return sum(event.name == "welcomed" and event["person"] == person for event in self.events)

    def check_alive(self) -> None:
        for who, child in self._children.items():
            if child.ended:
                raise ChildFailed(f"the driver {who} ended: {child.last_words()}")


def _token(who: str) -> str:
    """A registration token as FCM gives one to an app; here it only has to look like one."""
    return f"demo-{who}-" + "x" * 140
