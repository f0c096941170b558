"""What the client wants to read: the first of its Accept clauses that can be served.

upstream: apiserver/pkg/endpoints/handlers/negotiation
"""

import functools
from typing import Final, Literal, NamedTuple

from verger.store.errors import NotAcceptable

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
SUPPORTED: Final = (JSON, YAML, PROTOBUF)

Form = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
_FORMS: Final[dict[str, Form]] = {
    "": "",
    "Table": "Table",
    "PartialObjectMetadata": "PartialObjectMetadata",
    "PartialObjectMetadataList": "PartialObjectMetadataList",
}


class Target(NamedTuple):
    """How an answer is to be written."""

    media_type: str = JSON
    form: Form = ""
    version: str = "v1"
    """Of the form: v1 or v1beta1."""


PLAIN: Final = Target()


def not_acceptable() -> NotAcceptable:
    """None of the clauses can be served."""
    return NotAcceptable(f"only the following media types are accepted: {', '.join(SUPPORTED)}")


def clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media types of an Accept header with their parameters, in order."""
    out = []
    for clause in accept.split(","):
        media, *rest = clause.split(";")
        parameters = {}
        for item in rest:
            key, _, value = item.partition("=")
            parameters[key.strip()] = value.strip().strip('"')
        out.append((media.strip().lower(), parameters))
    return out


@functools.lru_cache(maxsize=256)
def negotiate(accept: str, *, convertible: bool = True, protobuf: bool = False) -> Target:
    """The target of an Accept header; `convertible` says whether forms other than the object itself can be made.

    `protobuf` says whether the object has a message; its metadata always has one, and a Table never.
    Raises NotAcceptable.
    """
    if not accept:
        return PLAIN
    for media, parameters in clauses(accept):
        if media in ("*/*", "application/*", JSON):
            media_type = JSON
        elif media == YAML:
            media_type = YAML
        elif media == PROTOBUF:
            media_type = PROTOBUF
        else:
            continue
        form = _FORMS.get(parameters.get("as", ""))
        if form is None:
            continue
        if media_type == PROTOBUF and (form == "Table" or not (form or protobuf)):
            continue
        if not form:
            return Target(media_type)
        group, version = parameters.get("g"), parameters.get("v", "")
        if convertible and group == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Target(media_type, form, version)
    raise not_acceptable()


def negotiate_stream(accept: str, *, protobuf: bool) -> Target:
    """The target of a watch, which has no form in YAML: documents there do not follow each other. Raises NotAcceptable."""
    target = negotiate(accept, protobuf=protobuf)
    if target.media_type == YAML:
        known = ", ".join(f"{media};stream=watch" for media in (JSON, PROTOBUF))
        raise NotAcceptable(f"only the following media types are accepted: {known}")
    return target
