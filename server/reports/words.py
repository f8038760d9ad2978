"""A report in words, Vietnamese and English: one list for the screen, the table and what charts say to those who do not see them."""

from datetime import date
from enum import StrEnum
from typing import Final

from server import spreadsheet
from server.reports.model import DayCount, Numbers, Overdue, Period, together


class Language(StrEnum):
    VIETNAMESE = "vi"
    ENGLISH = "en"


class Chart(StrEnum):
    ISSUED = "issued"
    DELIVERIES = "deliveries"
    SIGNING = "signing"
    ACKNOWLEDGEMENT = "acknowledgement"
    OVERDUE = "overdue"


VI: Final = Language.VIETNAMESE

CHARTS: Final[dict[Chart, tuple[str, str]]] = {
    Chart.ISSUED: ("Văn bản phát hành", "Documents issued"),
    Chart.DELIVERIES: ("Lượt gửi đến nơi nhận", "Deliveries to receivers"),
    Chart.SIGNING: ("Từ khi trình đến khi ký", "From arrival to signature"),
    Chart.ACKNOWLEDGEMENT: ("Xác nhận thông báo khẩn", "Notices acknowledged"),
    Chart.OVERDUE: ("Đang quá hạn theo đơn vị", "Overdue now, by unit"),
}
HOLDERS: Final[dict[Language, dict[str, str]]] = {
    Language.VIETNAMESE: {
        "seal": "Văn thư (đóng dấu)",
        "clerks": "Văn thư",
        "leaders": "Lãnh đạo",
        "receivers": "Nơi nhận chưa trả lời",
        "system": "Hệ thống",
        "rest": "Các đơn vị khác",
    },
    Language.ENGLISH: {
        "seal": "Clerks (seal)",
        "clerks": "Clerks",
        "leaders": "Leaders",
        "receivers": "Receivers without an answer",
        "system": "This system",
        "rest": "Others",
    },
}
MEDIAN: Final = ("Trung vị", "Median")
P90: Final = ("90% ký trong", "90 % within")
IN_TIME: Final = ("Đúng hạn", "In time")
LATE: Final = ("Trễ", "Late")
KINDS: Final = {
    "arrival": ("Văn bản đến", "Incoming"),
    "directive": ("Ý kiến chỉ đạo", "Direction"),
    "dossier": ("Hồ sơ một cửa", "One-stop"),
}
"""Of what is overdue; outgoing documents need no word."""


def title(chart: Chart, language: Language) -> str:
    return said(CHARTS[chart], language)


def said(words: tuple[str, str], language: Language) -> str:
    return words[0] if language is VI else words[1]


def lines(numbers: Numbers, language: Language) -> list[tuple[str, str]]:
    """Each number with its name; the postage with what it is computed from."""
    signing, told, paid = numbers.signing, numbers.acknowledgement, numbers.postage
    share = "–" if told.share is None else percent(told.share, language)
    of = f" ({number(told.in_time, language)}/{number(told.in_time + told.late, language)})"
    signed = said(("văn bản đã ký", "documents signed"), language)
    return [
        (title(Chart.ISSUED, language), number(together(numbers.issued), language)),
        (title(Chart.DELIVERIES, language), number(together(numbers.deliveries), language)),
        (f"{title(Chart.SIGNING, language)}: {said(MEDIAN, language).lower()}", span(signing.median_s, language)),
        (f"{title(Chart.SIGNING, language)}: {said(P90, language)}", span(signing.p90_s, language)),
        (signed[0].upper() + signed[1:], number(signing.documents, language)),
        (f"{title(Chart.ACKNOWLEDGEMENT, language)}: {said(IN_TIME, language).lower()}", share + (of if told.share is not None else "")),
        (said(("Đang quá hạn", "Overdue now"), language), number(sum(one.count for one in numbers.overdue), language)),
        (said(("Bưu phí tiết kiệm", "Postage spared"), language), money(paid.total, language)),
        (
            said(("Cách tính: lượt gửi × giá một thư", "Formula: deliveries × tariff of a letter"), language),
            f"{number(paid.deliveries, language)} × {money(paid.tariff, language)}",
        ),
    ]  # fmt: skip


