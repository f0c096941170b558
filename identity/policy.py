"""The roles and bindings that every cluster begins with, and how one that was changed is mended.

Mending adds what is missing and takes nothing away: rules and subjects that somebody has added stay. Who wants to
change one of these for good sets its annotation `rbac.authorization.kubernetes.io/autoupdate` to "false".

upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy, pkg/registry/rbac/reconciliation
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

import orjson
from verger.identity.escalation import uncovered
from verger.identity.rbac import GROUP, compile_rule
from verger.store.backend import Backend
from verger.store.objects import (
    Object,
    annotations_of,
    key_of,
    labels_of,
    meta,
    new_meta,
    with_type,
)
from verger.store.timestamps import format_time

LABEL: Final = "kubernetes.io/bootstrapping"
LABEL_VALUE: Final = "rbac-defaults"
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"


class Default(NamedTuple):
    """A role or a binding as it should be."""

    kind: str
    namespace: str
    name: str
    object: Mapping[str, Any]
    """Shared by all planes of the process: never changed."""


@functools.cache
def defaults() -> Mapping[tuple[str, str, str], Default]:
    """All of them by kind, namespace and name, roles before the bindings that give them."""
    text = resources.files("verger.identity").joinpath("bootstrap-rbac.json").read_bytes()
    out = {}
    for row in orjson.loads(text):
        kind, namespace, name = row.pop("kind"), row.pop("namespace", ""), row.pop("name")
        metadata: dict[str, Any] = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        metadata["labels"] = {LABEL: LABEL_VALUE, **row.pop("labels", {})}
        metadata["annotations"] = {AUTOUPDATE: "true"}
        out[kind, namespace, name] = Default(kind, namespace, name, {"metadata": metadata, **row})
    return out


def seed(backend: Backend, now: float) -> None:
    """Puts all of them into a store that is empty yet.

    They go past the rules of writing: they are known to be good, and there is nobody yet who could object.
    """
    for default in defaults().values():
        metadata = new_meta(
            meta(default.object),
            name=default.name,
            namespace=default.namespace,
            created=format_time(now),
        )
        obj = with_type(f"{GROUP}/v1", default.kind, {**default.object, "metadata": metadata})
        key = key_of(default.namespace, default.name)
        backend.put(f"{default.kind.lower()}s.{GROUP}", key, obj, expected=0)


def is_protected(obj: Mapping[str, Any]) -> bool:
    """Whether somebody has said that he looks after the object himself."""
    return annotations_of(obj).get(AUTOUPDATE) == "false"


def is_of_another_role(default: Default, obj: Mapping[str, Any]) -> bool:
    """Whether a binding gives another role than it should: that cannot be changed, only made anew."""
    wanted = default.object.get("roleRef")
    return wanted is not None and wanted != obj.get("roleRef")


def mended(default: Default, obj: Mapping[str, Any]) -> Object | None:
    """The object with what it lacks, None when it lacks nothing."""
    wanted = default.object
    if is_protected(obj) or _same(wanted, obj):
        return None
    metadata = {
        **meta(obj),
        # What is there wins, also where it differs.
        "labels": {**labels_of(wanted), **labels_of(obj)},
        "annotations": {**annotations_of(wanted), **annotations_of(obj)},
    }
    out = {**obj, "metadata": metadata}
    if "roleRef" in wanted:
        subjects = list(obj.get("subjects") or ())
        out["subjects"] = [*subjects, *(s for s in wanted["subjects"] if s not in subjects)]
    elif "aggregationRule" in wanted:
        # Its rules are the sum of others', and somebody else's business.
        rule = obj.get("aggregationRule") or {}
        selectors = list(rule.get("clusterRoleSelectors") or ())
        missing = [
            selector
            for selector in wanted["aggregationRule"]["clusterRoleSelectors"]
            if selector not in selectors
        ]
        out["aggregationRule"] = {**rule, "clusterRoleSelectors": [*selectors, *missing]}
    else:
        out["rules"] = [*(obj.get("rules") or ()), *_missing_rules(wanted, obj)]
    return out if not _same(out, obj) else None


def _missing_rules(wanted: Mapping[str, Any], obj: Mapping[str, Any]) -> Sequence[Object]:
    held = [compile_rule(rule).policy for rule in obj.get("rules") or ()]
    return [rule for rule in wanted["rules"] if uncovered(held, [compile_rule(rule).policy])]


def _same(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    keys = ("rules", "subjects", "aggregationRule")
    return (
        labels_of(new) == labels_of(old)
        and annotations_of(new) == annotations_of(old)
        and all((new.get(key) or None) == (old.get(key) or None) for key in keys)
    )


GROUP_VERSION: Final = (GROUP, "v1")
"""Where the kinds of these objects are."""
