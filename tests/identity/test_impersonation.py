"""Acting as somebody else: what the headers ask for, who one becomes, and what of it has to be allowed."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from verger.embed import ControlPlane
from verger.identity.authz import Decision, PolicyRule
from verger.identity.impersonation import Impersonation, Wanted, becomes, split_account, wanted
from verger.store.errors import BadRequest, Forbidden
from verger.store.request import Attributes, User

from tests.identity.https import Api, served
from tests.identity.policies import rule

JANE = User("jane", groups=("devs",))
Header = tuple[str, str]


def who(name: str, *groups: str, uid: str = "", **extra: tuple[str, ...]) -> Wanted:
    return Wanted(name, uid, groups, extra)


# What is asked for


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([("Accept", "x")], None, id="nothing"),
        pytest.param([("Impersonate-User", "bob")], who("bob"), id="a user"),
        pytest.param([("impersonate-USER", "bob")], who("bob"), id="in any case"),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
            who("bob", "a", "b"),
            id="groups in their order",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Uid", "u")], who("bob", uid="u"), id="a uid"
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Extra-Scopes", "x")],
            who("bob", scopes=("x",)),
            id="an extra, in small letters",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Extra-Acme.com%2FProject", "x")],
            Wanted("bob", "", (), {"acme.com/project": ("x",)}),
            id="an extra with a slash",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-User", "root")],
            who("bob"),
            id="of two users the first",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Uid", "1"), ("Impersonate-Uid", "2")],
            who("bob", uid="1"),
            id="of two uids the first",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Group", "a,system:masters")],
            who("bob", "a,system:masters"),
            id="a comma separates nothing",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Groups", "system:masters")],
            who("bob"),
            id="a header that is none",
        ),
    ],
)
def test_headers(headers: list[Header], expected: Wanted | None) -> None:
    """Who the headers of a request ask to be."""
    assert wanted(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Impersonate-Group", "system:masters")], id="a group"),
        pytest.param([("Impersonate-Uid", "u")], id="a uid"),
        pytest.param([("Impersonate-Extra-A", "x")], id="an extra"),
        pytest.param([("Impersonate-User", ""), ("Impersonate-Group", "a")], id="an empty user"),
        pytest.param([("Impersonate-User", "b\udcff")], id="a user that is no text"),
        pytest.param(
            [("Impersonate-User", "b"), ("Impersonate-Group", "\udc80")], id="nor a group"
        ),
    ],
)
def test_headers_that_make_no_sense(headers: list[Header]) -> None:
    """Groups without a user would be added to one's own."""
    with pytest.raises(BadRequest):
        wanted(headers)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        pytest.param("system:serviceaccount:ns:sa", ("ns", "sa"), id="an account"),
        pytest.param("system:serviceaccount:ns:sa.with.dots", ("ns", "sa.with.dots"), id="dots"),
        pytest.param("system:serviceaccount:ns", None, id="no name"),
        pytest.param("system:serviceaccount:ns:", None, id="an empty name"),
        pytest.param("system:serviceaccount::sa", None, id="an empty namespace"),
        pytest.param("system:serviceaccount:ns:sa:x", None, id="a part more"),
        pytest.param("system:serviceaccount:ns :sa", None, id="a blank"),
        pytest.param("system:serviceaccount:ns:SA", None, id="capitals"),
        pytest.param("system:serviceaccount:n.s:sa", None, id="a namespace with a dot"),
        pytest.param("system:serviceaccount:ns:../x", None, id="a path"),
        pytest.param("system:serviceaccounts:ns:sa", None, id="another word"),
        pytest.param("ns:sa", None, id="no word"),
    ],
)
def test_accounts_among_users(name: str, parts: tuple[str, str] | None) -> None:
    """Which user names are accounts: two parts, each one a possible name."""
    assert split_account(name) == parts


@pytest.mark.parametrize(
    ("asked", "groups"),
    [
        pytest.param(who("bob"), ("system:authenticated",), id="whoever is known"),
        pytest.param(who("bob", "a"), ("a", "system:authenticated"), id="with a group"),
        pytest.param(
            who("bob", "system:authenticated", "a"), ("system:authenticated", "a"), id="not twice"
        ),
        pytest.param(
            who("bob", "system:unauthenticated"), ("system:unauthenticated",), id="not known"
        ),
        pytest.param(who("system:anonymous"), ("system:unauthenticated",), id="nobody"),
        pytest.param(
            who("system:serviceaccount:ns:sa"),
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            id="an account has its groups",
        ),
        pytest.param(
            who("system:serviceaccount:ns:sa", "a"),
            ("a", "system:authenticated"),
            id="unless others are named",
        ),
    ],
)
def test_becoming(asked: Wanted, groups: tuple[str, ...]) -> None:
    """One becomes the user with the groups that everybody of that sort has."""
    user = becomes(asked)
    assert (user.name, user.groups) == (asked.name, groups)


# What has to be allowed


