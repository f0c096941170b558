"""What a token proves, in words: who it is, for whom, until when, what it dies with, and whether it is still good.

The signature is never part of what is said: with it, the token could be used.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from verger.identity.keys import KeySet
from verger.identity.tokens import (
    LEGACY_ISSUER,
    Claims,
    NotOurs,
    TokenError,
    check_audiences,
    header_of,
    payload_of,
    verify,
)
from verger.identity.validate import check_times

_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class Inspection(NamedTuple):
    """What was found."""

    header: dict[str, Any]
    payload: dict[str, Any]
    claims: Claims | None
    """None when the signature was not checked, or is no good."""
    signature: str
    """What is known of the signature."""
    problems: tuple[str, ...]
    """Why the token is not good."""

    @property
    def good(self) -> bool:
        """Whether the signature was checked, and nothing speaks against the token."""
        return self.claims is not None and not self.problems


def inspect(
    token: str, keys: KeySet | None, *, audiences: Sequence[str] = (), issuer: str = "", now: float
) -> Inspection:
    """Looks at a token; with keys, also whether it is good. Raises NotOurs for what is no token at all."""
    header, payload = header_of(token), payload_of(token)
    problems = [problem for problem in _time_problems(payload, now) if problem]
    stated = payload.get("iss")
    if issuer and stated not in (issuer, LEGACY_ISSUER):
        problems.append(f"it was issued by {stated}, not by {issuer}")
    if keys is None:
        return Inspection(header, payload, None, "not checked", tuple(problems))
    try:
        claims = verify(token, keys=keys, issuers=[stated] if isinstance(stated, str) else [])
    except NotOurs:
        return Inspection(header, payload, None, "not checked", (*problems, "it names no issuer"))
    except TokenError as error:
        return Inspection(header, payload, None, "not good", (*problems, str(error)))
    if audiences:
        try:
            check_audiences(claims, audiences, audiences)
        except TokenError as error:
            problems.append(str(error))
    kid = header.get("kid") or "unnamed"
    return Inspection(
        header, payload, claims, f"good: {header.get('alg')} by key {kid}", tuple(problems)
    )


def _time_problems(payload: dict[str, Any], now: float) -> list[str]:
    try:
        check_times(
            *(
                int(value) if isinstance(value := payload.get(key), (int, float)) else None
                for key in ("nbf", "exp", "iat")
            ),
            now=now,
        )
    except TokenError as error:
        return [str(error)]
    return []


def describe(found: Inspection, now: float) -> list[str]:
    """The findings as lines for people."""
    payload = found.payload
    legacy = payload.get("iss") == LEGACY_ISSUER
    lines = [_who(payload, legacy=legacy)]
    facts = [("issued by", str(payload.get("iss", "nobody")))]
    if audiences := payload.get("aud"):
        listed = audiences if isinstance(audiences, list) else [audiences]
        facts.append(("for", ", ".join(map(str, listed))))
    elif not legacy:
        facts.append(("for", "whoever its issuer's server is"))
    for title, key in (("issued", "iat"), ("valid from", "nbf")):
        value = payload.get(key)
        if isinstance(value, (int, float)) and (key != "nbf" or value != payload.get("iat")):
            facts.append((title, _moment(value, now)))
    expires = payload.get("exp")
    facts.append(
        ("expires", _moment(expires, now) if isinstance(expires, (int, float)) else "never")
    )
    bound = payload.get("kubernetes.io")
    bound = bound if isinstance(bound, dict) else {}
    if isinstance(renew := bound.get("warnafter"), (int, float)):
        facts.append(("renew before", _moment(renew, now)))
    facts.append(("dies with", _dies_with(payload, bound, legacy=legacy)))
    if (jti := payload.get("jti")) is not None:
        facts.append(("its id", str(jti)))
    facts.append(("signature", found.signature))
    width = max(len(title) for title, _ in facts)
    lines += [f"  {title:<{width}}  {value}" for title, value in facts]
    if found.problems:
        lines += [f"Not good: {problem}." for problem in found.problems]
    elif found.claims is None:
        lines.append("Whether it is good is not known: its signature was not checked.")
    elif legacy:
        lines.append("Good, as long as its Secret and its account are there.")
    else:
        lines.append("Good, as long as what it dies with is there.")
    return lines


def _who(payload: dict[str, Any], *, legacy: bool) -> str:
    subject = str(payload.get("sub", "nobody"))
    parts = subject.removeprefix("system:serviceaccount:").split(":")
    if not subject.startswith("system:serviceaccount:") or len(parts) != 2:
        return f"A token of {subject}, which is no service account."
    how = "kept in a Secret" if legacy else "issued on request"
    return f"A token of service account {parts[0]}/{parts[1]}, {how}."


def _dies_with(payload: dict[str, Any], bound: dict[str, Any], *, legacy: bool) -> str:
    if legacy:
        secret = payload.get("kubernetes.io/serviceaccount/secret.name", "unknown")
        return f"its account, and Secret {secret}"
    things = ["its account"]
    for key, title in (("pod", "Pod"), ("secret", "Secret")):
        if isinstance(reference := bound.get(key), dict):
            things.append(f"{title} {reference.get('name')}")
    node = bound.get("node")
    if isinstance(node, dict) and "pod" not in bound:
        things.append(f"Node {node.get('name')}")
    text = ", and ".join(things)
    if isinstance(node, dict) and "pod" in bound:
        text += f" (issued to Node {node.get('name')})"
    return text


def _moment(seconds: float, now: float) -> str:
    try:
        shown = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} (no time that a calendar has)"
    distance = abs(seconds - now)
    if distance < 1:
        return f"{shown}, now"
    unit, size = next((u, s) for u, s in _UNITS if distance >= s)
    count = int(distance // size)
    text = f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{shown}, in {text}" if seconds > now else f"{shown}, {text} ago"
