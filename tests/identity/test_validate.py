"""Are the objects that a token names still there: the order of the questions, and the words of the answers."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from verger.identity.tokens import Claims, Reference, TokenError
from verger.identity.validate import (
    AUTO_GENERATED_WARNING,
    INVALID_SINCE,
    Known,
    MarkedInvalid,
    StoreLookup,
    check_times,
    validate,
)
from verger.store.memory import MemoryBackend
from verger.watch.clock import FakeClock

from tests.identity.world import ACCOUNT, NODE, NOW, POD, SECRET, World, populated

BOUND = Claims(
    legacy=False,
    issuer="i",
    subject="system:serviceaccount:ns:sa",
    namespace="ns",
    account=ACCOUNT,
    audiences=("api",),
    jti="an-id",
    not_before=NOW,
    issued_at=NOW,
    expires=NOW + 3600,
)
TOKEN = "a.legacy.token"
LEGACY = Claims(
    legacy=True,
    issuer="kubernetes/serviceaccount",
    subject="system:serviceaccount:ns:sa",
    namespace="ns",
    account=ACCOUNT,
    audiences=(),
    secret=Reference("secret", ""),
)


def legacy_world() -> World:
    """Account ns/sa and the Secret that its token lives in."""
    world = populated()
    world.put("secrets", "ns", "secret", "secret-uid", data={"token": encoded(TOKEN)})
    return world


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def refusal(claims: Claims, world: World, *, now: float = NOW, token: str = TOKEN) -> str:
    """Why a token is refused."""
    with pytest.raises(TokenError) as caught:
        validate(claims, token, world, now)
    return str(caught.value)


# Times


@pytest.mark.parametrize(
    ("times", "message"),
    [
        pytest.param((NOW + 60, None, None), "", id="not before in a minute: clocks may differ"),
        pytest.param((NOW + 61, None, None), "is not valid yet", id="not before in 61 s"),
        pytest.param((None, NOW, None), "", id="expires now"),
        pytest.param((None, NOW - 60, None), "", id="expired a minute ago"),
        pytest.param((None, NOW - 61, None), "has expired", id="expired 61 s ago"),
        pytest.param((None, NOW - 3_600_000, None), "has expired", id="expired long ago"),
        pytest.param((None, None, NOW + 60), "", id="issued in a minute"),
        pytest.param((None, None, NOW + 61), "is issued in the future", id="issued in 61 s"),
        pytest.param((None, None, None), "", id="no times at all"),
        pytest.param((NOW + 99, NOW - 99, NOW + 99), "is not valid yet", id="first nbf"),
        pytest.param((None, NOW - 99, NOW + 99), "has expired", id="then exp"),
    ],
)
def test_times(times: tuple[int | None, int | None, int | None], message: str) -> None:
    """nbf, exp and iat are judged in this order, with a minute of leeway on each edge."""
    if not message:
        check_times(*times, now=NOW)
        return
    with pytest.raises(TokenError) as caught:
        check_times(*times, now=NOW)
    assert str(caught.value) == f"service account token {message}"


def test_leeway_is_exact() -> None:
    """The clock has fractions of seconds, and so has the edge."""
    check_times(None, NOW, None, now=NOW + 60.0)
    with pytest.raises(TokenError):
        check_times(None, NOW, None, now=NOW + 60.001)


# Bound tokens


def test_bound_token_of_a_world_that_is_whole() -> None:
    """The user is the account, in the groups of all accounts; the token's id is told."""
    user = validate(BOUND, TOKEN, populated(), NOW).user
    assert user.name == "system:serviceaccount:ns:sa"
    assert user.uid == "sa-uid"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ns",
        "system:authenticated",
    )
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("JTI=an-id",)}


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        pytest.param({"jti": ""}, {}, id="no id"),
        pytest.param(
            {"jti": "", "pod": POD}, {"pod-name": ("pod",), "pod-uid": ("pod-uid",)}, id="a pod"
        ),
        pytest.param(
            {"jti": "", "pod": POD, "node": NODE},
            {
                "pod-name": ("pod",),
                "pod-uid": ("pod-uid",),
                "node-name": ("node",),
                "node-uid": ("node-uid",),
            },
            id="a pod on a node",
        ),
        pytest.param(
            {"jti": "", "pod": POD, "node": Reference("gone", "")},
            {"pod-name": ("pod",), "pod-uid": ("pod-uid",), "node-name": ("gone",)},
            id="a node whose uid nobody knew",
        ),
        pytest.param(
            {"jti": "", "pod": POD, "node": Reference("", "uid")},
            {"pod-name": ("pod",), "pod-uid": ("pod-uid",)},
            id="a node without a name",
        ),
        pytest.param(
            {"jti": "", "node": NODE},
            {"node-name": ("node",), "node-uid": ("node-uid",)},
            id="a node alone",
        ),
        pytest.param({"jti": "", "secret": SECRET}, {}, id="a Secret"),
    ],
)
def test_extras(changes: dict[str, Any], extra: dict[str, tuple[str, ...]]) -> None:
    """What a token is bound to is told, as far as it is known whole."""
    user = validate(BOUND._replace(**changes), TOKEN, populated(), NOW).user
    prefix = "authentication.kubernetes.io/"
    assert user.extra == {prefix + key: value for key, value in extra.items()}


