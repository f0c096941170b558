"""Leases: what leader election depends on.

upstream: pkg/apis/coordination/validation
"""

from collections.abc import Mapping
from typing import Any

from verger.store.invalid import FieldError, invalid, required
from verger.store.objects import Object
from verger.store.rules.base import Rules


class LeaseRules(Rules):
    """An update must name the revision it saw: that is what makes a lease a lock."""

    unconditional_update: bool = False
    create_on_update: bool = True

    def default(self, obj: Object) -> None:
        """The spec is always there."""
        obj.setdefault("spec", {})

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Durations are positive, transitions count up, a preferred holder needs a strategy."""
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            errors.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        transitions = spec.get("leaseTransitions")
        if transitions is not None and transitions < 0:
            text = "must be greater than or equal to 0"
            errors.append(invalid("spec.leaseTransitions", transitions, text))
        if spec.get("holderIdentity") == "":
            errors.append(invalid("spec.holderIdentity", "", "must not be empty"))
        if spec.get("preferredHolder") and not spec.get("strategy"):
            errors.append(
                required("spec.strategy", "must be specified when `preferredHolder` is specified")
            )
        return errors
