"""Deployments, ReplicaSets, DaemonSets and StatefulSets: what is filled in, what is refused, what stays."""

from typing import Any

import pytest

from tests.store.rules.conftest import (
    ABSENT,
    STORED,
    at,
    change_refusals,
    changed,
    put,
    refusals,
    stored,
    update,
)

WORKLOAD: dict[str, Any] = {
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
}
KINDS = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet")
IMMUTABLE = "field is immutable"
MISMATCH = (
    'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template '
    "`labels`"
)
SET_FROZEN = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.mark.parametrize(
    ("kind", "where", "expected"),
    [
        pytest.param("Deployment", "spec/replicas", 1, id="a deployment has one pod"),
        pytest.param(
            "Deployment",
            "spec/strategy",
            {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            id="a quarter is replaced at a time",
        ),
        pytest.param("Deployment", "spec/revisionHistoryLimit", 10, id="ten revisions are kept"),
        pytest.param(
            "Deployment", "spec/progressDeadlineSeconds", 600, id="ten minutes for progress"
        ),
        pytest.param("Deployment", "status", {}, id="nothing is known of a deployment"),
        pytest.param("ReplicaSet", "spec/replicas", 1, id="a replica set has one pod"),
        pytest.param("ReplicaSet", "status", {"replicas": 0}, id="none of which is there"),
        pytest.param(
            "DaemonSet",
            "spec/updateStrategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            id="nodes are updated one by one",
        ),
        pytest.param(
            "DaemonSet",
            "metadata/annotations",
            {"deprecated.daemonset.template.generation": "1"},
            id="the first template",
        ),
        pytest.param(
            "StatefulSet", "spec/podManagementPolicy", "OrderedReady", id="one after the other"
        ),
        pytest.param(
            "StatefulSet",
            "spec/updateStrategy",
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            id="all of a set are updated",
        ),
        pytest.param(
            "StatefulSet",
            "spec/persistentVolumeClaimRetentionPolicy",
            {"whenDeleted": "Retain", "whenScaled": "Retain"},
            id="claims outlive the set",
        ),
    ],
)
def test_what_a_workload_leaves_out_is_filled_in(kind: str, where: str, expected: Any) -> None:
    """Defaults are upstream's, and so is the status of a new one."""
    assert at(stored(kind, WORKLOAD), where) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_template_is_filled_in_as_a_pod_is_but_for_what_only_pods_have(kind: str) -> None:
    """So that a default that comes later does not change every workload."""
    spec = stored(kind, WORKLOAD)["spec"]["template"]["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["restartPolicy"] == "Always"
    assert not {"enableServiceLinks", "priority", "tolerations"} & {*spec}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec/selector",
            {"matchLabels": {"x": "y"}},
            [MISMATCH],
            id="a selector that selects other pods",
        ),
        pytest.param(
            "spec/template/spec/restartPolicy",
            "Never",
            [
                'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
            ],
            id="pods that end",
        ),
        pytest.param(
            "spec/template/spec/containers",
            [],
            ["spec.template.spec.containers: Required value"],
            id="pods of nothing",
        ),
        pytest.param(
            "spec/minReadySeconds",
            -1,
            ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
            id="less than no time",
        ),
        pytest.param(
            "spec/template/spec/activeDeadlineSeconds",
            5,
            ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "],
            id="a deadline",
        ),
    ],
)
def test_a_workload_whose_pods_cannot_be_is_refused(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The template is judged as a pod is, and has to fit the selector."""
    found = refusals(kind, put(WORKLOAD, path, value))
    assert [text[: len(want)] for text, want in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param(
            "Deployment",
            "spec/selector",
            ABSENT,
            ["spec.selector: Required value", MISMATCH],
            id="no selector",
        ),
        pytest.param(
            "Deployment",
            "spec/selector",
            {},
            ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
            id="a selector of everything",
        ),
        pytest.param(
            "Deployment",
            "spec/strategy",
            {"type": "Recreate", "rollingUpdate": {}},
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
            ],
            id="two strategies",
        ),
        pytest.param(
            "Deployment",
            "spec/strategy",
            {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}},
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
            ],
            id="an update that never begins",
        ),
        pytest.param(
            "Deployment",
            "spec/strategy",
            {"rollingUpdate": {"maxUnavailable": "9" * 5000 + "%"}},
            [
                f'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "{"9" * 5000}%": must not be greater than '
                "100%"
            ],
            id="far more than all of it",
        ),
        pytest.param(
            "Deployment",
            "spec/progressDeadlineSeconds",
            0,
            [
                "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"
            ],
            id="no time for progress",
        ),
        pytest.param(
            "DaemonSet",
            "spec/updateStrategy",
            {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is "
                "non-zero"
            ],
            id="a daemon set takes away or adds",
        ),
        pytest.param(
            "StatefulSet",
            "spec/podManagementPolicy",
            "Chaos",
            [
                "spec.podManagementPolicy: Invalid value: \"Chaos\": must be 'OrderedReady' or 'Parallel'"
            ],
            id="an unknown order",
        ),
        pytest.param(
            "StatefulSet",
            "spec/volumeClaimTemplates",
            [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
            ["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"],
            id="a claim of no size",
        ),
    ],
)
def test_what_a_kind_refuses_of_its_own(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, put(WORKLOAD, path, value)) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param("Deployment", "spec/replicas", 5, [], id="the number of pods"),
        pytest.param(
            "Deployment", "spec/template/spec/containers/0/image", "i:2", [], id="an image"
        ),
        *(
            pytest.param(
                kind,
                "spec/selector/matchLabels",
                {"a": "b", "c": "d"},
                [
                    MISMATCH,
                    f'spec.selector: Invalid value: {{"matchLabels":{{"a":"b","c":"d"}}}}: {IMMUTABLE}',
                ],
                id=f"the selector of a {kind}",
            )
            for kind in ("Deployment", "ReplicaSet", "DaemonSet")
        ),
        pytest.param("StatefulSet", "spec/replicas", 5, [], id="the number of pods of a set"),
        pytest.param(
            "StatefulSet", "spec/serviceName", "s", [SET_FROZEN], id="the service of a set"
        ),
        pytest.param(
            "StatefulSet", "spec/volumeClaimTemplates", [CLAIM], [SET_FROZEN], id="claims of a set"
        ),
    ],
)
def test_what_a_workload_selects_stays(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """Its pods would be lost otherwise."""
    assert change_refusals(kind, WORKLOAD, path, value) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_status_is_written_through_its_own_endpoint(kind: str) -> None:
    """The main one leaves it alone, and counts changes of the spec."""
    old = stored(kind, WORKLOAD)
    both = put(put(old, "spec/minReadySeconds", 7), "status/observedGeneration", 1)
    main, _ = update(STORED[kind], old, both)
    assert (main["status"], main["metadata"]["generation"]) == (old["status"], 2)
    part, errors = update(STORED[kind], old, both, "status")
    assert (part["spec"], part["status"]["observedGeneration"], errors) == (old["spec"], 1, [])


def test_templates_of_a_daemon_set_are_counted() -> None:
    """In the annotation that upstream deprecated and never took away."""
    again = changed("DaemonSet", WORKLOAD, "spec/template/spec/containers/0/image", "i:2")
    same = changed("DaemonSet", WORKLOAD, "spec/minReadySeconds", 1)
    key = "metadata/annotations"
    name = "deprecated.daemonset.template.generation"
    assert (at(again, key)[name], at(same, key)[name]) == ("2", "1")
