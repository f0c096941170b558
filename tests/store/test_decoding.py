"""JSON fits the built-in types of Kubernetes or is refused in the words of a Go server, and nothing else happens."""

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.decoding import DecodeError, Decoder, unknown_field
from verger.store.schemas import Type, TypeRef, load

SCHEMAS = load()
DECODER = Decoder(SCHEMAS)
STRUCTS = [name for name in SCHEMAS.names() if SCHEMAS.type(name).scalar is None]
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
CORE = "io.k8s.api.core.v1."
SCALARS: dict[str, Any] = {
    f"{META}Time": "2020-01-01T00:00:00Z",
    f"{META}MicroTime": "2020-01-01T00:00:00.000001Z",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "1500m",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "80%",
}


def sample(ref: TypeRef, random: Random, depth: int) -> Any:
    """A value of the type, as a server would write it. Nothing in it is empty, zero or false."""
    match ref.shape:
        case "object" if ref.name:
            type_ = SCHEMAS.type(ref.name)
            if type_.scalar is not None:
                return SCALARS.get(ref.name, {"any": [1, None]})
            return sample_struct(type_, random, depth - 1)
        case "list" if ref.item:
            return [sample(ref.item, random, depth) for _ in range(random.choice([1, 1, 2]))]
        case "map" if ref.item:
            return {"key": sample(ref.item, random, depth)}
        case "string":
            return "AAEC" if ref.format == "byte" else random.choice(["text", "é<&>"])
        case "integer":
            limit = 2**31 if ref.format == "int32" else 2**63
            return random.choice([1, limit - 1, -limit])
        case "number":
            return random.choice([1.5, 2])
        case "boolean":
            return True
        case "int-or-string":
            return random.choice([8080, "80%"])
        case _:
            return {"any": [1, None, {"": ""}]}


def sample_struct(type_: Type, random: Random, depth: int) -> dict[str, Any]:
    """Its required fields, and some of the others, fewer the deeper it stands."""
    chance = (0.0, 0.15, 0.5, 1.0)[max(0, min(depth, 3))]
    return {
        name: sample(field.type, random, depth)
        for name, field in type_.fields.items()
        if depth > -5 and (field.required or random.random() < chance)
    }


def test_every_type_keeps_what_belongs_to_it() -> None:
    """A valid value of each built-in type is decoded to itself, and no field is unknown."""
    random = Random(1)
    assert len(STRUCTS) > 500
    for name in STRUCTS:
        for depth in (3, 2, 1):
            value = sample_struct(SCHEMAS.type(name), random, depth)
            before = copy.deepcopy(value)
            assert (name, DECODER.decode(name, value)) == (name, [])
            assert (name, value) == (name, before)


def wrong_values(ref: TypeRef) -> Iterator[Any]:
    """Values of sorts that the type does not take, none of them empty."""
    shape = ref.shape
    if shape == "object" and ref.name and SCHEMAS.type(ref.name).scalar is not None:
        scalar = SCALARS.get(ref.name)
        if scalar is not None:
            yield from (True, ["x"], {"x": 1})
            yield from () if scalar in ("1500m", "80%") else (1.5, "x")
        return
    known = shape in ("string", "integer", "number", "boolean", "int-or-string", "list", "map")
    if not known and not ref.name:
        return
    takes_text = shape in ("string", "int-or-string")
    yield from () if takes_text else ("text",)
    yield from () if shape in ("integer", "number", "int-or-string") else (7,)
    yield from () if shape == "number" else (0.5,)
    yield from () if shape == "boolean" else (True,)
    yield from () if shape == "list" else (["x"],)
    yield from () if shape in ("map", "object") else ({"x": 1},)
    if shape == "integer":
        yield from (2**31 if ref.format == "int32" else 2**63, 1e30)
    if ref.item:
        for wrong in wrong_values(ref.item):
            yield [wrong] if shape == "list" else {"key": wrong}


def test_every_field_refuses_what_does_not_fit() -> None:
    """A value of another sort is refused in every field of every type, and never with another error."""
    tried = 0
    for name in STRUCTS:
        for field in SCHEMAS.type(name).fields.values():
            for wrong in wrong_values(field.type):
                tried += 1
                with pytest.raises(DecodeError) as refused:
                    DECODER.decode(name, {field.name: copy.deepcopy(wrong)})
                assert str(refused.value)
    assert tried > 10_000


EMPTY: dict[str, list[Any]] = {"string": [[], {}], "list": ["", {}], "map": ["", []]}


def test_empty_values_of_another_sort_are_refused_too() -> None:
    """An empty list is no empty map and no empty text, though all three would be left out."""
    for name in ("ConfigMap", "Secret", "Pod", "ServiceAccount"):
        type_ = SCHEMAS.type(CORE + name)
        for field in type_.fields.values():
            for wrong in EMPTY.get(field.type.shape, []):
                with pytest.raises(DecodeError):
                    DECODER.decode(type_.name, {field.name: wrong})


