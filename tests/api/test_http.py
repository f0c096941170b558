"""The HTTP surface as clients see it: what is sent, in which form, with which headers, and to whom."""

import base64
import contextlib
import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from verger.apiserver import answers
from verger.identity.certificates import Authority, KeyPair

from tests.api.conftest import Answer, Api, Ask

JSON = "application/json"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NAMESPACE = "/api/v1/namespaces/http"
CONFIG_MAPS = f"{NAMESPACE}/configmaps"
A = f"{CONFIG_MAPS}/a"


@pytest.fixture(scope="module", autouse=True)
def config_map(ask: Ask) -> Iterator[None]:
    """One object to look at."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "http"}})
    obj = {"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"k": "<v>"}}
    assert ask("POST", CONFIG_MAPS, obj).status == 201
    yield
    ask("DELETE", NAMESPACE)


# Forms


@pytest.mark.parametrize(
    ("accept", "content_type", "kind"),
    [
        pytest.param("", JSON, "ConfigMap", id="anything"),
        pytest.param("*/*", JSON, "ConfigMap", id="any"),
        pytest.param("application/*", JSON, "ConfigMap", id="any application"),
        pytest.param("application/json; charset=utf-8", JSON, "ConfigMap", id="JSON"),
        pytest.param("APPLICATION/JSON", JSON, "ConfigMap", id="in capitals"),
        pytest.param("application/yaml", "application/yaml", "ConfigMap", id="YAML"),
        pytest.param("application/yaml;q=0.1,application/json", "application/yaml", "ConfigMap",
                     id="the first one, whatever its weight"),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", JSON, "ConfigMap", id="a browser"),
        pytest.param(f"{TABLE},application/json", JSON, "Table", id="kubectl get"),
        pytest.param(TABLE.replace("v=v1", "v=v1beta1"), JSON, "Table", id="an old kubectl get"),
        pytest.param(PARTIAL, JSON, "PartialObjectMetadata", id="metadata"),
        pytest.param("application/json;as=Fable;g=meta.k8s.io;v=v1,application/json", JSON,
                     "ConfigMap", id="a form that does not exist is skipped"),
    ],
)  # fmt: skip
def test_form_is_the_first_that_can_be_served(
    accept: str, content_type: str, kind: str, ask: Ask
) -> None:
    """Clauses are tried in their order; the content type is exactly that of the one that was taken."""
    answer = ask("GET", A, headers={"Accept": accept} if accept else {})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == content_type
    document = answer.json if content_type == JSON else yaml.safe_load(answer.text)
    assert document["kind"] == kind


@pytest.mark.parametrize(
    "accept", ["text/html", "nonsense", "application/json;as=Table;g=x;v=v1", ",;,"]
)
def test_form_that_nobody_can_serve_is_refused(accept: str, ask: Ask) -> None:
    """The refusal itself is JSON, which every client reads."""
    for path in (A, CONFIG_MAPS, "/api"):
        answer = ask("GET", path, headers={"Accept": accept})
        assert (answer.status, answer.headers["Content-Type"]) == (406, JSON)
        assert answer.json["message"].startswith("only the following media types are accepted: ")


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param(None, id="none"),
        pytest.param(JSON, id="JSON"),
        pytest.param("application/json; charset=utf-8", id="with a parameter"),
        pytest.param("Application/JSON", id="in capitals"),
        pytest.param("application/yaml", id="YAML, of which JSON is a part"),
    ],
)
def test_body_is_json_unless_it_says_otherwise(content_type: str | None, ask: Ask) -> None:
    """Shell scripts post without a content type."""
    headers = {"Content-Type": content_type} if content_type else {}
    body = {"metadata": {"name": "b"}}
    assert ask("POST", f"{CONFIG_MAPS}?dryRun=All", body, headers=headers).status == 201


def test_body_may_be_yaml(ask: Ask) -> None:
    """And so may the answer; keys and values that look like something else stay text where text is wanted."""
    body = b"metadata: {name: b, labels: {y: 'yes'}}\ndata:\n  1: one\n  t: '2001-01-01'\n"
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    answer = ask("POST", f"{CONFIG_MAPS}?dryRun=All", body, headers=headers)
    assert answer.status == 201, answer.text
    assert yaml.safe_load(answer.text)["data"] == {"1": "one", "t": "2001-01-01"}


@pytest.mark.parametrize(
    ("agent", "query", "pretty"),
    [
        pytest.param("curl/8.5.0", "", True, id="curl"),
        pytest.param("Wget/1.21", "", True, id="wget"),
        pytest.param("Mozilla/5.0 (X11)", "", True, id="a browser"),
        pytest.param("kubectl/v1.36", "", False, id="kubectl"),
        pytest.param("not-curl/1", "", False, id="something else"),
        pytest.param("", "", False, id="nobody"),
        pytest.param("kubectl/v1.36", "?pretty=true", True, id="kubectl that wants it"),
        pytest.param("", "?pretty=1", True, id="one"),
        pytest.param("curl/8.5.0", "?pretty=false", False, id="curl that does not"),
        pytest.param("curl/8.5.0", "?pretty=0", False, id="zero"),
    ],
)
def test_output_is_indented_for_people(agent: str, query: str, pretty: bool, ask: Ask) -> None:
    """Two spaces for those who read with their eyes, and not a space for programs; the same document."""
    plain = ask("GET", A, headers={"User-Agent": "x"}).json
    for path in (A, CONFIG_MAPS, "/api/v1", f"{CONFIG_MAPS}/nothing"):
        text = ask("GET", path + query, headers={"User-Agent": agent}).text
        assert text.startswith('{\n  "kind": "' if pretty else '{"kind":"'), path
        assert ("\n  " in text) == pretty
    assert ask("GET", A + query, headers={"User-Agent": agent}).json == plain


def test_html_in_json_is_escaped_as_go_does(ask: Ask) -> None:
    """A browser that takes an answer for a page finds no tag in it, indented or not."""
    for query in ("", "?pretty=1"):
        text = ask("GET", A + query).text
        assert "\\u003cv\\u003e" in text
        assert "<v>" not in text


# Headers


def test_every_answer_has_an_audit_id_of_its_own(ask: Ask) -> None:
    """Errors, documents and text too; it is how a request is found again in the log."""
    paths = [A, CONFIG_MAPS, f"{CONFIG_MAPS}/nothing", "/nothing", "/livez", "/api", "/metrics"]
    ids = [ask("GET", path).headers["Audit-Id"] for path in paths]
    assert len(set(ids)) == len(paths)
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found) for found in ids)


def test_audit_id_of_the_client_comes_back(ask: Ask) -> None:
    """A chain of proxies keeps one id; it is cut where it is longer than any id."""
    assert ask("GET", A, headers={"Audit-ID": "mine"}).headers["Audit-Id"] == "mine"
    assert ask("GET", A, headers={"Audit-ID": "x" * 500}).headers["Audit-Id"] == "x" * 64


def test_answers_are_not_kept_by_proxies(ask: Ask) -> None:
    """What was read belongs to the one who read it."""
    for path in (A, "/livez", "/api", f"{CONFIG_MAPS}/nothing", "/openapi/v3"):
        assert ask("GET", path).headers["Cache-Control"] == "no-cache, private"


def test_text_and_refusals_are_not_sniffed(ask: Ask) -> None:
    """A browser must not take for a page what says something that the client has sent."""
    assert ask("GET", "/livez").headers["X-Content-Type-Options"] == "nosniff"
    assert ask("GET", "/nothing").headers["X-Content-Type-Options"] == "nosniff"
    assert ask("GET", A, anonymous=True).headers["X-Content-Type-Options"] == "nosniff"
    wrong = ask("GET", A, headers={"Authorization": "Bearer wrong"})
    assert wrong.headers["X-Content-Type-Options"] == "nosniff"


def test_warnings_come_one_in_a_header(ask: Ask) -> None:
    """Each once, quoted so that any text can be in it."""
    body = b'{"metadata":{"name":"b"},"a\\"b":1,"c":2,"c":3,"\\u00e9\\n":4}'
    answer = ask("POST", f"{CONFIG_MAPS}?dryRun=All", body)
    assert answer.status == 201
    warnings = answer.headers.get_all("Warning") or []
    assert '299 - "unknown field \\"c\\""' in warnings
    assert '299 - "duplicate field \\"c\\""' in warnings
    assert len(warnings) == len(set(warnings)) == 4
    assert all("\n" not in warning for warning in warnings)


def test_head_is_a_get_without_its_body(ask: Ask) -> None:
    """The length is that of the body that is not sent."""
    for path in (A, "/version", "/livez"):
        head, get = ask("HEAD", path), ask("GET", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize(
    ("agent", "manager"),
    [
        pytest.param(b"kubectl/v1.36 (linux/amd64)", "kubectl", id="up to the first slash"),
        pytest.param(b"a\xffb\tc", "abc", id="what is no text is left out"),
        pytest.param(b"x" * 127 + "\u00e9".encode(), "x" * 127, id="at most 128 bytes"),
    ],
)
def test_writer_without_a_name_goes_by_his_user_agent(agent: bytes, manager: str, api: Api) -> None:
    """Any client has one, and nothing that it may be is a reason to refuse a write."""
    body = b'{"metadata":{"name":"abc"},"data":{"k":"v"}}'
    head = (
        f"POST {CONFIG_MAPS}?dryRun=All HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {api.plane.token}\r\nContent-Length: {len(body)}\r\n"
    )
    answer = api.raw(head.encode() + b"User-Agent: " + agent + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    entries = json.loads(answer.partition(b"\r\n\r\n")[2])["metadata"]["managedFields"]
    assert [entry["manager"] for entry in entries] == [manager]


def test_client_that_waits_for_permission_gets_it(api: Api) -> None:
    """`Expect: 100-continue`: some clients send a large body only then."""
    head = (
        f"POST {CONFIG_MAPS}?dryRun=All HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {api.plane.token}\r\nContent-Length: 27\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = api.raw(head.encode() + b'{"metadata":{"name":"abc"}}')
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 201 " in answer


# The server's own documents


DOCUMENTS = ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"]
OPENAPI = ["/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1", "/openapi/v2"]


@pytest.mark.parametrize("path", [*DOCUMENTS, *OPENAPI])
def test_document_that_a_client_has_is_not_sent_again(path: str, ask: Ask) -> None:
    """kubectl asks with the ETag of what it has kept, and gets 304 as long as nothing has changed."""
    first = ask("GET", path)
    etag = first.headers["ETag"]
    assert first.status == 200
    assert re.fullmatch(r'"[0-9A-Fa-f]{32,64}"', etag)
    again = ask("GET", path, headers={"If-None-Match": etag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert ask("GET", path, headers={"If-None-Match": '"another"'}).body == first.body


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_two_forms_of_a_document_have_two_etags(path: str, ask: Ask) -> None:
    """A client that has the one does not take it for the other."""
    legacy = ask("GET", path)
    aggregated = ask("GET", path, headers={"Accept": f"{AGGREGATED},application/json"})
    assert aggregated.headers["Content-Type"] == AGGREGATED
    assert aggregated.json["kind"] == "APIGroupDiscoveryList"
    assert legacy.headers["Content-Type"] == JSON
    headers = {"Accept": AGGREGATED, "If-None-Match": legacy.headers["ETag"]}
    assert ask("GET", path, headers=headers).status == 200
    assert "Accept" in aggregated.headers["Vary"]


@pytest.mark.parametrize("path", [*DOCUMENTS, "/version"])
def test_document_is_found_with_a_slash_behind_it(path: str, ask: Ask) -> None:
    """Some clients join paths with an empty part."""
    assert ask("GET", f"{path}/").json == ask("GET", path).json


def test_root_lists_paths_that_lead_somewhere(ask: Ask) -> None:
    """Clients look there to see what they are talking to."""
    paths = ask("GET", "/").json["paths"]
    assert {"/api/v1", "/apis/apps/v1", "/healthz", "/metrics", "/openapi/v2"} <= set(paths)
    assert paths == sorted(paths)
    assert [path for path in paths if ask("GET", path).status != 200] == []


def test_openapi_v3_leads_to_a_document_of_each_version(ask: Ask) -> None:
    """kubectl finds there that the server validates fields, and need not do it itself."""
    paths = ask("GET", "/openapi/v3").json["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"} <= set(paths)
    document = ask("GET", paths["api/v1"]["serverRelativeURL"]).json
    patch = document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "ConfigMap"
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]


def test_openapi_v2_is_json_unless_protobuf_is_asked_for(ask: Ask) -> None:
    """kubectl takes nothing else, and spells the type in a way that Go itself does not parse."""
    assert ask("GET", "/openapi/v2").json["swagger"] == "2.0"
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = ask("GET", "/openapi/v2", headers={"Accept": asked})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == asked.replace("@", ".")
    assert answer.body.startswith(b"\x0a\x032.0")


def test_version_is_one_that_clients_can_parse(ask: Ask) -> None:
    """kubectl compares it with its own to warn about skew."""
    version = ask("GET", "/version").json
    assert re.fullmatch(r"v1\.\d+\.\d+([+-][\w.+-]+)?", version["gitVersion"])
    assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")


# Health and metrics


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_is_ok_for_everybody(path: str, ask: Ask) -> None:
    """Load balancers have no credentials."""
    answer = ask("GET", path, anonymous=True)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_health_in_words_names_every_check(api: Api, ask: Ask) -> None:
    """Readiness waits for each controller by its name."""
    lines = ask("GET", "/readyz?verbose").text.splitlines()
    assert lines[-1] == "readyz check passed"
    assert {f"[+]{name} ok" for name in ("ping", *api.plane.controllers.names)} <= set(lines)
    for name in ("ping", api.plane.controllers.names[0]):
        assert ask("GET", f"/readyz/{name}").body == b"ok"


def test_health_check_can_be_left_out(ask: Ask) -> None:
    """Several can; one that does not exist is told."""
    text = ask("GET", "/livez?verbose&exclude=ping&exclude=nothing").text
    assert "[+]ping excluded: ok\n" in text
    assert 'no matches for "nothing"' in text
    assert text.endswith("livez check passed\n")


def samples(answer: Answer) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """Name of a sample -> its labels and values, as the official parser reads them."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def requests_counted(ask: Ask, **labels: str) -> float:
    found = samples(ask("GET", "/metrics"))["apiserver_request_total"]
    return sum(value for have, value in found if labels.items() <= have.items())


