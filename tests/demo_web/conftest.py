"""A demo that is served, and a real browser that looks at it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright
from verger.demo import web
from verger.demo.engine import Engine

CHROMIUM = "/usr/bin/chromium"
"""Debian's: `apt-get install chromium`."""
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OUTAGE = 0.2


@dataclass
class Demo:
    """A page in a browser, and everything that it has done."""

    engine: Engine
    url: str
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, and exceptions that nobody has caught."""

    def heard(self, request: Request) -> None:
        self.requests.append(request.url)

    def said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def failed(self, error: Exception) -> None:
        self.complaints.append(str(error))

    async def press(self, action: str) -> None:
        """Clicks the button of an action."""
        await self.page.click(f"#do-{action}")

    async def healed(self, faults: int) -> None:
        """Returns when the page says that ours has got over so many faults, and that nothing is wrong with it."""
        await self.page.wait_for_function(
            "n => document.querySelectorAll('#faults td.good, #faults td.bad').length / 2 >= n "
            "&& document.getElementById('ours-wrong').textContent === '0'",
            arg=faults,
        )

    async def wrong(self, side: str) -> int:
        """The number that a side shows."""
        return int(await self.page.inner_text(f"#{side}-wrong"))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def demo(browser: Browser) -> AsyncIterator[Demo]:
    """A page that shows three namespaces."""
    async with Engine(outage=OUTAGE, seed=5, pace=100.0) as engine:
        for _ in range(3):
            await engine.act("make-namespace")
        await engine.stage.healed()
        async with web.Page(engine).serving() as url:
            context = await browser.new_context(viewport={"width": 1440, "height": 1000})
            page = await context.new_page()
            made = Demo(engine, url, page)
            page.on("request", made.heard)
            page.on("console", made.said)
            page.on("pageerror", made.failed)
            await page.goto(url)
            await page.wait_for_selector("#rows .row")
            yield made
            assert made.complaints == []
            assert engine.stage.broken == ""
            await context.close()
