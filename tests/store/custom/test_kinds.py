"""store/custom/kinds.py: the kinds that a definition stands for."""

from typing import Any

from verger.store.custom.kinds import kinds_of


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
