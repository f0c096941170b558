"""Rights by name, over HTTPS: no way of writing a path makes one object look like another one."""

import http.client
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from verger.embed import ControlPlane

from tests.identity.https import DEADLINE, Api, served
from tests.identity.policies import rule

SECRET = "what-nobody-may-see"


class Reader(NamedTuple):
    """An account that may read ConfigMap a, the status of pods, and nothing else."""

    api: Api
    token: str

    def raw(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """The answer to a path that is sent as it is written."""
        connection = http.client.HTTPSConnection(
            self.api.plane.url.removeprefix("https://"), timeout=DEADLINE, context=self.api.context
        )
        try:
            connection.putrequest(method, path, skip_host=False)
            connection.putheader("Authorization", f"Bearer {self.token}")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with served(ControlPlane()) as api:
        for namespace in ("ns", "other"):
            api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
            maps = f"/api/v1/namespaces/{namespace}/configmaps"
            names = ("a", "a.b", "b") if namespace == "ns" else ("a",)
            for name in names:
                content = "seen" if (namespace, name) == ("ns", "a") else SECRET
                api.create(maps, {"metadata": {"name": name}, "data": {"k": content}})
        api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "reader"}})
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/ns"
        rules = [
            rule("get list watch", "configmaps", names="a"),
            rule("get", "pods/status"),
            rule("create", "pods/eviction"),
        ]
        api.create(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
        api.create(
            f"{rbac}/rolebindings",
            {
                "metadata": {"name": "r"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "r",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "ns"}],
            },
        )
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": SECRET}]}}
        api.create("/api/v1/namespaces/ns/pods", pod)
        yield Reader(api, api.token("ns", "reader"))


NS = "/api/v1/namespaces/ns/configmaps"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{NS}/a", id="the very object"),
        pytest.param(f"{NS}/%61", id="in another spelling"),
        pytest.param(f"{NS}?fieldSelector=metadata.name%3Da", id="a list of that one"),
    ],
)
def test_what_is_allowed(reader: Reader, path: str) -> None:
    """The named object, alone or as a list of one."""
    status, body = reader.raw(path)
    assert status == 200
    assert b"seen" in body
    assert SECRET.encode() not in body


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{NS}/b", id="another object"),
        pytest.param(f"{NS}/a.b", id="a name that goes on"),
        pytest.param(f"{NS}/A", id="another case"),
        pytest.param(f"{NS}", id="all of them"),
        pytest.param(f"{NS}/", id="all of them, with a slash"),
        pytest.param(f"{NS}?fieldSelector=metadata.name%3Db", id="a list of another one"),
        pytest.param(f"{NS}?fieldSelector=metadata.name%21%3Da", id="all but that one"),
        pytest.param(f"{NS}?name=a", id="a name in the query"),
        pytest.param(f"{NS}/a/../b", id="a path upwards"),
        pytest.param(f"{NS}/a%2F..%2Fb", id="a quoted path upwards"),
        pytest.param(f"{NS}/%2e%2e/configmaps/b", id="quoted dots"),
        pytest.param(f"{NS}/a%2Fb", id="a quoted slash"),
        pytest.param(f"{NS}/a%252Fb", id="a slash that is quoted twice"),
        pytest.param(f"{NS}/a%00b", id="a zero"),
        pytest.param(f"{NS}/a%0d%0a", id="a line end"),
        pytest.param(f"{NS}/b;a", id="a semicolon"),
        pytest.param(f"{NS}/b%3Fname=a", id="a quoted question mark"),
        pytest.param(f"/{NS}/b", id="two slashes in front"),
        pytest.param(f"{NS}//b", id="two slashes between"),
        pytest.param(f"{NS}/b/", id="a slash behind"),
        pytest.param("/api/v1/namespaces/other/configmaps/a", id="that name elsewhere"),
        pytest.param("/api/v1/namespaces/ns%2F..%2Fother/configmaps/a", id="a namespace upwards"),
        pytest.param("/api/v1/namespaces//configmaps/a", id="no namespace"),
        pytest.param("/api/v1/configmaps", id="all namespaces"),
        pytest.param("/api/v1/configmaps/a", id="no namespace at all"),
        pytest.param("/api/v1/configmaps?fieldSelector=metadata.name%3Da", id="that name anywhere"),
        pytest.param("/api/v1/watch/namespaces/ns/configmaps/b", id="a watch of old"),
        pytest.param("/api/v1/namespaces/ns/pods/p", id="the object of an allowed part"),
        pytest.param("/api/v1/namespaces/ns/pods/status", id="a pod that is called like the part"),
        pytest.param("/api/v1/namespaces/ns/pods/p/status/x", id="below the part"),
        pytest.param("/api/v1/namespaces/ns/secrets/a", id="that name of another kind"),
        pytest.param("/api/v1/namespaces/ns/configmaps/a/status", id="a part that there is not"),
        pytest.param("/api/v1/namespaces/ns", id="the namespace itself"),
    ],
)
def test_what_is_not_allowed(reader: Reader, path: str) -> None:
    """403 (or 404 and 400 where there can be nothing), and never what stands elsewhere."""
    status, body = reader.raw(path)
    assert status in (400, 403, 404), body
    assert SECRET.encode() not in body


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_part_is_allowed_where_it_is(reader: Reader, slash: str) -> None:
    """The rule of the part works, so that the others did not fail by accident; a quoted slash is one everywhere."""
    assert reader.raw(f"/api/v1/namespaces/ns/pods/p{slash}status")[0] == 200


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("fieldSelector=metadata.name%3Da&fieldSelector=metadata.name%3Db", id="twice"),
        pytest.param("fieldSelector=metadata.name%3Da%2Cmetadata.name%3Db", id="two in one"),
        pytest.param("fieldSelector=metadata.name%3Da&labelSelector=x%3Dy", id="with labels"),
    ],
)
def test_selector_of_the_question_is_that_of_the_answer(reader: Reader, query: str) -> None:
    """Whatever of two selectors counts, it counts for the right and for the list."""
    status, body = reader.raw(f"{NS}?{query}")
    assert status == 200
    assert SECRET.encode() not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "get", "TRACE", "FOO"])
def test_other_methods(reader: Reader, method: str) -> None:
    """The right to read is no right to do anything else, and a method nobody knows is none."""
    status, body = reader.raw(f"{NS}/a", method)
    assert status in (400, 403, 405), body
    assert b"seen" not in body
