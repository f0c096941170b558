"""An update or an apply that would create its object needs the right to create it.

upstream: apiserver/pkg/endpoints/handlers/create.go, withAuthorization
"""

from collections.abc import Mapping
from typing import Any

from verger.identity.authz import Authorizer, forbidden
from verger.store.objects import Object
from verger.store.request import Attributes, WriteRequest


class CreationCheck:
    """The admission of objects that are created by the way."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, attributes: Attributes) -> bool:
        """Creates; which of them are by the way is known from the request."""
        return attributes.verb == "create"

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Changes nothing."""

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Raises Forbidden."""
        if request.verb == "create":
            return
        decision = self._authorizer.decide(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
