"""Pods: what is filled in, what is refused, and what of a running one may change."""

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
)

POD: dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
FROZEN = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
PORT = "must be between 1 and 65535, inclusive"


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        pytest.param("spec/x", ABSENT, "spec/restartPolicy", "Always", id="restarts"),
        pytest.param("spec/x", ABSENT, "spec/dnsPolicy", "ClusterFirst", id="resolver"),
        pytest.param("spec/x", ABSENT, "spec/terminationGracePeriodSeconds", 30, id="grace"),
        pytest.param("spec/x", ABSENT, "spec/enableServiceLinks", True, id="service links"),
        pytest.param("spec/x", ABSENT, "spec/priority", 0, id="priority"),
        pytest.param(
            "spec/priorityClassName",
            "system-node-critical",
            "spec/priority",
            2_000_001_000,
            id="the priority of the system's own class",
        ),
        pytest.param(
            "spec/containers/0/image",
            "reg:5000/i:v1",
            "spec/containers/0/imagePullPolicy",
            "IfNotPresent",
            id="a tag that stays is pulled once",
        ),
        pytest.param(
            "spec/containers/0/image",
            "reg:5000/i",
            "spec/containers/0/imagePullPolicy",
            "Always",
            id="the port of a registry is no tag",
        ),
        pytest.param(
            "spec/containers/0/resources",
            {"limits": {"cpu": "1", "memory": "1Gi"}},
            "status/qosClass",
            "Guaranteed",
            id="limits are requests",
        ),
        pytest.param(
            "spec/containers/0/resources",
            {"requests": {"cpu": "1"}},
            "status/qosClass",
            "Burstable",
            id="requests without limits",
        ),
        pytest.param(
            "spec/containers/0/livenessProbe",
            {"httpGet": {"port": 80}},
            "spec/containers/0/livenessProbe",
            {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            id="probes",
        ),
        pytest.param(
            "spec/volumes",
            [{"name": "v"}],
            "spec/volumes/0",
            {"name": "v", "emptyDir": {}},
            id="a volume of no kind is an empty directory",
        ),
        pytest.param(
            "spec/schedulingGates",
            [{"name": "g"}],
            "status/conditions/0/reason",
            "SchedulingGated",
            id="a gate shows in the status",
        ),
        pytest.param(
            "spec/hostNetwork",
            True,
            "status/phase",
            "Pending",
            id="a new pod is pending",
        ),
    ],
)
def test_what_a_pod_leaves_out_is_filled_in(
    path: str, value: Any, where: str, expected: Any
) -> None:
    """Defaults are upstream's, and so is the status of a new pod."""
    assert at(stored("Pod", put(POD, path, value)), where) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("spec/containers", [], ["spec.containers: Required value"], id="nothing runs"),
        pytest.param(
            "spec/containers/0/name",
            "A",
            [f'spec.containers[0].name: Invalid value: "A": {LABEL}'],
            id="a name that is no label",
        ),
        pytest.param(
            "spec/containers/0/image",
            ABSENT,
            ["spec.containers[0].image: Required value"],
            id="no image",
        ),
        pytest.param(
            "spec/containers/0/image",
            " i",
            [
                'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'
            ],
            id="a space before the image",
        ),
        pytest.param(
            "spec/restartPolicy",
            "Sometimes",
            [
                'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'
            ],
            id="an unknown policy",
        ),
        pytest.param(
            "spec/containers/0/ports",
            [{"containerPort": 70000}],
            [f"spec.containers[0].ports[0].containerPort: Invalid value: 70000: {PORT}"],
            id="a port that is none",
        ),
        pytest.param(
            "spec/containers/0/volumeMounts",
            [{"name": "v", "mountPath": "/v"}],
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
            id="a mount of no volume",
        ),
        pytest.param(
            "spec/volumes",
            [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}],
            ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
            id="a volume of two kinds",
        ),
        pytest.param(
            "spec/containers/0/resources",
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            [
                'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'
            ],
            id="more is requested than allowed",
        ),
        pytest.param(
            "spec/containers/0/livenessProbe",
            {},
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
            id="a probe that does nothing",
        ),
        pytest.param(
            "spec/containers/0/env",
            [
                {
                    "name": "E",
                    "value": "v",
                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                }
            ],
            [
                'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'
            ],
            id="a variable with two values",
        ),
        pytest.param(
            "spec/ephemeralContainers",
            [{"name": "e", "image": "i"}],
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
            id="ephemeral containers come later",
        ),
        pytest.param(
            "spec/activeDeadlineSeconds",
            0,
            [
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"
            ],
            id="no time at all",
        ),
        pytest.param(
            "metadata",
            {"annotations": {"kubernetes.io/config.mirror": "m"}},
            [
                'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "m": must set spec.nodeName if mirror '
                "pod annotation is set"
            ],
            id="a mirror pod on no node",
        ),
    ],
)
def test_a_pod_that_cannot_run_is_refused(path: str, value: Any, expected: list[str]) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals("Pod", put(POD, path, value)) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("spec/containers/0/image", "i:2", [], id="another image"),
        pytest.param("spec/activeDeadlineSeconds", 10, [], id="a deadline where there was none"),
        pytest.param("metadata/labels", {"l": "1"}, [], id="labels"),
        pytest.param(
            "spec/containers/0/command",
            ["x"],
            [f'{FROZEN}- containers: [{{"name":"c","image":"i"'],
            id="a command",
        ),
        pytest.param(
            "spec/nodeName", "n", [f'{FROZEN}- nodeName: null\n+ nodeName: "n"'], id="the node"
        ),
        pytest.param(
            "spec/containers/1",
            {"name": "d", "image": "i"},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
            id="one more container",
        ),
        pytest.param(
            "spec/tolerations",
            [],
            [],
            id="tolerations that every pod has come back by themselves",
        ),
        pytest.param(
            "metadata/annotations",
            {"kubernetes.io/config.mirror": "m"},
            [
                "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
                'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "m": must set spec.nodeName if mirror '
                "pod annotation is set",
            ],
            id="it becomes no mirror pod",
        ),
    ],
)
def test_little_of_a_pod_may_change(path: str, value: Any, expected: list[str]) -> None:
    """Images, deadlines and more tolerations; the rest was decided when it was made."""
    found = change_refusals("Pod", POD, path, value)
    assert len(found) == len(expected)
    assert all(text.startswith(want) for text, want in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        pytest.param(0, " which is empty", id="of none"),
        pytest.param(2, ": r000, r001", id="of two"),
        pytest.param(500, f": {', '.join(f'r{n:03}' for n in range(100))}", id="of very many"),
    ],
)
def test_claim_of_a_container_is_one_of_its_pod(count: int, listed: str) -> None:
    """The complaint lists those that there are, as far as anybody reads."""
    pod = put(POD, "spec/containers/0/resources", {"claims": [{"name": "x"}]})
    claims = [{"name": f"r{n:03}", "resourceClaimName": "c"} for n in range(count)]
    assert refusals("Pod", put(pod, "spec/resourceClaims", claims)) == [
        'spec.containers[0].resources.claims[0]: Not found: "x": must be one of the names in '
        f"pod.spec.resourceClaims{listed}"
    ]


