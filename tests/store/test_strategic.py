"""A strategic merge patch does what its type says: each directive, each strategy, each error, on
real types.
"""

import copy
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.patches import BadPatch, BrokenPatch, PatchError, UnprocessablePatch
from verger.store.schemas import TypeRef, load
from verger.store.strategic import strategic_merge

SCHEMAS = load()
CORE = "io.k8s.api.core.v1."
POD, SERVICE, NAMESPACE = CORE + "Pod", CORE + "Service", CORE + "Namespace"
ACCOUNT, CONFIG_MAP, NODE = CORE + "ServiceAccount", CORE + "ConfigMap", CORE + "Node"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
DISRUPTION = "io.k8s.api.policy.v1.PodDisruptionBudget"
ROLE = "io.k8s.api.rbac.v1.Role"
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
DEFINITION, JSON_SCHEMA = EXTENSIONS + "CustomResourceDefinition", EXTENSIONS + "JSONSchemaProps"


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def containers(*items: Any, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items), **more}}


def meta(**fields: Any) -> dict[str, Any]:
    return {"metadata": fields}


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def check(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """The patch leads there, and neither the object nor the patch has changed."""
    before = copy.deepcopy((given, patch))
    assert strategic_merge(given, patch, type_name, SCHEMAS) == then
    assert (given, patch) == before


# --- maps


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "then"),
    [
        pytest.param(POD, {"kind": "Pod"}, {}, {"kind": "Pod"}, id="an empty patch changes nothing"),
        pytest.param(
            POD, meta(name="p", labels={"a": "1", "b": "2"}), meta(labels={"b": "3", "c": "4"}),
            meta(name="p", labels={"a": "1", "b": "3", "c": "4"}),
            id="labels merge",
        ),
        pytest.param(
            CONFIG_MAP, {"data": {"k": "1", "l": "2"}}, {"data": {"k": None, "m": "3"}},
            {"data": {"l": "2", "m": "3"}},
            id="null deletes a key",
        ),
        pytest.param(
            CONFIG_MAP, {"data": {"k": "1"}}, {"data": None, "binaryData": None}, {},
            id="null deletes a map, and nothing where there is none",
        ),
        pytest.param(
            POD, meta(name="p"), meta(labels={"a": "1", "b": None}), meta(name="p", labels={"a": "1"}),
            id="nulls in a new map are dropped",
        ),
        pytest.param(
            POD, spec(), spec(affinity={"nodeAffinity": {"x": [{"y": None, "z": 1}]}}),
            spec(affinity={"nodeAffinity": {"x": [{"z": 1}]}}),
            id="nulls in the lists of a new map too",
        ),
        pytest.param(
            POD, meta(labels={"a": "1", "b": "2"}), meta(labels={"$patch": "replace", "c": "3"}),
            meta(labels={"c": "3"}),
            id="a map is replaced",
        ),
        pytest.param(
            POD, spec(securityContext={"runAsUser": 1}, hostNetwork=True),
            spec(securityContext={"$patch": "delete", "fsGroup": 2}),
            spec(securityContext={}, hostNetwork=True),
            id="a map is emptied",
        ),
        pytest.param(
            POD, meta(name="p", labels={"a": "b"}), {"$patch": "replace", "kind": "Pod"},
            {"kind": "Pod"},
            id="the whole object is replaced",
        ),
        pytest.param(POD, meta(name="p"), {"$patch": "delete"}, {}, id="the whole object is emptied"),
        pytest.param(
            POD, meta(name="p"), meta(labels={"$patch": "replace", "a": "b"}), meta(name="p"),
            id="upstream: a new map with a directive is left out",
        ),
        pytest.param(
            CONFIG_MAP, {"data": "odd"}, {"data": {"$patch": "replace", "a": "b"}}, {},
            id="upstream: and removes a value that is no map",
        ),
        pytest.param(
            CONFIG_MAP, {"data": "odd"}, {"data": {"k": "1", "l": None}}, {"data": {"k": "1"}},
            id="a map takes the place of what is no map",
        ),
        pytest.param(
            POD, meta(labels={"a": "b"}), meta(labels="odd"), meta(labels="odd"),
            id="what is no map takes the place of a map",
        ),
        pytest.param(
            POD, meta(finalizers=["a"]), meta(finalizers={"a": 1}), meta(finalizers={"a": 1}),
            id="a map takes the place of a list",
        ),
        pytest.param(
            POD, meta(labels=None), meta(labels={"a": "b"}), meta(labels={"a": "b"}),
            id="a live null is no map",
        ),
        pytest.param(
            DISRUPTION,
            spec(selector={"matchLabels": {"a": "b"}}, minAvailable=1),
            spec(selector={"matchLabels": {"c": "d"}}, minAvailable="50%"),
            spec(selector={"matchLabels": {"c": "d"}}, minAvailable="50%"),
            id="the selector of a disruption budget is replaced",
        ),
        pytest.param(
            SERVICE, spec(selector={"a": "b"}), spec(selector={"c": "d"}),
            spec(selector={"a": "b", "c": "d"}),
            id="the selector of a service merges",
        ),
        pytest.param(
            POD, {"unknown": {"a": {"x": 1}, "l": [1, 2]}},
            {"unknown": {"a": {"y": 2}, "l": [3], "$foo": 1}},
            {"unknown": {"a": {"x": 1, "y": 2}, "l": [3], "$foo": 1}},
            id="in an unknown field maps merge and lists are replaced",
        ),
        pytest.param(
            CONFIG_MAP, {"data": {"a": {"x": 1}, "containers": [{"name": "a"}]}},
            {"data": {"a": {"y": 2}, "containers": [{"name": "b"}]}},
            {"data": {"a": {"x": 1, "y": 2}, "containers": [{"name": "b"}]}},
            id="a key of a map is no field",
        ),
    ],
)  # fmt: skip
def test_map(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """Maps merge, null deletes, a directive replaces or empties."""
    check(type_name, given, patch, then)


# --- lists of objects


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "then"),
    [
        pytest.param(
            POD,
            containers({"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "2"}),
            containers({"name": "a", "image": "3", "tty": None}),
            containers({"name": "a", "image": "3"}, {"name": "b", "image": "2"}),
            id="containers merge by name",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": "b", "image": "1", "command": None}),
            containers({"name": "b", "image": "1"}, {"name": "a"}),
            id="upstream: a new container comes first, without its nulls",
        ),
        pytest.param(
            POD, containers(*named("a", "b", "c")), containers(*named("b", "x")),
            containers(*named("a", "b", "x", "c")),
            id="a new container follows the one before it in the patch",
        ),
        pytest.param(
            POD, containers(*named("a", "b", "c", "d")), containers(*named("d", "b")),
            containers(*named("a", "c", "d", "b")),
            id="the order of the patch is kept",
        ),
        pytest.param(
            POD, containers(*named("a", "b", "a")),
            containers({"name": "a", "$patch": "delete"}), containers(*named("b")),
            id="deletion removes all that match",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": "z", "$patch": "delete"}),
            containers(*named("a")),
            id="deletion of what is not there does nothing",
        ),
        pytest.param(
            POD, containers({"name": "a", "image": "1", "tty": True}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}, {"name": "a", "image": "2"}),
            containers({"name": "a", "image": "2"}, {"name": "b"}),
            id="a container is deleted and made anew",
        ),
        pytest.param(
            POD, containers({"name": "a", "image": "1"}, {"name": "b"}),
            containers({"$patch": "replace"}, {"name": "c"}, {"name": "a"}),
            containers({"name": "c"}, {"name": "a"}),
            id="an item that replaces stands for the whole list",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": "z", "$patch": "replace"}),
            containers(),
            id="what else the replacing item says is dropped",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"$patch": "replace"}, {"name": "b", "tty": None}),
            containers({"name": "b", "tty": None}),
            id="upstream: what replaces is taken as it is",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"$patch": "replace"}, {"name": "b", "$patch": "delete"}),
            containers(),
            id="deletions beside a replacement are no items",
        ),
        pytest.param(
            POD, spec(), containers({"name": "a", "$patch": "delete"}, {"name": "b", "tty": None}),
            containers({"name": "b"}),
            id="a new list has neither directives nor nulls",
        ),
        pytest.param(
            POD, containers(*named("a")), containers(), containers(*named("a")),
            id="an empty list changes nothing",
        ),
        pytest.param(
            POD, containers(*named("a")), spec(containers=None), spec(), id="null deletes a list"
        ),
        pytest.param(
            POD, containers({"name": "a", "image": "1"}, {"name": "a", "image": "2"}),
            containers({"name": "a", "image": "3"}),
            containers({"name": "a", "image": "3"}, {"name": "a", "image": "2"}),
            id="upstream: of two items with one key the first is changed",
        ),
        pytest.param(
            SERVICE, spec(ports=[{"port": 80}]),
            spec(ports=[{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "x"}]),
            spec(ports=[{"port": 53, "protocol": "UDP", "name": "x"}, {"port": 80}]),
            id="upstream: two new items with one key become one",
        ),
        pytest.param(
            SERVICE, spec(ports=[{"port": 80, "name": "http"}, {"port": 443}]),
            spec(ports=[{"port": 80, "targetPort": 8080}]),
            spec(ports=[{"port": 80, "name": "http", "targetPort": 8080}, {"port": 443}]),
            id="ports of a service merge by port",
        ),
        pytest.param(
            SERVICE, spec(ports=[{"port": 1}]), spec(ports=[{"port": True}]),
            spec(ports=[{"port": True}, {"port": 1}]),
            id="a number is not a boolean",
        ),
        pytest.param(
            POD, containers({"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}),
            containers({"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}),
            containers({"name": "a", "ports": [{"containerPort": 80, "name": "x", "protocol": "TCP"}]}),
            id="ports of a container merge by containerPort",
        ),
        pytest.param(
            POD,
            containers({"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["x", "y"]}),
            containers({"name": "a", "env": [{"name": "X", "value": "2"}, {"name": "Y"}], "args": ["z"]}),
            containers({"name": "a", "env": [{"name": "X", "value": "2"}, {"name": "Y"}], "args": ["z"]}),
            id="env merges by name, args are replaced",
        ),
        pytest.param(
            POD,
            containers({"name": "a", "volumeMounts": [{"mountPath": "/a", "name": "v"}],
                        "volumeDevices": [{"devicePath": "/b", "name": "w"}]}),
            containers({"name": "a", "volumeMounts": [{"mountPath": "/a", "readOnly": True}],
                        "volumeDevices": [{"devicePath": "/b", "$patch": "delete"}]}),
            containers({"name": "a", "volumeMounts": [{"mountPath": "/a", "name": "v", "readOnly": True}],
                        "volumeDevices": []}),
            id="mounts and devices merge by their paths",
        ),
        pytest.param(
            POD, spec(tolerations=[{"key": "a", "operator": "Exists"}, {"key": "b"}]),
            spec(tolerations=[{"key": "a", "effect": "NoExecute"}]),
            spec(tolerations=[{"key": "a", "effect": "NoExecute"}]),
            id="tolerations are replaced",
        ),
        pytest.param(
            POD, spec(tolerations=[{"key": "a"}]), spec(tolerations=[]), spec(tolerations=[]),
            id="by an empty list too",
        ),
        pytest.param(
            POD, spec(imagePullSecrets=named("a")), spec(imagePullSecrets=named("a", "b")),
            spec(imagePullSecrets=named("a", "b")),
            id="the pull secrets of a pod merge",
        ),
        pytest.param(
            ACCOUNT,
            {"secrets": named("a"), "imagePullSecrets": named("a")},
            {"secrets": named("a", "b"), "imagePullSecrets": named("b")},
            {"secrets": named("a", "b"), "imagePullSecrets": named("b")},
            id="the pull secrets of an account are replaced, its secrets merge",
        ),
        pytest.param(
            ACCOUNT, meta(name="default"), {"secrets": [{"namespace": "x"}]},
            {**meta(name="default"), "secrets": [{"namespace": "x"}]},
            id="a new list needs no merge key",
        ),
        pytest.param(
            NAMESPACE,
            {"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B"}]}},
            {"status": {"conditions": [{"type": "A", "status": "False"}]}},
            {"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "B"}]}},
            id="the conditions of a namespace merge by type",
        ),
        pytest.param(
            POD,
            meta(ownerReferences=[{"uid": "1", "name": "x"}, {"uid": "2", "name": "y"}]),
            meta(uid="u", ownerReferences=[{"uid": "1", "$patch": "delete"}]),
            meta(uid="u", ownerReferences=[{"uid": "2", "name": "y"}]),
            id="owner references merge by uid",
        ),
        pytest.param(
            POD, meta(managedFields=[{"manager": "a"}, {"manager": "b"}]), meta(managedFields=[{}]),
            meta(managedFields=[{}]),
            id="managed fields are replaced",
        ),
        pytest.param(
            ROLE, {"rules": [{"verbs": ["get"]}]}, {"rules": [{"verbs": ["list"]}]},
            {"rules": [{"verbs": ["list"]}]},
            id="the rules of a role are replaced",
        ),
        pytest.param(
            DEFINITION,
            {"spec": {"versions": [{"name": "v1", "served": True}]}},
            {"spec": {"versions": [{"name": "v1"}]}},
            {"spec": {"versions": [{"name": "v1"}]}},
            id="the versions of a definition are replaced",
        ),
        pytest.param(
            JSON_SCHEMA,
            {"properties": {"p": {"x-kubernetes-validations": [{"rule": "r", "message": "m"}]}}},
            {"properties": {"p": {"x-kubernetes-validations": [{"rule": "r", "reason": "x"}]}}},
            {"properties": {"p": {"x-kubernetes-validations": [
                {"rule": "r", "message": "m", "reason": "x"}]}}},
            id="the values of a map have strategies of their own",
        ),
        pytest.param(
            DEPLOYMENT,
            spec(template=containers({"name": "a", "image": "1"})),
            spec(template=containers({"name": "a", "env": [{"name": "X"}]})),
            spec(template=containers({"name": "a", "image": "1", "env": [{"name": "X"}]})),
            id="the template of a deployment has a pod's strategies",
        ),
        pytest.param(
            POD, spec(initContainers=[1]), spec(initContainers=None, hostNetwork=True),
            spec(hostNetwork=True),
            id="what is deleted is not looked at",
        ),
    ],
)  # fmt: skip
def test_list_of_objects(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """A list merges by its key when its type says so, and is replaced otherwise."""
    check(type_name, given, patch, then)


# --- lists of primitives


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "then"),
    [
        pytest.param(
            POD, meta(finalizers=["a", "b"]), meta(finalizers=["b", "c"]),
            meta(finalizers=["a", "b", "c"]),
            id="finalizers unite",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b"]), meta(finalizers=["c"]),
            meta(finalizers=["c", "a", "b"]),
            id="upstream: a new one comes first",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b", "a"]), meta(finalizers=["c", "c"]),
            meta(finalizers=["c", "a", "b"]),
            id="each is kept once",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b"]), meta(finalizers=["b", "a"]),
            meta(finalizers=["b", "a"]),
            id="the order of the patch is kept",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b", "a"]),
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}},
            meta(finalizers=["b"]),
            id="the parallel list deletes",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b"]),
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}},
            meta(finalizers=["c", "b"]),
            id="one goes and one comes",
        ),
        pytest.param(
            POD, meta(name="p"), {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            meta(name="p"),
            id="nothing is deleted from a list that is not there",
        ),
        pytest.param(
            POD, meta(finalizers=["a"]), {"metadata": {"$deleteFromPrimitiveList/finalizers": []}},
            meta(finalizers=["a"]),
            id="nothing is deleted by an empty list",
        ),
        pytest.param(
            POD, meta(finalizers=[]), {"metadata": {"$deleteFromPrimitiveList/finalizers": []}},
            meta(finalizers=[]),
            id="nor from one",
        ),
        pytest.param(
            POD, containers({"name": "a", "args": ["x", "y"]}),
            containers({"name": "a", "$deleteFromPrimitiveList/args": ["x"]}),
            containers({"name": "a", "args": ["y"]}),
            id="deletion works in a list that is otherwise replaced",
        ),
        pytest.param(
            NODE, spec(podCIDRs=["10.0.0.0/24"]), spec(podCIDRs=["fd00::/64"]),
            spec(podCIDRs=["fd00::/64", "10.0.0.0/24"]),
            id="the address ranges of a node unite",
        ),
        pytest.param(
            POD, meta(name="p"), meta(finalizers=["a"]), meta(name="p", finalizers=["a"]),
            id="a list is added",
        ),
    ],
)  # fmt: skip
def test_list_of_primitives(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """A list of primitives that merges is a set, with a list of its own for deletions."""
    check(type_name, given, patch, then)


# --- order


def order(*names: str) -> dict[str, Any]:
    return {"$setElementOrder/containers": named(*names)}


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "then"),
    [
        pytest.param(
            POD, containers(*named("a", "b", "c")), spec(**order("c", "b", "a")),
            containers(*named("c", "b", "a")),
            id="an order without a list",
        ),
        pytest.param(
            POD, containers(*named("a", "b")), spec(**order("a", "b", "c"), containers=named("c")),
            containers(*named("a", "b", "c")),
            id="a new item goes to its place",
        ),
        pytest.param(
            POD, containers(*named("a", "x", "b")), spec(**order("b", "a")),
            containers(*named("x", "b", "a")),
            id="an item that the order does not name keeps its place before its neighbour",
        ),
        pytest.param(
            POD, containers(*named("a", "b", "x")), spec(**order("b", "a")),
            containers(*named("b", "a", "x")),
            id="or after it",
        ),
        pytest.param(
            POD, containers(*named("x", "a", "y", "b", "z")),
            spec(**order("a", "c", "b"), containers=[{"name": "c", "image": "1"}]),
            containers({"name": "x"}, {"name": "a"}, {"name": "c", "image": "1"}, {"name": "y"},
                       {"name": "b"}, {"name": "z"}),
            id="server-only items interleave",
        ),
        pytest.param(
            POD, containers(*named("a", "b", "c")),
            spec(**order("c", "a"), containers=[{"name": "b", "$patch": "delete"}]),
            containers(*named("c", "a")),
            id="a deletion need not be in the order",
        ),
        pytest.param(
            POD, spec(), spec(**order("b", "a"), containers=named("b", "a")),
            containers(*named("b", "a")),
            id="a new list",
        ),
        pytest.param(
            POD, spec(), spec(**order("b"), containers=[{"name": "a", "$patch": "delete"}, *named("b")]),
            containers(*named("b")),
            id="a new list has no deletions",
        ),
        pytest.param(
            POD, spec(hostNetwork=True), spec(**order("a")), spec(hostNetwork=True),
            id="an order of nothing",
        ),
        pytest.param(
            POD, containers(*named("a", "b")), spec(**order(), containers=named("c")),
            containers(*named("a", "b", "c")),
            id="an empty order allows everything, and a new item comes last",
        ),
        pytest.param(
            POD, containers(*named("a", "b")), spec(**order("b", "z", "a")),
            containers(*named("b", "a")),
            id="the order may name what is not there",
        ),
        pytest.param(
            POD, containers(*named("a", "b")),
            spec(**order("b", "a"), containers=[{"$patch": "replace"}, *named("b", "a")]),
            containers(*named("b", "a")),
            id="a replacement in the order asked for",
        ),
        pytest.param(
            POD,
            containers({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y"}]}, {"name": "b"}),
            spec(**order("b", "a"), containers=[
                {"name": "a", "$setElementOrder/env": named("Y", "Z", "X"),
                 "env": [{"name": "Z", "value": "3"}, {"name": "X", "value": "2"}]}]),
            containers({"name": "b"},
                       {"name": "a", "env": [{"name": "Y"}, {"name": "Z", "value": "3"}, {"name": "X", "value": "2"}]}),
            id="orders inside of ordered items",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b", "c"]),
            {"metadata": {"$setElementOrder/finalizers": ["c", "d", "a"], "finalizers": ["d"]}},
            meta(finalizers=["b", "c", "d", "a"]),
            id="primitives are ordered too",
        ),
        pytest.param(
            POD, meta(finalizers=["a", "b", "c"]),
            {"metadata": {"$setElementOrder/finalizers": ["c", "b"], "$deleteFromPrimitiveList/finalizers": ["a"]}},
            meta(finalizers=["c", "b"]),
            id="primitives are ordered and deleted",
        ),
        pytest.param(
            POD, containers({"name": "a", "args": ["x"]}),
            containers({"name": "a", "args": ["z", "y"], "$setElementOrder/args": ["z", "y"]}),
            containers({"name": "a", "args": ["z", "y"]}),
            id="an order on a list that is replaced",
        ),
    ],
)  # fmt: skip
def test_order(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """The order directive comes before the order of the patch, and that before the live one."""
    check(type_name, given, patch, then)


# --- retained keys


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "then"),
    [
        pytest.param(
            DEPLOYMENT,
            spec(replicas=1, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
            spec(strategy={"$retainKeys": ["type"], "type": "Recreate"}),
            spec(replicas=1, strategy={"type": "Recreate"}),
            id="a strategy loses the parameters of the other",
        ),
        pytest.param(
            DEPLOYMENT,
            spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
            spec(strategy={"type": "Recreate"}),
            spec(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            id="but only when the patch asks for it",
        ),
        pytest.param(
            POD, spec(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/"}}]),
            spec(volumes=[{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]),
            spec(volumes=[{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "hostPath": {"path": "/"}}]),
            id="a volume changes its source",
        ),
        pytest.param(
            POD, spec(volumes=[{"name": "v", "emptyDir": {}}]),
            spec(volumes=[{"name": "w", "$retainKeys": ["name"], "emptyDir": None}]),
            spec(volumes=[{"name": "w"}, {"name": "v", "emptyDir": {}}]),
            id="a new item keeps no directive",
        ),
        pytest.param(
            POD, meta(labels={"a": "1", "b": "2", "c": "3"}),
            meta(labels={"$retainKeys": ["a", 7], "b": None}),
            meta(labels={"a": "1"}),
            id="a key that is deleted need not be listed",
        ),
        pytest.param(
            POD, containers({"name": "a", "args": ["x"], "env": named("X"), "tty": True}),
            containers({"name": "a", "$retainKeys": ["name", "env", "args"],
                        "$setElementOrder/env": named("X"), "$deleteFromPrimitiveList/args": ["x"]}),
            containers({"name": "a", "args": [], "env": named("X")}),
            id="directives need not be listed",
        ),
        pytest.param(
            POD, meta(labels={"a": "1"}), meta(labels={"$retainKeys": []}), meta(labels={}),
            id="an empty list keeps nothing",
        ),
    ],
)  # fmt: skip
def test_retained_keys(type_name: str, given: Any, patch: Any, then: Any) -> None:
    """What the list does not name is dropped from the live map."""
    check(type_name, given, patch, then)


# --- errors


@pytest.mark.parametrize(
    ("type_name", "given", "patch", "error", "message"),
    [
        pytest.param(
            ACCOUNT, meta(name="a"), meta(**{"$patch": "merge"}),
            BrokenPatch, "unknown patch type: merge in map: map[$patch:merge]",
            id="the directive merge in a map",
        ),
        pytest.param(
            POD, meta(labels={}), meta(labels={"b": 1, "$patch": "swap", "a": [None]}),
            BrokenPatch, "unknown patch type: swap in map: map[$patch:swap a:[<nil>] b:1]",
            id="an unknown directive in a map",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": "a", "$patch": "merge"}),
            BrokenPatch, "merging lists cannot yet be specified in the patch",
            id="the directive merge in a list",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": "a", "$patch": "swap"}),
            BrokenPatch, "unknown patch type: swap in map: map[$patch:swap name:a]",
            id="an unknown directive in a list",
        ),
        pytest.param(
            ACCOUNT, {"secrets": [{}]}, {"secrets": [{"namespace": "x"}]},
            BrokenPatch, "map: map[namespace:x] does not contain declared merge key: name",
            id="an item without merge key",
        ),
        pytest.param(
            ACCOUNT, {"secrets": [{}]}, {"secrets": [{"name": "x"}]},
            BrokenPatch, "map: map[] does not contain declared merge key: name",
            id="a live item without merge key",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"image": "httpd"}),
            BrokenPatch, "map: map[image:httpd] does not contain declared merge key: name",
            id="a container without name",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"$patch": "delete"}),
            BrokenPatch, "map: map[$patch:delete] does not contain declared merge key: name",
            id="a deletion without merge key",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"$patch": "replace"}, {"image": "x"}),
            BrokenPatch, "map: map[image:x] does not contain declared merge key: name",
            id="a replacement without merge key",
        ),
        pytest.param(
            POD, containers(*named("a")), containers({"name": {"b": 1}}),
            BrokenPatch, "runtime error: hash of unhashable type map[string]interface {}",
            id="a merge key that is a map",
        ),
        pytest.param(
            POD, containers(*named("a")), containers("b"),
            BrokenPatch, "list element types are not identical: [[map[name:a]] [b]]",
            id="a string among objects",
        ),
        pytest.param(
            POD, meta(finalizers=["a"]), meta(finalizers=[{"a": "b"}]),
            BrokenPatch, "list element types are not identical: [[a] [map[a:b]]]",
            id="an object among strings",
        ),
        pytest.param(
            POD, containers(*named("a")),
            spec(**{"$deleteFromPrimitiveList/containers": ["a"]}),
            BrokenPatch, "list element types are not identical: [[map[name:a]] [a]]",
            id="deleting strings from objects",
        ),
        pytest.param(
            POD, meta(finalizers=[]), meta(finalizers=[{"a": "b"}]),
            BrokenPatch, "cannot merge lists without merge key for struct",
            id="objects in a list without a key",
        ),
        pytest.param(
            POD, containers(*named("a", "b")), spec(**order("a", "b"), containers=named("b", "a")),
            BrokenPatch,
            "The order in patch list:\n[map[name:b] map[name:a]]\n"
            " doesn't match $setElementOrder list:\n[map[name:a] map[name:b]]\n",
            id="an order that the list does not have",
        ),
        pytest.param(
            POD, meta(finalizers=["a"]),
            {"metadata": {"$setElementOrder/finalizers": ["a"], "finalizers": ["b"]}},
            BrokenPatch,
            "The order in patch list:\n[b]\n doesn't match $setElementOrder list:\n[a]\n",
            id="an order without an item of the list",
        ),
        pytest.param(
            POD, containers(*named("a")), spec(**{"$setElementOrder/containers": [{"image": "x"}]}),
            BrokenPatch, "map: map[image:x] does not contain declared merge key: name",
            id="an order without merge keys",
        ),
        pytest.param(
            POD, containers(*named("a")), spec(**{"$setElementOrder/containers": ["a"]}),
            BrokenPatch, "expected a map[string]interface {}, but received a string",
            id="an order of strings for objects",
        ),
        pytest.param(
            POD, spec(containers={}), spec(**order("a")),
            BrokenPatch, "expected a []interface {}, but received a map[string]interface {}",
            id="an order for a map",
        ),
        pytest.param(
            POD, spec(), spec(**order("a"), containers=None),
            BrokenPatch, "expected a []interface {}, but received a %!s(<nil>)",
            id="an order for a list that is deleted",
        ),
        pytest.param(
            POD, containers(*named("a")), spec(**{"$setElementOrder/containers": "a"}),
            BadPatch, "invalid patch format of setElementOrder list",
            id="an order that is no list",
        ),
        pytest.param(
            POD, spec(), spec(**{"$setElementOrder": []}),
            BadPatch, "invalid patch format of setElementOrder list",
            id="an order of no field",
        ),
        pytest.param(
            POD, spec(), spec(**{"$setElementOrders/containers": []}),
            BadPatch, "invalid patch format of setElementOrder list",
            id="almost an order",
        ),
        pytest.param(
            POD, spec(), spec(**{"$deleteFromPrimitiveList": []}),
            BadPatch, "invalid patch format of primitive list",
            id="deletions of no field",
        ),
        pytest.param(
            POD, meta(finalizers=["a"]), {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
            BadPatch, "invalid patch format of primitive list",
            id="deletions that are no list",
        ),
        pytest.param(
            POD, containers(*named("a")), spec(**{"$deleteFromPrimitiveList/containers": named("a")}),
            BadPatch, "invalid patch format of primitive list",
            id="deletions of objects",
        ),
        pytest.param(
            POD, meta(labels={"a": "1"}), meta(labels={"$retainKeys": "a"}),
            BadPatch, "invalid patch format of retainKeys",
            id="keys to retain that are no list",
        ),
        pytest.param(
            POD, meta(labels={"a": "1"}), meta(labels={"$retainKeys": ["a"], "b": "2"}),
            UnprocessablePatch, "patch content doesn't match retainKeys list",
            id="a key that is set and not retained",
        ),
        pytest.param(
            POD, meta(finalizers=[["a"]]), meta(finalizers=[["b"]]),
            UnprocessablePatch, "lists of lists are not supported",
            id="lists of lists",
        ),
    ],
)  # fmt: skip
def test_wrong_patch_is_refused(
    type_name: str, given: Any, patch: Any, error: type[PatchError], message: str
) -> None:
    """What the patch asks for cannot be: the class says the answer; object and patch stay as they
    are.
    """
    before = copy.deepcopy((given, patch))
    with pytest.raises(error) as caught:
        strategic_merge(given, patch, type_name, SCHEMAS)
    assert getattr(caught.value, "cause", caught.value.message) == message
    assert (given, patch) == before


