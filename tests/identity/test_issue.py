"""TokenRequests: for whom, for how long, bound to what; every rule and its words."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from verger.identity.issue import TokenIssuer
from verger.identity.keyring import KeyRing
from verger.identity.signing import SigningKey
from verger.identity.tokens import Claims, payload_of, verify
from verger.identity.validate import validate
from verger.store.errors import ApiError, BadRequest, Conflict, Invalid, NotFound
from verger.store.kinds import Form
from verger.store.request import Posting, User, WriteRequest
from verger.watch.clock import FakeClock

from tests.identity.world import API, ISSUER, NOW, World, populated, ring

KEY = SigningKey.generate()
FORM = Form("authentication.k8s.io", "v1", "TokenRequest", "")
YEAR = 365 * 24 * 3600
HOUR = 3600


def issuer(
    world: World, *, extend: bool = True, longest: int = 0, audiences: Sequence[str] = (API,)
) -> TokenIssuer:
    return TokenIssuer(
        KeyRing(KEY),
        world,
        FakeClock(float(NOW)),
        issuer=ISSUER,
        audiences=audiences,
        max_seconds=longest,
        extend=extend,
    )


def posting(spec: dict[str, Any] | None = None, **metadata: Any) -> Posting:
    """A request for a token of account ns/sa."""
    request = WriteRequest(User("somebody"))
    return Posting(FORM, "ns", "sa", {"metadata": metadata, "spec": spec or {}}, request)


def pod_reference(**more: str) -> dict[str, Any]:
    return {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "pod", **more}}


async def asked(spec: dict[str, Any] | None = None, world: World | None = None) -> Any:
    """The answer to a request."""
    return await issuer(world or populated()).answer(posting(spec))


async def verified(spec: dict[str, Any] | None = None, world: World | None = None) -> Claims:
    """What the token of the answer says, once it has been verified."""
    token = (await asked(spec, world))["status"]["token"]
    return verify(token, keys=ring(KEY), issuers=(ISSUER,))


async def test_request_that_says_nothing() -> None:
    """An hour, for this server, bound to nothing; the answer repeats what was decided."""
    answer = await asked()
    assert list(answer) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert answer["kind"] == "TokenRequest"
    assert answer["apiVersion"] == "authentication.k8s.io/v1"
    assert answer["metadata"] == {
        "name": "sa",
        "namespace": "ns",
        "uid": "sa-uid",
        "creationTimestamp": "2023-11-14T22:13:20Z",
    }
    assert answer["spec"] == {
        "audiences": [API],
        "expirationSeconds": HOUR,
        "boundObjectRef": None,
    }
    assert answer["status"]["expirationTimestamp"] == "2023-11-14T23:13:20Z"


async def test_claims() -> None:
    """What the token says, to the letter; nothing else stands in it."""
    payload = payload_of((await asked())["status"]["token"])
    jti = payload.pop("jti")
    assert len(jti) == 36
    assert payload == {
        "aud": [API],
        "exp": NOW + HOUR,
        "iat": NOW,
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "ns",
            "serviceaccount": {"name": "sa", "uid": "sa-uid"},
        },
        "nbf": NOW,
        "sub": "system:serviceaccount:ns:sa",
    }


async def test_every_token_has_an_id_of_its_own() -> None:
    """Two tokens that say the same can be told apart."""
    assert (await verified()).jti != (await verified()).jti


@pytest.mark.parametrize(
    ("own", "wanted", "audiences"),
    [
        pytest.param((API,), None, [API], id="none: this server"),
        pytest.param((API,), [], [API], id="an empty list: this server"),
        pytest.param((API, "b"), None, [API, "b"], id="a server with two names"),
        pytest.param((API,), ["vault"], ["vault"], id="another one alone"),
        pytest.param((API,), ["b", "a", "b"], ["b", "a", "b"], id="as they are given"),
    ],
)
async def test_audiences(
    own: tuple[str, ...], wanted: list[str] | None, audiences: list[str]
) -> None:
    """A token is for those that were named, or for this server."""
    answer = await issuer(populated(), audiences=own).answer(posting({"audiences": wanted}))
    assert answer["spec"]["audiences"] == audiences
    assert payload_of(answer["status"]["token"])["aud"] == audiences


async def test_server_without_audiences() -> None:
    """Then the token names none."""
    answer = await issuer(populated(), audiences=()).answer(posting())
    assert "aud" not in payload_of(answer["status"]["token"])


# How long


@pytest.mark.parametrize(
    ("seconds", "detail"),
    [
        pytest.param(599, "may not specify a duration less than 10 minutes", id="too short"),
        pytest.param(0, "may not specify a duration less than 10 minutes", id="nothing"),
        pytest.param(-1, "may not specify a duration less than 10 minutes", id="less than nothing"),
        pytest.param(2**32 + 1, "may not specify a duration larger than 2^32 seconds", id="long"),
    ],
)
async def test_durations_that_are_refused(seconds: int, detail: str) -> None:
    """Ten minutes to 2^32 seconds; the error shows the value."""
    with pytest.raises(Invalid) as caught:
        await asked({"expirationSeconds": seconds})
    assert caught.value.message == (
        f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: {seconds}: {detail}'
    )


@pytest.mark.parametrize("seconds", [600, 601, 3600, 2**32])
async def test_durations_that_are_granted(seconds: int) -> None:
    """What is asked for is given."""
    claims = await verified({"expirationSeconds": seconds})
    assert claims.expires == NOW + seconds


async def test_durations_are_shortened_to_the_longest() -> None:
    """The server's limit wins, and the client is told."""
    request = posting({"expirationSeconds": 10_000})
    answer = await issuer(populated(), longest=HOUR).answer(request)
    assert request.request.warnings == [
        "requested expiration of 10000 seconds shortened to 3600 seconds"
    ]
    assert answer["spec"]["expirationSeconds"] == HOUR
    assert payload_of(answer["status"]["token"])["exp"] == NOW + HOUR
    assert answer["status"]["expirationTimestamp"] == "2023-11-14T23:13:20Z"
    exact = posting({"expirationSeconds": HOUR})
    await issuer(populated(), longest=HOUR).answer(exact)
    assert exact.request.warnings == []


