"""How changes travel: an ordered history, readers that follow it at their own pace, and what they build from it.

What a reader of events can rely on:

1. Events of one kind arrive in revision order, each at most once per stream.
2. A stream started at revision n yields every change after n, or says `Expired`; it never skips silently.
3. Between kinds no order is promised.
4. A cache is never half-listed: it is not synced, or it shows one revision.
5. A cache may skip states, never reorder them; delete and re-create may look like one update, so compare uids.
6. The queue holds a key once; a key is never worked on twice at the same time; a key added while in work runs again.
7. A reader that stops reading hurts only itself.

Less formally: there is one timeline. You may be behind it, never beside it.

Each sentence has a test of the same words in `tests/watch/test_promises.py`. The package uses the standard library
alone and has never heard of Kubernetes: kinds, scopes and keys are strings, and objects are whatever was put in.
"""
