"""What can go wrong, one class for each reason of a Kubernetes Status; server and client raise the same classes.

    ApiError
      BadRequest 400       Unauthorized 401     Forbidden 403          NotFound 404
      MethodNotAllowed 405 NotAcceptable 406    AlreadyExists 409      Conflict 409
      Gone 410             TooLarge 413         UnsupportedMediaType 415
      Invalid 422          TooManyRequests 429  InternalError 500      ServiceUnavailable 503
      Timeout 504

A message shows the value that was wrong, and never a secret.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from verger.store.invalid import FieldError, joined


class ApiError(Exception):
    """An answer that is not a success."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details) if details is not None else None
        self.retry_after = retry_after
        """Seconds after which the client may try again."""
        self.continue_token = continue_token
        """Of an expired list: a token that carries on at the newest revision."""

    def status(self) -> dict[str, Any]:
        """The Status object that goes over the wire. spec: the order of its keys is upstream's."""
        details = self.details
        if self.retry_after is not None:
            details = {**(details or {}), "retryAfterSeconds": self.retry_after}
        out: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            out["reason"] = self.reason
        if details is not None:
            out["details"] = details
        out["code"] = self.code
        return out

    @property
    def causes(self) -> list[dict[str, Any]]:
        """The causes in the details, which tell apart what the reason alone does not."""
        return list((self.details or {}).get("causes", ()))

    def has_cause(self, reason: str) -> bool:
        """Whether one of the causes has that reason."""
        return any(cause.get("reason") == reason for cause in self.causes)


class BadRequest(ApiError):
    """The request makes no sense."""

    code = 400
    reason = "BadRequest"


class Unauthorized(ApiError):
    """The credentials are missing or wrong; the message does not say which."""

    code = 401
    reason = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class Forbidden(ApiError):
    """Known, and not allowed."""

    code = 403
    reason = "Forbidden"


class NotFound(ApiError):
    """There is no such object, or no such resource."""

    code = 404
    reason = "NotFound"


class MethodNotAllowed(ApiError):
    """The resource has no such verb."""

    code = 405
    reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    """No representation that the client accepts can be made."""

    code = 406
    reason = "NotAcceptable"


class AlreadyExists(ApiError):
    """The name is taken."""

    code = 409
    reason = "AlreadyExists"


class Conflict(ApiError):
    """The object is not in the state that the request named."""

    code = 409
    reason = "Conflict"


class Gone(ApiError):
    """The revision has left the history. List again."""

    code = 410
    reason = "Expired"


class TooLarge(ApiError):
    """The body, the object or the patch is larger than the limit."""

    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is in a format that the resource does not read."""

    code = 415
    reason = "UnsupportedMediaType"


class Invalid(ApiError):
    """The object breaks a rule of its kind; the causes say which."""

    code = 422
    reason = "Invalid"

    @classmethod
    def of(cls, kind: str, group: str, name: str, errors: Sequence[FieldError]) -> "Invalid":
        """The answer to a list of field errors, in upstream's words."""
        details: dict[str, Any] = {"name": name} if name else {}
        if group:
            details["group"] = group
        if kind:
            details["kind"] = kind
        details["causes"] = [error.cause() for error in errors]
        qualified = f"{kind}.{group}" if group else kind
        return cls(f'{qualified} "{name}" is invalid: {joined(errors)}', details)


class TooManyRequests(ApiError):
    """The server has too much to do."""

    code = 429
    reason = "TooManyRequests"


class InternalError(ApiError):
    """The server's own fault."""

    code = 500
    reason = "InternalError"


class UnreasonedError(ApiError):
    """A client's mistake that upstream answers with a bare 500, without a reason."""

    code = 500


class ServiceUnavailable(ApiError):
    """Not now."""

    code = 503
    reason = "ServiceUnavailable"


class Timeout(ApiError):
    """It took too long, or the revision that was asked for has yet to come."""

    code = 504
    reason = "Timeout"


_CLASSES: dict[tuple[int, str], type[ApiError]] = {
    (cls.code, cls.reason): cls
    for cls in (
        BadRequest,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Gone,
        TooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        InternalError,
        ServiceUnavailable,
        Timeout,
    )
}
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in reversed(_CLASSES.values())}


def from_status(status: Mapping[str, Any]) -> ApiError:
    """The error that a Status stands for: the inverse of `ApiError.status`."""
    code = int(status.get("code") or 500)
    reason = str(status.get("reason") or "")
    if code == Unauthorized.code:
        return Unauthorized()
    cls = _CLASSES.get((code, reason)) or _BY_CODE.get(code) or ApiError
    if not reason and code == UnreasonedError.code:
        cls = UnreasonedError
    details = status.get("details")
    retry_after = details.get("retryAfterSeconds") if isinstance(details, Mapping) else None
    return cls(
        str(status.get("message") or f"the server answered {code}"),
        {k: v for k, v in details.items() if k != "retryAfterSeconds"} if details else details,
        retry_after=retry_after,
        continue_token=str((status.get("metadata") or {}).get("continue") or ""),
    )