def test_metrics_are_in_the_format_of_prometheus(api: Api, ask: Ask) -> None:
    """Requests, durations, watches, the store and the queues, each with a word of help."""
    answer = ask("GET", "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer)
    assert {
        "apiserver_request_total",
        "apiserver_request_duration_seconds_bucket",
        "verger_watches",
        "verger_store_revision",
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
    } <= set(found)
    taken = {
        labels["name"]: value for labels, value in found["workqueue_queue_duration_seconds_count"]
    }
    assert taken["serviceaccount-controller"] >= 1
    names = {labels["name"] for labels, _ in found["workqueue_depth"]}
    assert names == set(api.plane.controllers.names)


def test_requests_are_counted_by_what_they_were_about(ask: Ask) -> None:
    """By verb, resource and answer; durations of the same requests add up."""
    labels = {"verb": "get", "resource": "configmaps", "code": "404", "version": "v1", "group": ""}
    before = requests_counted(ask, **labels)
    for _ in range(3):
        ask("GET", f"{CONFIG_MAPS}/nothing")
    assert requests_counted(ask, **labels) == before + 3
    found = samples(ask("GET", "/metrics"))
    pair = {"verb": "get", "resource": "configmaps"}
    counts = [
        value for have, value in found["apiserver_request_duration_seconds_count"] if have == pair
    ]
    assert counts == [requests_counted(ask, verb="get", resource="configmaps")]


def test_controllers_tell_what_they_are_about(api: Api, ask: Ask) -> None:
    """Each with its queue, for those who may, and within bounds; others learn nothing of it."""
    assert ask("GET", "/debug/controllers", anonymous=True).status == 403
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "looked-at"}})
    answer = ask("GET", "/debug/controllers")
    assert answer.headers["Content-Type"] == JSON
    shown = {one["name"]: one for one in answer.json["controllers"]}
    assert set(shown) == set(api.plane.controllers.names)
    accounts = shown["serviceaccount-controller"]
    assert (accounts["running"], accounts["synced"], accounts["lastErrors"]) == (True, True, [])
    # A namespace that has been served is looked at once more after a while.
    assert "looked-at" in {entry["key"] for entry in accounts["delayed"]}
    assert accounts["queue"]["delayed"] >= 1
    ask("DELETE", "/api/v1/namespaces/looked-at")