class Recording:
    """Allows what is on its list, and writes down what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    def decide(self, asked: Attributes) -> Decision:
        what = asked.resource + (f"/{asked.subresource}" if asked.subresource else "")
        where = f"{asked.namespace}/" if asked.namespace else ""
        group = f" in {asked.group}" if asked.group else ""
        line = f"{asked.verb} {what or asked.path} {where}{asked.name}{group}"
        self.asked.append(line)
        return Decision(any(line.startswith(one) for one in self.allowed))

    def rules(self, user: User, namespace: str) -> tuple[Sequence[PolicyRule], str]:
        return (), ""


REQUEST = Attributes(JANE, "get", path="/api")


@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        pytest.param(who("bob"), ["impersonate users bob"], id="a user"),
        pytest.param(
            who("bob", "a", "b"),
            ["impersonate users bob", "impersonate groups a", "impersonate groups b"],
            id="each group",
        ),
        pytest.param(
            who("system:serviceaccount:ns:sa"),
            ["impersonate serviceaccounts ns/sa"],
            id="an account, where it is",
        ),
        pytest.param(
            who("bob", uid="u"),
            ["impersonate users bob", "impersonate uids u in authentication.k8s.io"],
            id="a uid",
        ),
        pytest.param(
            who("bob", scopes=("x", "y")),
            [
                "impersonate users bob",
                "impersonate userextras/scopes x in authentication.k8s.io",
                "impersonate userextras/scopes y in authentication.k8s.io",
            ],
            id="each value of an extra",
        ),
    ],
)
def test_every_part_has_to_be_allowed(asked: Wanted, needed: list[str]) -> None:
    """With all of it one becomes the other; without any one of it one does not."""
    everything = Recording("impersonate ")
    assert Impersonation(everything).become(JANE, asked, REQUEST).name == asked.name
    assert everything.asked == needed
    for missing in needed:
        rest = [line for line in needed if line != missing]
        with pytest.raises(Forbidden):
            Impersonation(Recording(*rest)).become(JANE, asked, REQUEST)


def test_limited_way() -> None:
    """Who may do something as another one, and only that: the right of the deed, and the right of each part."""
    rights = Recording(
        "impersonate-on:user-info:get /api ", "impersonate:user-info users bob in authentication"
    )
    limited = Impersonation(rights)
    assert limited.become(JANE, who("bob"), REQUEST).name == "bob"
    with pytest.raises(Forbidden):
        limited.become(JANE, who("bob"), REQUEST._replace(path="/apis"))
    with pytest.raises(Forbidden):
        limited.become(JANE, who("bob", "system:masters"), REQUEST)
    with pytest.raises(Forbidden):
        limited.become(JANE, who("system:serviceaccount:ns:sa"), REQUEST)


# Over HTTPS


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A plane in which account ns/actor may be user bob, and account ns/sa, and nobody else."""
    with served(ControlPlane()) as api:
        api.create("/api/v1/namespaces", {"metadata": {"name": "ns"}})
        for name in ("actor", "sa"):
            api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": name}})
        rules = [rule("impersonate", "users", names="bob")]
        rules.append(rule("impersonate", "serviceaccounts", names="sa"))
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        api.create(f"{rbac}/clusterroles", {"metadata": {"name": "act"}, "rules": rules})
        api.create(
            f"{rbac}/clusterrolebindings",
            {
                "metadata": {"name": "act"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "act",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "actor", "namespace": "ns"}],
            },
        )
        yield api


def acting(api: Api, **headers: str) -> tuple[int, dict[str, Any]]:
    """Who the actor is, to the server, with these headers."""
    given = {f"Impersonate-{name.replace('_', '-')}": value for name, value in headers.items()}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = api.ask("POST", path, {}, token=api.token("ns", "actor"), headers=given)
    return answer.status, answer.json


def test_actor_becomes_whom_he_may_become(api: Api) -> None:
    """And loses his own groups and extras: nothing of the actor is left."""
    status, found = acting(api, User="bob")
    assert status == 201
    assert found["status"]["userInfo"] == {"username": "bob", "groups": ["system:authenticated"]}
    status, found = acting(api, User="system:serviceaccount:ns:sa")
    assert found["status"]["userInfo"]["username"] == "system:serviceaccount:ns:sa"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"User": "root"}, id="another user"),
        pytest.param({"User": "bob", "Group": "system:masters"}, id="a group that comes along"),
        pytest.param({"User": "bob", "group": "system:masters"}, id="in small letters"),
        pytest.param({"User": "bob", "Group": "system:authenticated"}, id="even the group of all"),
        pytest.param({"User": "bob", "Uid": "1"}, id="a uid"),
        pytest.param({"User": "bob", "Extra-Scopes": "all"}, id="an extra"),
        pytest.param({"User": "system:serviceaccount:ns:default"}, id="another account"),
        pytest.param({"User": "system:serviceaccount:ns:bob"}, id="an account of the user's name"),
        pytest.param({"User": "sa"}, id="a user of the account's name"),
        pytest.param({"User": "system:node:bob"}, id="a node"),
        pytest.param({"User": "Bob"}, id="almost bob"),
    ],
)
def test_nothing_is_smuggled(api: Api, headers: dict[str, str]) -> None:
    """What the actor may not be, he is not, in whatever words he asks."""
    status, found = acting(api, **headers)
    assert status == 403
    assert found["reason"] == "Forbidden"


def test_group_without_a_user_is_refused(api: Api) -> None:
    """It would add to the actor's own rights."""
    assert acting(api, Group="system:masters")[0] == 400


def test_impersonation_needs_a_good_credential(api: Api) -> None:
    """Nobody becomes somebody by asking alone."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"Impersonate-User": "bob"}
    assert api.ask("POST", path, {}, token="", headers=headers).status == 403
    assert api.ask("POST", path, {}, token="wrong", headers=headers).status == 401
