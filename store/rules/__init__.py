"""What each kind asks of its objects beyond what all kinds ask: defaults, frozen fields, validation, selectable fields.

One file for each family of kinds. `rules_for` is the table; a kind that is not in it follows the general rules.
"""

from typing import Final

from verger.store.rules.base import GENERAL, Rules
from verger.store.rules.configuration import ConfigMapRules, SecretRules
from verger.store.rules.coordination import LeaseRules
from verger.store.rules.events import EventRules, NewEventRules
from verger.store.rules.general import GENERAL_FACTS
from verger.store.rules.identity import NamespaceRules, ServiceAccountRules

_SPECIAL: Final[dict[tuple[str, str], Rules]] = {
    ("", "ConfigMap"): ConfigMapRules(),
    ("", "Event"): EventRules(),
    ("", "Namespace"): NamespaceRules(),
    ("", "Secret"): SecretRules(),
    ("", "ServiceAccount"): ServiceAccountRules(),
    ("coordination.k8s.io", "Lease"): LeaseRules(),
    ("events.k8s.io", "Event"): NewEventRules(),
}


def rules_for(group: str, kind: str) -> Rules:
    """The rules of a built-in kind."""
    return _SPECIAL.get((group, kind)) or GENERAL_FACTS.get((group, kind)) or GENERAL


__all__ = ["Rules", "rules_for"]