def test_null_is_nothing_wherever_it_stands() -> None:
    """A field that is null is as good as absent, in every type."""
    for name in STRUCTS:
        value: dict[str, Any] = dict.fromkeys(SCHEMAS.type(name).fields)
        assert DECODER.decode(name, value) == []
        assert value == {}


@pytest.mark.parametrize(
    ("type_name", "value", "message"),
    [
        pytest.param(
            f"{CORE}ConfigMap",
            {"data": {"k": 7}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            id="a number for text",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"data": {"k": True}},
            "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string",
            id="a boolean for text",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"data": {"k": {"x": 1}}},
            "json: cannot unmarshal object into Go struct field ConfigMap.data of type string",
            id="an object for text",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"metadata": {"labels": {"k": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
            "string",
            id="in metadata",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"metadata": "x"},
            "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type "
            "v1.ObjectMeta",
            id="text for metadata",
        ),
        pytest.param(
            f"{CORE}Secret",
            {"data": {"k": 5}},
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
            id="a number for bytes",
        ),
        pytest.param(
            f"{CORE}Secret",
            {"data": {"k": "not base64!"}},
            "illegal base64 data at input byte 3",
            id="text that is not base64",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as '
            '"2006"',
            id="a word for a time",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.Lease",
            {"spec": {"renewTime": "2020-01-01T00:00:00Z"}},
            'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse '
            '"Z" as ".000000"',
            id="a time without fraction for one with",
        ),
        pytest.param(
            f"{CORE}ResourceQuota",
            {"spec": {"hard": {"pods": "many"}}},
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="a word for a quantity",
        ),
    ],
)
def test_misfit_is_worded_as_a_go_server_does(
    type_name: str, value: dict[str, Any], message: str
) -> None:
    """The message names the sort, the struct, the path and the type, as recorded from a kube-apiserver."""
    with pytest.raises(DecodeError) as refused:
        DECODER.decode(type_name, value)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("value", "kept", "unknown"),
    [
        pytest.param(
            {"metadata": {"name": "a", "lables": {"x": "y"}}, "dta": {"k": "v"}},
            {"metadata": {"name": "a"}},
            ["metadata.lables", "dta"],
            id="misspelled fields",
        ),
        pytest.param(
            {"spec": {"containers": [{"name": "c", "comand": ["y"]}, {"name": "d"}], "x": 1}},
            {"spec": {"containers": [{"name": "c"}, {"name": "d"}]}},
            ["spec.containers[0].comand", "spec.x"],
            id="fields of items",
        ),
        pytest.param({"Spec": {}}, {}, ["Spec"], id="names are case-sensitive"),
        pytest.param({"": 1}, {}, [""], id="a field without a name"),
        pytest.param(
            {"metadata": {"name": "a", "": 1}},
            {"metadata": {"name": "a"}},
            ["metadata."],
            id="a field without a name, further in",
        ),
        pytest.param(
            {"spec": {"containers": [{"name": "c", "": 1}]}},
            {"spec": {"containers": [{"name": "c"}]}},
            ["spec.containers[0]."],
            id="a field without a name, in an item",
        ),
    ],
)
def test_unknown_fields_are_dropped_and_named(
    value: dict[str, Any], kept: dict[str, Any], unknown: list[str]
) -> None:
    """What a type does not know goes, and its path is told."""
    assert DECODER.decode(f"{CORE}Pod", value) == unknown
    assert value == kept
    assert unknown_field('a"b') == r'unknown field "a\"b"'


