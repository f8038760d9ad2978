"""Steady load on a deployment, and the history that its clients write (Jepsen's idea, in small).

Every answer is one of three: acknowledged, refused, unknown. A client acts on unknown as a real one does: it repeats what
carries an Idempotency-Key, and otherwise looks at the document's state. What was acknowledged is the oracle of `judge`.
"""

import asyncio
import collections
import contextlib
import hashlib
import secrets
import time
from typing import Any

import httpx2
import msgspec

from server.identity.model import Role
from signing.client import SignerError
from tests.fakes import pdfs
from tests.faults.road.processes import Deployment, Device

WRONG = "90517342"
_PATIENCE_S = 150.0
_FLYING = {"signing", "sealing", "signed_pending_timestamp", "sealed_pending_timestamp", "sealed_pending_archive"}
_LEFT = {"forwarded", "delivered", "accepted"}


class Acknowledged(msgspec.Struct, frozen=True):
    """A signature that a client was told of: HTTP 200 to its approval."""

    document: str
    step: str
    tbs: str


class History:
    """What clients were told. `answers` counts acknowledged, refused by type, and unknown."""

    def __init__(self) -> None:
        self.intakes: dict[str, str] = {}
        self.signatures: list[Acknowledged] = []
        self.finished: list[str] = []
        self.stuck: list[str] = []
        self.answers: collections.Counter[str] = collections.Counter()
        self.unanswered_approvals = 0


def small_pdf(mark: str) -> bytes:
    """One page with text of its own, so that every document has its own digests."""
    pdf = pdfs.Pdf()
    pdf.page(pdfs.lines((*pdfs.TEXT, f"Ma so: {mark}")))
    return pdf.classic()


