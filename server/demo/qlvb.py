"""The driver of a document management system (QLVB): hands documents in, follows the feed and webhooks, fetches everything back."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from server.demo.caller import Problem, ServiceCaller
from server.demo.lines import Say, Stopwatch, guarded
from server.demo.loopback import LoopbackServer, Reply, Request

__all__ = ["Qlvb"]

EVENTS = ("document.returned", "document.refused", "document.signed", "document.sealed", "document.forwarded", "document.delivered", "document.accepted", "document.recalled")  # fmt: skip
_POLL_S = 0.5
_RECEIPTS_WAIT_S = 30.0


class Qlvb:
    """Given: base_url, client_id, client_secret, folder (its own archive), ca_file, webhooks (false where the server cannot call here).

    Orders: `submit` {n, path, metadata, key}, `recall` {document, reason, key} → `recalled`, `fetch` {document, which} → `fetched`; what
    the API refuses is `not-taken`, `not-recalled`, `not-fetched`. An order's `ask` comes back with what is said to it. Every change of a
    document of its own is said as `change`; a webhook as `webhook` with whether its signature holds; files as `file` {which, sha256,
    path}; receipts as `receipt`.
    """

    def __init__(self, given: dict[str, Any], say: Say) -> None:
        self._say = say
        self._api = ServiceCaller(given["base_url"], given["client_id"], given["client_secret"], given.get("ca_file"))
        self._folder = Path(given["folder"])
        self._wants_webhooks = given.get("webhooks", True)
        self._wake = asyncio.Event()
        self._secret = b""
        self._seen: set[str] = set()
        self._mine: set[str] = set()
        self._held: list[dict[str, Any]] = []
        self._fetching: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._api.token()
        if not self._wants_webhooks:
            self._say("ready", webhook=None)
            await self._follow()
        async with LoopbackServer(self._called, port=0) as receiver:
            url = f"{receiver.url}/hoatoc"
            asked = {"url": url, "events": list(EVENTS)}
            made = await self._api.post(
                "/api/v1/webhooks", asked, headers={"Idempotency-Key": secrets.token_urlsafe(16)}
            )
            self._secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
            self._say("ready", webhook=url)
            await self._follow()

    async def told(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "submit":
                await self._submit(order)
            case "recall":
                await self._answered(order, self._recall(order), "recalled", "not-recalled")
            case "fetch":
                await self._answered(order, self._look(order), "fetched", "not-fetched")

    async def _answered(self, order: dict[str, Any], work: Awaitable[dict[str, Any]], done: str, refused: str) -> None:
        about = {"ask": order["ask"], "document": order["document"]}
        try:
            said = await work
        except Problem as problem:
            self._say(refused, code=problem.code, status=problem.status, problem=problem.body, **about)
        else:
            self._say(done, **said, **about)

    async def _recall(self, order: dict[str, Any]) -> dict[str, Any]:
        path, headers = f"/api/v1/documents/{order['document']}/recall", {"Idempotency-Key": order["key"]}
        answer: dict[str, Any] = await self._api.post(path, {"reason": order["reason"]}, headers=headers)
        return answer

    async def _look(self, order: dict[str, Any]) -> dict[str, Any]:
        """Fetch a file without keeping it."""
        body = await self._api.bytes(f"/api/v1/documents/{order['document']}/files/{order['which']}")
        return {"which": order["which"], "sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}

    async def _submit(self, order: dict[str, Any]) -> None:
        path, number = Path(order["path"]), order["n"]
        body = path.read_bytes()
        watch = Stopwatch()
        try:
            answer = await self._api.post(
                "/api/v1/documents",
                headers={"Idempotency-Key": order["key"]},
                data={"metadata": json.dumps(order["metadata"], ensure_ascii=False)},
                files={"file": (path.name, body, "application/pdf")},
            )
        except Problem as problem:
            ms = watch.lap()
            self._say(
                "not-taken", n=number, ask=order.get("ask"), code=problem.code, status=problem.status, problem=problem.body, ms=ms
            )  # fmt: skip
            return
        ms = watch.lap()
        self._mine.add(answer["id"])
        view = await self._api.get(f"/api/v1/documents/{answer['id']}")
        self._say(
            "taken", n=number, document=answer["id"], revision=answer["revision"], sha256=hashlib.sha256(body).hexdigest(),
            pages=answer["page_count"], exchange_id=view["exchange_id"], ask=order.get("ask"), number=view["number"],
            notation=view["notation"], subject=view["subject"], urgency=view["urgency"], state=view["state"], ms=ms,
        )  # fmt: skip
        held, self._held = self._held, []
        for item in held:
            self._changed(item)

    # What comes back.

    async def _called(self, request: Request) -> Reply:
        """A webhook (Standard Webhooks): the signature is checked over the bytes as they came, doubles are dropped."""
        id_, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        mac = hmac.digest(self._secret, f"{id_}.{stamp}.".encode() + request.body, hashlib.sha256)
        expected = "v1," + base64.b64encode(mac).decode()
        signatures = request.headers.get("webhook-signature", "").split(" ")
        holds = any(hmac.compare_digest(expected, one) for one in signatures) and abs(time.time() - int(stamp)) < 300
        if not holds:
            self._say("webhook", valid=False)
            return Reply(401)
        if id_ not in self._seen:
            self._seen.add(id_)
            told = json.loads(request.body)
            self._say("webhook", valid=True, type=told["type"], document=told["data"]["document"])
        self._wake.set()
        return Reply(204)

    async def _follow(self) -> None:
        """The changes feed, from its beginning, for ever; a webhook only makes the next look come sooner."""
        cursor: str | None = None
        while True:
            self._wake.clear()
            page = await self._api.get("/api/v1/changes", params={} if cursor is None else {"cursor": cursor})
            cursor = page["next"]
            for item in page["items"]:
                if item["document"] in self._mine:
                    self._changed(item)
                else:
                    # The feed may be faster than the answer to our own intake.
                    self._held.append(item)
            if not page["items"]:
                try:
                    async with asyncio.timeout(_POLL_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def _changed(self, item: dict[str, Any]) -> None:
        document, kind = item["document"], item["kind"]
        self._say("change", document=document, kind=kind, state=item["state"], detail=item["detail"])
        if kind == "document.signed":
            self._fetch(self._file(document, "signed"), document)
        elif kind == "document.sealed":
            self._fetch(self._file(document, "final"), document)
            self._fetch(self._receipts(document), document)

    def _fetch(self, work: Any, document: str) -> None:
        task = asyncio.get_running_loop().create_task(guarded(work, self._say, doing="fetch", document=document))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _file(self, document: str, which: str) -> None:
        watch = Stopwatch()
        body = await self._api.bytes(f"/api/v1/documents/{document}/files/{which}")
        path = self._place(document) / f"{which}.pdf"
        path.write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        self._say("file", document=document, which=which, sha256=digest, size=len(body), path=str(path), ms=watch.lap())

    async def _receipts(self, document: str) -> None:
        """A receipt exists once the log's next head covers it, about a second after the signature."""
        end = time.monotonic() + _RECEIPTS_WAIT_S
        done: dict[str, str] = {}
        while time.monotonic() < end:
            for line in await self._api.get(f"/api/v1/documents/{document}/receipts"):
                if line["id"] in done:
                    continue
                try:
                    body = await self._api.bytes(f"/api/v1/documents/{document}/receipts/{line['id']}")
                except Problem as problem:
                    if problem.code != "file-pending":
                        raise
                    continue
                name = "receipt.json" if not done else f"receipt-{len(done) + 1}.json"
                path = self._place(document) / name
                path.write_bytes(body)
                done[line["id"]] = str(path)
            if len(done) >= 2:
                break
            await asyncio.sleep(0.2)
        self._say("receipts", document=document, paths=list(done.values()))

    def _place(self, document: str) -> Path:
        place = self._folder / document
        place.mkdir(parents=True, exist_ok=True)
        return place
