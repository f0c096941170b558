"""A world of objects that a token may name, and tokens as anybody might make them."""

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from verger.identity.keys import KeySet, VerifyingKey
from verger.identity.signing import SigningKey
from verger.identity.tokens import Reference, bound_claims
from verger.store.objects import key_of
from verger.store.timestamps import format_time

NOW = 1_700_000_000
ISSUER = "https://issuer.example"
API = "https://api.example"
"""The audience of the server."""
Object = dict[str, Any]


class World:
    """Objects by plural and key; a token is judged by what stands here at that moment."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.asked: list[str] = []
        """The plurals that were looked up, in order."""

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        self.asked.append(plural)
        return self.objects.get((plural, key_of(namespace, name)))

    def put(self, plural: str, namespace: str, name: str, uid: str, **more: Any) -> Object:
        """Puts an object there, or another one in its place."""
        metadata = {"name": name, "uid": uid, **more.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        obj = {"metadata": metadata, **more}
        self.objects[plural, key_of(namespace, name)] = obj
        return obj

    def drop(self, plural: str, namespace: str, name: str) -> None:
        """Takes an object away."""
        del self.objects[plural, key_of(namespace, name)]

    def deleted(self, plural: str, namespace: str, name: str, at: float) -> None:
        """Marks an object as one that is being deleted since then."""
        key = plural, key_of(namespace, name)
        obj = self.objects[key]
        stamp = {"deletionTimestamp": format_time(at)}
        self.objects[key] = {**obj, "metadata": {**obj["metadata"], **stamp}}


def populated() -> World:
    """Account ns/sa with a Secret, a Pod on a Node, and the Node."""
    world = World()
    world.put("serviceaccounts", "ns", "sa", "sa-uid")
    world.put("secrets", "ns", "secret", "secret-uid", type="Opaque")
    world.put("pods", "ns", "pod", "pod-uid", spec={"serviceAccountName": "sa", "nodeName": "node"})
    world.put("nodes", "", "node", "node-uid")
    return world


ACCOUNT = Reference("sa", "sa-uid")
POD = Reference("pod", "pod-uid")
SECRET = Reference("secret", "secret-uid")
NODE = Reference("node", "node-uid")


def claims(**changes: Any) -> dict[str, object]:
    """The claims of a good bound token of account ns/sa, with some of `bound_claims`'s arguments changed."""
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": [API],
        "namespace": "ns",
        "account": ACCOUNT,
        "now": NOW,
        "expires": NOW + 3600,
        "jti": "an-id",
    }
    return bound_claims(**{**given, **changes})


def ring(*keys: SigningKey) -> KeySet:
    """The public halves."""
    return KeySet([VerifyingKey.of(key.public_key) for key in keys])


def part(value: Any) -> str:
    """One part of a token: JSON, or bytes as they are, in base64 without padding."""
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key: SigningKey, header: Any, payload: Any) -> str:
    """A token with a header and claims that the plane itself would never write, under a good signature."""
    message = f"{part(header)}.{part(payload)}"
    return f"{message}.{part(key._signature(message.encode()))}"
