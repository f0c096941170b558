"""Reviews: questions about tokens, users and rights that are answered and not stored.

upstream: pkg/registry/authentication, pkg/registry/authorization
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from verger.identity.authn import Credentials, ServiceAccountTokens, StaticToken
from verger.identity.authz import Authorizer, PolicyRule
from verger.identity.tokens import NotOurs, TokenError
from verger.store.errors import BadRequest, Invalid
from verger.store.invalid import FieldError, forbidden, invalid, required
from verger.store.kinds import Form
from verger.store.objects import Object, meta
from verger.store.request import Answerer, Attributes, Posting, User
from verger.store.selectors import SelectorError, parse_fields, parse_labels
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

AUTHENTICATION: Final = "authentication.k8s.io"
AUTHORIZATION: Final = "authorization.k8s.io"
_NOBODY: Final = "invalid bearer token"
_IN: Final = ("In", "NotIn")
_EXISTS: Final = ("Exists", "DoesNotExist")


class Reviews:
    """Answers reviews."""

    def __init__(
        self,
        authorizer: Authorizer,
        tokens: ServiceAccountTokens,
        admin: StaticToken,
        clock: Clock,
    ) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._admin = admin
        self._clock = clock

    def answerers(self) -> Mapping[tuple[str, str], Answerer]:
        """Who answers what, by resource."""
        return {
            (f"tokenreviews.{AUTHENTICATION}", ""): self.token,
            (f"selfsubjectreviews.{AUTHENTICATION}", ""): self.self_subject,
            (f"subjectaccessreviews.{AUTHORIZATION}", ""): self.subject_access,
            (f"localsubjectaccessreviews.{AUTHORIZATION}", ""): self.local_access,
            (f"selfsubjectaccessreviews.{AUTHORIZATION}", ""): self.self_access,
            (f"selfsubjectrulesreviews.{AUTHORIZATION}", ""): self.self_rules,
        }

    # Who is it

    async def token(self, posting: Posting) -> Object:
        """TokenReview: whom a token stands for. Raises BadRequest."""
        spec = posting.obj.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        wanted = spec.get("audiences") or self._tokens.audiences
        try:
            user, audiences = self._who(token, wanted)
        except TokenError as error:
            # upstream asks two sorts of authenticators, and the first one never knows the token.
            text = _NOBODY if isinstance(error, NotOurs) else f"[{_NOBODY}, {error}]"
            return _reviewed(posting, {"user": {}, "error": text})
        status = {"authenticated": True, "user": _shown(user)}
        if audiences:
            status["audiences"] = list(audiences)
        return _reviewed(posting, status)

    def _who(self, token: str, wanted: Sequence[str]) -> tuple[User, Sequence[str]]:
        administrator = self._admin.authenticate(Credentials(f"Bearer {token}"))
        if administrator is None:
            proven, audiences = self._tokens.review(token, wanted)
            return proven.user, audiences
        # The token of this server is for this server.
        own = [audience for audience in wanted if audience in self._tokens.audiences]
        if not own:
            raise NotOurs(_NOBODY)
        return administrator, own

    async def self_subject(self, posting: Posting) -> Object:
        """SelfSubjectReview: who is asking."""
        created = {"creationTimestamp": format_time(self._clock.time())}
        status = {"userInfo": _shown(posting.request.user)}
        return _typed(posting.form, {"metadata": created, "status": status})

    # What may they do

    async def subject_access(self, posting: Posting) -> Object:
        """SubjectAccessReview: whether somebody may do something. Raises Invalid."""
        spec = posting.obj.get("spec") or {}
        errors = _spec_errors(spec)
        errors += _metadata_errors(meta(posting.obj))
        _refuse(errors)
        return self._access(posting, _user_of(spec), spec)

    async def local_access(self, posting: Posting) -> Object:
        """LocalSubjectAccessReview: the same, about one namespace. Raises Invalid."""
        spec = posting.obj.get("spec") or {}
        about = spec.get("resourceAttributes")
        errors = _spec_errors(spec)
        errors += _metadata_errors({**meta(posting.obj), "namespace": None})
        if about and (stated := about.get("namespace") or "") != posting.namespace:
            field = "spec.resourceAttributes.namespace"
            errors.append(invalid(field, stated, "must match metadata.namespace"))
        if (path := spec.get("nonResourceAttributes")) is not None:
            field = "spec.nonResourceAttributes"
            errors.append(invalid(field, path, "disallowed on this kind of request"))
        _refuse(errors)
        posting.obj["metadata"] = {**meta(posting.obj), "namespace": posting.namespace}
        return self._access(posting, _user_of(spec), spec)

    async def self_access(self, posting: Posting) -> Object:
        """SelfSubjectAccessReview: whether whoever asks may do something. Raises Invalid."""
        spec = posting.obj.get("spec") or {}
        errors = _attribute_errors(spec)
        errors += _metadata_errors(meta(posting.obj))
        _refuse(errors)
        return self._access(posting, posting.request.user, spec)

    def _access(self, posting: Posting, user: User, spec: Mapping[str, Any]) -> Object:
        about = spec.get("resourceAttributes")
        if about is not None:
            attributes = Attributes(
                user,
                about.get("verb") or "",
                namespace=about.get("namespace") or "",
                name=about.get("name") or "",
                subresource=about.get("subresource") or "",
                other_group=about.get("group") or "",
                other_resource=about.get("resource") or "",
            )
        else:
            path = spec.get("nonResourceAttributes") or {}
            attributes = Attributes(user, path.get("verb") or "", path=path.get("path") or "")
        decision = self._authorizer.decide(attributes)
        status: dict[str, Any] = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        problems = [decision.error, *_ignored_selectors(about or {})]
        if error := "; ".join(problem for problem in problems if problem):
            status["evaluationError"] = error
        return _reviewed(posting, status)

    async def self_rules(self, posting: Posting) -> Object:
        """SelfSubjectRulesReview: all that whoever asks may do in a namespace. Raises BadRequest."""
        namespace = (posting.obj.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise BadRequest("no namespace on request")
        rules, error = self._authorizer.rules(posting.request.user, namespace)
        status: dict[str, Any] = {
            "resourceRules": [_resource_rule(rule) for rule in rules if rule.resources],
            "nonResourceRules": [_path_rule(rule) for rule in rules if rule.urls],
            "incomplete": False,
        }
        if error:
            status["evaluationError"] = error
        # upstream does not say again for which namespace it was
        return _typed(posting.form, {"metadata": {}, "spec": {}, "status": status})


def _typed(form: Form, rest: Mapping[str, Any]) -> Object:
    return {"kind": form.kind, "apiVersion": form.api_version, **rest}


def _reviewed(posting: Posting, status: Mapping[str, Any]) -> Object:
    spec = posting.obj.get("spec") or {}
    return _typed(posting.form, {"metadata": meta(posting.obj), "spec": spec, "status": status})


def _shown(user: User) -> dict[str, Any]:
    out: dict[str, Any] = {"username": user.name}
    if user.uid:
        out["uid"] = user.uid
    if user.groups:
        out["groups"] = list(user.groups)
    if user.extra:
        out["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return out


def _user_of(spec: Mapping[str, Any]) -> User:
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    groups = tuple(spec.get("groups") or ())
    return User(spec.get("user") or "", spec.get("uid") or "", groups, extra)


def _resource_rule(rule: PolicyRule) -> dict[str, Any]:
    out: dict[str, Any] = {"verbs": list(rule.verbs)}
    for key, values in (
        ("apiGroups", rule.groups),
        ("resources", rule.resources),
        ("resourceNames", rule.names),
    ):
        if values:
            out[key] = list(values)
    return out


def _path_rule(rule: PolicyRule) -> dict[str, Any]:
    return {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.urls)}


# Validation. upstream: pkg/apis/authorization/validation


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        # upstream does not name the kind here
        raise Invalid.of("", AUTHORIZATION, "", errors)


def _metadata_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    rest = {key: value for key, value in metadata.items() if value and key != "managedFields"}
    return [invalid("metadata", rest, "must be empty")] if rest else []


def _spec_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors = _attribute_errors(spec)
    if not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        errors.append(invalid("spec.user", spec.get("user") or "", text))
    return errors


def _attribute_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    errors = []
    if about is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid("spec.nonResourceAttributes", path, text))
    if about is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid("spec.resourceAttributes", None, text))
    for name in ("fieldSelector", "labelSelector"):
        selector = (about or {}).get(name)
        if selector is not None:
            errors += _selector_errors(f"spec.resourceAttributes.{name}", selector)
    return errors


def _selector_errors(field: str, selector: Mapping[str, Any]) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or []
    errors = []
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        errors.append(invalid(f"{field}.rawSelector", raw, text))
    if not raw and not requirements:
        text = "when requirements or rawSelector must be specified"
        errors.append(required(f"{field}.requirements", text))
    for index, item in enumerate(requirements):
        where, operator = f"{field}.requirements[{index}]", item.get("operator") or ""
        if not item.get("key"):
            errors.append(required(f"{where}.key", "must be specified"))
        if operator in _IN and not item.get("values"):
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{where}.values", text))
        elif operator in _EXISTS and item.get("values"):
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{where}.values", text))
    return errors


def _ignored_selectors(about: Mapping[str, Any]) -> list[str]:
    """What is said about selectors that are not understood. They are left out, so that less is allowed, not more."""
    out = []
    for name, parse in (("fieldSelector", parse_fields), ("labelSelector", parse_labels)):
        ignored = _ignored(about.get(name) or {}, parse, fields=name == "fieldSelector")
        if ignored:
            out.append(f"spec.resourceAttributes.{name} {ignored} due to parse error")
    return out


def _ignored(selector: Mapping[str, Any], parse: Callable[[str], object], *, fields: bool) -> str:
    if raw := selector.get("rawSelector"):
        try:
            parse(raw)
        except SelectorError:
            return "ignored"
        return ""
    requirements = selector.get("requirements") or []
    unknown = [item for item in requirements if not _is_understood(item, fields=fields)]
    if not unknown:
        return ""
    return "ignored" if len(unknown) == len(requirements) else "partially ignored"


def _is_understood(requirement: Mapping[str, Any], *, fields: bool) -> bool:
    operator, values = requirement.get("operator"), requirement.get("values") or []
    if fields:  # equality is all that fields have
        return operator in _IN and len(values) == 1
    return operator in (*_IN, *_EXISTS)