def test_patch_nested_too_deeply_is_refused() -> None:
    """The depth that Python can follow is a limit of the request, not a fault of the server."""
    patch: dict[str, Any] = {}
    for _ in range(5000):
        patch = {"a": patch}
    with pytest.raises(BadPatch, match=r"^exceeded max depth$"):
        strategic_merge({}, patch, POD, SCHEMAS)


def test_unknown_type_is_no_type() -> None:
    """A kind without a schema has no strategic merge patch."""
    with pytest.raises(KeyError):
        strategic_merge({}, {}, "io.example.v1.Widget", SCHEMAS)


def test_result_shares_what_the_patch_does_not_name() -> None:
    """An untouched sub-tree is the same object afterwards; the way to a change is not."""
    live: Any = {
        **meta(name="p", labels={"a": "b"}, annotations={"c": "d"}),
        **containers({"name": "a", "env": named("X")}, {"name": "b"}, volumes=[{"name": "v"}]),
    }
    before = copy.deepcopy(live)
    patch = {**meta(labels={"a": "c"}), **containers({"name": "a", "tty": True})}
    result = strategic_merge(live, patch, POD, SCHEMAS)
    assert result["metadata"]["annotations"] is live["metadata"]["annotations"]
    assert result["spec"]["volumes"] is live["spec"]["volumes"]
    assert result["spec"]["containers"][0]["env"] is live["spec"]["containers"][0]["env"]
    assert result["spec"]["containers"][1] is live["spec"]["containers"][1]
    result["kind"] = result["metadata"]["name"] = result["spec"]["containers"][0]["name"] = "own"
    assert live == before


