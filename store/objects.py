"""Small questions about objects, and the small changes that the server makes to them.

An object is a JSON-shaped dict. What the store hands out is shared: `thaw` makes a copy that may be changed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from verger.watch.chance import CHANCE

Object = dict[str, Any]

NAME_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes. upstream: apimachinery/pkg/util/rand"""
GENERATED_SUFFIX: Final = 5
GENERATED_BASE_MAX: Final = 58

_UID_MARKS: Final = 0x4 << 76 | 0x8 << 60
_UID_MASK: Final = (1 << 128) - 1 - (0xF << 76) - (0xC << 60)
FINALIZER_ORPHAN: Final = "orphan"
FINALIZER_FOREGROUND: Final = "foregroundDeletion"

_META_ORDER: Final = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def thaw(obj: Mapping[str, Any]) -> Object:
    """A deep copy that may be changed."""
    copy: Object = orjson.loads(orjson.dumps(obj))
    return copy


def meta(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata, empty when there is none."""
    return obj.get("metadata") or {}


def name_of(obj: Mapping[str, Any]) -> str:
    """The name, or nothing."""
    return str(meta(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """The namespace, or nothing."""
    return str(meta(obj).get("namespace") or "")


def uid_of(obj: Mapping[str, Any]) -> str:
    """The uid, or nothing."""
    return str(meta(obj).get("uid") or "")


def revision_of(obj: Mapping[str, Any]) -> str:
    """The resourceVersion, or nothing."""
    return str(meta(obj).get("resourceVersion") or "")


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels."""
    return meta(obj).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """The annotations."""
    return meta(obj).get("annotations") or {}


def finalizers_of(obj: Mapping[str, Any]) -> list[str]:
    """The metadata finalizers."""
    return list(meta(obj).get("finalizers") or ())


def is_terminating(obj: Mapping[str, Any]) -> bool:
    """Whether the object has been deleted and waits for its finalizers."""
    return bool(meta(obj).get("deletionTimestamp"))


def key_of(namespace: str, name: str) -> str:
    """The key of an object within its kind, in the order in which lists are sorted.

    upstream: keys of etcd, where the slash sorts before letters and digits but after dash and dot.
    """
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """The namespace (empty when there is none) and the name."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def new_uid() -> str:
    """A random version 4 UUID."""
    # Unique is what it must be, not unpredictable: a uid is no secret. The version and the variant are fixed bits.
    bits = CHANCE.getrandbits(128) & _UID_MASK | _UID_MARKS
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def generate_name(base: str) -> str:
    """A base with five random characters behind it."""
    # Collisions are what matters, not secrecy: a name is no secret.
    suffix = "".join(CHANCE.choices(NAME_ALPHABET, k=GENERATED_SUFFIX))
    return base[:GENERATED_BASE_MAX] + suffix


def new_meta(given: Mapping[str, Any], *, name: str, namespace: str, created: str) -> Object:
    """The metadata of a new object: what the client chose, and what the server sets, in the order of `ordered_meta`."""
    out: Object = {"name": name}
    if base := given.get("generateName"):
        out["generateName"] = base
    if namespace:
        out["namespace"] = namespace
    out["uid"] = new_uid()
    out["resourceVersion"] = "0"  # its place among the fields; the backend writes the value
    if generation := given.get("generation"):
        out["generation"] = generation
    out["creationTimestamp"] = created
    for key in ("labels", "annotations", "ownerReferences", "finalizers"):
        if value := given.get(key):
            out[key] = value
    return out


def ordered_meta(fields: Mapping[str, Any]) -> Object:
    """Metadata in the order in which the server writes it, without what is empty."""
    return {key: value for key in _META_ORDER if (value := fields.get(key)) or value == 0}


def with_type(api_version: str, kind: str, obj: Mapping[str, Any]) -> Object:
    """The object with its kind and apiVersion in front, and its metadata next. A shallow copy."""
    out: Object = {"kind": kind, "apiVersion": api_version, "metadata": obj.get("metadata") or {}}
    for key, value in obj.items():
        if key not in out:
            out[key] = value
    return out


def encode(obj: Any) -> bytes:
    """Compact JSON as Go's encoder writes it: <, > and & (and two line separators) are escaped."""
    data = orjson.dumps(obj)
    if b"<" in data or b">" in data or b"&" in data:
        data = data.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if b"\xe2\x80\xa8" in data or b"\xe2\x80\xa9" in data:
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return data


def without(items: Iterable[str], *unwanted: str) -> list[str]:
    """The items in order, less some."""
    return [item for item in items if item not in unwanted]
