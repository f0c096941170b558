"""store/custom/kinds.py: the kinds that a definition stands for."""

from typing import Any

from verger.store.custom.kinds import kinds_of
from verger.store.fitting import Fitter
from verger.store.local import LocalClient
from verger.store.request import User
from verger.store.schemas import load
from verger.store.tracking import Tracker

from tests.store.conftest import Store


def definition(*names: str, stored: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "default": 1}},
    }
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "versions": [
                {
                    "name": name,
                    "served": name != "hidden",
                    "storage": name == stored,
                    "schema": {"openAPIV3Schema": schema},
                }
                for name in names
            ],
        },
        "status": {"acceptedNames": {"plural": "widgets", "kind": "Widget", "singular": "widget"}},
    }


def test_versions_share_one_storage() -> None:
    """A version shows what another one has stored, under its own name; a hidden one may store."""
    stored, served = kinds_of(definition("v1", "hidden", stored="hidden"), restored=False)
    assert stored.version == "hidden"
    [shown] = served
    assert (shown.version, shown.storage) == ("v1", stored)
    view = shown.view
    assert view is not None
    kept = {"apiVersion": "example.com/hidden", "kind": "Widget", "metadata": {}}
    assert view.from_stored(kept) == {**kept, "apiVersion": "example.com/v1", "n": 1}
    assert kept == {"apiVersion": "example.com/hidden", "kind": "Widget", "metadata": {}}
    assert view.to_stored(view.from_stored(kept))["apiVersion"] == "example.com/hidden"


def test_what_was_never_stored_otherwise_is_shown_as_it_is() -> None:
    """Only a schema that has changed makes reading more than reading."""
    stored, served = kinds_of(definition("v1", stored="v1"), restored=False)
    assert (stored.view, list(served)) == (None, [stored])
    stored, _ = kinds_of(definition("v1", stored="v1"), restored=True)
    assert stored.view is not None
    assert stored.storage is stored


async def test_what_a_client_of_the_process_writes_is_pruned_as_well(store: Store) -> None:
    """Controllers and tests write by the schema like everybody else."""
    kind, _ = kinds_of(definition("v1", stored="v1"), restored=False)
    store.kinds.add(kind)
    fitter = Fitter(load(), Tracker(load(), store.clock))
    client = LocalClient(store.registry, store.kinds, fitter, User("alice"))
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "x": 1}
    metadata = {"name": "a", "namespace": "ns"}
    made = await client.create(kind, {**body, "metadata": metadata})
    assert (made.get("x"), made["n"]) == (None, 1)
    changed = await client.update(kind, {**made, "n": 2, "x": 1})
    assert (changed.get("x"), changed["n"]) == (None, 2)
    assert kind in await client.kinds()
