"""The driver of a leader's phone and of the clerk's device: told of a document by push, it reads and approves."""

from pathlib import Path
from typing import Any

from server.demo.caller import Problem
from server.demo.lines import Say, Stopwatch
from server.demo.phone import Phone

__all__ = ["SigningPerson"]

_TO_DECIDE = {"to_sign", "to_seal"}


class SigningPerson:
    """Given: base_url, pairing_link, label, platform, pin, fcm_token, folder (for what the phone keeps), ca_file.

    Orders: `push` {data} as the push service hands it to the app; `rehearse`: before the next document is approved, try a wrong
    PIN and an approval changed by one byte, and send the used approval again afterwards. `rest`: from now on take notices but
    decide nothing, because somebody from outside does.
    """

    def __init__(self, given: dict[str, Any], say: Say) -> None:
        self._given = given
        self._say = say
        self._rehearse = False
        self._resting = False
        self._phone = Phone(given["base_url"], given["pairing_link"], given["pin"], ca_file=given.get("ca_file"))
        self._folder = Path(given["folder"])

    async def start(self) -> None:
        phone, given = self._phone, self._given
        await phone.pair(label=given["label"], platform=given["platform"])
        await phone.register(given["fcm_token"])
        self._say("paired", person=phone.person, device=phone.device, short_code=phone.short_code)
        credential = await phone.enrol()
        self._say("enrolled", credential=credential)
        await phone.certified(credential)
        self._say("ready", credential=credential)

    async def told(self, order: dict[str, Any]) -> None:
        if order["do"] == "rehearse":
            self._rehearse = True
        elif order["do"] == "rest":
            self._resting = True
        elif order["do"] == "push":
            await self._pushed(order["data"])

    async def _pushed(self, data: dict[str, str]) -> None:
        if "g" in data:
            return  # silent: what was shown of this notice is gone, because it was dealt with
        watch = Stopwatch()
        notice = await self._phone.notice(data["id"])
        document = notice["document"]
        self._say("notice", document=document, kind=notice["kind"], title=notice["title"], ms=watch.lap())
        if notice["kind"] in _TO_DECIDE and document is not None and not self._resting:
            try:
                await self._decide(document, watch)
            except Problem as problem:
                self._say("failed", document=document, code=problem.code, status=problem.status, problem=problem.body)

    async def _decide(self, document: str, watch: Stopwatch) -> None:
        phone = self._phone
        line = await phone.inbox(document)
        self._say("inbox", document=document, subject=line["subject"], ms=watch.lap())
        folder = self._folder / document
        folder.mkdir(parents=True, exist_ok=True)
        count, size = await phone.pages(document, line["revision"], folder)
        self._say("pages", document=document, pages=count, bytes=size, ms=watch.lap())
        sheet = await phone.sheet(document, line["revision"])
        (folder / "manifest.json").write_bytes(sheet.manifest)
        self._say("sheet", document=document, tbs=sheet.view["tbs"], field=sheet.view["field"], ms=watch.lap())
        rehearse, self._rehearse = self._rehearse, False
        if rehearse:
            await self._wrong_pin(document, sheet)
            await self._changed_byte(document, sheet)
            watch.lap()
        approved = await phone.approval(sheet)
        await phone.send(approved)
        self._say("approved", document=document, folder=str(folder), ms=watch.lap())
        if rehearse:
            await self._expect(document, "replayed-approval", approved)

    async def _wrong_pin(self, document: str, sheet: Any) -> None:
        pin = "".join(str((int(digit) + 5) % 10) for digit in self._given["pin"])
        await self._expect(document, "wrong-pin", await self._phone.approval(sheet, pin))

    async def _changed_byte(self, document: str, sheet: Any) -> None:
        """One character of the signed payload is another; the server must notice before any PIN is tried."""
        good = await self._phone.approval(sheet)
        head, payload, signature = good.approval.split(".")
        middle = len(payload) // 2
        other = "A" if payload[middle] != "A" else "B"
        bad = type(good)(f"{head}.{payload[:middle]}{other}{payload[middle + 1 :]}.{signature}", good.sealed_pin)
        await self._expect(document, "changed-approval", bad)

    async def _expect(self, document: str, case: str, approved: Any) -> None:
        try:
            await self._phone.send(approved)
        except Problem as problem:
            self._say("refused", document=document, case=case, code=problem.code, problem=problem.body)
        else:
            self._say("refused", document=document, case=case, code="not-refused", problem={})
