"""What the terminal tells of the object that is looked at, of time, of the score and of the tour, one panel each."""

from collections.abc import Sequence
from typing import Any, Final

from textual.content import Content
from verger.demo.looking import PANELS, SIDES, Looking
from verger.demo.panes import BAD, GOOD, QUIET, WARN, Draw, Part, flowing, line, lines, press

_KINDS: Final = {
    "namespaces": "Namespace",
    "serviceaccounts": "ServiceAccount",
    "secrets": "Secret",
}
_CLAIM_PREFIX: Final = "kubernetes.io/serviceaccount/"
_TYPES: Final = {"ADDED": GOOD, "MODIFIED": WARN, "DELETED": BAD}


def seconds(value: float | None) -> str:
    """A duration, as short as it can be read."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 0.995 else f"{value:.1f} s"


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
        count = len(keys["kids"])
        said = f"✓ signature checked against the {count} key{'s' * (count > 1)} at {keys['path']}"
        found.append(line((said, GOOD), width=width))
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
    chosen = looking.chosen()
    if chosen is None:
        return Content.styled("Nothing is there on this side.", QUIET)
    found = []
    for link in looking.why():
        work = link.get("work")
        found.append(_change(link if work is None else {**link, "by": ""}, width))
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
    shown = 1 if height < 8 else 3 if height < 12 else min(8, height // 3)
    if shown == 1:
        around = [change for change in around if change["revision"] <= at]
    for change in around[-shown:]:
        row = _change(change, width, "▸" if change["revision"] == at else " ")
        found.append(press(row, f"go_to({change['revision']})"))
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
        (f"- {before or 'empty'} " if before is not None else "", "$text-error"),
        (f"+ {after or 'empty'}" if after is not None else "", GOOD),
        width=width,
    )


def faults(looking: Looking, width: int, height: int) -> Content:
    """The scoreboard: every fault, how long ours took to get over it, what the twin was left with."""
    score = looking.frame["score"]
    wrong = {name: score[name]["wrong"] for name in SIDES}
    found = flowing(
        [
            Content.assemble("faults ", (str(score["faults"]), "bold")),
            Content.assemble("ours got over ", (str(score["healed"]), "bold")),
            Content(f"mean {seconds(score['mean_seconds'])}"),
            Content(f"longest {seconds(score['longest_seconds'])}"),
            Content.assemble(
                "wrong: ours ",
                (str(wrong["ours"]), BAD if wrong["ours"] else GOOD),
                ", twin ",
                (str(wrong["twin"]), BAD if wrong["twin"] else GOOD),
            ),
        ],
        width,
    )
    tail = 34
    heads = f"{'lasted':>8} {'ours healed':>12} {'twin left':>12}"
    found.append(line((f"{'fault':<{max(width - tail, 5)}}{heads}", QUIET), width=width))
    for fault in reversed(score["log"]):
        healed = f"in {seconds(fault['healed_in'])}" if fault["healed"] else "not yet"
        left = fault["twin_wrong"]
        twin = "-" if left is None else f"{left} wrong"
        found.append(
            Content.assemble(
                line(f"{fault['number']:>3} ", fault["what"], width=max(width - tail, 5)),
                f"{seconds(fault['lasted']):>8} ",
                (f"{healed:>12} ", GOOD if fault["healed"] else WARN),
                (f"{twin:>12}", BAD if left else GOOD),
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
    text = list(Content(told["text"]).wrap(max(min(width, 100), 1)))
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
