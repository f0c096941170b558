"""Roles and bindings.

upstream: pkg/apis/rbac/validation, pkg/apis/rbac/v1/defaults.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, invalid, not_supported, required
from verger.store.metadata import NameRule
from verger.store.objects import Object
from verger.store.rules import labelselectors, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, named

GROUP: Final = "rbac.authorization.k8s.io"

_SUBJECTS: Final = ("ServiceAccount", "User", "Group")
_WITH_GROUP: Final = ("User", "Group")


class _RbacRules(Rules):
    """A name may be anything that can stand in a path."""

    name_rule: NameRule = staticmethod(names.path_segment)
    prefix_rule: NameRule | None = staticmethod(names.path_segment_prefix)
    create_on_update: bool = True


class RoleRules(_RbacRules):
    """What may be done to which resources; `clusterwide` for paths and aggregation too."""

    clusterwide: bool = False

    def default(self, obj: Object) -> None:
        """Rules are always written: null when there are none."""
        if not obj.get("rules"):
            obj["rules"] = None

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Rules are complete; selectors of aggregated roles are selectors."""
        errors: list[FieldError] = []
        for index, rule in enumerate(obj.get("rules") or ()):
            errors += self._rule(f"rules[{index}]", rule)
        aggregation = obj.get("aggregationRule")
        if aggregation is not None and self.clusterwide:
            errors += _aggregation(aggregation)
        return errors

    def _rule(self, field: str, rule: Json) -> list[FieldError]:
        errors = []
        if not rule.get("verbs"):
            errors.append(required(f"{field}.verbs", "verbs must contain at least one value"))
        if paths := rule.get("nonResourceURLs"):
            at = f"{field}.nonResourceURLs"
            if not self.clusterwide:
                text = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid(at, paths, text))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid(at, paths, text))
            return errors
        if not rule.get("apiGroups"):
            text = "resource rules must supply at least one api group"
            errors.append(required(f"{field}.apiGroups", text))
        if not rule.get("resources"):
            text = "resource rules must supply at least one resource"
            errors.append(required(f"{field}.resources", text))
        return errors


def _aggregation(aggregation: Json) -> list[FieldError]:
    field = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        return [required(field, text)]
    errors: list[FieldError] = []
    for index, selector in enumerate(selectors):
        if wrong := labelselectors.validate(f"{field}[{index}]", selector):
            # upstream shows the selector that it could not make
            errors += [*wrong, invalid(f"{field}[{index}]", None, "invalid label selector.")]
    return errors


class BindingRules(_RbacRules):
    """Who has a role; which one is decided once and for all."""

    clusterwide: bool = False

    def default(self, obj: Object) -> None:
        """The API group of the role, and of users and groups."""
        role = values.part(obj, "roleRef")
        if not role.get("apiGroup"):
            role["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in _WITH_GROUP:
                subject["apiGroup"] = GROUP

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The role is one that can be bound here; the subjects are complete."""
        role = obj.get("roleRef") or EMPTY
        kinds = ("ClusterRole",) if self.clusterwide else ("Role", "ClusterRole")
        errors = []
        if (group := role.get("apiGroup") or "") != GROUP:
            errors.append(not_supported("roleRef.apiGroup", group, (GROUP,)))
        if (kind := role.get("kind") or "") not in kinds:
            errors.append(not_supported("roleRef.kind", kind, kinds))
        if name := role.get("name"):
            errors += named("roleRef.name", name, names.path_segment)
        else:
            errors.append(required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += self._subject(f"subjects[{index}]", subject)
        return errors

    def _subject(self, field: str, subject: Json) -> list[FieldError]:
        kind, name = subject.get("kind") or "", subject.get("name") or ""
        group = subject.get("apiGroup") or ""
        errors = [] if name else [required(f"{field}.name")]
        if kind == "ServiceAccount":
            if name:
                errors += named(f"{field}.name", name, names.subdomain)
            if group:
                errors.append(not_supported(f"{field}.apiGroup", group, ("",)))
            if self.clusterwide and not subject.get("namespace"):
                errors.append(required(f"{field}.namespace"))
        elif kind in _WITH_GROUP:
            if group != GROUP:
                errors.append(not_supported(f"{field}.apiGroup", group, (GROUP,)))
        else:
            errors.append(not_supported(f"{field}.kind", kind, _SUBJECTS))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Another role needs another binding."""
        role, before = new.get("roleRef") or EMPTY, old.get("roleRef") or EMPTY
        if role == before:
            return []
        shown = {
            "APIGroup": role.get("apiGroup") or "",
            "Kind": role.get("kind") or "",
            "Name": role.get("name") or "",
        }
        return [invalid("roleRef", shown, "cannot change roleRef")]
