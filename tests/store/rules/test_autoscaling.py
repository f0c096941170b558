"""Autoscalers: bounds, metrics and behavior, and how version 1 shows them."""

from typing import Any

import pytest
from verger.store.kinds import built_in

from tests.store.rules.conftest import (
    ABSENT,
    STORED,
    at,
    change_refusals,
    fitted,
    put,
    refusals,
    stored,
)

KIND = "HorizontalPodAutoscaler"
SCALER: dict[str, Any] = {
    "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
}
MEMORY: dict[str, Any] = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
SHARE = {"type": "Percent", "value": 100, "periodSeconds": 15}


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        pytest.param("spec/x", ABSENT, "spec/minReplicas", 1, id="one pod at least"),
        pytest.param(
            "spec/x",
            ABSENT,
            "spec/metrics/0/resource",
            {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            id="by cpu",
        ),
        pytest.param(
            "spec/x",
            ABSENT,
            "status",
            {"desiredReplicas": 0, "currentMetrics": None},
            id="nothing is measured yet",
        ),
        pytest.param("spec/x", ABSENT, "spec/behavior", ABSENT, id="no behavior is none"),
        pytest.param(
            "spec/behavior",
            {"scaleUp": {}},
            "spec/behavior/scaleUp",
            {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, SHARE],
            },
            id="up at once, by four or as many again",
        ),
        pytest.param(
            "spec/behavior",
            {"scaleUp": {}},
            "spec/behavior/scaleDown",
            {"selectPolicy": "Max", "policies": [SHARE]},
            id="down to nothing, after a while",
        ),
    ],
)
def test_what_an_autoscaler_leaves_out_is_filled_in(
    path: str, value: Any, where: str, expected: Any
) -> None:
    """Defaults are upstream's."""
    assert at(stored(KIND, put(SCALER, path, value)), where) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec/maxReplicas",
            0,
            [
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
            id="none at most",
        ),
        pytest.param(
            "spec/minReplicas",
            5,
            ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
            id="more at least than at most",
        ),
        pytest.param(
            "spec/scaleTargetRef",
            {},
            [
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
            ],
            id="nothing to scale",
        ),
        pytest.param(
            "spec/metrics",
            [{"type": "Mood"}],
            [
                'spec.metrics[0].type: Unsupported value: "Mood": supported values: "ContainerResource", "External", '
                '"Object", "Pods", "Resource"'
            ],
            id="an unknown metric",
        ),
        pytest.param(
            "spec/metrics",
            [{"type": "Pods"}],
            [
                "spec.metrics[0].pods: Required value: must populate information for the given metric source"
            ],
            id="a metric that is not there",
        ),
        pytest.param(
            "spec/metrics",
            [put(MEMORY, "resource/target/averageUtilization", 50)],
            [
                "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a "
                "target utilization"
            ],
            id="two targets",
        ),
        pytest.param(
            "spec/behavior",
            {"scaleDown": {"stabilizationWindowSeconds": 3601}},
            [
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to "
                "3600"
            ],
            id="longer than an hour",
        ),
        pytest.param(
            "spec/behavior",
            {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 15}]}},
            [
                "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero"
            ],
            id="by none",
        ),
    ],
)
def test_an_autoscaler_that_cannot_decide_is_refused(
    path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(KIND, put(SCALER, path, value)) == expected


def test_status_counts_pods() -> None:
    """Never fewer than none."""
    assert change_refusals(KIND, SCALER, "status/currentReplicas", -1, "status") == [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0"
    ]


def _shown_as_version_1(obj: dict[str, Any]) -> dict[str, Any]:
    view = _version_1().view
    assert view is not None
    return view.from_stored(obj)


def _version_1() -> Any:
    kind = built_in().get("autoscaling", "v1", KIND)
    assert kind is not None
    return kind


def test_version_1_has_a_field_for_the_share_of_cpu() -> None:
    """Which is there and back again the same."""
    seen = _shown_as_version_1(stored(KIND, SCALER))
    assert seen["spec"] == {
        **SCALER["spec"],
        "minReplicas": 1,
        "targetCPUUtilizationPercentage": 80,
    }
    assert seen["status"] == {"currentReplicas": 0, "desiredReplicas": 0}
    assert METRICS not in (seen["metadata"].get("annotations") or {})
    back = _version_1().view.to_stored(seen)
    assert back["spec"] == stored(KIND, SCALER)["spec"]


def test_version_1_shows_in_annotations_what_it_has_no_field_for() -> None:
    """They are taken back, and never stored as annotations."""
    old = stored(KIND, put(put(SCALER, "spec/metrics", [MEMORY]), "spec/behavior/scaleUp", {}))
    seen = _shown_as_version_1(old)
    assert {METRICS, BEHAVIOR} <= {*seen["metadata"]["annotations"]}
    assert "targetCPUUtilizationPercentage" not in seen["spec"]
    back = _version_1().view.to_stored(fitted(_version_1(), seen))
    assert back["spec"] == old["spec"]
    STORED[KIND].rules.default(back)
    assert "annotations" not in back["metadata"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("7", id="a number"),
        pytest.param('[7, null, "x", [1]]', id="a list of anything"),
        pytest.param('[{"type":"Pods","pods":7,"status":7}]', id="a metric of a wrong sort"),
        pytest.param('[{"type":{"a":1}}]', id="a type that is none"),
    ],
)
def test_annotation_that_is_not_what_it_should_be_is_passed_over(text: str) -> None:
    """Whoever wrote it, the autoscaler is read without it."""
    notes = {METRICS: text, BEHAVIOR: text, CURRENT: text, CONDITIONS: text}
    body = put({**SCALER, "status": {}}, "metadata/annotations", notes)
    found = _version_1().view.to_stored(body)
    assert not {"metrics", "behavior"} & {*found["spec"]}
    assert found["status"] == {}
