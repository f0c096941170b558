"""Who may read what a daemon tells of itself: the API server is asked, as upstream's controller manager asks it.

A token is looked at by a TokenReview, and what it may read by a SubjectAccessReview. Nobody is let in because the API
server could not be asked. Neither tokens nor what they prove are kept: only the verdict, for seconds, under a hash.

upstream: k8s.io/apiserver/pkg/server/options, authentication.go and authorization.go
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from verger.store.credentials import KubeconfigError
from verger.store.errors import ApiError
from verger.store.throttle import Deadline
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

VERDICT_KEPT: Final = 10.0
"""Seconds for which a verdict holds. upstream: the delegated options' cache TTLs"""
ANSWER_MAX: Final = 10.0
"""Seconds that the API server has for both reviews. upstream: the same"""
ASKING_MAX: Final = 8
"""Requests that wait for the API server at a time. Whoever sends made-up tokens must not make us press it."""
_VERDICTS_MAX: Final = 256
_TOKEN_MAX: Final = 16_384
_BEARER: Final = "bearer "
_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Asking(Protocol):
    """What asks the API server: a client of it."""

    async def post(self, path: str, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to something that is not stored. Raises ApiError."""


class Refused(Exception):
    """A request is not answered; it carries the status code, and what the client is told."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Verdict(NamedTuple):
    """What may be kept: an exception would keep the frames that it went through, and the token in them."""

    code: int
    text: str


_ALLOWED: Final = _Verdict(200, "")
_UNKNOWN: Final = _Verdict(401, "Unauthorized")


class Delegation:
    """Asks the API server, within bounds."""

    def __init__(
        self,
        client: Asking,
        clock: Clock,
        log: "FilteringBoundLogger",
        *,
        always_allow: Sequence[str],
    ) -> None:
        """`always_allow` are the paths that everybody may read; one that ends in `/*` stands for all below it."""
        self._client = client
        self._clock = clock
        self._log = log
        self._exact = {path for path in always_allow if not path.endswith("*")}
        self._prefixes = tuple(path[:-1] for path in always_allow if path.endswith("*"))
        self._verdicts: OrderedDict[tuple[bytes, str, str], tuple[float, _Verdict]] = OrderedDict()
        self._asking = 0
        self._works = True

    async def check(self, authorization: str, verb: str, path: str) -> None:
        """Returns when the bearer of these credentials may. Raises Refused."""
        if path in self._exact or path.startswith(self._prefixes):
            return
        token = authorization[len(_BEARER) :].strip()
        if not authorization.lower().startswith(_BEARER) or not 0 < len(token) <= _TOKEN_MAX:
            raise Refused(_UNKNOWN.code, _UNKNOWN.text)
        key = (hashlib.sha256(token.encode()).digest(), verb, path)
        now = self._clock.monotonic()
        until, verdict = self._verdicts.get(key, (float("-inf"), _ALLOWED))
        if now >= until:
            verdict = await self._ask(token, verb, path)
            self._verdicts[key] = (now + VERDICT_KEPT, verdict)
            self._verdicts.move_to_end(key)
            if len(self._verdicts) > _VERDICTS_MAX:
                self._verdicts.popitem(last=False)
        if verdict is not _ALLOWED:
            raise Refused(verdict.code, verdict.text)

    async def _ask(self, token: str, verb: str, path: str) -> "_Verdict":
        """What the API server says. Raises Refused when that cannot be told now."""
        if self._asking >= ASKING_MAX:
            raise Refused(429, "Too Many Requests")
        self._asking += 1
        try:
            with Deadline(self._clock, ANSWER_MAX):
                verdict = await self._reviewed(token, verb, path)
        except (ApiError, KubeconfigError, TimeoutError) as error:
            if self._works:
                self._log.warning(
                    "cannot ask the API server who may read here", error=str(error) or "no answer"
                )
            self._works = False
            raise Refused(503, "the API server does not say whether you may") from None
        finally:
            self._asking -= 1
        self._works = True
        return verdict

    async def _reviewed(self, token: str, verb: str, path: str) -> "_Verdict":
        review = await self._client.post(
            _TOKEN_REVIEWS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token},
            },
        )
        status = _mapping(review.get("status"))
        user = _mapping(status.get("user"))
        name = user.get("username")
        if status.get("authenticated") is not True or not isinstance(name, str) or not name:
            return _UNKNOWN
        asked = {
            "user": name,
            **{key: user[key] for key in ("uid", "groups", "extra") if user.get(key)},
            "nonResourceAttributes": {"path": path, "verb": verb},
        }
        review = await self._client.post(
            _ACCESS_REVIEWS,
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": asked,
            },
        )
        status = _mapping(review.get("status"))
        if status.get("allowed") is True and status.get("denied") is not True:
            return _ALLOWED
        return _Verdict(403, f'forbidden: User "{name}" cannot {verb} path "{path}"')


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
