"""What should be true of the world, one file for each controller.

The rules of a reconciler:

1. Its input is a key. It reads the world and does not trust what woke it.
2. It acts on one object, or on what belongs to it, in one call.
3. Running it twice changes nothing.
4. It writes with the revision that it read. AlreadyExists and NotFound are news; a Conflict is raised, so that the key
   is looked at again: the change behind it may have been seen before, or be none (proxies answer 409, too).
5. It never changes what a cache gave it, and never deletes on a cache's word alone: it looks live first.
6. It returns `Result(after=...)` to wait, raises for trouble (which is tried again for ever), and `Terminal` for what
   no repetition can help.
7. It logs what it changed, once, with the reason.

A controller may be killed at any await: the next one finds the same key and comes to the same end.
"""
