"""The keys of an issuer of which only the URL is known: what is believed of the documents that are found there."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from verger.identity.issuer_keys import DOCUMENT_MAX, DiscoveryError, discover
from verger.identity.signing import SigningKey

from tests.identity.static_host import Host, static_host
from tests.identity.world import ring

KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with static_host(tmp_path_factory.mktemp("host"), time.time()) as host:
        yield host


def publish(host: Host, document: Any, keys: Any = None, *, below: str = "") -> str:
    """Puts both documents there (bytes as they are), and returns the issuer's URL."""
    folder = host.folder / below
    for name, content in ((".well-known/openid-configuration", document), ("keys", keys)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            path.write_bytes(text)
    return f"{host.url}/{below}" if below else host.url


def good(host: Host) -> dict[str, Any]:
    return {"issuer": host.url, "jwks_uri": f"{host.url}/keys"}


async def test_keys_are_found(host: Host) -> None:
    """From the URL to the document, and from the document to the keys; nothing else is asked for."""
    issuer = publish(host, good(host), ring(KEY).jwks())
    host.asked.clear()
    found = await discover(issuer, authority=host.authority.read_bytes())
    assert [key.kid for key in found.verifying] == [KEY.kid]
    assert host.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_issuer_with_a_path(host: Host) -> None:
    """The document stands below the path, and the issuer's name is compared as it is written."""
    for url in (f"{host.url}/sub", f"{host.url}/sub/"):
        publish(host, {**good(host), "issuer": url}, below="sub")
        publish(host, None, ring(KEY).jwks())
        assert (await discover(url, authority=host.authority.read_bytes())).verifying


@pytest.mark.parametrize(
    ("changes", "keys", "message"),
    [
        pytest.param({"issuer": "https://evil.example"}, None, "is the document of", id="another"),
        pytest.param({"issuer": None}, None, "is the document of None", id="of nobody"),
        pytest.param({"jwks_uri": "http://127.0.0.1/keys"}, None, "requires https", id="no TLS"),
        pytest.param({"jwks_uri": None}, None, "requires https", id="no place of the keys"),
        pytest.param({}, None, "answers with 404", id="no keys there"),
        pytest.param({}, {"keys": []}, "no JSON Web Key Set", id="an empty set"),
        pytest.param({}, {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, "no JSON Web", id="a secret"),
        pytest.param({}, b"[]", "holds no document", id="a list"),
        pytest.param({}, b"<html>", "holds no document", id="no JSON"),
        pytest.param({}, b" " * (DOCUMENT_MAX + 1), "holds no document", id="far too much"),
    ],
)
async def test_what_is_not_believed(
    changes: dict[str, Any], keys: Any, message: str, host: Host
) -> None:
    """Each document has to be what it should be, and the first one has to be of that very issuer."""
    issuer = publish(host, {**good(host), **changes}, keys)
    with pytest.raises(DiscoveryError, match=message):
        await discover(issuer, authority=host.authority.read_bytes())


async def test_redirections_are_not_followed(host: Host) -> None:
    """They could lead to where nobody vouches for anything."""
    publish(host, good(host), ring(KEY).jwks())
    with pytest.raises(DiscoveryError, match="answers with 302"):
        await discover(f"{host.url}/moved", authority=host.authority.read_bytes())


async def test_server_has_to_be_vouched_for(host: Host) -> None:
    """By the given authority, or by those of the machine, which do not know this one."""
    issuer = publish(host, good(host), ring(KEY).jwks())
    host.asked.clear()
    with pytest.raises(DiscoveryError, match="cannot get"):
        await discover(issuer)
    assert host.asked == []
    with pytest.raises(DiscoveryError, match="is no certificate in PEM"):
        await discover(issuer, authority=b"scribble")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "", "127.0.0.1", "https://127.0.0.1?x"])
async def test_issuers_that_are_none(url: str) -> None:
    """Nothing is asked for then."""
    with pytest.raises(DiscoveryError):
        await discover(url)


async def test_nobody_there() -> None:
    """The address and the reason."""
    with pytest.raises(DiscoveryError, match="cannot get https://127"):
        await discover("https://127.0.0.1:1")