Harm = Callable[[World], object]
EVERYTHING = BOUND._replace(secret=SECRET, pod=POD)


HARMS = [
    pytest.param(
        BOUND,
        lambda w: w.drop("serviceaccounts", "ns", "sa"),
        'serviceaccounts "sa" not found',
        id="the account has gone",
    ),
    pytest.param(
        BOUND,
        lambda w: w.put("serviceaccounts", "ns", "sa", "other"),
        "service account UID (other) does not match claim (sa-uid)",
        id="the account is another one of that name",
    ),
    pytest.param(
        BOUND._replace(secret=SECRET),
        lambda w: w.drop("secrets", "ns", "secret"),
        "service account token has been invalidated",
        id="the Secret has gone",
    ),
    pytest.param(
        BOUND._replace(secret=SECRET),
        lambda w: w.put("secrets", "ns", "secret", "other"),
        "secret UID (other) does not match service account secret ref claim (secret-uid)",
        id="the Secret is another one",
    ),
    pytest.param(
        BOUND._replace(pod=POD),
        lambda w: w.drop("pods", "ns", "pod"),
        "service account token has been invalidated",
        id="the pod has gone",
    ),
    pytest.param(
        BOUND._replace(pod=POD),
        lambda w: w.put("pods", "ns", "pod", "other"),
        "pod UID (other) does not match service account pod ref claim (pod-uid)",
        id="the pod is another one",
    ),
    pytest.param(
        BOUND._replace(node=NODE),
        lambda w: w.drop("nodes", "", "node"),
        "service account token has been invalidated",
        id="the node has gone",
    ),
    pytest.param(
        BOUND._replace(node=NODE),
        lambda w: w.put("nodes", "", "node", "other"),
        "node UID (other) does not match service account node ref claim (node-uid)",
        id="the node is another one",
    ),
    pytest.param(
        EVERYTHING,
        lambda w: (w.drop("pods", "ns", "pod"), w.put("secrets", "ns", "secret", "other")),
        "secret UID (other) does not match service account secret ref claim (secret-uid)",
        id="the Secret is asked for before the pod",
    ),
    pytest.param(
        EVERYTHING._replace(pod=Reference("pod", "")),
        lambda w: w,
        "pod UID (pod-uid) does not match service account pod ref claim ()",
        id="a claim without a uid fits nobody",
    ),
]


@pytest.mark.parametrize(("claims", "harm", "message"), HARMS)
def test_bound_token_dies(claims: Claims, harm: Harm, message: str) -> None:
    """A bound token is worth nothing once something that it names is gone or another one."""
    world = populated()
    harm(world)
    assert refusal(claims, world) == message


@pytest.mark.parametrize(("claims", "harm", "message"), HARMS[:-1])
def test_known_token_dies(claims: Claims, harm: Harm, message: str) -> None:
    """That it was good a moment ago, with the objects of that moment, does not count."""
    world = populated()
    known = Known(claims)
    proven = known.prove(TOKEN, world, NOW)
    assert known.still(world, NOW) is proven
    harm(world)
    for _ in range(2):
        assert known.still(world, NOW) is None
        with pytest.raises(TokenError) as caught:
            known.prove(TOKEN, world, NOW)
        assert str(caught.value) == message


def test_known_token_whose_time_is_over() -> None:
    """Nothing has changed but the clock."""
    world = populated()
    known = Known(BOUND)
    known.prove(TOKEN, world, NOW)
    with pytest.raises(TokenError, match="has expired"):
        known.still(world, NOW + 3661)


