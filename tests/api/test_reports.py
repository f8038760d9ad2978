"""Reports over HTTP: who may read them, what they show of real documents, the table and the pictures (C1, REC-4)."""

import csv
import io
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from tests.api.conftest import World, code

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPORTS = "/api/v1/reports"


async def counted(world: World, organisation: str) -> tuple[int, int, list[int]]:
    """Issued, deliveries and durations of signatures, by plain counts over all rows of the organisation."""
    sent = await world.rows(
        "SELECT (SELECT count(*) FROM outgoing_packets WHERE accepted_us IS NOT NULL AND organisation = $1) AS issued, (SELECT count(*) FROM packet_receivers r "
        "JOIN outgoing_packets p ON p.id = r.packet WHERE p.accepted_us IS NOT NULL AND p.organisation = $1) AS deliveries",
        organisation,
    )  # fmt: skip
    rows = await world.rows(
        "SELECT s.decided_us - d.created_us AS took FROM route_steps s JOIN documents d ON d.id = s.document WHERE s.kind = 'person' AND d.organisation = $1 "
        "AND s.state IN ('pending_timestamp', 'done') AND s.position = (SELECT max(t.position) FROM route_steps t WHERE t.document = d.id AND t.kind = 'person') "
        "ORDER BY took",
        organisation,
    )  # fmt: skip
    return sent[0]["issued"], sent[0]["deliveries"], [row["took"] for row in rows]


async def test_the_numbers_are_those_of_the_organisations_documents(world: World) -> None:
    await world.signed(world.leader)
    today = (datetime.now(UTC) + timedelta(hours=7)).date()
    path = f"{REPORTS}?from={today - timedelta(days=6)}&to={today + timedelta(days=1)}&tariff=5000"
    # Documents of other tests may still be on their way.
    before, found = await counted(world, world.stack.organisation), await world.leader.json("GET", path)
    while before != (after := await counted(world, world.stack.organisation)):
        before, found = after, await world.leader.json("GET", path)
    issued, deliveries, took = before
    assert found["signing"]["documents"] == len(took) > 0
    assert min(took) / 1e6 <= found["signing"]["median_s"] <= found["signing"]["p90_s"] <= max(took) / 1e6
    assert (found["issued"]["count"], found["deliveries"]["count"]) == (issued, deliveries)
    paid = found["postage"]
    assert paid["total_dong"] == paid["deliveries"] * paid["tariff_dong"] == deliveries * 5000
    assert len(found["lines"]) == 9
    usual = await world.administrator.json("GET", REPORTS)
    assert usual["postage"]["tariff_dong"] == 7000
    neighbour = await world.foreign_leader.json("GET", REPORTS)
    assert neighbour["signing"]["documents"] == len((await counted(world, world.foreign_organisation))[2])


async def test_only_heads_read_reports(world: World) -> None:
    for path in (REPORTS, f"{REPORTS}/table", f"{REPORTS}/charts/issued"):
        for caller in (world.staff, world.clerk, world.duty, world.qlvb):
            assert code(await caller.call("GET", path)) == "forbidden"
    for wrong in ("from=2026-11-02&to=2026-11-01", "from=2020-01-01&to=2026-11-01", "from=x", "tariff=-1", "lang=fr"):
        assert code(await world.leader.call("GET", f"{REPORTS}?{wrong}")) == "invalid-request"
    assert (await world.leader.call("GET", f"{REPORTS}/charts/nothing")).status_code in {400, 404}


async def test_the_table_and_the_pictures_say_the_same(world: World) -> None:
    found = await world.leader.json("GET", REPORTS)
    answer = await world.leader.call("GET", f"{REPORTS}/table", expect=200)
    # Documents of other tests may still be on their way.
    while (
        found["issued"] != (again := await world.leader.json("GET", REPORTS))["issued"]
        or found["signing"] != again["signing"]
    ):
        found, answer = again, await world.leader.call("GET", f"{REPORTS}/table", expect=200)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""), strict=True))
    table = {row[0]: row[2] for row in rows[1:]}
    assert int(table["Văn bản phát hành"]) == found["issued"]["count"]
    assert int(table["Lượt gửi đến nơi nhận"]) == found["deliveries"]["count"]
    assert int(table["Văn bản đã ký"]) == found["signing"]["documents"]
    event = await world.rows("SELECT actor FROM audit_events WHERE kind = 'report.exported' ORDER BY at_us DESC")
    assert event[0]["actor"] == world.leader.person
    for chart in found["charts"]:
        for lang in ("vi", "en"):
            picture = await world.leader.call("GET", f"{REPORTS}/charts/{chart['name']}?lang={lang}", expect=200)
            assert picture.headers["content-type"] == "image/svg+xml"
            # Opened by itself it is a picture and no page: nothing runs, nothing is fetched.
            assert picture.headers["content-security-policy"].startswith("default-src 'none'")
            root = ET.fromstring(picture.content)
            title = root.findtext("{http://www.w3.org/2000/svg}title")
            assert (title == chart["title"]) == (lang == "vi")
