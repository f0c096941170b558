"""What a controller has made and its cache does not show yet, so that it need not ask the server for it each time.

A cache shows everything that it has to when it has reached the revision of one live list of this run: whoever made
something before the run began had made it by then, and since then nobody else makes any. What is missing in it is what
this run has made a moment ago, which is kept here, and what it may have made without being told so: then only a look at
the server helps.
"""

from verger.controllers.reconcile import Object
from verger.store.objects import revision_of
from verger.watch.cache import Cache


class Made:
    """One thing for each owner, by the owner's uid. Made anew for each run of a controller."""

    def __init__(self, cache: Cache[Object]) -> None:
        self._cache = cache
        self._complete_at: int | None = None
        self._made: dict[str, Object | None] = {}
        """None for what may have been made."""

    def knows(self, owner: str) -> bool:
        """Whether all that there is for an owner is in the cache or here."""
        if self._complete_at is None or self._cache.revision < self._complete_at:
            return False
        return self._made.get(owner, self._made) is not None

    def get(self, owner: str) -> Object | None:
        """What was made or found for an owner, while the cache is behind it."""
        made = self._made.get(owner)
        if made is not None and self._cache.revision >= int(revision_of(made)):
            del self._made[owner]  # the cache has it, or has seen it go
            return None
        return made

    def looked(self, owner: str, revision: int, found: Object | None) -> None:
        """The server was asked what there is for an owner, and that was its answer at that revision."""
        if self._complete_at is None:
            self._complete_at = revision
        if found is None:
            self._made.pop(owner, None)
        else:
            self._made[owner] = found

    def begins(self, owner: str) -> None:
        """Something is about to be made: until its end is known, it may be there or not."""
        self._made[owner] = None

    def done(self, owner: str, made: Object) -> None:
        """It was made."""
        self._made[owner] = made

    def forget(self, owner: str) -> None:
        """The owner has gone."""
        self._made.pop(owner, None)