@pytest.mark.parametrize(
    ("plural", "name"), [("serviceaccounts", "sa"), ("secrets", "secret"), ("pods", "pod")]
)
def test_known_token_of_something_that_is_going(plural: str, name: str) -> None:
    """It dies a minute after the beginning of the deletion, which no further change tells of."""
    world = populated()
    known = Known(EVERYTHING)
    world.deleted(plural, "ns", name, NOW)
    known.prove(TOKEN, world, NOW + 59)
    assert known.still(world, NOW + 59) is None
    with pytest.raises(TokenError):
        known.prove(TOKEN, world, NOW + 61)


def test_known_legacy_token_is_not_what_its_secret_holds_any_more() -> None:
    """Whoever writes another token into the Secret revokes the first one."""
    world = legacy_world()
    known = Known(LEGACY)
    known.prove(TOKEN, world, NOW)
    assert known.still(world, NOW + 10**9)
    world.put("secrets", "ns", "secret", "secret-uid", data={"token": encoded("another")})
    assert known.still(world, NOW) is None


def test_times_come_before_objects() -> None:
    """Nobody is asked about objects for a token whose time is over."""
    world = World()
    assert refusal(BOUND, world, now=NOW + 4000) == "service account token has expired"
    assert world.asked == []


def test_node_of_a_pod_is_only_told() -> None:
    """Where its pod was, a token says; it lives as long as the pod, whatever becomes of the node."""
    world = populated()
    world.drop("nodes", "", "node")
    validate(BOUND._replace(pod=POD, node=NODE), TOKEN, world, NOW)
    assert "nodes" not in world.asked


@pytest.mark.parametrize("plural", ["serviceaccounts", "secrets", "pods", "nodes"])
@pytest.mark.parametrize(
    ("ago", "good"),
    [
        pytest.param(-1, True, id="in a second"),
        pytest.param(0, True, id="now"),
        pytest.param(1, True, id="a second ago"),
        pytest.param(60, True, id="a minute ago"),
        pytest.param(61, False, id="61 s ago"),
    ],
)
def test_deletion_has_begun(plural: str, ago: int, good: bool) -> None:
    """While an object lingers, its tokens work for another minute: pods end in an orderly way."""
    name, claim = {
        "serviceaccounts": ("sa", BOUND),
        "secrets": ("secret", BOUND._replace(secret=SECRET)),
        "pods": ("pod", BOUND._replace(pod=POD)),
        "nodes": ("node", BOUND._replace(node=NODE)),
    }[plural]
    world = populated()
    world.deleted(plural, "" if plural == "nodes" else "ns", name, NOW - ago)
    if good:
        validate(claim, TOKEN, world, NOW)
    elif plural == "serviceaccounts":
        assert refusal(claim, world) == "service account ns/sa has been deleted"
    else:
        assert refusal(claim, world) == "service account token has been invalidated"


def test_pods_that_have_ended_are_still_there() -> None:
    """A pod that ran to its end is not deleted, and its token lives."""
    world = populated()
    world.put("pods", "ns", "pod", "pod-uid", status={"phase": "Succeeded"}, spec={})
    validate(BOUND._replace(pod=POD), TOKEN, world, NOW)


# Legacy tokens


LEGACY_DEFECTS: list[tuple[str, Callable[[Claims], Claims] | None, Harm | None, str]] = [
    ("subject", lambda c: c._replace(subject=""), None, "sub claim is missing"),
    ("namespace", lambda c: c._replace(namespace=""), None, "namespace claim is missing"),
    ("secret", lambda c: c._replace(secret=None), None, "secretName claim is missing"),
    (
        "account",
        lambda c: c._replace(account=Reference("", c.account.uid)),
        None,
        "serviceAccountName claim is missing",
    ),
    (
        "uid",
        lambda c: c._replace(account=Reference(c.account.name, "")),
        None,
        "serviceAccountUID claim is missing",
    ),
    (
        "another subject",
        lambda c: c._replace(subject=c.subject and "system:serviceaccount:ns:other"),
        None,
        "sub claim is invalid",
    ),
    ("no Secret", None, lambda w: w.drop("secrets", "ns", "secret"), "Token has been invalidated"),
    (
        "a Secret that is being deleted",
        None,
        lambda w: w.deleted("secrets", "ns", "secret", NOW),
        "Token has been invalidated",
    ),
    (
        "another token in the Secret",
        None,
        lambda w: w.objects["secrets", "ns/secret"].update(data={"token": encoded("other")}),
        "Token does not match server's copy",
    ),
    (
        "no account",
        None,
        lambda w: w.drop("serviceaccounts", "ns", "sa"),
        'serviceaccounts "sa" not found',
    ),
    (
        "an account that is being deleted",
        None,
        lambda w: w.deleted("serviceaccounts", "ns", "sa", NOW),
        "ServiceAccount ns/sa has been deleted",
    ),
    (
        "another account of that name",
        None,
        lambda w: w.objects["serviceaccounts", "ns/sa"]["metadata"].update(uid="other"),
        "ServiceAccount UID (other) does not match claim (sa-uid)",
    ),
    (
        "a mark",
        None,
        lambda w: w.objects["secrets", "ns/secret"]["metadata"].update(
            labels={INVALID_SINCE: "whatever"}
        ),
        "the token in secret ns/secret for service account ns/sa has been marked invalid.",
    ),
]


