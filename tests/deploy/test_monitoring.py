"""Alerts and panels are about numbers that a daemon tells, by names and labels that it has."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cmd.beside import FAST, Site, ask, free_port, site_in
from tests.cmd.conftest import DEADLINE

MONITORING: Final = Path(__file__).parent.parent.parent / "deploy" / "monitoring"
RULES: Final[Sequence[Mapping[str, Any]]] = [
    rule
    for group in yaml.safe_load((MONITORING / "verger.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD: Final[Mapping[str, Any]] = json.loads((MONITORING / "verger.dashboard.json").read_text())
PANELS: Final[Sequence[Mapping[str, Any]]] = DASHBOARD["panels"]
TARGETS: Final = [target for panel in PANELS for target in panel["targets"]]
EXPRESSIONS: Final = [*(rule["expr"] for rule in RULES), *(t["expr"] for t in TARGETS)]
OF_THE_SCRAPE: Final = {"job", "instance", "le"}
"""Labels that Prometheus adds, or that every histogram has."""
SERVED: Final = ("namespace_to_account", "account_to_token")
WORDS: Final = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}
_STRING: Final = re.compile(r'"[^"]*"')
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^}]*)\}")
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]")
_NAME: Final = re.compile(r"[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])")


class Used(NamedTuple):
    """What an expression speaks of."""

    metrics: set[str]
    labels: set[str]


def used(expression: str) -> Used:
    """Its metrics and its labels."""
    plain = _STRING.sub('""', expression)
    labels = {
        label.strip()
        for found in _GROUPING.finditer(plain)
        for label in found[1].split(",")
        if label.strip()
    }
    for _, inner in _SELECTOR.findall(plain):
        labels |= {re.split(r"[=!~]", part)[0].strip() for part in inner.split(",") if part.strip()}
    bare = _GROUPING.sub(" ", _RANGE.sub("", _SELECTOR.sub(r"\1 ", plain)))
    return Used({name for name in _NAME.findall(bare) if name not in WORDS}, labels)


def test_what_expressions_speak_of_is_found() -> None:
    """The tests below see names and labels, and take neither functions nor words for them."""
    expression = (
        'sum by (a, b) (rate(one_total{c!="x{y}", d=~"1|2"}[5m])) / on (e) max(two) > 0.5 and three'
    )
    assert used(expression) == Used({"one_total", "two", "three"}, {"a", "b", "c", "d", "e"})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_in(tmp_path) as site:
        yield site


def exported(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each name that can be asked for, with its labels, whether or not there is a value yet."""
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, labels
        if family.type == "histogram":
            for part in ("bucket", "count", "sum"):
                yield f"{name}_{part}", labels


async def test_numbers_are_those_of_a_daemon(site: Site) -> None:
    """A number that nobody tells makes an alert that never comes, and an empty panel."""
    port = free_port()
    open_to_all = "--authorization-always-allow-paths=/metrics"
    daemon = await site.run(*FAST, f"--secure-port={port}", open_to_all)
    await daemon.until("ready")
    await site.namespace("demo")
    await site.served("demo")
    text = ""
    async with asyncio.timeout(DEADLINE):
        # It hears of what it has written a moment after everybody else.
        while not all(
            re.search(rf"^verger_{name}_seconds_count [1-9]", text, re.M) for name in SERVED
        ):
            code, text = await ask(port, "/metrics")
            assert code == 200
    told = dict(exported(text))
    assert 'root_ca_cert_publisher_sync_total{code="200"}' in text
    labels = set().union(*told.values()) | OF_THE_SCRAPE
    for expression in EXPRESSIONS:
        found = used(expression)
        assert found.metrics - set(told) - RECORDED == set(), expression
        assert found.labels - labels == set(), expression
    assert await daemon.end() == 0


def test_expressions_take_the_numbers_of_the_daemon_alone() -> None:
    """Other programs have numbers of the same names: every selector says which job is meant, as the scrape calls it."""
    (scrape,) = yaml.safe_load((MONITORING / "scrape.yaml").read_text())
    meant = {"$job", scrape["job_name"]}
    assert scrape["scheme"] == "https"
    for expression in EXPRESSIONS:
        for name in used(expression).metrics - RECORDED:
            selectors = re.findall(rf"\b{name}\b(\{{[^}}]*\}})?", expression)
            jobs = {job for each in selectors for job in re.findall(r'job="([^"]*)"', each)}
            assert all('job="' in each for each in selectors), expression
            assert jobs <= meant


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_tells_what_to_do(alert: Mapping[str, Any]) -> None:
    """It has a severity, a line, a text, and only such keys as Prometheus knows; its text speaks of labels that are there."""
    assert set(alert) <= {"alert", "expr", "for", "labels", "annotations", "keep_firing_for"}
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert set(alert["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+[smh]", alert.get("for", "0s"))
    kept = re.findall(r"\bby \(([^)]*)\)", alert["expr"])
    for text in alert["annotations"].values():
        assert text.strip().endswith((".", "?")), "no sentence"
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert kept, text
            assert label in kept[0].split(", ")


def test_names_of_alerts_differ_and_recorded_ones_are_used() -> None:
    """Two of one name could not be told apart, and a sum that nobody reads costs."""
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    read = set().union(*(used(alert["expr"]).metrics for alert in ALERTS))
    assert read >= RECORDED


def test_panels_are_a_board() -> None:
    """They have places of their own on 24 columns, and ask the source that is chosen above them."""
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        places = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in places) < 24
        assert places & taken == set(), panel["title"]
        taken |= places
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    variables = {f"${{{one['name']}}}" for one in DASHBOARD["templating"]["list"]}
    assert {target["datasource"]["uid"] for target in TARGETS} <= variables
    assert {target["expr"].count("(") - target["expr"].count(")") for target in TARGETS} == {0}
