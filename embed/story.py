"""What level-triggered reconciliation does, as a story that happens: each scene is a real fault in a real plane.

A scene is told from the store after it has happened: its changes are those of the log, its counts are counted.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import jwt
from verger.embed.changes import Change
from verger.embed.plane import ControlPlane
from verger.store.objects import annotations_of, name_of, namespace_of, uid_of
from verger.store.rules.configuration import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_SECRET
from verger.watch.event import Event, EventType

DEMO: Final = "demo"
CROWD: Final = 12
"""Namespaces that are made while a controller dies."""
DIES_AFTER: Final = 5
"""Tokens that it has made by then."""
TOKENS: Final = "serviceaccount-token-controller"


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens, and what comes of it."""

    title: str
    told: str
    changes: Sequence[Change]
    """What was written, oldest first."""
    facts: Mapping[str, str]
    """What was found out afterwards, in words."""


class Verifier:
    """Somebody who has nothing but the plane's URL and its public keys."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane = plane
        self._session = session
        self._tls = ssl.create_default_context(cadata=plane.ca.decode())

    async def verified(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature is good. Raises jwt.InvalidTokenError."""
        headers = {"Authorization": f"Bearer {self._plane.token}"}
        url = f"{self._plane.url}/openid/v1/jwks"
        async with self._session.get(url, headers=headers, ssl=self._tls) as answer:
            keys = jwt.PyJWKSet.from_dict(await answer.json(content_type=None))
        header = jwt.get_unverified_header(token)
        try:
            key = keys[header["kid"]]
        except KeyError:
            raise jwt.InvalidTokenError("none of the keys has signed it") from None
        claims: Mapping[str, Any] = jwt.decode(
            token, key, algorithms=[header["alg"]], options={"verify_aud": False}
        )
        return claims

    async def status(self, token: str) -> int:
        """What the API answers to whoever shows the token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.get(
            f"{self._plane.url}/api", headers=headers, ssl=self._tls
        ) as answer:
            return answer.status


async def wrong(plane: ControlPlane, verifier: Verifier) -> list[str]:
    """Everything that is not as it should be, looked for in the store: accounts, tokens, signatures, and leftovers."""
    kinds, client = plane.kinds, plane.client
    accounts = (await client.list(kinds.core("ServiceAccount"))).items
    secrets = (await client.list(kinds.core("Secret"))).items
    uids = {(namespace_of(account), name_of(account)): uid_of(account) for account in accounts}
    found = [
        f"namespace {name_of(namespace)} has no account"
        for namespace in (await client.list(kinds.core("Namespace"))).items
        if (name_of(namespace), "default") not in uids
    ]
    held = set()
    for secret in secrets:
        if secret.get("type") != TOKEN_SECRET:
            continue
        name = annotations_of(secret).get(ACCOUNT_NAME, "")
        owner = (namespace_of(secret), name)
        if uids.get(owner) != annotations_of(secret).get(ACCOUNT_UID):
            found.append(f"secret {owner[0]}/{name_of(secret)} is of an account that is no more")
            continue
        try:
            claims = await verifier.verified(token_in(secret))
        except jwt.InvalidTokenError:
            found.append(f"secret {owner[0]}/{name_of(secret)} holds no good token")
            continue
        if claims["kubernetes.io/serviceaccount/service-account.uid"] == uids[owner]:
            held.add(owner)
    found += [f"account {'/'.join(owner)} has no token" for owner in uids if owner not in held]
    return found


def token_in(secret: Mapping[str, Any]) -> str:
    """The token that a Secret holds, empty when it holds none."""
    return base64.b64decode((secret.get("data") or {}).get("token") or "").decode()


class Story:
    """The scenes, on a plane that has started."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.verifier = Verifier(plane, session)
        self._kinds = plane.kinds
        self._client = plane.client
        self._told = plane.revision

    async def scenes(self) -> AsyncIterator[Scene]:
        """One after the other; each happens when it is asked for."""
        yield await self._namespace()
        yield await self._token()
        yield await self._account_deleted()
        yield await self._token_scribbled()
        yield await self._controller_killed()
        yield await self._namespace_deleted()

    async def _scene(self, title: str, told: str, **facts: str) -> Scene:
        """What was written since the last scene, and whether the world is as it should be."""
        await self.plane.settle()
        changes = self.plane.changes(after=self._told)
        self._told = self.plane.revision
        faults = await wrong(self.plane, self.verifier)
        counted = {"objects wrong": "; ".join(faults) or "0"}
        words = {name.replace("_", " "): fact for name, fact in facts.items()}
        return Scene(title, told, changes, {**words, **counted})

    async def _secret(self) -> Mapping[str, Any]:
        """The token Secret of the account of the story."""
        secrets = (await self._client.list(self._kinds.core("Secret"), DEMO)).items
        (secret,) = (secret for secret in secrets if secret.get("type") == TOKEN_SECRET)
        return secret

    async def _namespace(self) -> Scene:
        await self.plane.namespace(DEMO)
        return await self._scene(
            "A namespace is made",
            "One object is written. Three controllers see it in the store, none knows of another: one makes the account, "
            "one the root CA, and the third sees the account and signs its token.",
        )

    async def _token(self) -> Scene:
        secret = await self._secret()
        token = token_in(secret)
        claims = await self.verifier.verified(token)
        header = jwt.get_unverified_header(token)
        body, _, signature = token.rpartition(".")
        # The first letter is part of the signature in full; the last one has bits that mean nothing.
        forged = f"{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        try:
            await self.verifier.verified(forged)
            outcome = "good, which it must not be"
        except jwt.InvalidTokenError:
            outcome = "bad"
        prefix = "kubernetes.io/serviceaccount/"
        return await self._scene(
            "What the token says",
            "The Secret holds a signed text. Whoever has the public keys of the plane can check it, without asking anybody.",
            secret=f"{DEMO}/{name_of(secret)}",
            signed_with=f"{header['alg']}, key {header['kid']}",
            subject=str(claims["sub"]),
            account_uid=str(claims[f"{prefix}service-account.uid"]),
            signature="good, by the keys at /openid/v1/jwks",
            with_one_letter_changed=outcome,
            API_answers_to_it=str(await self.verifier.status(token)),
        )

    async def _account_deleted(self) -> Scene:
        token = token_in(await self._secret())
        await self._client.delete(self._kinds.core("ServiceAccount"), "default", DEMO)
        await self.plane.settle()
        renewed = token_in(await self._secret())
        return await self._scene(
            "Somebody deletes the account",
            "It comes back, as another one: a new uid, a new token. The old token was signed well and is worth nothing, since its "
            "account is no more.",
            API_answers_to_the_old_token=str(await self.verifier.status(token)),
            API_answers_to_the_new_one=str(await self.verifier.status(renewed)),
        )

    async def _token_scribbled(self) -> Scene:
        secret = await self._secret()
        scribble = base64.b64encode(b"not a token").decode()
        await self._client.patch(
            self._kinds.core("Secret"), name_of(secret), DEMO, {"data": {"token": scribble}}
        )
        await self.plane.settle()
        healed = token_in(await self._secret())
        return await self._scene(
            "Somebody scribbles over the token",
            "The controller does not care what happened, only what is there: a Secret that should hold a token of this account "
            "and does not.",
            API_answers_to_what_it_holds_now=str(await self.verifier.status(healed)),
        )

    async def _controller_killed(self) -> Scene:
        plane = self.plane
        secrets = await self._client.watch(self._kinds.core("Secret"), after=plane.revision)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._crowd())
            made = 0
            while made < DIES_AFTER:
                made += sum(
                    isinstance(event, Event) and event.type is EventType.ADDED
                    for event in await secrets.read()
                )
            await plane.faults.pause(TOKENS)
        secrets.close()
        await plane.settle()
        # While it is dead, the world goes on: nobody will tell it of this.
        await self._client.delete(self._kinds.core("ServiceAccount"), "default", "crowd-0")
        await plane.settle()
        dead = await wrong(plane, self.verifier)
        plane.faults.resume(TOKENS)
        await plane.controllers.settled([TOKENS])
        return await self._scene(
            "A controller is killed in the middle of its work",
            f"It dies while it makes the tokens of {CROWD} namespaces, and an account is deleted while it is dead. It starts with "
            "nothing in hand but a list of what there is, and that is enough.",
            objects_wrong_while_it_was_dead=str(len(dead)),
        )

    async def _crowd(self) -> None:
        for number in range(CROWD):
            kind = self._kinds.core("Namespace")
            await self._client.create(kind, {"metadata": {"name": f"crowd-{number}"}})
            await asyncio.sleep(0)

    async def _namespace_deleted(self) -> Scene:
        kind = self._kinds.core("Namespace")
        token = token_in(await self._secret())
        changes = await self._client.watch(kind, after=self.plane.revision)
        await self._client.delete(kind, DEMO)
        gone = False
        while not gone:
            gone = any(
                isinstance(event, Event) and event.type is EventType.DELETED
                for event in await changes.read()
            )
        changes.close()
        return await self._scene(
            "The namespace is deleted",
            "It stays until everything in it has gone, and goes last. Its token dies with it.",
            API_answers_to_its_token=str(await self.verifier.status(token)),
        )


async def told(tell: Callable[[Scene, int], None]) -> int:
    """Runs a plane and its story, hands each scene to `tell` with the revision it began at, and returns how many objects were wrong at the end."""
    async with ControlPlane() as plane, aiohttp.ClientSession() as session:
        story = Story(plane, session)
        first = plane.revision
        async for scene in story.scenes():
            tell(scene, first)
        return len(await wrong(plane, story.verifier))