def test_ephemeral_containers_are_added_through_their_own_endpoint() -> None:
    """Nothing else changes there, and what was added stays as it was."""
    added = [{"name": "e", "image": "i"}]
    assert not change_refusals("Pod", POD, "spec/ephemeralContainers", added, "ephemeralcontainers")
    named_as_a_container = [{"name": "c", "image": "i"}]
    assert change_refusals(
        "Pod", POD, "spec/ephemeralContainers", named_as_a_container, "ephemeralcontainers"
    ) == ['spec.ephemeralContainers[0].name: Duplicate value: "c"']


def test_generation_counts_changes_of_the_spec() -> None:
    """Labels do not count."""
    assert stored("Pod", POD)["metadata"]["generation"] == 1
    image = changed("Pod", POD, "spec/containers/0/image", "i:2")
    labels = changed("Pod", POD, "metadata/labels", {"l": "1"})
    assert (image["metadata"]["generation"], labels["metadata"]["generation"]) == (2, 1)


@pytest.mark.parametrize(
    ("path", "value", "asked", "expected"),
    [
        pytest.param("spec/x", ABSENT, None, 0, id="no kubelet has to end it"),
        pytest.param("spec/x", ABSENT, 5, 0, id="whatever is asked for"),
        pytest.param("spec/nodeName", "n", None, 30, id="as long as the pod says"),
        pytest.param("spec/nodeName", "n", 5, 5, id="as long as was asked for"),
        pytest.param("spec/nodeName", "n", 0, 0, id="at once"),
        pytest.param("spec/nodeName", "n", -3, 1, id="a moment"),
    ],
)
def test_a_deleted_pod_has_time_to_end(
    path: str, value: Any, asked: int | None, expected: int
) -> None:
    """If it is on a node."""
    pod = stored("Pod", put(POD, path, value))
    assert STORED["Pod"].rules.grace_seconds(pod, asked) == expected
