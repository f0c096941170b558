"""store/custom/paths.py: the JSONPaths that columns are read by."""

from typing import Any

import pytest
from verger.store.custom.paths import PathError, parse_path, values_at

OBJ = {
    "spec": {"l": [{"n": "a", "p": 1}, {"n": "b", "p": 2}], "m": {"x": 1, "y": 2}, "t": True},
    "metadata": {"annotations": {"example.com/name": "v"}},
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        pytest.param(".spec.t", [True], id="fields"),
        pytest.param("spec.t", [True], id="without a dot in front"),
        pytest.param("{.spec.t}", [True], id="in braces"),
        pytest.param("$.spec.t", [True], id="from the root"),
        pytest.param(".spec.l[1].n", ["b"], id="an item"),
        pytest.param(".spec.l[-1].n", ["b"], id="an item from the end"),
        pytest.param(".spec.l[*].n", ["a", "b"], id="all items"),
        pytest.param(".spec.m.*", [1, 2], id="all members"),
        pytest.param('.spec.l[?(@.n=="b")].p', [2], id="items that hold a condition"),
        pytest.param(".spec.l[?(@.p!=2)].n", ["a"], id="items that do not"),
        pytest.param(r".metadata.annotations.example\.com/name", ["v"], id="a dot in a name"),
        pytest.param(".metadata.annotations['example.com/name']", ["v"], id="a name in quotes"),
        pytest.param(".spec.none.more", [], id="nothing there"),
        pytest.param(".spec.t.more", [], id="something else there"),
        pytest.param(".spec.l[7]", [], id="no such item"),
    ],
)
def test_a_path_leads_to_its_values(path: str, wanted: list[Any]) -> None:
    """In order; to nothing where the object is not like that."""
    assert list(values_at(parse_path(path), OBJ)) == wanted


@pytest.mark.parametrize("text", [".spec[", ".spec[?(@.a)]", ".a..b", "]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A definition with such a column is not stored."""
    with pytest.raises(PathError):
        parse_path(text)