# --- against a plain model


def facts(ref: TypeRef | None, name: str) -> tuple[TypeRef | None, str, str]:
    """The type, strategy and key of a field, straight from the schema."""
    if ref is not None and ref.shape == "object" and ref.name:
        field = SCHEMAS.type(ref.name).fields.get(name)
        if field is not None:
            strategies = [s for s in field.patch_strategies if s != "retainKeys"]
            return field.type, strategies[0] if strategies else "", field.patch_key
    if ref is not None and ref.shape == "map":
        return ref.item, "", ""
    return None, "", ""


def model(live: Any, patch: Any, ref: TypeRef | None) -> Any:
    """A merge without any care for speed or sharing: works on copies, looks everything up by
    scanning.
    """
    live, patch = copy.deepcopy(live), copy.deepcopy(patch)
    directive = patch.pop("$patch", None)
    if directive is not None:
        return patch if directive == "replace" else {}
    if "$retainKeys" in patch:
        keep = patch.pop("$retainKeys")
        live = {key: value for key, value in live.items() if key in keep}
    for name in [key for key in patch if key.startswith("$setElementOrder/")]:
        wanted = patch.pop(name)
        field = name.partition("/")[2]
        inner, strategy, key = facts(ref, field)
        if field not in live and field not in patch:
            continue
        old = live.get(field, [])
        new = patch.pop(field, None)
        if new is None:
            merged = old
        elif field in live:
            merged = model_list(old, new, inner, strategy=strategy, key=key)
        else:
            merged = bare(new)
        live[field] = in_order(merged, wanted, old, key=key)
    for name, value in patch.items():
        field = name.partition("/")[2]
        if name.startswith("$deleteFromPrimitiveList/"):
            if field in live:
                live[field] = [item for item in live[field] if item not in value]
            continue
        inner, strategy, key = facts(ref, name)
        if value is None:
            live.pop(name, None)
        elif isinstance(value, dict) and isinstance(live.get(name), dict):
            live[name] = value if strategy == "replace" else model(live[name], value, inner)
        elif isinstance(value, list) and isinstance(live.get(name), list):
            live[name] = model_list(live[name], value, inner, strategy=strategy, key=key)
        elif isinstance(value, dict) and "$patch" in value:
            live.pop(name, None)
        else:
            live[name] = bare(value)
    return live


