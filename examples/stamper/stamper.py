"""Keeps an annotation true: every ConfigMap labelled `stamp=yes` says the digest of its data.

An operator as small as they come, with aiohttp alone: list, watch, and write what differs. What it has learnt from
tests stands at the lines that they led to.
"""

import asyncio
import base64
import hashlib
import json
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

DIGEST = "stamp.example.com/digest"
LABEL = "stamp=yes"
PAUSE = 0.05
"""Seconds before something is tried again that failed."""


def digest_of(configmap: Mapping[str, Any]) -> str:
    """What the annotation should say."""
    text = json.dumps(configmap.get("data") or {}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_stamped(configmap: Mapping[str, Any]) -> bool:
    """Whether it does."""
    annotations = configmap["metadata"].get("annotations") or {}
    return annotations.get(DIGEST) == digest_of(configmap)


class Refused(Exception):
    """The server did not do what it was asked."""

    def __init__(self, status: int, after: float) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status
        self.after = after
        """Seconds after which it may be asked again."""


class Stamper:
    """Stamps the ConfigMaps of one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._url = f"{cluster['server']}/api/v1/namespaces/{namespace}/configmaps"

    async def run(self) -> None:
        """Goes on until it is cancelled, whatever happens to its server."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            self._session = session
            while True:
                pause = PAUSE
                try:
                    await self._follow(await self._stamp_all())
                except Refused as refused:
                    pause = refused.after
                except (aiohttp.ClientError, json.JSONDecodeError):
                    pass  # the connection broke, perhaps in the middle of a line
                # Whatever it was, it begins with a list: what it has missed is there.
                await asyncio.sleep(pause)

    async def _stamp_all(self) -> str:
        found = await self._ask("GET", f"?labelSelector={LABEL}")
        for configmap in found["items"]:
            await self._stamp(configmap)
        return str(found["metadata"]["resourceVersion"])

    async def _follow(self, revision: str) -> None:
        query = f"?watch=1&labelSelector={LABEL}&resourceVersion={revision}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=300)
        async with self._session.get(self._url + query, ssl=self._tls, timeout=timeout) as answer:
            if answer.status != 200:
                raise Refused(answer.status, PAUSE)
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":  # mostly 410: what it has seen last is too old
                    return
                if event["type"] != "DELETED":
                    await self._stamp(event["object"])

    async def _stamp(self, configmap: dict[str, Any]) -> None:
        """Writes the annotation unless it is right. One that is gone needs none."""
        while not is_stamped(configmap):
            try:
                await self.write(configmap)
                return
            except Refused as refused:
                if refused.status == 404:
                    return
                if refused.status != 409:
                    await asyncio.sleep(refused.after)
            except aiohttp.ClientError:
                pass  # it may have been done all the same: look
            try:
                configmap = await self._ask("GET", f"/{configmap['metadata']['name']}")
            except Refused as refused:
                if refused.status == 404:
                    return
                raise

    async def write(self, configmap: dict[str, Any]) -> None:
        """Writes it as it was read, with the annotation: the resourceVersion says that nobody else has written since."""
        metadata = configmap["metadata"]
        metadata.setdefault("annotations", {})[DIGEST] = digest_of(configmap)
        await self._ask("PUT", f"/{metadata['name']}", configmap)

    async def _ask(self, method: str, rest: str, body: Any = None) -> Any:
        url = self._url + rest
        async with self._session.request(method, url, json=body, ssl=self._tls) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, float(answer.headers.get("Retry-After", PAUSE)))
            return await answer.json()


if __name__ == "__main__":
    asyncio.run(Stamper(Path(os.environ["KUBECONFIG"]), sys.argv[1]).run())