def test_names_of_objects_are_no_labels(ask: Ask) -> None:
    """Each value of a label is a series for ever: clients must not be able to make new ones."""
    ask("GET", f"{CONFIG_MAPS}/strange-name")
    ask("GET", "/strange-path")
    ask("GET", "/apis/strange-group/v1/strange-plurals")
    assert "strange" not in ask("GET", "/metrics").text


# Watches


@contextlib.contextmanager
def watching(api: Api, path: str, accept: str = JSON) -> Iterator[HTTPResponse]:
    with contextlib.closing(api.connect()) as connection:
        headers = {"Authorization": f"Bearer {api.plane.token}", "Accept": accept}
        connection.request("GET", path, headers=headers)
        with contextlib.closing(connection.getresponse()) as answer:
            yield answer


def event(answer: HTTPResponse) -> tuple[str, dict[str, Any]]:
    """The next event."""
    document = json.loads(answer.readline())
    return document["type"], document["object"]


def test_watch_tells_what_is_there_and_what_happens(api: Api, ask: Ask) -> None:
    """A line for each event, as soon as it happens; deletions carry a revision of their own."""
    path = f"{CONFIG_MAPS}?watch=1&labelSelector=l%3D1"
    with watching(api, path) as watch:
        assert watch.status == 200
        assert watch.headers["Content-Type"] == JSON
        assert watch.headers["Transfer-Encoding"] == "chunked"
        sort, first = event(watch)
        assert (sort, first["metadata"]["name"]) == ("ADDED", "a")
        made = ask("POST", CONFIG_MAPS, {"metadata": {"name": "w", "labels": {"l": "1"}}}).json
        assert event(watch) == ("ADDED", made)
        patch = {"Content-Type": "application/merge-patch+json"}
        changed = ask("PATCH", f"{CONFIG_MAPS}/w", {"data": {"k": "2"}}, headers=patch).json
        assert event(watch) == ("MODIFIED", changed)
        ask("DELETE", f"{CONFIG_MAPS}/w")
        sort, last = event(watch)
        assert (sort, last["data"]) == ("DELETED", {"k": "2"})
        assert int(last["metadata"]["resourceVersion"]) > int(
            changed["metadata"]["resourceVersion"]
        )


