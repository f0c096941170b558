"""What a token proves, in words: who it is, for whom, until when, what it dies with, and whether it is still good.

The signature is never part of what is said: with it, the token could be used.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from verger.identity.keys import KeySet
from verger.identity.tokens import (
    LEGACY_ISSUER,
    NotOurs,
    TokenError,
    WrongAudience,
    check_audiences,
    header_of,
    payload_of,
    verify,
)
from verger.identity.validate import check_times

_WHILE_LEGACY: Final = "Good, as long as its Secret and its account are there."
_WHILE_BOUND: Final = "Good, as long as what it dies with is there."
_UNKNOWN_STATE: Final = "Whether it is good is not known: its signature was not checked."
_UNKNOWN: Final = "invalid bearer token"
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class Inspection(NamedTuple):
    """What was found."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signature: str
    """What is known of the signature, in words."""
    problems: tuple[str, ...]
    """Why the token is not good."""
    verdict: str = ""
    """How good the token is, in words; empty when its signature was not checked, or something speaks against it."""

    @property
    def good(self) -> bool:
        """Whether the signature was checked, and nothing speaks against the token."""
        return bool(self.verdict)


def inspect(
    token: str, keys: KeySet | None, *, audiences: Sequence[str] = (), issuer: str = "", now: float
) -> Inspection:
    """Looks at a token; with keys, also whether it is good. Raises NotOurs for what is no token at all."""
    header, payload = header_of(token), payload_of(token)
    problems = _time_problems(payload, now)
    stated = payload.get("iss")
    if issuer and stated not in (issuer, LEGACY_ISSUER):
        problems.append(f"it was issued by {_plain(stated)}, not by {issuer}")
    signature, verdict = "not checked", ""
    if keys is not None:
        try:
            claims = verify(token, keys=keys, issuers=[stated] if isinstance(stated, str) else [])
            kid = _plain(header.get("kid") or "unnamed")
            signature = f"good: {_plain(header.get('alg'))} by key {kid}"
            verdict = _WHILE_LEGACY if claims.legacy else _WHILE_BOUND
            if audiences:
                check_audiences(claims, audiences, audiences)
        except NotOurs:
            problems.append("it names no issuer")
        except WrongAudience as error:
            problems.append(_plain(error))
        except TokenError as error:
            signature = "not good"
            problems.append(str(error))
    return Inspection(header, payload, signature, tuple(problems), "" if problems else verdict)


def reviewed(token: str, status: Mapping[str, Any], *, now: float) -> Inspection:
    """What the status of a server's TokenReview says about a token. Raises NotOurs for what is no token at all."""
    header, payload = header_of(token), payload_of(token)
    if status.get("authenticated"):
        name = _plain((status.get("user") or {}).get("username"))
        verdict = f"Good: the server takes it, and whoever shows it for {name}."
        return Inspection(header, payload, "good, says the server", (), verdict)
    said = str(status.get("error") or "the server does not take it")
    # The server asks several authenticators; the ones that do not know the token have nothing to tell.
    if said.startswith(start := f"[{_UNKNOWN}, "):
        said = said.removeprefix(start).removesuffix("]")
    told = [problem for problem in _time_problems(payload, now) if problem not in said]
    return Inspection(header, payload, "not taken by the server", (*told, _plain(said)))


def _time_problems(payload: Mapping[str, Any], now: float) -> list[str]:
    times = (_time(payload.get(key)) for key in ("nbf", "exp", "iat"))
    try:
        check_times(*(None if at is None else int(at) for at in times), now=now)
    except TokenError as error:
        return [str(error)]
    return []


def _time(value: object) -> float | None:
    """A claim as a time, None when it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def _plain(value: object) -> str:
    """What a stranger wrote, as a terminal may show it."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(value))


def describe(found: Inspection, now: float) -> list[str]:
    """The findings as lines for people."""
    payload = found.payload
    legacy = payload.get("iss") == LEGACY_ISSUER
    facts = [("issued by", payload.get("iss", "nobody"))]
    if audiences := payload.get("aud"):
        listed = audiences if isinstance(audiences, list) else [audiences]
        facts.append(("for", ", ".join(map(str, listed))))
    elif not legacy:
        facts.append(("for", "whoever its issuer's server is"))
    issued, valid = _time(payload.get("iat")), _time(payload.get("nbf"))
    if issued is not None:
        facts.append(("issued", _moment(issued, now)))
    if valid is not None and valid != issued:
        facts.append(("valid from", _moment(valid, now)))
    expires = _time(payload.get("exp"))
    facts.append(("expires", "never" if expires is None else _moment(expires, now)))
    bound = payload.get("kubernetes.io")
    bound = bound if isinstance(bound, dict) else {}
    if (renew := _time(bound.get("warnafter"))) is not None:
        facts.append(("renew before", _moment(renew, now)))
    facts.append(("dies with", _dies_with(payload, bound, legacy=legacy)))
    if (jti := payload.get("jti")) is not None:
        facts.append(("its id", jti))
    facts.append(("signature", found.signature))
    width = max(len(title) for title, _ in facts)
    lines = [_plain(_who(payload, legacy=legacy))]
    lines += [f"  {title:<{width}}  {_plain(value)}" for title, value in facts]
    if found.problems:
        return lines + [f"Not good: {problem}." for problem in found.problems]
    return [*lines, found.verdict or _UNKNOWN_STATE]


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
