"""The figures, their goals, and the table that compares them.

Goals are data, one row for each figure, so that what the project promises can be read in one place.
A share of the floor is a goal that any machine can check; absolute goals are for what users feel
whatever the machine.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.embedded import TESTS

SERVERS = ("floor", "verger")
# The ES256 storm on a floor that signs on its event loop; see bench.floor.Signer.
LOOP_RATE = "es256_loop_identities_per_s"
# For each server, all rounds of each figure by its name.
Rounds = Mapping[str, Mapping[str, list[float]]]


class Goal(Protocol):
    """Something that a figure of Verger reaches or does not."""

    def met(self, *, floor: float | None, verger: float) -> bool | None:
        """Tell whether the figure reaches the goal; None when it cannot be told."""

    def __str__(self) -> str:
        """Return the goal as the table shows it."""


@dataclass(frozen=True, slots=True)
class ShareOfFloor:
    """At least so much of what the floor reached."""

    share: float

    def met(self, *, floor: float | None, verger: float) -> bool | None:
        return None if floor is None else verger >= self.share * floor

    def __str__(self) -> str:
        return f">= {self.share:g} of floor"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """At least so much, in the figure's unit."""

    limit: float

    def met(self, *, floor: float | None, verger: float) -> bool | None:
        return verger >= self.limit

    def __str__(self) -> str:
        return f">= {self.limit:g}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """At most so much, in the figure's unit."""

    limit: float

    def met(self, *, floor: float | None, verger: float) -> bool | None:
        return verger <= self.limit

    def __str__(self) -> str:
        return f"<= {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    label: str
    digits: int = 0
    goal: Goal | None = None


def start_figures() -> list[Figure]:
    """Return what is measured at starting and stopping a server process."""
    return [
        Figure("ready_s", "ready after process start, s", 3, AtMost(0.6)),
        Figure("idle_mb", "resident memory when ready, MB", 1),
        Figure("stop_s", "stop after SIGTERM, s", 3),
    ]


def api_figures() -> list[Figure]:
    """Return what the API load measures."""
    return [
        Figure("create_per_s", "creates/s", 0, ShareOfFloor(0.6)),
        Figure("create_p50_ms", "create p50, ms", 2),
        Figure("create_p99_ms", "create p99, ms", 2),
        Figure("get_per_s", "gets/s", 0, ShareOfFloor(0.6)),
        Figure("get_p50_ms", "get p50, ms", 2),
        Figure("get_p99_ms", "get p99, ms", 2),
        Figure("list_items", "objects in the list"),
        Figure("list_p50_ms", "list of them p50, ms", 2, AtMost(10)),
        Figure("list_mb_per_s", "list, MB/s"),
        Figure("watch_deliveries_per_s", "watch deliveries/s", 0, ShareOfFloor(0.8)),
        Figure("watch_p50_ms", "watch delivery p50, ms", 2),
        Figure("watch_p99_ms", "watch delivery p99, ms", 2),
        Figure("namespace_gone_s", "namespace gone after its delete, s", 3),
        Figure("api_client_cpu_share", "share of a core the client used", 2),
        Figure("loaded_mb", "resident memory after the load, MB", 1, AtMost(120)),
    ]


def format_figures() -> list[Figure]:
    """Return what protobuf, patches and custom objects cost; shares are of the server's CPU time."""
    return [
        Figure("json_get_per_s", "gets/s in JSON"),
        Figure("protobuf_get_per_s", "gets/s in protobuf"),
        Figure("protobuf_get_share", "  JSON's cost by protobuf's", 2, AtLeast(1)),
        Figure("json_list_per_s", "lists/s in JSON"),
        Figure("protobuf_list_per_s", "lists/s in protobuf"),
        Figure("protobuf_list_share", "  JSON's cost by protobuf's", 2, AtLeast(1)),
        Figure("json_watch_per_s", "watch deliveries/s in JSON"),
        Figure("protobuf_watch_per_s", "watch deliveries/s in protobuf"),
        Figure("protobuf_watch_share", "  JSON's cost by protobuf's", 2, AtLeast(1)),
        Figure("apply_per_s", "applies/s"),
        Figure("apply_us", "  CPU of the server, us"),
        Figure("strategic_per_s", "strategic merges/s"),
        Figure("strategic_us", "  CPU of the server, us"),
        Figure("plain_create_per_s", "creates/s, ConfigMaps with 200 keys"),
        Figure("custom_create_per_s", "creates/s, custom objects with 200 fields"),
        Figure("custom_share", "  the first's cost by the second's", 2, AtLeast(0.5)),
    ]


