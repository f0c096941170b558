"""The page in a real browser: what it shows is so, its buttons break things, and ours heals."""

import re

import pytest
from verger.demo.actions import ACTIONS

from tests.demo_web.conftest import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

WOUNDING = {"scribble", "kill", "partition", "drop-events", "conflicts", "expire-history"}
"""What the twin does not get over."""


async def test_page_needs_nothing_from_outside(demo: Demo) -> None:
    """Every request goes to the process that serves it, and the console has nothing to complain about."""
    assert len(demo.requests) > 5
    assert [url for url in demo.requests if not url.startswith(demo.url)] == []
    assert await demo.page.title() == "Verger: one promise, kept in two ways"


async def test_page_shows_the_chain(demo: Demo) -> None:
    """Namespace, account, Secret and token, on both sides, with the signature checked."""
    rows = await demo.page.locator("#rows .row").all_inner_texts()
    assert len(rows) == 6
    for row in rows:
        assert re.search(
            r"team-\d\s*\+\d+\s+default [0-9a-f]{4}\s*\+\d+\s+default-token-\w{5}\s*\+\d+\s+✓ ES256, good",
            row,
        )
    lanes = await demo.page.locator("#ours-lanes .lane").all_inner_texts()
    assert [lane.split("\n")[0] for lane in lanes] == [
        "accounts",
        "tokens",
        "root CA",
        "namespaces",
        "garbage",
    ]


async def test_every_button_breaks_something_and_ours_heals(demo: Demo) -> None:
    """Within seconds; the red number grows by what the twin has missed, and ours is zero again and again.

    The storm of a thousand is interrupted, which takes less time than to wait for its end.
    """
    faults = 0
    for action in ACTIONS:
        before = await demo.wrong("twin")
        await demo.press(action.name)
        if action.name in ("make-namespace", "start-over"):
            continue
        if action.name == "storm":
            await demo.page.wait_for_selector("#ours-counts >> text=/[1-9][0-9]{2,} namespaces/")
            continue
        faults += 1
        await demo.healed(faults)
        if action.name in WOUNDING:
            await demo.page.wait_for_function(
                "n => Number(document.getElementById('twin-wrong').textContent) > n", arg=before
            )
    await demo.page.wait_for_function(
        "() => document.getElementById('twin-wrong').textContent === '0'"
    )


async def test_page_says_who_is_struck_and_how_it_ended(demo: Demo) -> None:
    """The lane of the controller that was chosen, the scoreboard, and one sentence for whoever does not see it."""
    demo.engine.stage.outage = 1.0
    await demo.page.select_option("#target-controller", "root-ca-publisher")
    await demo.press("freeze")
    await demo.page.wait_for_selector("#ours-lanes .lane.down >> text=frozen")
    assert "root CA" in await demo.page.inner_text("#ours-lanes .lane.down")
    await demo.healed(1)
    await demo.page.wait_for_selector(
        "#note >> text=/is frozen: ours healed in [0-9.]+ s; the twin/"
    )
    row = await demo.page.inner_text("#faults tr")
    assert re.search(r"root-ca-publisher is frozen\s+\d\.\d s\s+\d\.\d{3} s\s+\d+ wrong", row)


async def test_row_flashes_with_its_revision(demo: Demo) -> None:
    """What has changed is seen, and only that."""
    await demo.page.select_option("#target-namespace", "team-2")
    await demo.press("scribble")
    await demo.healed(1)
    flashed = await demo.page.locator("#rows .row.flash .ns").all_inner_texts()
    assert [name.partition("+")[0].strip() for name in flashed] == ["team-2", "team-2"]
    assert "✗" in await demo.page.inner_text("#rows .pair:nth-child(2) .row:nth-child(2)")


async def test_why_and_the_token_are_explained(demo: Demo) -> None:
    """The chain of causes back to whoever began it; what the token says, without its signature."""
    await demo.page.click("#rows .row >> nth=0")
    await demo.page.wait_for_selector("#chain li >> nth=2")
    chain = await demo.page.locator("#chain li").all_inner_texts()
    assert "serviceaccount-token-controller reconciled team-1/default" in chain[0]
    assert "because it heard: ADDED serviceaccounts team-1/default at +" in chain[0]
    assert "you makes namespace team-1" in chain[2]
    token = await demo.page.inner_text("#token")
    assert "Signature good: verified against the plane's own JWKS" in token
    assert "system:serviceaccount:team-1:default" in token
    await demo.page.click("#objects >> text=Account")
    await demo.page.wait_for_selector("#chain li:nth-child(2):last-child")
    assert "eyJ" not in await demo.page.content()


async def test_timeline_can_be_scrubbed(demo: Demo) -> None:
    """Back to before there was anything, to the difference that a revision made, and to now again."""
    page = demo.page
    assert await page.get_attribute("#time-live", "aria-pressed") == "true"
    await page.focus("#time")
    await page.keyboard.press("Home")
    await page.wait_for_selector("#past:visible")
    await page.wait_for_selector("#rows .pair:nth-child(1) .row.empty")
    assert await page.inner_text("#past") == "· Verger as it was at revision 0"
    await page.keyboard.press("ArrowRight")
    await page.wait_for_selector("#difference >> text=ADDED namespaces team-1")
    await page.wait_for_selector("#changes button.at >> text=namespaces team-1")
    await page.click("#time-mark")
    await page.keyboard.press("Tab")
    await page.focus("#time")
    for _ in range(4):
        await page.keyboard.press("ArrowRight")
    await page.wait_for_selector("#difference-title >> text=Difference from +1 to +5")
    await page.wait_for_selector("#difference >> text=ADDED namespaces team-3")
    await page.click("#time-live")
    await page.wait_for_selector("#past", state="hidden")
    await page.wait_for_selector("#rows .pair:nth-child(1) .row:nth-child(1) >> text=good")


async def test_tour_is_given(demo: Demo) -> None:
    """It begins, goes on when asked, and ends when told to."""
    page = demo.page
    await page.click("#tour-start")
    await page.wait_for_selector("#tour:visible")
    await page.wait_for_selector("#tour-facts >> text=about to happen")
    await page.click("#tour-next")
    await page.wait_for_selector("#tour-facts >> text=as it should be")
    await page.focus("body")
    await page.keyboard.press(" ")
    await page.wait_for_selector("#tour-step >> text=2/12")
    assert await page.inner_text("#tour-title") == "What the token says"
    await page.click("#tour-stop")
    await page.wait_for_selector("#tour", state="hidden")
    assert await page.is_visible("#tour-start")


async def test_refusal_is_said(demo: Demo) -> None:
    """A button that cannot do what it says tells why."""
    demo.engine.stage.outage = 30.0
    await demo.press("kill")
    await demo.press("kill")
    await demo.page.wait_for_selector("#note >> text=is killed already")
    # The browser notes the status of that answer, which is as it should be.
    assert len(demo.complaints) == 1
    assert "409" in demo.complaints.pop()