@pytest.mark.parametrize(
    ("extend", "longest", "spec", "life"),
    [
        pytest.param(True, 0, {}, YEAR, id="what pods ask for lives a year"),
        pytest.param(False, 5 * HOUR, {}, 3607, id="not where that is off"),
        pytest.param(True, 2 * HOUR, {}, YEAR, id="the limit does not count"),
        pytest.param(False, 1800, {}, 1800, id="but shortens"),
        pytest.param(True, 1800, {}, 1800, id="and what is shortened is not extended"),
        pytest.param(True, 0, {"expirationSeconds": 3600}, 3600, id="only the odd number"),
        pytest.param(True, 0, {"expirationSeconds": 3608}, 3608, id="exactly that one"),
        pytest.param(True, 0, {"boundObjectRef": None}, 3607, id="only for pods"),
        pytest.param(
            True,
            0,
            {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "secret"}},
            3607,
            id="not for Secrets",
        ),
        pytest.param(True, 0, {"audiences": ["vault"]}, 3607, id="not for other audiences"),
        pytest.param(True, 0, {"audiences": [API, "vault"]}, 3607, id="nor for one of them"),
        pytest.param(True, 0, {"audiences": [API]}, YEAR, id="for this server by name"),
    ],
)
async def test_extension(extend: bool, longest: int, spec: dict[str, Any], life: int) -> None:
    """The injected tokens of pods live a year, and warn after the hour; the client is told of the hour."""
    wanted = {"expirationSeconds": 3607, **pod_reference(), **spec}
    answer = await issuer(populated(), extend=extend, longest=longest).answer(posting(wanted))
    claims = verify(answer["status"]["token"], keys=ring(KEY), issuers=(ISSUER,))
    assert claims.expires == NOW + life
    assert claims.warn_after == (NOW + 3607 if life == YEAR else None)
    stated = 3607 if life == YEAR else life
    assert answer["spec"]["expirationSeconds"] == stated


