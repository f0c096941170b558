"""How objects of one version are shown as another: unchanged, or by a webhook, which nobody calls here.

A version that only a webhook could show is refused in the words of a webhook that cannot be reached. To show objects as
they were stored would be to show what is not so.

upstream: apiextensions-apiserver/pkg/apiserver/conversion, .../pkg/apis/apiextensions/validation
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from verger.store import names
from verger.store.errors import UnreasonedError
from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required

_NONE: Final = "None"
_WEBHOOK: Final = "Webhook"
_REVIEWS: Final = ("v1", "v1beta1")
WARNING: Final = (
    "spec.conversion.webhook is not called by this server: objects are served in the version that they are stored in; "
    "in other versions, requests that touch objects fail"
)


def strategy_of(spec: Mapping[str, Any]) -> str:
    """How the versions of a definition are converted."""
    return str((spec.get("conversion") or {}).get("strategy") or _NONE)


def by_webhook(spec: Mapping[str, Any]) -> bool:
    """Whether a webhook is to convert."""
    return strategy_of(spec) == _WEBHOOK


def check(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is wrong with how versions are to be converted."""
    path = "spec.conversion"
    given = spec.get("conversion") or {}
    webhook = given.get("webhook")
    if (strategy := strategy_of(spec)) not in (_NONE, _WEBHOOK):
        yield not_supported(f"{path}.strategy", strategy, (_NONE, _WEBHOOK))
    if not by_webhook(spec):
        text = "should not be set when strategy is not set to Webhook"
        if webhook is not None and webhook.get("clientConfig") is not None:
            yield forbidden(f"{path}.webhookClientConfig", text)
        if webhook is not None and webhook.get("conversionReviewVersions"):
            yield forbidden(f"{path}.conversionReviewVersions", text)
        return
    where = f"{path}.webhookClientConfig"
    config = (webhook or {}).get("clientConfig")
    if config is None:
        yield required(where, "required when strategy is set to Webhook")
    elif (config.get("url") is None) == (config.get("service") is None):
        yield required(where, "exactly one of url or service is required")
    elif (url := config.get("url")) is not None and not url.startswith("https://"):
        text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        yield invalid(f"{where}.url", url.partition(":")[0], text)
    reviews = (webhook or {}).get("conversionReviewVersions") or []
    yield from _check_reviews(reviews, f"{path}.conversionReviewVersions")


def _check_reviews(versions: list[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
        elif wrong := names.label_1035(version):
            yield invalid(f"{path}[{index}]", version, ",".join(wrong))
    if not any(version in _REVIEWS for version in versions):
        yield invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")


def refuse(obj: Mapping[str, Any]) -> NoReturn:
    """Raises UnreasonedError: nobody converts the object."""
    raise UnreasonedError(
        f"conversion webhook for {obj.get('apiVersion')}, Kind={obj.get('kind')} failed: this server does not call webhooks"
    )