class Load:
    """`journeys` runners, each taking one document after another from intake to the axis, and one who guesses PINs."""

    def __init__(self, stack: Deployment) -> None:
        self.stack = stack
        self.history = History()
        self.leader: Device
        self.clerk: Device
        self.guesser: Device
        self._guessed = ""
        self._credential = ""
        self._derived_before = 0
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._late: list[str] = []

    async def prepare(self) -> None:
        stack = self.stack
        self.leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        self.clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        self.guesser = await stack.person("Lê Văn Đoán", Role.LEADER)
        await stack.credential(self.leader, "Nguyễn Văn Mẫu")
        await stack.credential(self.clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        self._credential = await stack.credential(self.guesser, "Lê Văn Đoán")

    def start(self, journeys: int, *, guessing: bool = True) -> None:
        self._stopping.clear()
        self._tasks = [asyncio.create_task(self._runner()) for _ in range(journeys)]
        if guessing:
            self._tasks.append(asyncio.create_task(self._guess()))

    async def finish(self) -> None:
        """No new documents; those on their way arrive. Raises what a runner raised: a defect of the test."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    async def settle(self) -> None:
        """A second chance, when everything runs again, for what did not arrive in time; then it is `stuck`."""
        late, self._late = self._late, []
        self.history.stuck += [document for document in late if not await self._carry(document)]

    async def renew(self) -> None:
        """Fresh tokens, while everything is up: an access token lives ten minutes."""
        await asyncio.gather(
            self.stack.renew(), *(one.renew() for one in (self.leader, self.clerk, self.guesser, self.stack.officer))
        )

    async def _runner(self) -> None:
        while not self._stopping.is_set():
            await self.journey()

    async def journey(self) -> str:
        """One document all the way; its id."""
        document = await self.take_in(self.leader)
        if not await self._carry(document):
            # Faults may come faster than a loaded machine starts a process again: `settle` gives it a second chance.
            self._late.append(document)
        return document

    async def _carry(self, document: str) -> bool:
        """Whether it was signed, sealed and sent within our patience. Whatever was done before is not done again."""
        arrived = (
            await self._sign(document, self.leader, "signature", {"in_review"})
            and await self._sign(document, self.clerk, "seal", {"signed"})
            and await self._until(document, _LEFT)
        )
        if arrived:
            self.history.finished.append(document)
        return arrived

    async def ask(self, caller: Device, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """The answer, or None when its outcome is unknown."""
        try:
            answer: httpx2.Response = await caller.call(method, path, **options)
        except (httpx2.HTTPError, OSError):
            self.history.answers["unknown"] += 1
            return None
        if answer.status_code >= 400:
            self.history.answers[str(answer.json().get("code", answer.status_code))] += 1
        if answer.status_code >= 500:
            return None
        return answer

    async def take_in(self, signer: Device) -> str:
        """Repeated with its key until it is acknowledged (C16)."""
        mark, key = secrets.token_hex(4), secrets.token_urlsafe(16)
        pdf, number = small_pdf(mark), str(int(mark, 16))
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            try:
                answer = await self.stack.take_in(pdf, [signer], key=key, number=number)
            except (httpx2.HTTPError, OSError):
                self.history.answers["unknown"] += 1
            else:
                if answer.status_code == 201:
                    self.history.intakes[key] = answer.json()["id"]
                    return str(answer.json()["id"])
                self.history.answers[answer.json().get("code", "?")] += 1
                assert answer.status_code >= 500, answer.text
            await asyncio.sleep(0.1)
        self.history.stuck.append(key)
        raise AssertionError("an intake was never acknowledged")

    async def _state(self, document: str) -> str:
        answer = await self.ask(self.stack.qlvb, "GET", f"/api/v1/documents/{document}")
        return "" if answer is None else str(answer.json().get("state", ""))

    async def _until(self, document: str, states: set[str]) -> bool:
        give_up = time.monotonic() + _PATIENCE_S
        while await self._state(document) not in states:
            if time.monotonic() > give_up:
                return False
            await asyncio.sleep(0.15)
        return True

    async def _sign(self, document: str, signer: Device, step: str, waiting: set[str]) -> bool:
        """Sign it until its state says that this signature exists."""
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            state = await self._state(document)
            if state in waiting:
                if await self._approve(document, signer, step):
                    return True
            elif state and state not in _FLYING | waiting:
                return True
            await asyncio.sleep(0.1)
        return False

    async def _approve(self, document: str, signer: Device, step: str) -> bool:
        opened = await self.ask(signer, "POST", f"/api/v1/documents/{document}/sheet")
        if opened is None or opened.status_code != 201:
            return False
        sheet = opened.json()
        manifest = await self.ask(signer, "GET", f"/api/v1/prepared/{sheet['prepared']}/manifest")
        if manifest is None or manifest.status_code != 200:
            return False
        assert hashlib.sha256(manifest.content).hexdigest() == sheet["manifest_digest"]
        try:
            body = await signer.approval_for(sheet)
        except (httpx2.HTTPError, OSError, AssertionError):
            self.history.answers["no-challenge"] += 1
            return False
        answer = await self.ask(signer, "POST", "/api/v1/approvals", json=body)
        if answer is None or answer.status_code != 200:
            self.history.unanswered_approvals += answer is None
            return False
        self.history.signatures.append(Acknowledged(document, step, sheet["tbs"]))
        return True

    # Whoever guesses (A7).

    async def _guess(self) -> None:
        """Wrong PINs with a valid approval key, never so many that the stage ends; what they cost is judged by `free_tries`."""
        if not self._guessed:
            self._guessed = await self.take_in(self.guesser)
        self._derived_before = self.stack.derivations(WRONG)
        async with contextlib.aclosing(_Status(self.stack)) as status:
            while not self._stopping.is_set():
                left = await status.tries_left(self._credential)
                if left is None or left < 3:
                    await asyncio.sleep(0.2)
                    continue
                opened = await self.ask(self.guesser, "POST", f"/api/v1/documents/{self._guessed}/sheet")
                if opened is not None and opened.status_code == 201:
                    with contextlib.suppress(httpx2.HTTPError, OSError, AssertionError):
                        body = await self.guesser.approval_for(opened.json(), pin=WRONG)
                        await self.ask(self.guesser, "POST", "/api/v1/approvals", json=body)
                await asyncio.sleep(0.3)

    async def free_tries(self) -> int:
        """Derivations of the wrong PIN that the counter does not show; then the right PIN, which gives the tries back."""
        if not self._guessed:
            return 0
        async with contextlib.aclosing(_Status(self.stack)) as status:
            left = await status.tries_left(self._credential)
        assert left is not None
        derived = self.stack.derivations(WRONG) - self._derived_before
        if not await self._sign(self._guessed, self.guesser, "signature", {"in_review"}):
            self.history.stuck.append(self._guessed)
        self._guessed = ""
        return max(0, derived - (9 - left))


class _Status:
    """The signer's own word on tries; None while it does not answer."""

    def __init__(self, stack: Deployment) -> None:
        self._client = stack.signer_client()

    async def tries_left(self, credential: str) -> int | None:
        try:
            return (await self._client.status(credential)).holders[0].tries_left
        except SignerError:
            return None

    async def aclose(self) -> None:
        await self._client.close()
