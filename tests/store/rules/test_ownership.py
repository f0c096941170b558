"""Who owns what of an object that is created: the short way and the long one agree, for every kind."""

from random import Random

import orjson
import pytest
from verger.store.apply import track_create, track_update
from verger.store.fieldsets import FieldSet
from verger.store.kinds import Kind
from verger.store.shapes import BuiltInShapes

from tests.store.rules.conftest import STORED, fitted
from tests.store.rules.test_any_object import DEPTH, SCHEMAS, some_struct

SHAPES = BuiltInShapes(SCHEMAS)
SEEDS = 10


@pytest.mark.parametrize("kind", STORED.values(), ids=list(STORED))
def test_create_is_an_update_of_nothing(kind: Kind) -> None:
    """A create writes the entries that an update of no object would write, in the same order."""
    shape = SHAPES.of(kind.type_name)
    for seed in range(SEEDS):
        obj = fitted(kind, some_struct(SCHEMAS.type(kind.type_name), Random(seed), DEPTH))
        # Conditions that cannot be told apart keep an update from being tracked; a create does not look at them.
        (obj.get("status") or {}).pop("conditions", None)
        obj["metadata"] = {"name": "a", "uid": "u", "labels": {"b": "1", "a": "2"}}
        manager, version, time = "me", kind.api_version, "2024-01-01T00:00:00Z"
        created = track_create(
            obj, shape=shape, manager=manager, api_version=version, time=time, reset=("status",)
        )
        updated = track_update(
            None,
            obj,
            shape=shape,
            manager=manager,
            api_version=version,
            time=time,
            reset=FieldSet.named("status"),
        )
        assert orjson.dumps(created) == orjson.dumps(updated), seed
