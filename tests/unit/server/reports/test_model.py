"""What reports compute and draw: postage by its formula, quantiles, periods, tables that are no programs, pictures that can be read."""

import csv
import io
import statistics
import xml.etree.ElementTree as ET
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Refused
from server.reports import charts, words
from server.reports.model import (
    DayCount,
    Numbers,
    Overdue,
    Period,
    Ranked,
    acknowledgement,
    period,
    postage,
    quantile,
    signing,
)
from server.reports.words import Language
from server.spreadsheet import table

VI, EN = Language
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("deliveries", "total", "said"),
    [(4_695_747, 32_870_229_000, "32.870.229.000 đ"), (3_814_286, 26_700_002_000, "26.700.002.000 đ")],
)
def test_postage_spared_is_deliveries_times_tariff(deliveries, total, said):
    paid = postage(deliveries, 7000)
    assert (paid.deliveries, paid.tariff, paid.total) == (deliveries, 7000, total)
    assert words.money(paid.total, VI) == said
    numbers = numbers_of(deliveries=[DayCount(date(2026, 11, 1), deliveries)])
    lines = dict(words.lines(numbers, VI))
    assert lines["Bưu phí tiết kiệm"] == said
    assert lines["Cách tính: lượt gửi × giá một thư"] == f"{deliveries:,} × 7,000 đ".replace(",", ".")
    rows = {row[0]: row for row in parsed(words.table(numbers))}
    assert int(rows["Bưu phí tiết kiệm = lượt gửi × giá một thư"][2]) == total
    assert int(rows["Giá một thư"][2]) * int(rows["Lượt gửi đến nơi nhận"][2]) == total


def numbers_of(**changes):
    deliveries = changes.get("deliveries", [])
    values = {
        "period": Period(date(2026, 11, 1), date(2026, 11, 30)), "issued": [], "deliveries": deliveries, "signing": signing([]),
        "acknowledgement": acknowledgement(0, 0), "overdue": [], "postage": postage(sum(one.count for one in deliveries), 7000), **changes,
    }  # fmt: skip
    return Numbers(**values)


def parsed(text):
    assert text.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=""), strict=True))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_quantiles_are_those_of_the_standard_library(values):
    """statistics' inclusive method is percentile_cont."""
    ranked = [Ranked(value, place, len(values)) for place, value in enumerate(sorted(values))]
    assert quantile(ranked, 5) == pytest.approx(statistics.median(values))
    if len(values) > 1:
        assert quantile(ranked, 9) == pytest.approx(statistics.quantiles(values, n=10, method="inclusive")[8])


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 11, 2), date(2026, 11, 1)),
        (date(2025, 11, 1), date(2026, 11, 2)),
        (date(2026, 12, 1), None),
        (date.max, date.max),
        (date.min, date.min),
        (None, date.min),
    ],
)
def test_a_period_is_bounded(first, last):
    with pytest.raises(Refused, match="invalid-request"):
        period(first, last, date(2026, 11, 22))


def test_a_period_is_of_local_days():
    """Both included: from midnight in Vietnam, which is 17:00 UTC, to midnight."""
    november = period(date(2026, 11, 1), date(2026, 11, 30), date(2026, 11, 22))
    assert (november.end_us - november.start_us) == 30 * 86_400_000_000
    assert november.start_us % 86_400_000_000 == 17 * 3_600_000_000
    usual = period(None, None, date(2026, 11, 22))
    assert (usual.days, usual.last) == (30, date(2026, 11, 22))
    assert period(date(2024, 1, 1), date(2024, 12, 31), date(2026, 11, 22)).days == 366


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_a_table_can_be_read_again_and_is_no_program(rows):
    """RFC 4180; no cell begins as a formula (OWASP CSV injection)."""
    text = table(rows)
    read = parsed(text)
    shown = [
        [
            f"'{cell}" if cell[:1] in {"\t", "\r", "\n"} or cell.lstrip()[:1] in set("=+-@＝＋－＠") else cell
            for cell in row
        ]
        for row in rows
    ]
    assert [row or [""] for row in read] == shown
    assert text.endswith(b"\r\n")


