"""Requests for certificates: who asks, who decides, who signs."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from verger.identity.authz import Masters
from verger.identity.rbac import Rbac
from verger.identity.signing_requests import SigningRequests
from verger.store.admission import Chain
from verger.store.errors import Forbidden
from verger.store.kinds import built_in
from verger.store.memory import MemoryBackend
from verger.store.registry import Registry
from verger.store.request import User, WriteRequest
from verger.watch.clock import FakeClock

from tests.identity.policies import Bindings, rule

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


class Signers:
    """A store that admits as a plane does, and rights to give."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.world = Bindings()
        plugin = SigningRequests(Masters(Rbac(self.world.policy)), self.clock)
        backend = MemoryBackend(self.clock)
        self.registry = Registry(backend, self.clock, admission=Chain([plugin]))
        found = built_in().get("certificates.k8s.io", "v1", "CertificateSigningRequest")
        assert found is not None
        self.kind = found

    def give(self, granted: Object) -> None:
        """Gives Bob a rule."""
        self.world.role("r", granted)
        self.world.bind("r", "ClusterRole r", "User bob")

    async def create(self, obj: Object) -> Object:
        """What is stored when Bob asks."""
        return dict((await self.registry.create(self.kind, "", obj, WriteRequest(BOB))).object)

    async def write(self, status: Object, part: str, user: User = MASTER) -> Object:
        """What is stored after a change of the status, through one of its parts."""
        how = WriteRequest(user, verb="update")
        obj = {"metadata": {"name": "a"}, "spec": {}, "status": status}
        row, _ = await self.registry.update(self.kind, "", "a", obj, how, subresource=part)
        return dict(row.object)


@pytest.fixture
def signers() -> Signers:
    return Signers()


APPROVED = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}


async def test_requester_is_the_user_of_the_request(signers: Signers) -> None:
    """Whatever the body says; a later write changes none of it."""
    made = await signers.create(request(username="root", groups=["system:masters"], uid="0"))
    spec = made["spec"]
    assert (spec["username"], spec["uid"]) == ("bob", "b-uid")
    assert (spec["groups"], spec["extra"]) == (["devs", "system:authenticated"], {"x": ["y"]})
    assert (await signers.write({"conditions": [APPROVED]}, "approval"))["spec"] == spec


async def test_decision_is_dated(signers: Signers) -> None:
    """When it was made and when it was last told; a repetition keeps the first."""
    await signers.create(request())
    made = await signers.write({"conditions": [APPROVED]}, "approval")
    (first,) = made["status"]["conditions"]
    now = "2023-11-14T22:13:20Z"
    assert (first["lastUpdateTime"], first["lastTransitionTime"]) == (now, now)
    await signers.clock.advance(60)
    made = await signers.write({"conditions": [{**APPROVED, "message": "again"}]}, "approval")
    (second,) = made["status"]["conditions"]
    later = "2023-11-14T22:14:20Z"
    assert (second["lastUpdateTime"], second["lastTransitionTime"]) == (later, now)


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
    signers: Signers, verb: str, names: str, part: str, allowed: bool
) -> None:
    """On the signer, by its name."""
    await signers.create(request())
    signers.give(rule(verb, "signers", groups=["certificates.k8s.io"], names=names))
    status: Object = {"conditions": [APPROVED]}
    if part == "status":
        status = {"certificate": base64.b64encode(b"x").decode()}
    if allowed:
        assert await signers.write(status, part, BOB)
        return
    with pytest.raises(Forbidden) as refused:
        await signers.write(status, part, BOB)
    word = {"approval": "approve", "status": "sign"}[part]
    why = f'user not permitted to {word} requests with signerName "{SIGNER}"'
    assert refused.value.message == (
        f'certificatesigningrequests.certificates.k8s.io "a" is forbidden: {why}'
    )


@pytest.mark.parametrize(
    ("signer", "group", "refused"),
    [
        pytest.param(CLIENT, "system:masters", True, id="a client that is an administrator"),
        pytest.param(CLIENT, "devs", False, id="a client"),
        pytest.param(SIGNER, "system:masters", False, id="of another signer"),
    ],
)
async def test_nobody_asks_to_be_an_administrator(
    signers: Signers, signer: str, group: str, refused: bool
) -> None:
    """Certificates of that signer are believed, and the group may do everything."""
    if not refused:
        assert await signers.create(request(signer, group))
        return
    with pytest.raises(Forbidden, match="with system:masters group is not allowed"):
        await signers.create(request(signer, group))