@pytest.mark.parametrize("index", range(len(LEGACY_DEFECTS)), ids=[d[0] for d in LEGACY_DEFECTS])
def test_legacy_token_dies(index: int) -> None:
    """One defect is told in its own words; of several, the first one in this order is told."""
    for last in (index + 1, len(LEGACY_DEFECTS)):
        claims, world = LEGACY, legacy_world()
        for _, change, harm, _ in reversed(LEGACY_DEFECTS[index:last]):
            if change is not None:
                claims = change(claims)
            # What is gone cannot be harmed any further.
            if harm is not None:
                harm(world)
        assert refusal(claims, world).startswith(LEGACY_DEFECTS[index][3])


def test_legacy_token_of_a_world_that_is_whole() -> None:
    """The user has no extras: legacy tokens have no id, and are bound to no pod."""
    proven = validate(LEGACY, TOKEN, legacy_world(), NOW)
    assert proven.user.name == "system:serviceaccount:ns:sa"
    assert proven.user.uid == "sa-uid"
    assert proven.user.extra == {}
    assert proven.warnings == ()
    assert proven.used_secret is not None


def test_legacy_token_that_was_made_for_its_account() -> None:
    """Who uses a token that the account refers to is told of better ones."""
    world = legacy_world()
    world.objects["serviceaccounts", "ns/sa"]["secrets"] = [{"name": "secret"}]
    assert validate(LEGACY, TOKEN, world, NOW).warnings == (AUTO_GENERATED_WARNING,)


def test_marked_token_tells_which_secret_was_used() -> None:
    """That somebody wants to use a marked token is noted on its Secret."""
    world = legacy_world()
    secret = world.objects["secrets", "ns/secret"]
    secret["metadata"]["labels"] = {INVALID_SINCE: "2026-01-01"}
    with pytest.raises(MarkedInvalid) as caught:
        validate(LEGACY, TOKEN, world, NOW)
    assert caught.value.secret is secret
    secret["metadata"]["labels"] = {INVALID_SINCE: ""}
    validate(LEGACY, TOKEN, world, NOW)


def test_legacy_tokens_have_no_times() -> None:
    """Nothing of what a legacy token says about times counts."""
    validate(LEGACY._replace(expires=1, not_before=NOW * 2), TOKEN, legacy_world(), NOW)


@pytest.mark.parametrize("stored", ["", encoded(""), None])
def test_empty_secret_is_no_copy(stored: str | None) -> None:
    """A Secret without a token fits no token."""
    world = legacy_world()
    data: Mapping[str, Any] = {} if stored is None else {"token": stored}
    world.objects["secrets", "ns/secret"]["data"] = data
    assert refusal(LEGACY, world) == "Token does not match server's copy"


# The store


def test_store_itself_is_read() -> None:
    """A deletion is known with the next question: there is no cache between."""
    backend = MemoryBackend(FakeClock())
    lookup = StoreLookup(backend)
    assert lookup.get("secrets", "ns", "a") is None
    row = backend.put("secrets", "ns/a", {"metadata": {"name": "a", "uid": "1"}}, expected=0)
    found = lookup.get("secrets", "ns", "a")
    assert found is not None
    assert found["metadata"]["uid"] == "1"
    assert lookup.get("secrets", "other", "a") is None
    backend.put("nodes", "a", {"metadata": {"name": "a", "uid": "2"}}, expected=0)
    node = lookup.get("nodes", "", "a")
    assert node is not None
    assert node["metadata"]["uid"] == "2"
    backend.remove("secrets", "ns/a", expected=row.revision)
    assert lookup.get("secrets", "ns", "a") is None
