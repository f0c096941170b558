"""Large answers are compressed for whoever asks for it, and for nobody else."""

import contextlib
import gzip

import pytest

from tests.api.conftest import Api, Ask

BASE = "/api/v1/namespaces/compression/configmaps"
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module", autouse=True)
def maps(ask: Ask) -> None:
    """A ConfigMap of 100 KiB, one of 700 KiB, and a small one."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "compression"}})
    for name, size in (("small", 100), ("medium", 100_000), ("large", 700_000)):
        data = {
            "metadata": {"name": name, "labels": {name: ""}},
            "data": {"k": "0123456789" * (size // 10)},
        }
        assert ask("POST", BASE, data).status == 201


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{BASE}/large", id="an object"),
        pytest.param(BASE, id="a list"),
        pytest.param("/openapi/v2", id="a document"),
        pytest.param(f"{BASE}?pretty=true", id="indented"),
    ],
)
@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip", "br,gzip"])
def test_large_answers_are_compressed(ask: Ask, path: str, accepted: str) -> None:
    """They are the same as without, and caches are told what they depend on."""
    plain = ask("GET", path)
    assert "Content-Encoding" not in plain.headers
    answer = ask("GET", path, headers={"Accept-Encoding": accepted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers.get_all("Vary", [])
    assert int(answer.headers["Content-Length"]) == len(answer.body) < len(plain.body) / 3
    assert answer.headers["Content-Type"] == plain.headers["Content-Type"]
    assert gzip.decompress(answer.body) == plain.body


def test_protobuf_is_compressed_too(ask: Ask) -> None:
    """As any other form."""
    accept = {"Accept": "application/vnd.kubernetes.protobuf"}
    plain = ask("GET", BASE, headers=accept)
    assert gzip.decompress(ask("GET", BASE, headers={**accept, **GZIP}).body) == plain.body


@pytest.mark.parametrize(
    ("method", "path", "accepted"),
    [
        pytest.param("GET", f"{BASE}/medium", "gzip", id="it is small enough"),
        pytest.param("GET", f"{BASE}/large", "identity", id="nobody asks for it"),
        pytest.param("GET", f"{BASE}/large", "gzip;q=1.0", id="it is weighted, as upstream"),
        pytest.param("PUT", f"{BASE}/large", "gzip", id="it is a write"),
    ],
)
def test_what_is_sent_as_it_is(ask: Ask, method: str, path: str, accepted: str) -> None:
    """The answer is JSON as it stands."""
    body = ask("GET", path).json if method == "PUT" else None
    answer = ask(method, path, body, headers={"Accept-Encoding": accepted})
    assert answer.status == 200
    assert "Content-Encoding" not in answer.headers
    assert answer.json["kind"] == "ConfigMap"


def test_a_watch_is_never_compressed(api: Api) -> None:
    """Each event goes out when it happens."""
    headers = {**GZIP, "Authorization": f"Bearer {api.plane.token}"}
    with contextlib.closing(api.connect()) as connection:
        connection.request(
            "GET", f"{BASE}?watch=true&fieldSelector=metadata.name%3Dlarge", headers=headers
        )
        answer = connection.getresponse()
        assert "Content-Encoding" not in answer.headers
        assert len(answer.readline()) > 700_000