@pytest.mark.parametrize("start", [*"=+-@\t\r\n＝＋－＠", " =", "\u00a0@", "\u3000＋"])
def test_no_cell_begins_as_a_formula(start):
    """OWASP: also behind white space and in full width."""
    assert parsed(table([[f"{start}1+1"]])) == [[f"'{start}1+1"]]


def test_numbers_stay_numbers_and_names_are_defused():
    numbers = numbers_of(
        overdue=[Overdue("document", '=HYPERLINK("http://x.example","a")', 3), Overdue("dossier", "Địa chính", 2)]
    )
    rows = parsed(words.table(numbers))
    assert [row for row in rows if "HYPERLINK" in row[1]] == [
        ["Đang quá hạn theo đơn vị", '\'=HYPERLINK("http://x.example","a")', "3", "văn bản"]
    ]
    assert parsed(table([[-5, 0.25]])) == [["-5", "0.25"]]


def texts(picture):
    root = ET.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    return root, ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


@given(
    st.lists(st.tuples(st.text(max_size=80), st.integers(0, 10**7)), max_size=40),
    st.sampled_from([charts.columns, charts.bars]),
    st.sampled_from([VI, EN]),
)
def test_every_chart_is_well_formed_named_and_within_its_frame(items, draw, language):
    root, shown = texts(draw("Tiêu đề <&>", items, language))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "Tiêu đề <&>"
    assert root.get("aria-labelledby").split() == [root.find(f"{SVG}{part}").get("id") for part in ("title", "desc")]
    assert shown[0] == "Tiêu đề <&>"
    _, _, wide, high = map(float, root.get("viewBox").split())
    for one in root.iter():
        assert one.tag.removeprefix(SVG) in {"svg", "title", "desc", "rect", "path", "text"}
        assert not {name for name in one.attrib if name.startswith("on") or "href" in name or name == "style"}
        if one.tag == f"{SVG}rect":
            x, y, w, h = (float(one.get(name, "0")) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + w <= wide + 0.1
            assert 0 <= y <= y + h <= high + 0.1


def test_a_chart_says_every_number_to_whoever_does_not_see_it():
    root, shown = texts(charts.columns("T", [("01/11", 12_000), ("02/11", 0)], VI))
    assert root.find(f"{SVG}desc").text == "01/11: 12.000; 02/11: 0"
    assert "12.000" in shown
    root, shown = texts(charts.bars("T", [(f"Đơn vị {number}", number) for number in range(20, 0, -1)], EN))
    assert root.find(f"{SVG}desc").text.startswith("Đơn vị 20: 20; ")
    assert "+ 8 …" in shown
    assert "None" in texts(charts.bars("T", [], EN))[1]


def test_long_periods_are_shown_by_month_and_miss_no_day():
    year = Period(date(2026, 1, 1), date(2026, 12, 31))
    shown = words.columns([DayCount(date(2026, 2, 3), 2), DayCount(date(2026, 2, 28), 5)], year)
    assert len(shown) == 12
    assert shown[1] == ("02/2026", 7)
    month = Period(date(2026, 11, 1), date(2026, 11, 30))
    assert len(words.columns([], month)) == 30


@pytest.mark.parametrize(
    ("seconds", "vi", "en"),
    [(None, "–", "–"), (20, "20 giây", "20 s"), (3600, "1 giờ", "1 h"), (5430, "1 giờ 30 phút", "1 h 30 min"), (93_700, "1 ngày 2 giờ", "1 d 2 h")],
)  # fmt: skip
def test_spans_are_said_in_two_units(seconds, vi, en):
    assert (words.span(seconds, VI), words.span(seconds, EN)) == (vi, en)
