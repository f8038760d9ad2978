"""Reports over HTTP, for leaders and administrators: numbers, a table for a spreadsheet, charts as pictures."""

from datetime import date
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from server import spreadsheet
from server.http import Given
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.notices.calendar import local_day
from server.reports import words
from server.reports.model import DayCount, Period, period, together
from server.reports.service import Chart, Language, Numbers, ReportService
from server.wire import iso

_HEADS: Final = {**allow(roles={Role.LEADER, Role.ADMINISTRATOR}), "problems": ("invalid-request",)}
_TAGS: Final = ["reports", "phone"]

First = Annotated[
    date | None, QueryParameter(name="from", description="First local day; without it thirty days in all")
]
Last = Annotated[date | None, QueryParameter(name="to", description="Last local day; without it today")]
Tariff = Annotated[
    int | None, QueryParameter(ge=0, le=1_000_000, description="Đồng for one letter; without it the installation's")
]
Said = Annotated[Language, QueryParameter(description="Language of units and words")]


class DayView(msgspec.Struct, frozen=True):
    """`day`: a local day. Days without any are left out."""

    day: str
    count: int


class CountView(msgspec.Struct, frozen=True):
    count: int
    by_day: list[DayView]


class SigningView(msgspec.Struct, frozen=True):
    """Seconds from the document's arrival to its last personal signature, of what was signed in the period; null where nothing was.

    The median and the 90th percentile are continuous: SQL's percentile_cont.
    """

    documents: int
    median_s: float | None
    p90_s: float | None


class AcknowledgementView(msgspec.Struct, frozen=True):
    """Notices that somebody had to acknowledge. `in_time`: acknowledged, or done, before anybody was told again or in that one's place."""

    in_time: int
    late: int
    share: float | None


class OverdueView(msgspec.Struct, frozen=True):
    """Overdue now. `kind`: document, arrival (an incoming one), directive or dossier. `unit`: the person or unit that holds it, the clerks, the leaders, the
    receivers or this system.
    """

    kind: str
    unit: str
    count: int


class PostageView(msgspec.Struct, frozen=True):
    """What letters would have cost: `total_dong` = `deliveries` × `tariff_dong`."""

    deliveries: int
    tariff_dong: int
    total_dong: int
    formula: str


class ReportLine(msgspec.Struct, frozen=True):
    """One number in words, to be shown as it is."""

    name: str
    value: str


class ChartView(msgspec.Struct, frozen=True):
    """A picture of `/api/v1/reports/charts/{name}`; `title` is what it shows."""

    name: str
    title: str


class ReportView(msgspec.Struct, frozen=True):
    """Documents issued and deliveries are two things and stand apart: one document goes to many receivers."""

    from_: str = msgspec.field(name="from")
    to: str
    at: str
    issued: CountView
    deliveries: CountView
    signing: SigningView
    acknowledgement: AcknowledgementView
    overdue: list[OverdueView]
    postage: PostageView
    lines: list[ReportLine]
    charts: list[ChartView]


@get(
    "/api/v1/reports",
    operation_id="readReport",
    summary="Issued, delivered, signed, acknowledged, overdue, postage spared",
    tags=_TAGS,
    opt=_HEADS,
)
async def read(
    actor: Given[Actor], reports: Given[ReportService], first: First = None, last: Last = None, tariff: Tariff = None,
    lang: Said = Language.VIETNAMESE,
) -> ReportView:  # fmt: skip
    wanted = _period(reports, first, last)
    numbers = await reports.numbers(actor, wanted, lang, tariff)
    return _view(numbers, lang, reports.now_us())


@get(
    "/api/v1/reports/table",
    operation_id="exportReport",
    summary="The same as a table (CSV)",
    tags=_TAGS,
    opt=_HEADS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="text/csv")},
)
async def table(
    actor: Given[Actor],
    reports: Given[ReportService],
    first: First = None,
    last: Last = None,
    tariff: Tariff = None,
) -> Response[bytes]:
    """RFC 4180, UTF-8 with a byte-order mark, in Vietnamese; days and units each in a line of their own."""
    wanted = _period(reports, first, last)
    name = f"bao-cao-{wanted.first}-{wanted.last}.csv"
    return Response(
        content=await reports.table(actor, wanted, tariff),
        media_type=spreadsheet.MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@get(
    "/api/v1/reports/charts/{chart:str}",
    operation_id="drawChart",
    summary="One chart as a picture (SVG)",
    tags=_TAGS,
    opt=_HEADS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/svg+xml")},
)
async def draw(
    chart: Annotated[Chart, PathParameter(description="issued, deliveries, signing, acknowledgement or overdue")],
    actor: Given[Actor],
    reports: Given[ReportService],
    first: First = None,
    last: Last = None,
    lang: Said = Language.VIETNAMESE,
) -> Response[bytes]:
    """For `img`: no script, nothing fetched; title and description say in words what it shows."""
    picture = await reports.chart(actor, chart, _period(reports, first, last), lang)
    return Response(content=picture.encode(), media_type="image/svg+xml")


def _period(reports: ReportService, first: date | None, last: date | None) -> Period:
    return period(first, last, local_day(reports.now_us()))


def _view(numbers: Numbers, language: Language, now_us: int) -> ReportView:
    first, last = numbers.period.first.isoformat(), numbers.period.last.isoformat()
    signing, told, paid = numbers.signing, numbers.acknowledgement, numbers.postage
    return ReportView(
        from_=first, to=last, at=iso(now_us), issued=_count(numbers.issued), deliveries=_count(numbers.deliveries),
        signing=SigningView(signing.documents, signing.median_s, signing.p90_s),
        acknowledgement=AcknowledgementView(told.in_time, told.late, told.share),
        overdue=[OverdueView(one.kind, one.unit, one.count) for one in numbers.overdue],
        postage=PostageView(paid.deliveries, paid.tariff, paid.total, "deliveries × tariff_dong"),
        lines=[ReportLine(name, value) for name, value in words.lines(numbers, language)],
        charts=[ChartView(chart.value, words.title(chart, language)) for chart in Chart],
    )  # fmt: skip


def _count(counts: list[DayCount]) -> CountView:
    return CountView(together(counts), [DayView(one.day.isoformat(), one.count) for one in counts])


HANDLERS: list[Any] = [read, table, draw]