def table(numbers: Numbers) -> bytes:
    """All numbers for a spreadsheet: what, of which day or unit, how many, in which unit. Times in seconds."""
    period = f"{numbers.period.first} – {numbers.period.last}"
    signing, told, paid = numbers.signing, numbers.acknowledgement, numbers.postage
    issued, sent, took, asked, overdue = (CHARTS[chart][0] for chart in Chart)
    rows: list[tuple[str | int | float, ...]] = [
        ("Chỉ tiêu", "Ngày hoặc đơn vị", "Giá trị", "Đơn vị tính"),
        (issued, period, together(numbers.issued), "văn bản"),
        (sent, period, together(numbers.deliveries), "lượt gửi"),
        ("Văn bản đã ký", period, signing.documents, "văn bản"),
        (f"{took}: {MEDIAN[0].lower()}", period, _seconds(signing.median_s), "giây"),
        (f"{took}: phân vị 90%", period, _seconds(signing.p90_s), "giây"),
        (f"{asked}: đúng hạn", period, told.in_time, "thông báo"),
        (f"{asked}: trễ", period, told.late, "thông báo"),
        (f"{asked}: tỷ lệ đúng hạn", period, "" if told.share is None else round(told.share, 6), "phần"),
        ("Giá một thư", period, paid.tariff, "đồng"),
        ("Bưu phí tiết kiệm = lượt gửi × giá một thư", period, paid.total, "đồng"),
        *((f"{issued} theo ngày", str(one.day), one.count, "văn bản") for one in numbers.issued),
        *((f"{sent} theo ngày", str(one.day), one.count, "lượt gửi") for one in numbers.deliveries),
        *((overdue, one.unit, one.count, said(KINDS.get(one.kind, ("văn bản", "")), VI).lower()) for one in numbers.overdue),
    ]  # fmt: skip
    return spreadsheet.table(rows)


def columns(counts: list[DayCount], period: Period) -> list[tuple[str, int]]:
    """The whole period by day, or by month where it is long: days without any are there, too."""
    by_month = period.days > 62
    found: dict[str, int] = {}
    for number_ in range(period.days):
        day = date.fromordinal(period.first.toordinal() + number_)
        found.setdefault(_place(day, by_month=by_month), 0)
    for one in counts:
        found[_place(one.day, by_month=by_month)] += one.count
    return list(found.items())


def _place(day: date, *, by_month: bool) -> str:
    return f"{day.month:02}/{day.year}" if by_month else f"{day.day:02}/{day.month:02}"


def bars(overdue: list[Overdue], language: Language) -> list[tuple[str, int]]:
    return [
        (f"{said(KINDS[one.kind], language)}: {one.unit}" if one.kind in KINDS else one.unit, one.count)
        for one in sorted(overdue, key=lambda one: -one.count)
    ]


def number(value: int, language: Language) -> str:
    """4.695.747 in Vietnamese, 4,695,747 in English."""
    text = f"{value:,}"
    return text.replace(",", ".") if language is VI else text


def money(value: int, language: Language) -> str:
    return f"{number(value, language)} đ"


def percent(share: float, language: Language) -> str:
    text = f"{share * 100:.1f}"
    return f"{text.replace('.', ',')}%" if language is VI else f"{text} %"


def span(seconds: float | None, language: Language) -> str:
    """In the two units that matter."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} {said(('giây', 's'), language)}"
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, ("ngày", "d")), (hour, ("giờ", "h")), (minute if days == 0 else 0, ("phút", "min"))]
    return " ".join(f"{value} {said(unit, language)}" for value, unit in parts if value)


def _seconds(value: float | None) -> str | int:
    return "" if value is None else round(value)
