"""`verger explain` and `verger audit`: why things are as they are, and which tokens lie about. Neither writes anything."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from verger.cmd.failure import Failure
from verger.cmd.remote import remote_client

if TYPE_CHECKING:
    from verger.controllers.token_audit import Audited

T = TypeVar("T")

_KUBECONFIG: Final = "The cluster and as whom to ask it. Without it, $KUBECONFIG, ~/.kube/config, or the pod's account."
_ALIASES: Final = {
    "ns": "namespace",
    "namespace": "namespace",
    "namespaces": "namespace",
    "sa": "account",
    "serviceaccount": "account",
    "serviceaccounts": "account",
    "secret": "secret",
    "secrets": "secret",
}
_DAY: Final = 86400.0
_COLUMNS: Final = ("NAMESPACE", "NAME", "ACCOUNT", "AGE", "LAST USED", "PODS", "VERDICT", "WHY")


@click.command(
    epilog="What the kubeconfig's user may not read is said, and the rest explained. Nothing is written, and no token shown."
)
@click.argument("target", metavar="ns/NAME|sa/NAMESPACE/NAME|secret/NAMESPACE/NAME")
@click.option("--kubeconfig", metavar="FILE", type=click.Path(path_type=Path), help=_KUBECONFIG)
@click.option(
    "--lease",
    metavar="NAMESPACE/NAME",
    default="kube-system/verger",
    show_default=True,
    help="The lease of `verger run`, when it has another one than by default.",
)
def explain(target: str, kubeconfig: Path | None, lease: str) -> None:
    """Say in words why an object is as it is.

    Why a namespace does not go or lacks its account, why an account has no token, what a token Secret waits for and who
    uses it; and who wrote it last.
    """
    kind, names = _parsed(target)
    namespace, _, name = lease.partition("/")
    if not namespace or not name or "/" in name:
        raise Failure(f"--lease: {lease!r} is no NAMESPACE/NAME")
    for line in _answer(_explained(kind, names, kubeconfig, (namespace, name))):
        click.echo(_plain(line))


def _parsed(target: str) -> tuple[str, list[str]]:
    alias, *names = target.split("/")
    kind = _ALIASES.get(alias.lower())
    if kind is None or not all(names) or len(names) != (1 if kind == "namespace" else 2):
        raise Failure(f"{target!r} is none of ns/NAME, sa/NAMESPACE/NAME, secret/NAMESPACE/NAME")
    return kind, names


async def _explained(
    kind: str, names: list[str], kubeconfig: Path | None, lease: tuple[str, str]
) -> list[str]:
    from verger.controllers.explanation import LEASES, Explanation
    from verger.store.kinds import built_in
    from verger.watch.clock import SystemClock

    clock, kinds = SystemClock(), built_in()
    async with remote_client(kubeconfig, kinds, clock, component="explain") as client:
        leases = tuple(dict.fromkeys((LEASES[0], lease)))
        explanation = Explanation(client, kinds, now=clock.time(), leases=leases)
        if kind == "namespace":
            return await explanation.namespace(names[0])
        if kind == "account":
            return await explanation.account(*names)
        return await explanation.secret(*names)


@click.group()
def audit() -> None:
    """Look at everything of one sort in a cluster."""


@audit.command(
    epilog="Verdicts: used; unused; young (too new to tell); unknown (the server does not note uses, or not for long enough); "
    "invalid (marked, and refused); orphaned (its account has gone); empty (it has no token yet)."
)
@click.option("--kubeconfig", metavar="FILE", type=click.Path(path_type=Path), help=_KUBECONFIG)
@click.option(
    "--unused-for",
    "days",
    metavar="DAYS",
    type=click.FloatRange(min=0, min_open=True),
    default=90.0,
    show_default=True,
    help="Days without use after which a token counts as unused.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "json")),
    default="text",
    help="How it is said: for people, or as JSON.",
)
def tokens(kubeconfig: Path | None, days: float, output: str) -> None:
    """List every token Secret: its age, its last use, the pods that use it, and what is to be thought of it.

    Nothing is written, and no token shown.
    """
    found = _answer(_audited(kubeconfig, days * _DAY))
    if output == "json":
        documents = [{**item._asdict(), "age": int(item.age)} for item in found]
        click.echo(json.dumps(documents, indent=2))
        return
    rows = [_COLUMNS, *(_row(item) for item in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip())


def _row(item: "Audited") -> tuple[str, ...]:
    cells = (
        item.namespace,
        item.name,
        item.account,
        f"{int(item.age // _DAY)}d",
        item.last_used or "-",
        ",".join(item.pods) or "-",
        item.verdict,
        item.why,
    )
    return tuple(_plain(cell) for cell in cells)


async def _audited(kubeconfig: Path | None, unused_for: float) -> "list[Audited]":
    from verger.controllers.token_audit import audit
    from verger.store.kinds import built_in
    from verger.watch.clock import SystemClock

    clock, kinds = SystemClock(), built_in()
    async with remote_client(kubeconfig, kinds, clock, component="audit") as client:
        return await audit(client, kinds, now=clock.time(), unused_for=unused_for)


def _answer(asking: Coroutine[Any, Any, T]) -> T:
    from verger.store.credentials import KubeconfigError
    from verger.store.errors import ApiError

    try:
        return asyncio.run(asking)
    except (ApiError, KubeconfigError) as error:
        raise Failure(str(error)) from None


def _plain(text: str) -> str:
    """What strangers wrote, as a terminal may show it."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
