"""Whoever listens at the API of a plane: the recorder, the report of rights, the faults, in one place."""

from verger.apiserver.calls import Call
from verger.embed.faults import Faults
from verger.embed.rbac_report import Usage
from verger.embed.requests import Requests


class Observation:
    """Hears of every request, and hands it on."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.requests = Requests()
        self.usage = Usage()

    async def before(self, call: Call) -> None:
        """A watch is known from its beginning: it may last longer than the test."""
        if call.verb == "watch":
            call.code, call.let_in = 200, True
            self._note(call)
        await self.faults.before(call)

    def after(self, call: Call) -> bool:
        """A request has been answered; False breaks its connection."""
        goes_out = self.faults.delivers(call)
        if not call.let_in:
            self._note(call)
        return goes_out

    def _note(self, call: Call) -> None:
        self.requests.note(call)
        self.usage.note(call)
