"""Requests for certificates: who asks, who decides, who signs."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from verger.embed import ControlPlane
from verger.store.errors import Forbidden
from verger.store.kinds import Kind
from verger.store.request import User, WriteRequest

from tests.identity.policies import rule

SIGNER = "example.com/one"
CLIENT = "kubernetes.io/kube-apiserver-client"
BOB = User("bob", "b-uid", ("devs", "system:authenticated"), {"x": ("y",)})
MASTER = User("root", groups=("system:masters",))
Object = dict[str, Any]


def request(signer: str = SIGNER, group: str = "devs", **spec: Any) -> Object:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "bob"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text = base64.b64encode(asked.public_bytes(Encoding.PEM)).decode()
    body = {"request": text, "signerName": signer, "usages": ["client auth"], **spec}
    return {"metadata": {"name": "a"}, "spec": body}


def kind(plane: ControlPlane) -> Kind:
    found = plane.kinds.get("certificates.k8s.io", "v1", "CertificateSigningRequest")
    assert found is not None
    return found


async def create(plane: ControlPlane, obj: Object, user: User = BOB) -> Object:
    registry = plane.client.registry
    return dict((await registry.create(kind(plane), "", obj, WriteRequest(user))).object)


async def write(
    plane: ControlPlane, status: Object, part: str, user: User = MASTER
) -> dict[str, Any]:
    """The status, after a change through one of its parts."""
    registry = plane.client.registry
    how = WriteRequest(user, verb="update")
    obj = {"metadata": {"name": "a"}, "spec": {}, "status": status}
    row, _ = await registry.update(kind(plane), "", "a", obj, how, subresource=part)
    found: dict[str, Any] = row.object["status"]
    return found


APPROVED = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}


async def test_requester_is_the_user_of_the_request() -> None:
    """Whatever the body says; a later write changes none of it."""
    async with ControlPlane() as plane:
        made = await create(plane, request(username="root", groups=["system:masters"], uid="0"))
        spec = made["spec"]
        assert (spec["username"], spec["uid"]) == ("bob", "b-uid")
        assert (spec["groups"], spec["extra"]) == (["devs", "system:authenticated"], {"x": ["y"]})
        await write(plane, {"conditions": [APPROVED]}, "approval")
        found = await plane.client.get(kind(plane), "a")
        assert found["spec"] == spec


async def test_decision_is_dated() -> None:
    """When it was made and when it was last told; a repetition keeps the first."""
    async with ControlPlane() as plane:
        await create(plane, request())
        (first,) = (await write(plane, {"conditions": [APPROVED]}, "approval"))["conditions"]
        assert first["lastUpdateTime"] == first["lastTransitionTime"]
        again = {**APPROVED, "message": "again", "lastUpdateTime": "2030-01-01T00:00:00Z"}
        (second,) = (await write(plane, {"conditions": [again]}, "approval"))["conditions"]
        assert second["lastTransitionTime"] == first["lastTransitionTime"]
        assert second["lastUpdateTime"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("verb", "names", "part", "allowed"),
    [
        pytest.param("approve", SIGNER, "approval", True, id="approval by who may approve"),
        pytest.param("approve", "example.com/*", "approval", True, id="for all of a domain"),
        pytest.param("approve", "example.com/two", "approval", False, id="for another signer"),
        pytest.param("sign", SIGNER, "approval", False, id="approval by who may sign"),
        pytest.param("sign", SIGNER, "status", True, id="signature by who may sign"),
        pytest.param("approve", SIGNER, "status", False, id="signature by who may approve"),
    ],
)
async def test_deciding_and_signing_take_a_right_each(
    verb: str, names: str, part: str, allowed: bool
) -> None:
    """On the signer, by its name."""
    wanted = {"approval": ("approve", {"conditions": [APPROVED]}), "status": ("sign", SIGNED)}
    async with ControlPlane() as plane:
        await create(plane, request())
        granted = {**rule(verb, "signers", names=names), "apiGroups": ["certificates.k8s.io"]}
        await give(plane, granted)
        word, status = wanted[part]
        if allowed:
            assert await write(plane, status, part, BOB)
            return
        with pytest.raises(Forbidden) as refused:
            await write(plane, status, part, BOB)
        why = f'user not permitted to {word} requests with signerName "{SIGNER}"'
        assert str(refused.value) == (
            f'certificatesigningrequests.certificates.k8s.io "a" is forbidden: {why}'
        )


SIGNED = {"certificate": base64.b64encode(b"x").decode()}


async def give(plane: ControlPlane, granted: Object) -> None:
    """Gives Bob a rule, and waits until it counts."""
    group = "rbac.authorization.k8s.io"
    role, binding = (plane.kinds.get(group, "v1", f"ClusterRole{x}") for x in ("", "Binding"))
    assert role is not None
    assert binding is not None
    await plane.client.create(role, {"metadata": {"name": "r"}, "rules": [granted]})
    ref = {"apiGroup": group, "kind": "ClusterRole", "name": "r"}
    subjects = [{"apiGroup": group, "kind": "User", "name": "bob"}]
    bound = {"metadata": {"name": "r"}, "roleRef": ref, "subjects": subjects}
    await plane.client.create(binding, bound)
    await plane.settle()


@pytest.mark.parametrize(
    ("signer", "group", "refused"),
    [
        pytest.param(CLIENT, "system:masters", True, id="a client that is an administrator"),
        pytest.param(CLIENT, "devs", False, id="a client"),
        pytest.param(SIGNER, "system:masters", False, id="of another signer"),
    ],
)
async def test_nobody_asks_to_be_an_administrator(signer: str, group: str, refused: bool) -> None:
    """Certificates of that signer are believed, and the group may do everything."""
    async with ControlPlane() as plane:
        if not refused:
            assert await create(plane, request(signer, group))
            return
        with pytest.raises(Forbidden, match="with system:masters group is not allowed"):
            await create(plane, request(signer, group))
