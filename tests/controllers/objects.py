"""Objects as tests write them down, and the sentences in which tests read them back."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from verger.identity.keys import PublicKey

from tests.controllers.clients import any_name

Object = dict[str, Any]

CURRENT = "<the account's uid>"
"""Instead of a uid annotation: that of the account as it is."""
ABSENT = "<no annotation>"
"""Instead of a uid annotation: none at all."""
GOOD = "<a good token>"
"""Instead of a token: the one that belongs there."""
ROOT_CERTIFICATE = "CA Data"
TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ROOT_CA_MAP = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
_PREFIX = "kubernetes.io/serviceaccount"


def namespace(name: str, **more: Any) -> Object:
    """A namespace."""
    return {"kind": "Namespace", "metadata": {"name": name}, **more}


def account(key: str, *references: str, **metadata: Any) -> Object:
    """A service account and the names of the Secrets that it refers to."""
    space, name = key.split("/")
    out: Object = {
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": space, **metadata},
    }
    if references:
        out["secrets"] = [{"name": reference} for reference in references]
    return out


def token_secret(
    key: str,
    account: str = "default",
    *,
    uid: str = CURRENT,
    lacks: Sequence[str] = (),
    has: Mapping[str, str] | None = None,
    **metadata: Any,
) -> Object:
    """A token Secret that is complete, but for what it lacks or has instead. No uid annotation: ABSENT."""
    space, name = key.split("/")
    data = {"token": GOOD, "ca.crt": ROOT_CERTIFICATE, "namespace": space, **(has or {})}
    notes = {ACCOUNT_NAME: account} | ({ACCOUNT_UID: uid} if uid != ABSENT else {})
    return {
        "kind": "Secret",
        "metadata": {"name": name, "namespace": space, "annotations": notes, **metadata},
        "type": TOKEN_TYPE,
        "stringData": {field: value for field, value in data.items() if field not in lacks},
    }


def empty_token_secret(key: str, account: str = "default", **metadata: Any) -> Object:
    """A token Secret as users create it: the controller does the rest."""
    every = ("token", "ca.crt", "namespace")
    return token_secret(key, account, uid=ABSENT, lacks=every, **metadata)


def opaque_secret(key: str) -> Object:
    """A Secret that is none of the controllers' business."""
    space, name = key.split("/")
    return {
        "kind": "Secret",
        "metadata": {"name": name, "namespace": space},
        "stringData": {"any": "thing"},
    }


def config_map(key: str, data: Mapping[str, str] | None = None, **metadata: Any) -> Object:
    """A ConfigMap."""
    space, name = key.split("/")
    return {
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": space, **metadata},
        "data": dict(data or {}),
    }


def root_ca_map(space: str, certificate: str = ROOT_CERTIFICATE, text: str = "theirs") -> Object:
    """The ConfigMap with the root CA, with a description unless the text is empty."""
    notes = {"annotations": {DESCRIPTION: text}} if text else {}
    return config_map(f"{space}/{ROOT_CA_MAP}", {"ca.crt": certificate}, **notes)


def pod(key: str, *, grace: int = 30, **metadata: Any) -> Object:
    """A pod."""
    space, name = key.split("/")
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, **metadata},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "terminationGracePeriodSeconds": grace,
        },
    }


def text_of(value: str) -> str:
    """What a Secret's value says."""
    return base64.b64decode(value).decode()


def verified(token: str, key: PublicKey) -> Mapping[str, Any] | None:
    """The claims of a token that the key has signed, judged by another library; None for anything else."""
    try:
        claims: Mapping[str, Any] = jwt.decode(token, key, algorithms=["ES256"])
    except jwt.InvalidTokenError:
        return None
    return claims


def decoded(field: str, value: str, key: PublicKey) -> str:
    """A value of a Secret as it stands in a picture: of a token, its claims."""
    text = text_of(value)
    if field == "token" and (claims := verified(text, key)) is not None:
        return json.dumps(claims)
    return text


def flaws(
    secret: Mapping[str, Any], accounts: Mapping[str, str], key: PublicKey, root_ca: str
) -> list[str]:
    """What is wrong with a token Secret, in words. `accounts` has the uids of those that exist."""
    meta = secret["metadata"]
    space, notes = meta["namespace"], meta["annotations"]
    name = notes[ACCOUNT_NAME]
    uid = accounts.get(f"{space}/{name}", "")
    data = {field: text_of(value) for field, value in (secret.get("data") or {}).items()}
    wanted = {
        "iss": "kubernetes/serviceaccount",
        f"{_PREFIX}/namespace": space,
        f"{_PREFIX}/secret.name": meta["name"],
        f"{_PREFIX}/service-account.name": name,
        f"{_PREFIX}/service-account.uid": uid,
        "sub": f"system:serviceaccount:{space}:{name}",
    }
    out = []
    if not uid:
        out.append("no such account")
    if not data.get("token"):
        out.append("no token")
    elif verified(data["token"], key) != wanted:
        out.append("wrong token")
    if data.get("ca.crt") != root_ca:
        out.append(f"ca.crt {data.get('ca.crt')!r}")
    if data.get("namespace") != space:
        out.append(f"namespace {data.get('namespace')!r}")
    if ACCOUNT_UID not in notes:
        out.append("no uid")
    elif notes[ACCOUNT_UID] != uid:
        out.append("another uid")
    return out


def describe(
    obj: Mapping[str, Any], accounts: Mapping[str, str], key: PublicKey, root_ca: str
) -> str:
    """An object in one sentence."""
    meta = obj["metadata"]
    out = f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}".replace(" /", " ")
    if meta.get("deletionTimestamp"):
        out += " terminating"
    match obj["kind"]:
        case "ServiceAccount" if obj.get("secrets"):
            names = ", ".join(entry.get("name", "") for entry in obj["secrets"])
            out += f" refers to {names}"
        case "Secret" if obj["type"] == TOKEN_TYPE:
            wrong = flaws(obj, accounts, key, root_ca)
            out += f" for {meta['annotations'][ACCOUNT_NAME]}: {', '.join(wrong) or 'complete'}"
        case "ConfigMap":
            out += f" {json.dumps(obj.get('data') or {})}"
            if meta["name"] == ROOT_CA_MAP and not (meta.get("annotations") or {}).get(DESCRIPTION):
                out += " without description"
        case "Namespace" if not meta.get("deletionTimestamp"):
            out += f" {obj['status']['phase']}"
    return any_name(out)
