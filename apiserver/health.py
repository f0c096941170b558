"""Health checks: /livez, /readyz and /healthz, each as a whole, in words (`?verbose`), or one check of it.

upstream: apiserver/pkg/server/healthz
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

ENDPOINTS: Final = ("/healthz", "/livez", "/readyz")


class Check(NamedTuple):
    """One thing that must be well. `probe` returns what is wrong, or nothing; clients are not told the reason."""

    name: str
    probe: Callable[[], str]
    endpoints: tuple[str, ...] = ENDPOINTS


PING: Final = Check("ping", lambda: "")


class Report(NamedTuple):
    """An answer: plain text and a status code."""

    code: int
    text: str


class Health:
    """The checks of one server."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._checks = (PING, *checks)

    def failing(self, endpoint: str) -> list[str]:
        """The names of the checks that fail."""
        return [
            check.name for check in self._checks if endpoint in check.endpoints and check.probe()
        ]

    def report(
        self, path: str, *, verbose: bool = False, exclude: Sequence[str] = ()
    ) -> Report | None:
        """The answer at a path such as /readyz or /readyz/ping; None when there is no such check."""
        _, head, *rest = path.split("/")
        endpoint = f"/{head}"
        checks = [check for check in self._checks if endpoint in check.endpoints]
        if rest:
            found = next((check for check in checks if check.name == "/".join(rest)), None)
            if found is None:
                return None
            if found.probe():
                return Report(500, "internal server error: reason withheld\n")
            return Report(200, "ok")
        lines = []
        failed = False
        for check in checks:
            if check.name in exclude:
                lines.append(f"[+]{check.name} excluded: ok")
            elif check.probe():
                failed = True
                lines.append(f"[-]{check.name} failed: reason withheld")
            else:
                lines.append(f"[+]{check.name} ok")
        known = {check.name for check in checks}
        unknown = [name for name in exclude if name not in known]
        if unknown:
            quoted = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        text = "\n".join(lines)
        if failed:
            return Report(500, f"{text}\n{head} check failed\n")
        return Report(200, f"{text}\n{head} check passed\n" if verbose else "ok")
