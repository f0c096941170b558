"""What is served, as clients discover it: group by group, or all in one document.

Documents are made when they are first asked for and kept until the kinds change.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from verger.apiserver.negotiation import (
    JSON,
    PROTOBUF,
    YAML,
    Target,
    clauses,
    negotiate,
    not_acceptable,
)
from verger.store.kinds import Kind, Kinds, Subresource
from verger.store.objects import encode

_AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"
_AGGREGATED_KIND: Final = "APIGroupDiscoveryList"
# Servers of 1.35 and later have dropped v2beta1; clients up to 1.29 know nothing else and fall back to legacy lists.
_AGGREGATED_VERSIONS: Final = ("v2",)
_CUSTOM_VERBS: Final = (
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
)


class Discovery:
    """The documents under /api and /apis."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._kept: dict[str, tuple[bytes, str]] = {}
        self._version = kinds.version

    def _document(self, name: str, make: Callable[[], Any]) -> tuple[bytes, str]:
        """The encoded document of that name, and its ETag."""
        if self._version != self._kinds.version:
            self._kept.clear()
            self._version = self._kinds.version
        found = self._kept.get(name)
        if found is None:
            body = encode(make())
            etag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
            found = self._kept[name] = (body, etag)
        return found

    def serves(self, path: str) -> bool:
        """Whether there is a discovery document at the path."""
        match path.split("/"):
            case ["", "api" | "apis"]:
                return True
            case ["", "api", version]:
                return version in self._kinds.groups_served.get("", ())
            case ["", "apis", group]:
                return bool(group) and group in self._kinds.groups_served
            case ["", "apis", group, version]:
                return bool(group) and version in self._kinds.groups_served.get(group, ())
            case _:
                return False

    def get(self, path: str, accept: str) -> tuple[bytes, str, str, Target | None]:
        """The document at a path: body, media type, ETag, and the target when it is to be converted (YAML, protobuf,
        indented).

        Raises NotAcceptable.
        """
        if path in ("/api", "/apis"):
            version, target = _choose(accept)
            if version:
                body, etag = self._document(
                    f"{path} {version}", lambda: self._aggregated(path, version)
                )
                form = f"g={_AGGREGATED_GROUP};v={version};as={_AGGREGATED_KIND}"
                media = f"{target.media_type};{form}"
                return body, media, etag, target if target.media_type == PROTOBUF else None
            body, etag = self._document(path, self._versions if path == "/api" else self._groups)
            return body, target.media_type, etag, target
        target = negotiate(accept, convertible=False, protobuf=True)
        body, etag = self._document(path, lambda: self._below(path))
        return body, target.media_type, etag, target

    def _below(self, path: str) -> dict[str, Any]:
        match path.split("/"):
            case ["", "api", version]:
                return self._resources("", version)
            case ["", "apis", group]:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["", "apis", group, version]:
                return self._resources(group, version)
            case _:
                raise KeyError(path)

    def _versions(self) -> dict[str, Any]:
        return {
            "kind": "APIVersions",
            "versions": self._kinds.groups_served[""],
            "serverAddressByClientCIDRs": [],
        }

    def _groups(self) -> dict[str, Any]:
        groups = [self._group(group) for group in self._kinds.groups_served if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, group: str) -> dict[str, Any]:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version}
            for version in self._kinds.groups_served[group]
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        for kind in sorted(self._kinds.in_version(group, version), key=lambda kind: kind.plural):
            entries.append(_entry(kind))
            entries += [
                _sub_entry(kind, sub)
                for sub in sorted(kind.subresources.values(), key=lambda sub: sub.name)
            ]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": entries,
        }

    def _aggregated(self, path: str, version: str) -> dict[str, Any]:
        groups = [group for group in self._kinds.groups_served if bool(group) == (path == "/apis")]
        return {
            "kind": _AGGREGATED_KIND,
            "apiVersion": f"{_AGGREGATED_GROUP}/{version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group} if group else {},
                    "versions": [
                        {
                            "version": served,
                            "resources": [
                                _aggregated_entry(kind)
                                for kind in sorted(
                                    self._kinds.in_version(group, served),
                                    key=lambda kind: kind.plural,
                                )
                            ],
                            "freshness": "Current",
                        }
                        for served in self._kinds.groups_served[group]
                    ],
                }
                for group in groups
            ],
        }


def _choose(accept: str) -> tuple[str, Target]:
    """The version of the aggregated document that the client prefers, or nothing for the legacy one; and its target."""
    for media, parameters in clauses(accept) if accept else []:
        if media not in (JSON, YAML, PROTOBUF, "*/*", "application/*"):
            continue
        if not parameters.get("as"):
            return "", negotiate(media, convertible=False, protobuf=True)
        if (
            media in (JSON, PROTOBUF)
            and parameters["as"] == _AGGREGATED_KIND
            and parameters.get("g") == _AGGREGATED_GROUP
            and parameters.get("v") in _AGGREGATED_VERSIONS
        ):
            return parameters["v"], Target(media)
    if accept:
        raise not_acceptable()
    return "", Target()


def _verbs(kind: Kind) -> list[str]:
    """The verbs in upstream's order, which is another one for what clients define."""
    if kind.custom is None:
        return sorted(kind.verbs)
    # What is about to go is not announced to take writes; some of them still have to be taken.
    hidden = ("patch", "create", "update") if kind.custom.terminating else ()
    return [verb for verb in _CUSTOM_VERBS if verb in kind.verbs and verb not in hidden]


def _entry(kind: Kind) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if kind.stored:
        out["storageVersionHash"] = kind.storage_version_hash
    return out


def _sub_entry(kind: Kind, sub: Subresource) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": f"{kind.plural}/{sub.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
    }
    if sub.version:  # a kind from another group version than the resource's own
        out["group"] = sub.group
        out["version"] = sub.version
    return {**out, "kind": sub.kind, "verbs": list(sub.verbs)}


def _aggregated_entry(kind: Kind) -> dict[str, Any]:
    # upstream leaves group and version of the kind empty where they are those of the list.
    out: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if kind.subresources:
        out["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for sub in sorted(kind.subresources.values(), key=lambda sub: sub.name)
        ]
    return out