def bare(value: Any) -> Any:
    """The value without nulls and directives."""
    if isinstance(value, list):
        return [bare(v) for v in value if not (isinstance(v, dict) and "$patch" in v)]
    if not isinstance(value, dict):
        return value
    return {
        k: bare(v)
        for k, v in value.items()
        if v is not None and not k.startswith("$") and not (isinstance(v, dict) and "$patch" in v)
    }


def model_list(live: Any, patch: Any, ref: TypeRef | None, *, strategy: str, key: str) -> Any:
    if strategy != "merge":
        return patch
    if not key:
        both = [x for n, x in enumerate(live + patch) if x not in (live + patch)[:n]]
        return in_order(both, patch, live, key="") if patch else live
    changes = [item for item in patch if "$patch" not in item]
    if {"$patch": "replace"} in patch:
        return changes
    for item in patch:
        if item.get("$patch") == "delete":
            live = [x for x in live if x[key] != item[key]]
    merged = list(live)
    for change in changes:
        at = next((n for n, x in enumerate(merged) if x[key] == change[key]), None)
        if at is None:
            merged.append(bare(change))
        else:
            merged[at] = model(merged[at], change, ref.item if ref else None)
    return in_order(merged, changes, live, key=key)


def in_order(items: Any, wanted: Any, live: Any, *, key: str) -> Any:
    """Takes, one by one, the first of those not in `wanted` or the first of those in it."""

    def place(item: Any, among: Any) -> int | None:
        name = item[key] if key else item
        return next((n for n, x in enumerate(among) if (x[key] if key else x) == name), None)

    left = sorted((x for x in items if place(x, wanted) is None), key=lambda x: place(x, live) or 0)
    right = sorted(
        (x for x in items if place(x, wanted) is not None), key=lambda x: place(x, wanted) or 0
    )
    out = []
    while left and right:
        here, there = place(left[0], live), place(right[0], live)
        first = here is not None and there is not None and here < there
        out.append((left if first else right).pop(0))
    return out + left + right