def identity_figures(algorithm: str) -> list[Figure]:
    """Return what the identity storm measures with one algorithm."""
    prefix = algorithm.lower()
    rows = [
        Figure(
            f"{prefix}_identities_per_s",
            f"identities/s, {algorithm}",
            0,
            ShareOfFloor(0.6) if algorithm == "ES256" else None,
        )
    ]
    if algorithm == "ES256":
        rows.append(Figure(LOOP_RATE, "  beside a floor that signs on its loop"))
    if algorithm == "RS256":
        label = "  as a share of raw signing on all cores"
        rows.append(Figure(f"{prefix}_share_of_signing", label, 2))
    return [
        *rows,
        Figure(f"{prefix}_account_p50_ms", "  account p50, ms", 2),
        Figure(f"{prefix}_account_p99_ms", "  account p99, ms", 2),
        Figure(f"{prefix}_token_p50_ms", "  token p50, ms", 2),
        Figure(f"{prefix}_token_p99_ms", "  token p99, ms", 2),
        Figure(f"{prefix}_client_cpu_share", "  share of a core the client used", 2),
    ]


def token_figures() -> list[Figure]:
    """Return what tokens cost."""
    return [
        Figure("account_gets_per_s", "gets/s with an account's token"),
        Figure("certificate_gets_per_s", "gets/s with a client certificate"),
        Figure("account_share", "  the first as a share of the second", 2, AtLeast(0.8)),
        Figure("token_requests_per_s", "TokenRequests/s, RS256"),
        Figure("token_requests_share", "  as a share of raw signing", 2, AtLeast(0.6)),
    ]


def remote_figures() -> list[Figure]:
    """Return what controllers in a process of their own reach."""
    return [
        Figure("inside_identities_per_s", "identities/s, controllers in the server"),
        Figure("inside_cpu_ms", "  CPU of the server for each, ms", 2),
        Figure("daemon_identities_per_s", "identities/s, controllers beside it"),
        Figure("daemon_share", "  the second as a share of the first", 2, AtLeast(0.5)),
        Figure("daemon_cpu_ms", "  CPU of the daemon for each, ms", 2),
        Figure("daemon_server_cpu_ms", "  CPU of its server for each, ms", 2),
    ]


def preloaded_figures() -> list[Figure]:
    """Return what a daemon does beside a cluster that is full."""
    return [
        Figure("preloaded_ready_s", "ready after process start, s", 2),
        Figure("preloaded_converged_s", "all served after it, s", 1),
        Figure("preloaded_per_s", "  namespaces/s", 0),
        Figure("preloaded_mb", "  resident memory then, MB", 1),
        Figure("preloaded_writes_each", "  writes for each namespace", 2, AtMost(4)),
        Figure("preloaded_reads", "  gets and lists"),
        Figure("preloaded_watches", "  open watches"),
        Figure("second_ready_s", "second start: ready, s", 2),
        Figure("second_mb", "  resident memory, MB", 1),
        Figure("second_writes", "  writes", 0, AtMost(0)),
        Figure("second_reads", "  gets and lists"),
        Figure("second_watches", "  open watches, one for each kind"),
    ]


def decision_figures(bindings: tuple[int, ...]) -> list[Figure]:
    """Return what a decision costs at each number of bindings."""
    return [
        Figure(f"{name}_{position}_us", f"{name} decision, {count} bindings, us", 1)
        for name in ("allowed", "refused")
        for position, count in enumerate(bindings)
    ]


def signing_figures() -> list[Figure]:
    """Return the machine's own limits, which stand in the floor's column."""
    return [
        Figure("es256_signatures_per_s", "ES256 signatures/s on all cores"),
        Figure("rs256_signatures_per_s", "RS256 (2048) signatures/s on all cores"),
    ]


