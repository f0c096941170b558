"""The panes of the terminal: each makes text of what is looked at, as wide and as high as there is room.

Colours say nothing that words or signs do not say as well, and are those of the theme, so that light and dark are alike.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from textual.content import Content
from textual.style import Style
from verger.demo.looking import PANELS, SIDES, Looking

Draw = Callable[[Looking, int, int], Content]
GOOD: Final = "$text-success"
BAD: Final = "bold $text-error"
WARN: Final = "$text-warning"
QUIET: Final = "$text-muted"
CHOSEN: Final = "bold underline"
LIT: Final = "bold reverse"
_BADGES: Final = {True: "bold white on #b3261e", False: "bold white on #1b7f3b"}
_NAMES: Final = {
    "ours": ("VERGER", "level-triggered", "looks at what is there"),
    "twin": ("TWIN", "edge-triggered", "trusts what it hears"),
}
_KINDS: Final = {
    "namespaces": "Namespace",
    "serviceaccounts": "ServiceAccount",
    "secrets": "Secret",
}
_CLAIM_PREFIX: Final = "kubernetes.io/serviceaccount/"
_TYPES: Final = {"ADDED": GOOD, "MODIFIED": WARN, "DELETED": BAD}
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
    """Something that can be clicked."""
    return content.stylize(Style.from_meta({"@click": action}))


def seconds(value: float | None) -> str:
    """A duration, as short as it can be read."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 0.995 else f"{value:.1f} s"


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
        head = [press(top, f"app.turn({name!r})"), line((counts, QUIET), width=width)]
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
    return [press(row, f"app.aim({lane['name']!r})")]


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
        " namespace   account  Secret" if half < 60 else f" {'namespace':<16}{'account':<22}Secret"
    )
    heads = [
        f"{title}   as it was at +{looking.at}"
        if looking.at is not None and looking.side == name
        else title
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
    action = f"app.choose({name!r}, {row['name']!r})"
    mark: Part = ("▸" if here else " ", "bold")
    if view is None:
        return press(line(mark, ("-", QUIET), width=width), action)
    wide = width >= 60
    chosen = (looking.object() or ("", "", 0))[:2] if here else ("", "")

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


# What there is to know more about


def chain(looking: Looking, width: int, height: int) -> Content:
    """Namespace, account, Secret, token; the token decoded, its signature checked; and what is wrong."""
    view = looking.view()
    if view is None:
        return Content.styled("Nothing is there on this side.", QUIET)
    account = view["accounts"][0] if view["accounts"] else None
    secret = view["secrets"][-1] if view["secrets"] else None
    token = secret["token"] if secret else None
    arrow: Part = (" → ", QUIET)
    long = width >= 96
    links: list[Part] = [
        ("Namespace " if long else "", QUIET),
        f"{view['name']} +{view['revision']}",
        arrow,
        ("ServiceAccount " if long else "", QUIET),
        f"{account['name']} +{account['revision']}" if account else ("no account", BAD),
        arrow,
        ("Secret " if long else "", QUIET),
        f"{secret['name']} +{secret['revision']}" if secret else ("no Secret", BAD),
        arrow,
        ("token", "bold") if token else ("no token", BAD),
    ]
    found = [line(*links, width=width)]
    if secret and secret["standing"] == "good":
        keys = looking.frame["keys"]
        said = (
            f"✓ signed by one of the {len(keys['kids'])} keys at {keys['path']}, checked just now"
        )
        found.append(line((said.replace("1 keys", "1 key"), GOOD), width=width))
    found += [line(("✗ " + wrong, BAD), width=width) for wrong in view["wrong"]]
    if token:
        facts = {
            "alg": token["algorithm"],
            "kid": token["kid"],
            **{name.removeprefix(_CLAIM_PREFIX): text for name, text in token["claims"].items()},
        }
        told = [Content.assemble((f"{name} ", QUIET), str(value)) for name, value in facts.items()]
        found += flowing(told, width)
    return lines(found, height)


def why(looking: Looking, width: int, height: int) -> Content:
    """Why the object is there: what was written, by which work, on hearing of what, back to the beginning."""
    chosen = looking.object()
    if chosen is None:
        return Content.styled("Nothing is there on this side.", QUIET)
    found = []
    for link in looking.why():
        work = link.get("work")
        found.append(_change(link, width))
        if work is None:
            continue
        wrote = " ".join(f"+{revision}" for revision in work["wrote"][:6])
        found.append(
            line(
                ("  ← ", QUIET),
                (work["who"], "bold"),
                f" {work['key']}",
                (f"  try {work['attempt']}, {work['milliseconds']} ms, wrote {wrote}", QUIET),
                width=width,
            )
        )
        for heard in link["heard"][:2]:
            at = f" +{heard['revision']}" if heard["revision"] is not None else ""
            told = f"    heard {heard['type']} {heard['resource']} {heard['key']}{at}"
            found.append(line((told, QUIET), width=width))
    return lines(found or [Content.styled("It is not known any more.", QUIET)], height)


def _change(change: dict[str, Any], width: int, mark: str = "") -> Content:
    if "type" not in change:
        return line(f"{mark}+{change['revision']}", width=width)
    kind = _KINDS.get(change["resource"], change["resource"])
    by = change.get("by")
    return line(
        f"{mark}+{change['revision']:<5} ",
        (f"{change['type']:<8} ", _TYPES.get(change["type"], "")),
        f"{kind} {change['key']}",
        (f"  by {by}" if by else "", QUIET),
        width=width,
    )


def timeline(looking: Looking, width: int, height: int) -> Content:
    """The revisions, the one that is looked at, the changes about it, and what is different from another."""
    whole = looking.line()
    first, last, at, since = whole["first"], whole["last"], looking.moment(), looking.since()
    start, end = f"+{first} ", f" +{last}"
    room = max(width - len(start) - len(end), 3)
    track = ["─"] * room
    for revision, sign in ((since, "○"), (at, "●")):
        if looking.mark is not None or sign == "●":
            track[round((revision - first) / max(last - first, 1) * (room - 1))] = sign
    found = [line(start, ("".join(track), "$text-primary"), end, width=width)]
    around = looking.changes()
    shown = 3 if height < 12 else min(8, height // 3)
    if looking.at is not None:
        before = [change for change in around if change["revision"] <= at][1 - shown :]
        around = before + [change for change in around if change["revision"] > at]
    for change in around[-shown:]:
        row = _change(change, width, "▸" if change["revision"] == at else " ")
        found.append(press(row, f"app.go_to({change['revision']})"))
    found.append(line((f"difference from +{since} to +{at}", "bold"), width=width))
    for different in looking.difference():
        style = _TYPES.get(different["type"], "")
        title = f"{_KINDS.get(different['resource'], different['resource'])} {different['key']}"
        found.append(line((f" {different['type']} ", style), title, width=width))
        found += [_field(field, width) for field in different["fields"]]
    return lines(found, height)


def _field(field: dict[str, Any], width: int) -> Content:
    before, after = field["before"], field["after"]
    return line(
        (f"   {field['path']} ", QUIET),
        (f"− {before or 'empty'} " if before is not None else "", "$text-error"),
        (f"+ {after or 'empty'}" if after is not None else "", GOOD),
        width=width,
    )


def faults(looking: Looking, width: int, height: int) -> Content:
    """The scoreboard: every fault, how long ours took to get over it, what the twin was left with."""
    score = looking.frame["score"]
    wrong = {name: score[name]["wrong"] for name in SIDES}
    found = flowing(
        [
            Content.assemble((f"{score['faults']}", "bold"), " faults"),
            Content.assemble("ours got over ", (f"{score['healed']}", "bold")),
            Content(f"mean {seconds(score['mean_seconds'])}"),
            Content(f"longest {seconds(score['longest_seconds'])}"),
            Content.assemble(
                "wrong now: ours ", (str(wrong["ours"]), BAD if wrong["ours"] else GOOD)
            ),
            Content.assemble("twin ", (str(wrong["twin"]), BAD if wrong["twin"] else GOOD)),
        ],
        width,
    )
    tail = 38
    heads = f"{'lasted':>9} {'ours healed':>13} {'twin left':>13}"
    found.append(line((f"{'fault':<{max(width - tail, 5)}}{heads}", QUIET), width=width))
    for fault in reversed(score["log"]):
        healed = f"in {seconds(fault['healed_in'])}" if fault["healed"] else "not yet"
        left = fault["twin_wrong"]
        twin = "-" if left is None else f"{left} wrong"
        found.append(
            Content.assemble(
                line(f"{fault['number']:>3} ", fault["what"], width=max(width - tail, 5)),
                f"{seconds(fault['lasted']):>9} ",
                (f"{healed:>13} ", GOOD if fault["healed"] else WARN),
                (f"{twin:>13}", BAD if left else GOOD),
            )
        )
    return lines(found, height)


def tour(looking: Looking, width: int, height: int) -> Content:
    """The step of the tour, and what was found out when it had happened."""
    told = looking.frame["tour"]
    if told is None:
        return Content.styled("t begins the tour.", QUIET)
    ending = {"over": "space goes on, Esc ends"}.get(told["phase"], told["phase"])
    top = line(
        (f"{told['step']}/{told['of']} ", QUIET),
        (told["title"], "bold"),
        (f"   {ending}", "$text-accent"),
        width=width,
    )
    text = [row for row in Content(told["text"]).wrap(max(min(width, 100), 1))]
    facts = flowing(
        [
            Content.assemble((f"{name}: ", QUIET), (fact, "bold"))
            for name, fact in told["facts"].items()
        ],
        width,
    )
    # Where there is no room for both, what was found out is news, and the text has been read.
    both = [*text, *facts] if 1 + len(text) + len(facts) <= height else [*facts, *text]
    return lines([top, *both], height)


DRAWN: Final[dict[str, Draw]] = {
    "chain": chain,
    "why": why,
    "timeline": timeline,
    "faults": faults,
    "tour": tour,
}


def tabs(looking: Looking) -> Sequence[tuple[str, str]]:
    """The panels that there are to choose, with their numbers."""
    names = PANELS if looking.frame["tour"] is not None else PANELS[:-1]
    return [(str(number), name) for number, name in enumerate(names, 1)]
