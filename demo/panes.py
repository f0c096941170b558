"""The panes of the terminal: each makes text of what is looked at, as wide and as high as there is room.

Colours say nothing that words or signs do not say as well, and are those of the theme, so that light and dark are alike.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from textual.content import Content
from textual.style import Style
from verger.demo.looking import SIDES, Looking

Draw = Callable[[Looking, int, int], Content]
GOOD: Final = "$text-success"
BAD: Final = "bold $text-error"
WARN: Final = "$text-warning"
QUIET: Final = "$foreground 60%"
CHOSEN: Final = "bold underline"
LIT: Final = "bold reverse"
CLICK: Final = "press"
"""What of the style of a text says what a click on it does; links of the library would lose their colours."""
_BADGES: Final = {True: "bold white on #b3261e", False: "bold white on #1b7f3b"}
_NAMES: Final = {
    "ours": ("VERGER", "level-triggered", "looks at what is there"),
    "twin": ("TWIN", "edge-triggered", "trusts what it hears"),
}
Part = Content | str | tuple[str, str]


def line(*parts: Part, width: int) -> Content:
    """One line, as wide as there is room."""
    return Content.assemble(*parts).truncate(max(width, 1), ellipsis=True, pad=True)


def lines(found: Iterable[Content], height: int) -> Content:
    """Lines, as many as there is room for; the last one says when there are more."""
    every = list(found)
    if len(every) > max(height, 1):
        left = len(every) - height + 1
        every = [*every[: height - 1], Content.styled(f"... {left} more", QUIET)]
    return Content("\n").join(every)


def sides(left: Content, right: Content) -> Content:
    """A line of both sides."""
    return Content.assemble(left, (" │ ", QUIET), right)


def flowing(words: Iterable[Content], width: int, gap: str = "   ") -> list[Content]:
    """Pieces one after the other, each of them whole, in as many lines as it takes."""
    rows: list[Content] = []
    for word in words:
        if rows and rows[-1].cell_length + len(gap) + word.cell_length <= width:
            rows[-1] = Content.assemble(rows[-1], gap, word)
        else:
            rows.append(word.truncate(max(width, 1), ellipsis=True))
    return rows


def press(content: Content, action: str) -> Content:
    """Something that does an action of the terminal when it is clicked."""
    return content.stylize(Style.from_meta({CLICK: action}))


def short(name: str) -> str:
    """A controller's name without what all of them are called."""
    return name.removesuffix("-controller")


# What is always there


def head(looking: Looking, width: int, _: int) -> Content:
    """What has happened last, and the keys that everybody needs."""
    keys = " t tour  ? help  q quit"
    note = looking.note or looking.frame["note"] or "one promise, kept in two ways"
    style = WARN if looking.note else ""
    return Content.assemble(
        line((" Verger ", "bold reverse"), " ", (note, style), width=width - len(keys)),
        (keys, QUIET),
    )


def side(name: str) -> Draw:
    """Half of the screen: the number, the counts, and the lanes of one side."""

    def draw(looking: Looking, width: int, height: int) -> Content:
        score = looking.frame["score"][name]
        title, how, what = _NAMES[name]
        wrong = score["wrong"]
        badge = f" {wrong} {'WRONG' if wrong else 'wrong'} "
        if score["looking"]:
            badge = f" …{badge}"
        left = width - len(badge)
        chosen = looking.side == name
        words = f"{how}: {what}" if left > 55 else how
        top = Content.assemble(
            line(
                ("▸" if chosen else " ", "bold"),
                (title, CHOSEN if chosen else "bold"),
                "  ",
                (words, QUIET),
                width=left,
            ),
            (badge, _BADGES[wrong > 0]),
        )
        counts = f" {score['namespaces']} namespaces {score['accounts']} accounts {score['tokens']} tokens +{score['revision']}"
        lanes = looking.frame["lanes"][name]
        draw_lane = _twin_lane if name == "twin" else _lane
        rest = [row for lane in lanes for row in draw_lane(looking, lane, width)]
        head = [press(top, f"turn({name!r})"), line((counts, QUIET), width=width)]
        return lines([*head, *rest], height)

    return draw


def _status(lane: dict[str, Any]) -> tuple[str, str]:
    status = lane["status"]
    return status, GOOD if status == "running" else WARN if status == "starting" else BAD


