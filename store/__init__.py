"""What the objects are, the rules of writing them, and where they live.

An object is a JSON-shaped dict. Its identity is its kind, namespace, name and `metadata.uid`: the uid is new for each
incarnation, so what speaks of an object must name it. Its `metadata.resourceVersion` is the revision of its last
write, in one counter for everything.

Who may change what: the server alone writes uid, resourceVersion, creationTimestamp, deletionTimestamp,
deletionGracePeriodSeconds and generation; a subresource (status, finalize) writes its own part and the main resource
the rest; a terminating object loses finalizers and gains none; with the last one it is gone.

What must hold:

- One revision for each committed change, none for a no-op or a dry run. A deletion takes one.
- An update with a stale resourceVersion never succeeds.
- A list shows one revision, and its pages are one snapshot.
- After a restart no revision is smaller than one ever shown.
- Objects that leave the store are shared: never change one, copy it first.
"""