def test_watch_from_a_revision_tells_what_came_after_it(api: Api, ask: Ask) -> None:
    """Nothing is told twice and nothing is left out between a list and the watch behind it."""
    listed = ask("GET", CONFIG_MAPS).json["metadata"]["resourceVersion"]
    for name in ("x", "y"):
        assert ask("POST", CONFIG_MAPS, {"metadata": {"name": name}}).status == 201
        ask("DELETE", f"{CONFIG_MAPS}/{name}")
    with watching(api, f"{CONFIG_MAPS}?watch=true&resourceVersion={listed}") as watch:
        seen = [event(watch) for _ in range(4)]
    assert [(sort, obj["metadata"]["name"]) for sort, obj in seen] == [
        ("ADDED", "x"),
        ("DELETED", "x"),
        ("ADDED", "y"),
        ("DELETED", "y"),
    ]


def test_watch_from_a_forgotten_revision_is_expired(api: Api) -> None:
    """The client hears that it has to list again, and never gets a stream with a hole."""
    with watching(api, f"{CONFIG_MAPS}?watch=1&resourceVersion=1") as watch:
        text = watch.readline() if watch.status == 200 else watch.read()
    document = json.loads(text)
    status = document["object"] if watch.status == 200 else document
    assert (status["code"], status["reason"]) == (410, "Expired")


