"""Use cases of reports. They read, in one's own organisation alone, and write nothing but that somebody exported one (REC-4)."""

import asyncio
from typing import Final

from server import audit
from server.clock import Clock
from server.db import Database, Transaction
from server.identity.model import Actor
from server.notices.calendar import local_day
from server.reports import charts, queries, words
from server.reports.model import Numbers, Overdue, Period, acknowledgement, period, postage, signing, together
from server.reports.words import HOLDERS, Chart, Language

__all__ = ["Chart", "Language", "Numbers", "Period", "ReportService", "period"]

_AT_ONCE: Final = 2


class ReportService:
    """`tariff`: đồng for one letter, where a request names none."""

    def __init__(self, db: Database, clock: Clock, tariff: int) -> None:
        self._db = db
        self._clock = clock
        self._tariff = tariff
        # Reports wait for each other, never the rest for them.
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def now_us(self) -> int:
        return self._clock.now_us()

    async def numbers(self, actor: Actor, wanted: Period, language: Language, tariff: int | None) -> Numbers:
        """All of a period; what is overdue is of now."""
        async with self._turn:
            sent = await queries.deliveries(self._db, actor, wanted)
            return Numbers(
                period=wanted,
                issued=await queries.issued(self._db, actor, wanted),
                deliveries=sent,
                signing=signing(await queries.durations(self._db, actor, wanted)),
                acknowledgement=acknowledgement(*await queries.acknowledged(self._db, actor, wanted)),
                overdue=await self._overdue(actor, language),
                postage=postage(together(sent), self._tariff if tariff is None else tariff),
            )

    async def table(self, actor: Actor, wanted: Period, tariff: int | None) -> bytes:
        """The same for a spreadsheet, with an event: a table leaves the house."""
        numbers = await self.numbers(actor, wanted, Language.VIETNAMESE, tariff)
        body = {"from": wanted.first.isoformat(), "to": wanted.last.isoformat()}

        async def log(tx: Transaction) -> None:
            await audit.append(
                tx, "report.exported", organisation=actor.organisation, actor=actor.id, subject=actor.organisation, body=body, now_us=self.now_us()
            )  # fmt: skip

        await self._db.transact(log)
        return words.table(numbers)

    async def chart(self, actor: Actor, chart: Chart, wanted: Period, language: Language) -> str:
        """One picture (SVG)."""
        title = words.title(chart, language)
        async with self._turn:
            match chart:
                case Chart.ISSUED:
                    counts = await queries.issued(self._db, actor, wanted)
                    return charts.columns(title, words.columns(counts, wanted), language)
                case Chart.DELIVERIES:
                    counts = await queries.deliveries(self._db, actor, wanted)
                    return charts.columns(title, words.columns(counts, wanted), language)
                case Chart.SIGNING:
                    took = signing(await queries.durations(self._db, actor, wanted))
                    named = ((words.MEDIAN, took.median_s), (words.P90, took.p90_s))
                    pairs = [(words.said(name, language), value) for name, value in named if value is not None]
                    spans = [words.span(value, language) for _, value in pairs]
                    return charts.bars(title, [(name, round(value)) for name, value in pairs], language, values=spans)
                case Chart.ACKNOWLEDGEMENT:
                    in_time, late = await queries.acknowledged(self._db, actor, wanted)
                    items = [(words.said(words.IN_TIME, language), in_time), (words.said(words.LATE, language), late)]
                    return charts.bars(title, items if in_time + late else [], language)
                case Chart.OVERDUE:
                    return charts.bars(title, words.bars(await self._overdue(actor, language), language), language)

    async def _overdue(self, actor: Actor, language: Language) -> list[Overdue]:
        now_us = self.now_us()
        documents = await queries.overdue_documents(self._db, actor, now_us, HOLDERS[language])
        for late in (queries.late_arrivals, queries.late_directives, queries.late_dossiers):
            documents += await late(self._db, actor, local_day(now_us), HOLDERS[language])
        return documents