@pytest.mark.parametrize(
    ("type_name", "value", "kept"),
    [
        pytest.param(
            f"{CORE}ConfigMap",
            {"metadata": {"name": "a", "labels": {}, "finalizers": [], "generateName": ""}},
            {"metadata": {"name": "a"}},
            id="empty optional fields are left out",
        ),
        pytest.param(
            f"{CORE}Pod",
            {"metadata": {"generation": 0}, "spec": {"hostIPC": False}},
            {"metadata": {}, "spec": {}},
            id="zero and false are left out where they mean nothing",
        ),
        pytest.param(
            f"{CORE}ServiceAccount",
            {"automountServiceAccountToken": False, "metadata": {"deletionGracePeriodSeconds": 0}},
            {"automountServiceAccountToken": False, "metadata": {"deletionGracePeriodSeconds": 0}},
            id="zero and false stay where they differ from nothing",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"data": {"k": None}},
            {"data": {"k": ""}},
            id="null in a map is the empty value",
        ),
        pytest.param(
            f"{CORE}Pod",
            {"spec": {"containers": [None]}},
            {"spec": {"containers": [{}]}},
            id="null in a list is the empty value",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.Lease",
            {"spec": {"holderIdentity": "", "leaseTransitions": 0}},
            {"spec": {"holderIdentity": "", "leaseTransitions": 0}},
            id="empty text that means something stays",
        ),
        pytest.param(
            f"{CORE}ConfigMap",
            {"metadata": {"creationTimestamp": "2020-01-01T01:00:00+01:00"}},
            {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
            id="times are written in one form",
        ),
        pytest.param(
            f"{CORE}ResourceQuota",
            {"spec": {"hard": {"cpu": "1000m", "pods": 5}}},
            {"spec": {"hard": {"cpu": "1", "pods": "5"}}},
            id="quantities are written in one form",
        ),
        pytest.param(
            f"{CORE}Secret",
            {"data": {"k": "AA\nEC\r\n"}},
            {"data": {"k": "AAEC"}},
            id="line breaks in base64 are left out",
        ),
        pytest.param(
            f"{CORE}Secret",
            {"data": {"k": "eB=="}},
            {"data": {"k": "eA=="}},
            id="bytes have one base64 form, without stray bits",
        ),
    ],
)
def test_value_becomes_what_a_go_server_would_write(
    type_name: str, value: dict[str, Any], kept: dict[str, Any]
) -> None:
    """Decoding leaves what would come out again: no nulls, nothing empty, one form of everything."""
    assert DECODER.decode(type_name, value) == []
    assert value == kept


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("A", 0, id="one character"),
        pytest.param("AA", 0, id="two characters without padding"),
        pytest.param("AAE", 0, id="three characters without padding"),
        pytest.param("AAECA", 4, id="one character too many"),
        pytest.param("AA=", 3, id="half of the padding"),
        pytest.param("AA=A", 3, id="text inside the padding"),
        pytest.param("A===", 1, id="padding too early"),
        pytest.param("AA==AA==", 4, id="text behind the padding"),
        pytest.param("AAE=x", 4, id="text behind a single pad"),
        pytest.param("AA-_", 2, id="the alphabet of URLs"),
        pytest.param("AAEC AAEC", 4, id="a space"),
    ],
)
def test_broken_base64_is_located_as_go_does(text: str, at: int) -> None:
    """The message counts to the byte at which Go's decoder gives up."""
    with pytest.raises(DecodeError) as refused:
        DECODER.decode(f"{CORE}Secret", {"data": {"k": text}})
    assert str(refused.value) == f"illegal base64 data at input byte {at}"


def test_unknown_type_is_a_mistake_of_the_caller() -> None:
    """There is no decoding to a type that the version does not have."""
    with pytest.raises(KeyError):
        DECODER.decode("io.example.Nothing", {})


def test_value_deeper_than_the_stack_is_refused() -> None:
    """Types that hold themselves can be sent at any depth; too deep is a client's mistake."""
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    value: dict[str, Any] = {}
    for _ in range(20_000):
        value = {"not": value}
    with pytest.raises(DecodeError, match="exceeded max depth"):
        DECODER.decode(name, value)
    while value:  # taken apart from the outside, so that freeing it does not recurse
        value = value.pop("not", {})


ODD: list[Any] = [
    None, True, 0, -1, 2**40, 0.5, 1e30, "", "x", "5", "1Gi", "2020-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
    "=", "A", "\u00b2", [], [None], ["x", 1], {}, {"": 1}, {"x": {"": None}}, {"[0]": 1}, {"name": "x"},
]  # fmt: skip


def spoilt(value: Any, random: Random) -> Any:
    """The value with something odd somewhere in it."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice([*value])
        if random.random() < 0.1:
            return {**value, random.choice(["", "x", "[", "[0]."]): random.choice(ODD)}
        return {**value, key: spoilt(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], spoilt(value[at], random), *value[at + 1 :]]
    return random.choice(ODD)


def test_any_json_is_decoded_or_refused() -> None:
    """Whatever a client sends, the answer is a value that decodes to itself, or a DecodeError."""
    random = Random(2)
    decoded = refused = 0
    for _ in range(4):
        for name in STRUCTS:
            value = spoilt(sample_struct(SCHEMAS.type(name), random, 3), random)
            if not isinstance(value, dict):
                continue
            value = copy.deepcopy(value)
            try:
                DECODER.decode(name, value)
            except DecodeError:
                refused += 1
                continue
            decoded += 1
            before = copy.deepcopy(value)
            assert (name, DECODER.decode(name, value)) == (name, [])
            assert (name, value) == (name, before)
    assert min(decoded, refused) > 300


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
@given(field=st.sampled_from(["metadata", "data", "binaryData", "immutable", "x", ""]), value=JSON)
def test_any_value_of_a_field_is_decoded_or_refused(field: str, value: Any) -> None:
    """There is no JSON at all that is answered with another error."""
    try:
        DECODER.decode(f"{CORE}ConfigMap", {field: value})
    except DecodeError as error:
        assert str(error)  # noqa: PT017