def test_watch_list_says_where_the_list_ends(api: Api) -> None:
    """A bookmark with an annotation, by which new clients replace their lists."""
    query = (
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    )
    with watching(api, f"{CONFIG_MAPS}?{query}&fieldSelector=metadata.name%3Da") as watch:
        assert event(watch)[0] == "ADDED"
        sort, bookmark = event(watch)
    assert sort == "BOOKMARK"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watch_of_tables_describes_its_columns_once(api: Api, ask: Ask) -> None:
    """kubectl get -w prints a line for each event under one heading."""
    path = f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da"
    with watching(api, path, f"{TABLE},{JSON}") as watch:
        _, first = event(watch)
        patch = {"Content-Type": "application/merge-patch+json"}
        ask("PATCH", A, {"data": {"n": "1"}}, headers=patch)
        _, second = event(watch)
    assert [column["name"] for column in first["columnDefinitions"]][:1] == ["Name"]
    assert not second.get("columnDefinitions")
    assert [row["cells"][:2] for row in second["rows"]] == [["a", 2]]


def wait_for_watches(ask: Ask, count: int) -> None:
    """Waits until so many are open. Each look is a request, so that this takes seconds at most."""
    found = -1.0
    for _ in range(5_000):
        found = samples(ask("GET", "/metrics"))["verger_watches"][0][1]
        if found == count:
            return
    pytest.fail(f"{found} watches are open instead of {count}")


