"""The page without a mouse, without eyes, without motion, in the dark, and on a small screen."""

import itertools
from typing import Literal

import pytest

from tests.demo_web.conftest import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTRAST = """(pairs) => pairs.map(([selector, backing]) => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const one = light(getComputedStyle(document.querySelector(selector)).color);
  const other = light(getComputedStyle(document.querySelector(backing)).backgroundColor);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
})"""
READ = [
    ("h1", "body"),
    (".claim", "body"),
    (".counts", ".half"),
    (".wrong", ".half"),
    (".lane p", ".half"),
    (".pill", ".pill"),
    ("#tour-start", "#tour-start"),
    (".row .ok", ".world"),
    (".changes .quiet", ".panel"),
    (".ADDED", ".panel"),
    (".MODIFIED", ".panel"),
]


async def test_buttons_have_keys_which_can_be_turned_off(demo: Demo) -> None:
    """A letter does what its button does, Enter and space press what has the focus."""
    page = demo.page
    await page.keyboard.press("s")
    await demo.healed(1)
    await page.focus("#do-delete-account")
    await page.keyboard.press("Enter")
    await demo.healed(2)
    await page.focus("#do-scribble")
    await page.keyboard.press(" ")
    await demo.healed(3)
    await page.uncheck("#keys")
    await page.keyboard.press("n")
    await page.keyboard.press("Control+d")
    assert (demo.engine.stage.score.count, len(demo.engine.stage.names)) == (3, 3)


async def test_everything_is_reached_with_the_tabulator(demo: Demo) -> None:
    """From the link that skips the top, over all faults, to the timeline, in the order in which it is seen."""
    page = demo.page
    reached = []
    for _ in range(60):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        if reached[-1] == "difference":
            break
    assert reached[0] == "skip"
    wanted = [
        "tour-start",
        "do-make-namespace",
        "do-scribble",
        "do-start-over",
        "target-controller",
        "rows",
        "row",
        "time-side",
        "time",
        "difference",
    ]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)
    await page.focus("#do-scribble")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


async def test_everything_has_a_name_that_can_be_read_out(demo: Demo) -> None:
    """Controls, regions and headings; what changes by itself is announced politely."""
    await demo.page.click("#rows .row >> nth=0")
    await demo.page.wait_for_selector("#chain li")
    unnamed = await demo.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, [role=region], section')]
          .filter((e) => e.offsetParent !== null)
          .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.labels?.length || e.textContent.trim()))
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    for role, name in (
        ("region", "Verger looks at what is there"),
        ("region", "Edge-triggered twin trusts what it hears"),
        ("region", "Faults"),
        ("slider", "Revision"),
        ("button", "Verger, team-1: as it should be. Why is it there?"),
        ("button", "Twin, team-3: as it should be. Why is it there?"),
        ("button", "Why is there Account team-1/default?"),
        ("combobox", "Controller"),
    ):
        assert await demo.page.get_by_role(role, name=name, exact=name != "Revision").count() == 1  # type: ignore[arg-type]
    assert await demo.page.get_attribute("#note", "aria-live") == "polite"
    assert await demo.page.get_attribute("html", "lang") == "en"
    levels = await demo.page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].filter((e) => e.offsetParent).map((e) => Number(e.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(later <= level + 1 for level, later in itertools.pairwise(levels))


async def test_text_can_be_read(demo: Demo) -> None:
    """In the light and in the dark text stands out from what is behind it by 4.5 to 1."""
    schemes: list[Literal["light", "dark"]] = ["light", "dark"]
    for scheme in schemes:
        await demo.page.emulate_media(color_scheme=scheme)
        found = await demo.page.evaluate(CONTRAST, READ)
        assert [pair for pair, ratio in zip(READ, found, strict=True) if ratio < 4.5] == []


async def test_nothing_moves_for_those_who_do_not_want_it(demo: Demo) -> None:
    """A row that has changed has a border instead."""
    await demo.page.emulate_media(reduced_motion="reduce")
    await demo.press("scribble")
    await demo.page.wait_for_selector("#rows .row.flash")
    moving = await demo.page.evaluate(
        "[...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).animationName !== 'none').length"
    )
    assert moving == 0


async def test_small_screens_show_all_of_it(demo: Demo) -> None:
    """Below each other, and nothing is cut off at the side."""
    await demo.page.set_viewport_size({"width": 420, "height": 900})
    wide = await demo.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 420