def _lane(looking: Looking, lane: dict[str, Any], width: int) -> list[Content]:
    chosen = lane["name"] == looking.controller
    busy: list[Part] = []
    if lane["status"] != "running":
        busy.append(_status(lane))
    elif lane["working"]:
        busy.append((f"on {lane['working'][0]['key']}", "bold"))
    elif not lane["queued"] and not lane["backoff"]:
        busy.append(("idle" if width < 60 else f"idle: {lane['what']}", QUIET))
    busy += [
        (f" ↻{item['key']} try {item['failures'] + 1} in {item['seconds']:.1f} s", WARN)
        for item in lane["backoff"][:2]
    ]
    if lane["next"]:
        busy.append((f" then {', '.join(lane['next'][:3])}", QUIET))
    row = line(
        ("▸" if chosen else " ", "bold"),
        (f"{short(lane['name']):<20}", CHOSEN if chosen else ""),
        (f"{lane['queued']:>5} ", "bold" if lane["queued"] else QUIET),
        *busy,
        width=width,
    )
    return [press(row, f"aim({lane['name']!r})")]


def _twin_lane(_: Looking, lane: dict[str, Any], width: int) -> list[Content]:
    name = f" {lane['name']:<20} "
    lost = (f", {lane['lost']} lost", BAD) if lane["lost"] else ", none lost"
    found = [
        line(name, _status(lane), width=width),
        line((f" {lane['handled']} events handled", QUIET), lost, width=width),
    ]
    if lane["error"]:
        rest = Content.styled(lane["error"], WARN).wrap(max(width - 1, 1))
        found += [line(" ", part, width=width) for part in rest[:3]]
    return found


# The rows


def rows(looking: Looking, width: int, height: int) -> Content:
    """Each namespace with what hangs on it, on both sides."""
    half = (width - 3) // 2
    found = looking.rows()
    if not found:
        hint = "Nothing is there yet: n makes a namespace, t begins the tour."
        return line(" ", hint, width=width)
    hidden = looking.frame["hidden"]
    title = (
        " namespace   account   Secret" if half < 60 else f" {'namespace':<16}{'account':<22}Secret"
    )
    heads = [
        f" as it was at +{looking.at}" if looking.at is not None and looking.side == name else title
        for name in SIDES
    ]
    if hidden:
        heads[1] += f"   and {hidden} more"
    row = looking.row()
    index = next((i for i, other in enumerate(found) if other is row), 0)
    room = max(height - 1, 1)
    first = min(max(index - room // 2, 0), max(len(found) - room, 0))
    drawn = [
        sides(*(_row(looking, row, name, half) for name in SIDES))
        for row in found[first : first + room]
    ]
    return lines([sides(*(line((h, QUIET), width=half) for h in heads)), *drawn], height)


def _row(looking: Looking, row: dict[str, Any], name: str, width: int) -> Content:
    view = row[name]
    here = looking.side == name and row["name"] == (looking.row() or row)["name"]
    action = f"choose({name!r}, {row['name']!r})"
    mark: Part = ("▸" if here else " ", "bold")
    if view is None:
        return press(line(mark, ("-", QUIET), width=width), action)
    wide = width >= 60
    chosen = (looking.chosen() or ("", "", 0))[:2] if here else ("", "")

    def cell(resource: str, key: str, text: str, room: int, style: str = "") -> Part:
        if looking.lit(name, resource, key):
            style = f"{style} {LIT}".strip()
        elif chosen == (resource, key):
            style = f"{style} {CHOSEN}".strip()
        return Content.assemble(
            Content.styled(text, style).truncate(room, ellipsis=True), " " * (room - len(text))
        )

    namespace = view["name"]
    parts: list[Part] = [mark]
    text = f"{namespace} +{view['revision']}" if wide else namespace
    parts += [cell("namespaces", namespace, text, 15 if wide else 11), " "]
    if view["accounts"]:
        account = view["accounts"][0]
        key = f"{namespace}/{account['name']}"
        text = f"{account['uid'][:4]}+{account['revision']}"
        text = f"{account['name']} {text}" if wide else text
        parts.append(cell("serviceaccounts", key, text, 21 if wide else 9))
    else:
        room = 21 if wide else 9
        parts.append((f"{'going' if view['terminating'] else 'none':<{room}}", BAD))
    parts.append(" ")
    if not view["secrets"]:
        parts.append(("✗ no token", BAD))
    for secret in view["secrets"]:
        sign = {"good": "✓", "bad": "✗"}.get(secret["standing"], "…")
        style = {"good": GOOD, "bad": BAD}.get(secret["standing"], QUIET)
        text = secret["name"] if wide else secret["name"].rpartition("-")[2]
        text = f"{sign} {text}+{secret['revision']}"
        parts += [cell("secrets", f"{namespace}/{secret['name']}", text, len(text), style), " "]
    return press(line(*parts, width=width), action)