def test_watch_whose_client_has_gone_is_forgotten(api: Api, ask: Ask) -> None:
    """The server notices without having anything to send, and counts the watch as one that went well."""
    wait_for_watches(ask, 0)  # those of other tests
    labels = {"verb": "watch", "resource": "configmaps", "code": "200"}
    before = requests_counted(ask, **labels)
    with watching(api, f"{CONFIG_MAPS}?watch=1") as watch:
        event(watch)
        wait_for_watches(ask, 1)
    wait_for_watches(ask, 0)
    assert requests_counted(ask, **labels) == before + 1


# Who asks


def client_context(api: Api, pair: KeyPair, folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "client.crt", folder / "client.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = api.context()
    context.load_cert_chain(certificate, key)
    return context


def ask_with(api: Api, context: ssl.SSLContext, path: str, token: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with contextlib.closing(api.connect(context)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_certificate_of_the_kubeconfig_proves_the_administrator(api: Api, tmp_path: Path) -> None:
    """The file holds a token and a certificate; either of them is enough."""
    user = yaml.safe_load(api.plane.kubeconfig.read_text())["users"][0]["user"]
    pair = KeyPair(
        base64.b64decode(user["client-certificate-data"]),
        base64.b64decode(user["client-key-data"]),
    )
    assert ask_with(api, client_context(api, pair, tmp_path), A)[0] == 200


def test_certificate_names_a_user_and_groups(api: Api, tmp_path: Path) -> None:
    """Who is no administrator is refused by his name."""
    authority = api.plane._started().authority
    bob = client_context(api, authority.client("bob", ("makers",)), tmp_path)
    status, document = ask_with(api, bob, A)
    assert status == 403
    assert document["message"].startswith('configmaps "a" is forbidden: User "bob" cannot get ')


def test_certificate_of_another_authority_proves_nothing(api: Api, tmp_path: Path) -> None:
    """TLS itself refuses it, whatever it says."""
    pair = Authority(api.plane._clock.time()).client("verger-admin", ("system:masters",))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask_with(api, client_context(api, pair, tmp_path), A)


def test_token_speaks_before_the_certificate(api: Api, tmp_path: Path) -> None:
    """Whoever brings a wrong token is refused, even with a good certificate."""
    authority = api.plane._started().authority
    admin = client_context(api, authority.client("root", ("system:masters",)), tmp_path)
    assert ask_with(api, admin, A)[0] == 200
    assert ask_with(api, admin, A, token="wrong")[0] == 401


def test_request_without_credentials_is_anonymous(ask: Ask) -> None:
    """He may see whether the server is well and which version it is, and nothing of what it holds."""
    for path in ("/version", "/livez", "/readyz", "/healthz"):
        assert ask("GET", path, anonymous=True).status == 200, path
    for path in (A, CONFIG_MAPS, "/metrics", "/nothing", "/"):
        answer = ask("GET", path, anonymous=True)
        assert answer.status == 403, path
        assert 'User "system:anonymous" cannot' in answer.json["message"]
    answer = ask("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}}, anonymous=True)
    assert answer.status == 403


@pytest.mark.parametrize(
    ("path", "warning"),
    [
        pytest.param(
            "/api/v1/namespaces/default/endpoints",
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
            id="endpoints",
        ),
        pytest.param(
            "/api/v1/componentstatuses",
            "v1 ComponentStatus is deprecated in v1.19+",
            id="components",
        ),
        pytest.param("/api/v1/namespaces/default/configmaps", None, id="what is not deprecated"),
    ],
)
def test_deprecated_kinds_warn(ask: Ask, path: str, warning: str | None) -> None:
    """Each request for one; kubectl prints it."""
    expected = f'299 - "{warning}"' if warning else None
    assert ask("GET", path).headers["Warning"] == expected


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(("HEAD", "1.1"), b"405", id="a head, which has no end"),
        pytest.param(("GET", "1.0"), b"400", id="an old client, which knows no chunks"),
    ],
)
def test_watch_that_cannot_be_sent_is_refused(
    api: Api, request_: tuple[str, str], status: bytes
) -> None:
    """The next answer on that connection is one."""
    method, version = request_
    path = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1"
    first = asks(api, version, "Connection: keep-alive", path=path).replace(
        b"GET", method.encode(), 1
    )
    answer = api.raw(first + asks(api, "1.1", "Connection: close"))
    assert answer.startswith(f"HTTP/{version} ".encode() + status)
    assert b"\r\n\r\nHTTP/1.1 200 OK" in answer or b"}HTTP/1.1 200 OK" in answer.replace(b"\n", b"")


# What goes over the wire


def heads(answer: bytes) -> list[bytes]:
    """The answers of a connection, each from its status line to the end of its body."""
    out = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
        out.append(head)
        answer = rest[length:]
    return out


def asks(api: Api, version: str, *lines: str, path: str = A) -> bytes:
    """A request as text."""
    fields = (f"Host: {api.address}", f"Authorization: Bearer {api.plane.token}", *lines)
    return "\r\n".join([f"GET {path} HTTP/{version}", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    ("version", "lines", "status", "connection"),
    [
        pytest.param(
            "1.1", ("Connection: close",), b"HTTP/1.1 200 OK", b"close", id="the last one"
        ),
        pytest.param("1.0", (), b"HTTP/1.0 200 OK", None, id="an old client"),
    ],
)
def test_connection_ends_as_the_client_says(
    api: Api, version: str, lines: tuple[str, ...], status: bytes, connection: bytes | None
) -> None:
    """And the answer says so where the client could not know."""
    (head,) = heads(api.raw(asks(api, version, *lines)))
    assert head.startswith(status + b"\r\n")
    found = re.search(rb"\r\nConnection: (\S+)", head)
    assert (found[1] if found else None) == connection


def test_old_client_may_keep_its_connection(api: Api) -> None:
    """It has to ask for it, and is told that it may."""
    first = asks(api, "1.0", "Connection: keep-alive")
    kept, last = heads(api.raw(first + asks(api, "1.0")))
    assert b"\r\nConnection: keep-alive" in kept
    assert b"\r\nConnection:" not in last


def test_requests_in_a_row_are_answered_in_a_row(api: Api) -> None:
    """However many are sent before the first answer has come."""
    paths = [A, "/version", f"{CONFIG_MAPS}/nothing", A]
    *first, last = [asks(api, "1.1", path=path) for path in paths]
    last = last.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    found = [head.split(b" ")[1] for head in heads(api.raw(b"".join(first) + last))]
    assert found == [b"200", b"200", b"404", b"200"]


def test_document_that_is_known_comes_without_a_body(api: Api, ask: Ask) -> None:
    """Nor does the answer tell of a length: it would be that of the document."""
    tag = ask("GET", "/openapi/v3").headers["ETag"]
    lines = (f"If-None-Match: {tag}", "Connection: close")
    answer = api.raw(asks(api, "1.1", *lines, path="/openapi/v3"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert b"Content-Length" not in head
    assert body == b""


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b"])
def test_header_of_an_answer_is_one_line(value: str) -> None:
    """Whatever is put into one."""
    with pytest.raises(ValueError, match="end of a line"):
        answers.Answer(b"", "id", more={"X": value})
    with pytest.raises(ValueError, match="end of a line"):
        answers.Stream(JSON, value)
