"""Pictures of the demo, made of the demo: `python -m verger.demo.recording DIRECTORY`.

`script.svg` is the script as a film that a page can show like any picture; `page.png` is the page after some faults, taken
with Chromium, where Playwright is installed. Nothing is painted: what is seen has happened while it was recorded.
"""

import asyncio
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from verger.demo.engine import Engine
from verger.demo.script import Scene, lines, told
from verger.demo.web import Page

CHROMIUM: Final = "/usr/bin/chromium"
COLUMNS: Final = 102
ROWS: Final = 27
READING: Final = 5.5
"""Seconds for which a scene stands still."""
_CHARACTER: Final = 7.25
"""Pixels, as lines: the size of a fixed font at 12 pixels."""
_LINE: Final = 17
_MARGIN: Final = 16
WIDTH: Final = 1440
HEIGHT: Final = 900
FAULTS: Final = ("delete-account", "scribble", "kill", "drop-events", "conflicts")
"""What has happened on the page before the picture is taken."""


def film(scenes: Sequence[Scene]) -> str:
    """Scenes as an SVG that shows one after the other, for ever."""
    width = round(COLUMNS * _CHARACTER) + 2 * _MARGIN
    height = ROWS * _LINE + 2 * _MARGIN
    share = 100 / len(scenes)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" aria-label="verger demo --script">',
        "<style>",
        "text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#d7dde3;white-space:pre}",
        ".t{fill:#fff;font-weight:700}.a{fill:#74d3a5}.d{fill:#ff8d86}.m{fill:#f2bd68}.n{fill:#9fb4ff}",
        f"g{{opacity:0;animation:s {len(scenes) * READING:g}s steps(1) infinite}}",
        f"@keyframes s{{0%{{opacity:1}}{share:.3f}%{{opacity:0}}}}",
        # Who wants no motion sees how it ends.
        "@media (prefers-reduced-motion:reduce){g{animation:none}g:last-of-type{opacity:1}}",
        "</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#12161a"/>',
    ]
    for number, scene in enumerate(scenes):
        out.append(f'<g style="animation-delay:{number * READING:g}s">')
        for row, line in enumerate(lines(number + 1, scene)[:ROWS]):
            if line:
                y = _MARGIN + (row + 1) * _LINE - 4
                kind = f' class="{name}"' if (name := _class(line)) else ""
                out.append(f'<text x="{_MARGIN}" y="{y}"{kind}>{escape(line)}</text>')
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _class(line: str) -> str:
    if line[:1].isdigit():
        return "t"
    if line.lstrip().startswith("objects wrong"):
        return "n"
    for word, name in (("ADDED", "a"), ("DELETED", "d"), ("MODIFIED", "m")):
        if word in line[:20]:
            return name
    return ""


def record_script(path: Path) -> None:
    """Runs the script, and writes it as a film."""
    scenes: list[Scene] = []
    asyncio.run(told(scenes.append))
    path.write_text(film(scenes), encoding="utf-8")


async def record_page(path: Path) -> None:
    """Breaks some things on the page as a viewer would, and writes a picture of it. Raises ImportError."""
    from playwright.async_api import async_playwright

    async with (
        Engine(outage=1.0, seed=3) as engine,
        Page(engine).serving() as url,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        await page.goto(url)
        await page.wait_for_selector("#do-make-namespace")
        for _ in range(3):
            await page.click("#do-make-namespace")
        for number, action in enumerate(FAULTS):
            await page.click(f"#do-{action}")
            await page.wait_for_selector(f"#summary >> text=/ours got over {number + 1}, /")
        await page.click("#rows .row >> nth=0")
        await page.wait_for_selector("#chain li")
        await page.screenshot(path=path)
        await browser.close()


def main() -> None:
    """Records both into a directory."""
    if len(sys.argv) != 2:
        sys.exit("python -m verger.demo.recording DIRECTORY")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    record_script(folder / "script.svg")
    try:
        asyncio.run(record_page(folder / "page.png"))
    except ImportError:
        sys.exit("the page needs Playwright and Debian's Chromium; the script was recorded")


if __name__ == "__main__":
    main()