def embedded_figures(crowd: int) -> list[Figure]:
    """Return what starting inside the caller's process measures."""
    return [
        Figure("embedded_start_ms", "start in the process, ms", 1, AtMost(50)),
        Figure("embedded_stop_ms", "stop in the process, ms", 1, AtMost(10)),
        Figure("crowd_start_s", f"start of {crowd} at once, s", 2),
        Figure("crowd_stop_s", f"stop of {crowd}, s", 2),
        Figure("crowd_mb_each", f"resident memory of each of {crowd}, MB", 2),
        Figure("crowd_mb", f"the process with {crowd} of them, MB", 0, AtMost(200)),
        Figure("reset_ms", "reset, ms", 2, AtMost(1)),
        Figure("reset_settled_ms", "reset, and everything has followed, ms", 2),
        Figure("suite_s", f"{TESTS} tests, each afresh, with pytest's start, s", 1, AtMost(20)),
        Figure("plugin_import_ms", "import of the pytest plugin, ms", 1, AtMost(50)),
    ]


def flatness_figures(stored: tuple[int, ...], watches: tuple[int, ...]) -> list[Figure]:
    """Return what a write costs at each filling, and its ratio to the first filling."""
    rows = []
    for name, what, counts in (
        ("stored", "objects stored", stored),
        ("watches", "idle watches", watches),
    ):
        for position, count in enumerate(counts):
            rows.append(Figure(f"{name}_{position}_us", f"write, {count} {what}, us of CPU"))
            if position:
                label = f"  its ratio to {counts[0]}"
                rows.append(Figure(f"{name}_{position}_ratio", label, 2, AtMost(1.25)))
                elapsed = f"{name}_{position}_elapsed_ratio"
                rows.append(Figure(elapsed, f"{label}, elapsed time", 2))
    return rows


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with the medians of its rounds."""

    figure: Figure
    floor: float | None
    verger: float | None

    @property
    def ratio(self) -> float | None:
        """Return Verger's figure by the floor's; None when one is missing."""
        if self.verger is None or not self.floor:
            return None
        return self.verger / self.floor

    @property
    def met(self) -> bool | None:
        """Tell whether the goal is met; None without a goal, or without what it needs."""
        if self.figure.goal is None or self.verger is None:
            return None
        return self.figure.goal.met(floor=self.floor, verger=self.verger)


def compare(figures: Iterable[Figure], rounds: Rounds) -> list[Row]:
    """Return one row for each figure that at least one server has."""
    rows = []
    for figure in figures:
        floor, verger = (_median(rounds.get(server, {}).get(figure.name)) for server in SERVERS)
        if floor is not None or verger is not None:
            rows.append(Row(figure, floor, verger))
    return rows


def _median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


def render(sections: Iterable[tuple[str, list[Row]]]) -> str:
    """Return the table as text: figure, floor, verger, ratio, goal, and whether it is met."""
    layout = "{:<44} {:>10} {:>10} {:>7}  {:<16} {}"
    lines = [layout.format("figure", "floor", "verger", "ratio", "goal", "met").rstrip()]
    for title, rows in sections:
        if not rows:
            continue
        lines.append(title)
        for row in rows:
            figure = row.figure
            cells = (
                f"  {figure.label}",
                _number(row.floor, figure.digits),
                _number(row.verger, figure.digits),
                _number(row.ratio, 2),
                str(figure.goal or ""),
                {True: "yes", False: "NO", None: ""}[row.met],
            )
            lines.append(layout.format(*cells).rstrip())
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def as_json(sections: Iterable[tuple[str, list[Row]]], rounds: Rounds) -> list[dict[str, object]]:
    """Return every figure with its medians, all its rounds, its goal and whether it is met."""
    return [
        {
            "section": title,
            "name": row.figure.name,
            "label": row.figure.label.strip(),
            "floor": row.floor,
            "verger": row.verger,
            "ratio": row.ratio,
            "goal": str(row.figure.goal) if row.figure.goal else None,
            "met": row.met,
            "rounds": {
                s: rounds[s][row.figure.name]
                for s in SERVERS
                if row.figure.name in rounds.get(s, {})
            },
        }
        for title, rows in sections
        for row in rows
    ]