NAMES = st.sampled_from(["a", "b", "c", "d"])
OTHERS = st.lists(NAMES, max_size=2, unique=True)
WORDS = st.sampled_from(["x", "y", ""])
LABELS = st.dictionaries(NAMES, WORDS, max_size=3)


def lists(key: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of objects with distinct merge keys and some of the other fields."""
    item = st.fixed_dictionaries({key: NAMES}, optional=fields)
    return st.lists(item, max_size=4, unique_by=lambda x: str(x[key]))


CONTAINERS = lists(
    "name",
    image=WORDS,
    env=lists("name", value=WORDS),
    args=st.lists(WORDS, max_size=2),
    volumeMounts=lists("mountPath", readOnly=st.booleans()),
    resources=st.fixed_dictionaries({}, optional={"limits": LABELS, "requests": LABELS}),
)
PODS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": WORDS},
            optional={
                "labels": LABELS,
                "finalizers": st.lists(NAMES, max_size=3, unique=True),
                "ownerReferences": lists("uid", name=WORDS),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": CONTAINERS,
                "volumes": lists("name", emptyDir=LABELS, secret=LABELS),
                "tolerations": st.lists(LABELS, max_size=2),
                "hostNetwork": st.booleans(),
            },
        ),
    }
)


@st.composite
def patches(draw: st.DrawFn, *, ordering: bool) -> dict[str, Any]:
    """A pod in which some members became null, and some maps, items and lists got a directive."""
    patch: dict[str, Any] = draw(PODS)

    def spoil(value: dict[str, Any], ref: TypeRef | None, *, keep: str) -> None:
        for name in [name for name in value if name != keep]:
            inner, strategy, key = facts(ref, name)
            merges = strategy == "merge" and isinstance(value[name], list)
            chance = draw(st.integers(0, 11))
            if chance == 0:
                value[name] = None
            elif isinstance(value[name], dict):
                if chance == 1:
                    value[name]["$patch"] = draw(st.sampled_from(["replace", "delete"]))
                    continue  # what replaces is taken as it is
                spoil(value[name], inner, keep="")
                if chance == 2:
                    value[name]["$retainKeys"] = [*value[name], draw(NAMES)]
            elif merges and not key and chance in (1, 2):
                value[f"$deleteFromPrimitiveList/{name}"] = ["d"]
                value[name] = [item for item in value[name] if item != "d"]
            elif merges and key and chance == 1:
                value[name].append({"$patch": "replace"})
            elif merges and key:
                for item in value[name]:
                    if draw(st.integers(0, 5)) == 0:
                        item["$patch"] = "delete"
                    else:
                        spoil(item, inner and inner.item, keep=key)
            if ordering and merges and chance > 5:
                kept = [x for x in value[name] if not isinstance(x, dict) or "$patch" not in x]
                found = [x[key] if key else x for x in kept]
                found[1:1] = [x for x in draw(OTHERS) if x not in found]
                value[f"$setElementOrder/{name}"] = [{key: x} if key else x for x in found]

    spoil(patch, TypeRef("object", POD), keep="")
    return patch


@settings(max_examples=60, deadline=None, derandomize=True)
@given(live=PODS, patch=patches(ordering=True))
def test_merge_agrees_with_a_plain_model(live: dict[str, Any], patch: dict[str, Any]) -> None:
    """Whatever the directives, the result is that of a naive implementation, and nothing is
    mutated.
    """
    before = orjson.dumps([live, patch])
    assert strategic_merge(live, patch, POD, SCHEMAS) == model(live, patch, TypeRef("object", POD))
    assert orjson.dumps([live, patch]) == before


@settings(max_examples=40, deadline=None, derandomize=True)
@given(live=PODS)
def test_empty_patch_is_identity(live: dict[str, Any]) -> None:
    """A patch that names nothing changes nothing."""
    assert strategic_merge(live, {}, POD, SCHEMAS) == live


@settings(max_examples=60, deadline=None, derandomize=True)
@given(live=PODS, patch=patches(ordering=False))
def test_applying_twice_equals_once(live: dict[str, Any], patch: dict[str, Any]) -> None:
    """A patch says what should be, so saying it again changes nothing."""
    once = strategic_merge(live, patch, POD, SCHEMAS)
    assert strategic_merge(once, patch, POD, SCHEMAS) == once


def difference(old: Mapping[str, Any], new: Mapping[str, Any], ref: TypeRef | None) -> Any:
    """The two-way difference that a client sends: deletions, changes, and the order of each merged
    list.
    """
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for name, value in new.items():
        inner, strategy, key = facts(ref, name)
        was = old.get(name)
        if was == value:
            continue
        if isinstance(value, dict) and isinstance(was, dict) and strategy != "replace":
            patch[name] = difference(was, value, inner)
        elif isinstance(value, list) and isinstance(was, list) and strategy == "merge":
            changed, gone = _list_difference(was, value, inner, key=key)
            patch[name] = changed
            if gone:
                patch[f"$deleteFromPrimitiveList/{name}"] = gone
            patch[f"$setElementOrder/{name}"] = [{key: x[key]} if key else x for x in value]
        else:
            patch[name] = value
    return patch


def _list_difference(old: Any, new: Any, ref: TypeRef | None, *, key: str) -> tuple[Any, Any]:
    if not key:
        return [x for x in new if x not in old], [x for x in old if x not in new]
    before = {x[key]: x for x in old}
    after = {x[key] for x in new}
    changes = [
        {**difference(before.get(x[key], {}), x, ref.item if ref else None), key: x[key]}
        for x in new
        if before.get(x[key]) != x
    ]
    return [*changes, *({key: x[key], "$patch": "delete"} for x in old if x[key] not in after)], []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(old=PODS, new=PODS)
def test_difference_of_two_objects_turns_one_into_the_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    """The patch that a client computes leads to what it wanted, the order of lists included."""
    patch = difference(old, new, TypeRef("object", POD))
    assert strategic_merge(old, patch, POD, SCHEMAS) == new
