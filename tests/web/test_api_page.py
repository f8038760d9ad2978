"""The page at /api in a real browser, as wide as a phone: everything can be opened and read, and the policy refuses nothing."""

import json

import pytest
from playwright.async_api import Browser

from server.app import schema_document
from tests.web.conftest import PHONE, Site, new_hand

pytestmark = pytest.mark.asyncio(loop_scope="session")
DOCUMENT = json.loads(schema_document())
OPERATIONS = [
    one["operationId"]
    for item in [*DOCUMENT["paths"].values(), *DOCUMENT["webhooks"].values()]
    for one in item.values()
]


async def test_every_operation_opens_on_a_phone(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    page = hand.page
    await page.goto("/api")
    await page.locator("section > details").first.wait_for()
    assert sorted(await page.locator("section > details").evaluate_all("all => all.map((one) => one.id)")) == sorted(
        OPERATIONS
    )
    await page.evaluate("for (const one of document.querySelectorAll('section > details')) one.open = true")
    await page.wait_for_function(
        "document.querySelectorAll('.inside').length === document.querySelectorAll('section > details').length"
    )
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await page.evaluate("window.refusals") == []
    assert hand.complaints == []
    await hand.shot("api")
    await hand.context.close()


async def test_an_operation_says_who_what_and_which_problems(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    page = hand.page
    await page.goto("/api#takeInDocument")
    opened = page.locator("#takeInDocument")
    await opened.locator(".inside").wait_for()
    said = await opened.inner_text()
    for word in (
        "services: documents:write",
        "Idempotency-Key",
        "promulgation_date",
        "organ_id",
        "Về việc phân công trực",
        "response 201",
    ):
        assert word in said, word
    await opened.get_by_text("problems (").tap()
    assert await opened.get_by_role("link", name="secret-document").get_attribute("href") == "/problems/secret-document"
    await page.get_by_role("searchbox").fill("sealing")
    assert set(await page.locator("section > details").evaluate_all("all => all.map((one) => one.id)")) >= {
        "readSealingKey"
    }
    assert await page.locator("#takeInDocument").count() == 0
    await hand.context.close()