# Bound to what


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param(
            {"kind": "Pod", "apiVersion": "v1", "name": "pod"},
            {
                "pod": {"name": "pod", "uid": "pod-uid"},
                "node": {"name": "node", "uid": "node-uid"},
            },
            id="a pod, and the node where it runs",
        ),
        pytest.param(
            {"kind": "Pod", "apiVersion": "v1", "name": "pod", "uid": "pod-uid"},
            {
                "pod": {"name": "pod", "uid": "pod-uid"},
                "node": {"name": "node", "uid": "node-uid"},
            },
            id="a pod by its uid",
        ),
        pytest.param(
            {"kind": "Secret", "apiVersion": "v1", "name": "secret"},
            {"secret": {"name": "secret", "uid": "secret-uid"}},
            id="a Secret",
        ),
        pytest.param(
            {"kind": "Node", "apiVersion": "v1", "name": "node"},
            {"node": {"name": "node", "uid": "node-uid"}},
            id="a node",
        ),
        pytest.param(
            {"kind": "Node", "name": "node"},
            {"node": {"name": "node", "uid": "node-uid"}},
            id="without a version",
        ),
        pytest.param(
            {"kind": "Node", "apiVersion": "v9", "name": "node"},
            {"node": {"name": "node", "uid": "node-uid"}},
            id="in any version",
        ),
    ],
)
async def test_bindings(reference: dict[str, str], expected: dict[str, Any]) -> None:
    """A token names what it dies with, by its uid; and the node of its pod."""
    answer = await asked({"boundObjectRef": reference})
    bound = payload_of(answer["status"]["token"])["kubernetes.io"]
    account = {"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "sa-uid"}}
    assert bound == {**account, **expected}
    assert answer["spec"]["boundObjectRef"] == reference


async def test_node_that_nobody_knows() -> None:
    """A pod on a node that is not registered: the node is told by its name."""
    world = populated()
    world.drop("nodes", "", "node")
    answer = await asked(pod_reference(), world)
    assert payload_of(answer["status"]["token"])["kubernetes.io"]["node"] == {"name": "node"}


async def test_pod_that_is_nowhere_yet() -> None:
    """A pod without a node: the token names none."""
    world = populated()
    world.put("pods", "ns", "pod", "pod-uid", spec={"serviceAccountName": "sa"})
    answer = await asked(pod_reference(), world)
    assert "node" not in payload_of(answer["status"]["token"])["kubernetes.io"]


Change = Callable[[World], object]


@pytest.mark.parametrize(
    ("spec", "harm", "error", "message"),
    [
        pytest.param(
            pod_reference(name="gone"), None, NotFound, 'pods "gone" not found', id="no such pod"
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "gone"}},
            None,
            NotFound,
            'secrets "gone" not found',
            id="no such Secret",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "gone"}},
            None,
            NotFound,
            'nodes "gone" not found',
            id="no such node",
        ),
        pytest.param(
            pod_reference(),
            lambda w: w.put("pods", "ns", "pod", "pod-uid", spec={"serviceAccountName": "b"}),
            BadRequest,
            'cannot bind token for serviceaccount "sa" to pod running with different serviceaccount name.',
            id="the pod of another account",
        ),
        pytest.param(
            pod_reference(uid="other"),
            None,
            Conflict,
            'Operation cannot be fulfilled on Pod "pod": the UID in the bound object reference (other) does not match '
            "the UID in record. The object might have been deleted and then recreated",
            id="another pod of that name",
        ),
        pytest.param(
            {
                "boundObjectRef": {
                    "kind": "Secret",
                    "apiVersion": "v1",
                    "name": "secret",
                    "uid": "x",
                }
            },
            None,
            Conflict,
            'Operation cannot be fulfilled on Secret "secret": the UID in the bound object reference (x) does not match '
            "the UID in record. The object might have been deleted and then recreated",
            id="another Secret of that name",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "a"}},
            None,
            BadRequest,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
            id="a kind that tokens are not bound to",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "Pod", "apiVersion": "metrics.k8s.io/v1", "name": "pod"}},
            None,
            BadRequest,
            "cannot bind token to object of type metrics.k8s.io/v1, Kind=Pod",
            id="a pod of another group",
        ),
    ],
)
async def test_bindings_that_are_refused(
    spec: dict[str, Any], harm: Change | None, error: type[ApiError], message: str
) -> None:
    """A token is bound to what is there, and to the very one that was meant."""
    world = populated()
    if harm is not None:
        harm(world)
    with pytest.raises(error) as caught:
        await asked(spec, world)
    assert caught.value.message == message


async def test_bound_token_is_good_as_it_is() -> None:
    """What was issued validates against the world that it was issued in."""
    world = populated()
    for spec in (None, pod_reference()):
        proven = validate(await verified(spec, world), "", world, NOW)
        assert proven.user.name == "system:serviceaccount:ns:sa"


# Whose


async def test_account_that_is_not_there() -> None:
    """Nobody gets a token of an account that does not exist."""
    with pytest.raises(NotFound) as caught:
        await asked(world=World())
    assert caught.value.message == 'serviceaccounts "sa" not found'


async def test_name_in_the_body() -> None:
    """A name in the body has to be that of the path."""
    answer = await issuer(populated()).answer(posting(name="sa"))
    assert answer["metadata"]["name"] == "sa"
    with pytest.raises(Invalid, match="must match the service account name if specified"):
        await issuer(populated()).answer(posting(name="other"))


async def test_uid_in_the_body() -> None:
    """A uid in the body says which incarnation of the account is meant."""
    answer = await issuer(populated()).answer(posting(uid="sa-uid"))
    assert answer["metadata"]["uid"] == "sa-uid"
    with pytest.raises(Conflict) as caught:
        await issuer(populated()).answer(posting(uid="other"))
    assert caught.value.message == (
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "sa": the UID in the token request (other) '
        "does not match the UID of the service account (sa-uid)"
    )


async def test_refusals_come_in_order() -> None:
    """Name, account, uid, duration, binding: of several defects the first one is told."""
    bad = {"expirationSeconds": 1, **pod_reference(name="gone")}
    with pytest.raises(Invalid, match="must match the service account name"):
        await issuer(World()).answer(posting(bad, name="other", uid="x"))
    with pytest.raises(NotFound, match="serviceaccounts"):
        await issuer(World()).answer(posting(bad, uid="x"))
    with pytest.raises(Conflict):
        await issuer(populated()).answer(posting(bad, uid="x"))
    with pytest.raises(Invalid, match="10 minutes"):
        await issuer(populated()).answer(posting(bad))
    with pytest.raises(NotFound, match="pods"):
        await issuer(populated()).answer(posting(pod_reference(name="gone")))
