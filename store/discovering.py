"""What a server serves: its preferred resources, by one document for all groups or, from older servers, by many.

A group that does not answer (an aggregated API whose server is down) hides nothing of the others.

spec: apidiscovery.k8s.io/v2; k8s.io/client-go/discovery, ServerPreferredResources
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from verger.store.client import PartialDiscovery
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.transport import JSON, Request, Transport
from verger.watch.clock import Clock

FRESH: Final = 5.0
"""Seconds for which an answer is kept. A namespace is emptied that long after its deletion at the earliest, so that a
kind whose objects may be in it is known then."""
_AGGREGATED: Final = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,{JSON}"


class _Resource(NamedTuple):
    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    short_names: tuple[str, ...]
    categories: tuple[str, ...]


class _Found(NamedTuple):
    resources: list[_Resource]
    failed: dict[str, str]
    """group/version -> why nothing is known of it."""


class Discoverer:
    """Asks one server. A kind that is known already is found as the same object."""

    def __init__(self, transport: Transport, known: Kinds, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._known = known
        self._made: dict[_Resource, Kind] = {}
        self._asking = asyncio.Lock()
        self._kept: tuple[float, Sequence[Kind], dict[str, str]] | None = None

    async def kinds(self, agent: str) -> Sequence[Kind]:
        """Each kind once, in the version that the server prefers. Raises PartialDiscovery, ApiError."""
        async with self._asking:
            now = self._clock.monotonic()
            if self._kept is None or now - self._kept[0] >= FRESH:
                found = await self._find(agent)
                preferred: dict[tuple[str, str], _Resource] = {}
                for resource in found.resources:
                    preferred.setdefault((resource.group, resource.plural), resource)
                kinds = [self._kind(resource) for resource in preferred.values()]
                self._kept = (now, kinds, found.failed)
            _, kept, failed = self._kept
        if failed:
            why = ", ".join(f"{name}: {text}" for name, text in failed.items())
            # upstream: discovery.ErrGroupDiscoveryFailed, in its words
            raise PartialDiscovery(
                f"unable to retrieve the complete list of server APIs: {why}", kinds=kept
            )
        return kept

    def _kind(self, row: _Resource) -> Kind:
        known = self._known.resource(row.group, row.version, row.plural)
        if known is not None and known.namespaced == row.namespaced:
            return known
        made = self._made.get(row)
        if made is None:
            made = self._made[row] = Kind(
                group=row.group,
                version=row.version,
                kind=row.kind,
                plural=row.plural,
                singular=row.singular,
                namespaced=row.namespaced,
                verbs=row.verbs,
                type_name="",
                short_names=row.short_names,
                categories=row.categories,
            )
        return made

    async def _get(self, path: str, agent: str, accept: str = JSON) -> Mapping[str, Any]:
        body = await self._transport.call(Request("GET", path, accept=accept, agent=agent))
        document = orjson.loads(body)
        return document if isinstance(document, dict) else {}

    async def _find(self, agent: str) -> _Found:
        out = _Found([], {})
        for root in ("/api", "/apis"):
            document = await self._get(root, agent, _AGGREGATED)
            if document.get("kind") == "APIGroupDiscoveryList":
                for item in document.get("items") or ():
                    _read_aggregated(item, out)
            else:
                for path in _group_versions(root, document):
                    await self._ask_version(path, agent, out)
        return out

    async def _ask_version(self, path: str, agent: str, out: _Found) -> None:
        name = path.removeprefix("/apis/").removeprefix("/api/")
        try:
            document = await self._get(path, agent)
        except NotFound:
            return  # it has gone since
        except ApiError as error:
            out.failed[name] = str(error)
            return
        group, _, version = name.rpartition("/")
        for row in document.get("resources") or ():
            if "/" not in row["name"]:
                out.resources.append(_resource(group, version, row, row["name"], row["kind"]))


def _group_versions(root: str, document: Mapping[str, Any]) -> Iterator[str]:
    """The paths of all versions of all groups, of each group the preferred one first."""
    for version in document.get("versions") or ():
        yield f"{root}/{version}"
    for group in document.get("groups") or ():
        versions = [item["groupVersion"] for item in group.get("versions") or ()]
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        for name in sorted(versions, key=lambda name: name != preferred):
            yield f"{root}/{name}"


def _read_aggregated(item: Mapping[str, Any], out: _Found) -> None:
    group = (item.get("metadata") or {}).get("name") or ""
    for version in item.get("versions") or ():
        if version.get("freshness") == "Stale":
            name = f"{group}/{version['version']}" if group else version["version"]
            out.failed[name] = "stale GroupVersion discovery: " + name
            continue
        for row in version.get("resources") or ():
            # Without a kind only the subresources are served.
            if kind := (row.get("responseKind") or {}).get("kind"):
                legacy = {**row, "namespaced": row.get("scope") == "Namespaced"}
                resource = _resource(group, version["version"], legacy, row["resource"], kind)
                out.resources.append(resource)


def _resource(
    group: str, version: str, row: Mapping[str, Any], plural: str, kind: str
) -> _Resource:
    return _Resource(
        group,
        version,
        plural,
        row.get("singularName") or row.get("singularResource") or kind.lower(),
        kind,
        bool(row.get("namespaced")),
        frozenset(row.get("verbs") or ()),
        tuple(row.get("shortNames") or ()),
        tuple(row.get("categories") or ()),
    )
