"""Quotas, limit ranges, disruption budgets and priorities: what is filled in, refused, and frozen."""

from typing import Any

import pytest

from tests.store.rules.conftest import (
    ABSENT,
    STORED,
    at,
    change_refusals,
    put,
    refusals,
    stored,
)

QUOTA: dict[str, Any] = {"spec": {"hard": {"pods": "3", "cpu": "2"}}}
LIMITS: dict[str, Any] = {"spec": {"limits": [{"type": "Container"}]}}
BUDGET: dict[str, Any] = {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
PRIORITY: dict[str, Any] = {"value": 10}
BODIES = {
    "ResourceQuota": QUOTA,
    "LimitRange": LIMITS,
    "PodDisruptionBudget": BUDGET,
    "PriorityClass": PRIORITY,
}
ZERO = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
COUNTS = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
LIMIT = "spec/limits/0"


@pytest.mark.parametrize(
    ("kind", "path", "value", "where", "expected"),
    [
        pytest.param("ResourceQuota", "x", ABSENT, "status", {}, id="nothing is counted yet"),
        pytest.param(
            "LimitRange",
            f"{LIMIT}/max",
            {"cpu": "2"},
            LIMIT,
            {
                "type": "Container",
                "max": {"cpu": "2"},
                "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "2"},
            },
            id="limits follow the maximum, requests the limits",
        ),
        pytest.param(
            "LimitRange",
            f"{LIMIT}/min",
            {"cpu": "1"},
            f"{LIMIT}/defaultRequest",
            {"cpu": "1"},
            id="requests follow the minimum",
        ),
        pytest.param(
            "PodDisruptionBudget", "x", ABSENT, "status", COUNTS, id="counts begin at none"
        ),
        pytest.param("PriorityClass", "value", ABSENT, "value", 0, id="no priority"),
        pytest.param(
            "PriorityClass",
            "x",
            ABSENT,
            "preemptionPolicy",
            "PreemptLowerPriority",
            id="others are pushed aside",
        ),
    ],
)
def test_what_is_left_out_is_filled_in(
    kind: str, path: str, value: Any, where: str, expected: Any
) -> None:
    """Defaults are upstream's."""
    assert at(stored(kind, put(BODIES[kind], path, value)), where) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param(
            "ResourceQuota",
            "spec/hard",
            {"pods": "-1"},
            [f'spec.hard[pods]: Invalid value: "-1": {ZERO}'],
            id="fewer than none",
        ),
        pytest.param(
            "ResourceQuota",
            "spec/hard",
            {"pods": "1500m"},
            ['spec.hard[pods]: Invalid value: "1500m": must be an integer'],
            id="a half pod",
        ),
        pytest.param(
            "ResourceQuota",
            "spec/hard",
            {"happiness": "1"},
            [
                'spec.hard[happiness]: Invalid value: "happiness": must be a standard resource type or fully qualified',
                'spec.hard[happiness]: Invalid value: "happiness": must be a standard resource for quota',
            ],
            id="what cannot be counted",
        ),
        pytest.param(
            "ResourceQuota",
            "spec/scopes",
            ["Fun"],
            ['spec.scopes: Invalid value: ["Fun"]: unsupported scope'],
            id="an unknown scope",
        ),
        pytest.param(
            "ResourceQuota",
            "spec",
            {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
            id="a scope that does not fit",
        ),
        pytest.param(
            "ResourceQuota",
            "spec",
            {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
            id="scopes that have nothing in common",
        ),
        pytest.param(
            "ResourceQuota",
            "spec/scopes",
            ["Terminating", "NotTerminating"],
            ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'],
            id="pods that end and do not",
        ),
        pytest.param(
            "LimitRange",
            LIMIT,
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
                'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
            ],
            id="bounds that cannot be met",
        ),
        pytest.param(
            "LimitRange",
            f"{LIMIT}/type",
            "Thing",
            [
                'spec.limits[0].type: Invalid value: "Thing": must be a standard limit type or fully qualified'
            ],
            id="limits of nothing",
        ),
        pytest.param(
            "LimitRange",
            LIMIT,
            {"type": "Pod", "default": {"cpu": "1"}},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
            id="pods have no default",
        ),
        pytest.param(
            "LimitRange",
            "spec/limits/1",
            {"type": "Container"},
            ['spec.limits[1].type: Duplicate value: "Container"'],
            id="the same limits twice",
        ),
        pytest.param(
            "PodDisruptionBudget",
            "spec/minAvailable",
            "101%",
            ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
            id="more than all",
        ),
        pytest.param(
            "PodDisruptionBudget",
            "spec/maxUnavailable",
            1,
            [
                'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":1,'
                '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
            ],
            id="two bounds",
        ),
        pytest.param(
            "PriorityClass",
            "value",
            1_000_000_001,
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
            id="as high as the system",
        ),
        pytest.param(
            "PriorityClass",
            "metadata",
            {"name": "system-mine"},
            [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
                "error: system-mine is not a known system priority class"
            ],
            id="a name like the system's",
        ),
    ],
)
def test_a_bound_that_cannot_be_kept_is_refused(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, put(BODIES[kind], path, value)) == expected


def test_many_unknown_scopes_are_complained_of_once() -> None:
    """The complaint shows all of them, so that one for each would fill the memory."""
    scopes = [f"s{number}" for number in range(3000)]
    (complaint,) = refusals("ResourceQuota", put(QUOTA, "spec/scopes", scopes))
    assert complaint.endswith("unsupported scope")


@pytest.mark.parametrize(
    ("kind", "path", "value", "subresource", "expected"),
    [
        pytest.param("ResourceQuota", "spec/hard", {"pods": "9"}, "", [], id="the bounds"),
        pytest.param(
            "ResourceQuota",
            "spec/scopes",
            ["NotBestEffort"],
            "",
            [f'spec.scopes: Invalid value: ["NotBestEffort"]: {IMMUTABLE}'],
            id="what a quota is about",
        ),
        pytest.param(
            "ResourceQuota",
            "status/used",
            {"pods": "-1"},
            "status",
            [f'status.used[pods]: Invalid value: "-1": {ZERO}'],
            id="what is used",
        ),
        pytest.param("PodDisruptionBudget", "spec/minAvailable", 2, "", [], id="a budget"),
        pytest.param(
            "PodDisruptionBudget",
            "status/currentHealthy",
            -1,
            "status",
            [f"status.currentHealthy: Invalid value: -1: {ZERO}"],
            id="what is counted",
        ),
        pytest.param(
            "PriorityClass",
            "value",
            11,
            "",
            ["value: Forbidden: may not be changed in an update."],
            id="a priority",
        ),
        pytest.param(
            "PriorityClass",
            "preemptionPolicy",
            "Never",
            "",
            [f'preemptionPolicy: Invalid value: "Never": {IMMUTABLE}'],
            id="whether others are pushed aside",
        ),
        pytest.param("PriorityClass", "description", "d", "", [], id="what is said of it"),
    ],
)
def test_what_others_rely_on_stays(
    kind: str, path: str, value: Any, subresource: str, expected: list[str]
) -> None:
    """What was decided by it was decided by its old value."""
    assert change_refusals(kind, BODIES[kind], path, value, subresource) == expected


def test_only_budgets_ask_for_a_revision() -> None:
    """Their controller and evictions both write them."""
    asking = [kind for kind in BODIES if not STORED[kind].rules.unconditional_update]
    assert asking == ["PodDisruptionBudget"]
