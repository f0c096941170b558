"""Label selectors as objects: `matchLabels` and `matchExpressions`.

upstream: apimachinery/pkg/apis/meta/v1/validation, LabelSelectorAsSelector
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, invalid, required
from verger.store.metadata import validate_labels
from verger.store.rules.values import Json, named, ordered

_WITH_VALUES: Final = ("In", "NotIn")
_WITHOUT_VALUES: Final = ("Exists", "DoesNotExist")


def validate(field: str, selector: Json | None) -> list[FieldError]:
    """What is wrong with a selector; nothing is wrong with none."""
    errors: list[FieldError] = []
    if not selector:
        return errors
    if labels := selector.get("matchLabels"):
        errors += validate_labels(f"{field}.matchLabels", labels)
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        errors += _expression(f"{field}.matchExpressions[{index}]", expression)
    return errors


def _expression(field: str, expression: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    operator = expression.get("operator") or ""
    values = expression.get("values") or ()
    if operator in _WITH_VALUES:
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{field}.values", text))
    elif operator in _WITHOUT_VALUES:
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{field}.values", text))
    else:
        errors.append(invalid(f"{field}.operator", operator, "not a valid selector operator"))
    errors += named(f"{field}.key", expression.get("key") or "", names.qualified)
    for index, value in enumerate(values):
        errors += named(f"{field}.values[{index}]", value, names.label_value)
    return errors


def is_empty(selector: Json | None) -> bool:
    """Whether a selector is there and selects everything."""
    return selector is not None and not (
        selector.get("matchLabels") or selector.get("matchExpressions")
    )


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector selects what has these labels. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        found = labels.get(expression.get("key") or "")
        within = found is not None and found in (expression.get("values") or ())
        match expression.get("operator"):
            case "In":
                fits = within
            case "NotIn":
                fits = not within
            case "Exists":
                fits = found is not None
            case _:
                fits = found is None
        if not fits:
            return False
    return True


def shown(selector: Json | None) -> dict[str, Any] | None:
    """A selector as Go shows it inside of a message."""
    if selector is None:
        return None
    out: dict[str, Any] = {}
    if labels := ordered(selector.get("matchLabels")):
        out["matchLabels"] = labels
    if expressions := selector.get("matchExpressions"):
        out["matchExpressions"] = [
            {
                "key": item.get("key") or "",
                "operator": item.get("operator") or "",
                **({"values": item["values"]} if item.get("values") else {}),
            }
            for item in expressions
        ]
    return out
