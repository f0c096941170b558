"""Runs the benchmarks and prints one table: each figure of Verger, the floor's, and the goal.

Floor and Verger take turns in every round, so that both see the same machine, and the table shows
medians. The exit code tells whether everything ran, not whether it was fast: machines are shared
and noisy. `--check` makes goals count too.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import api, daemon, decisions, flatness, formats, identities, report, signing, tokens
from bench.servers import (
    ROOT,
    Command,
    Keys,
    Server,
    ServerError,
    environment,
    floor_command,
    running,
    verger_command,
)

SUITES = (
    "start",
    "api",
    "formats",
    "identities",
    "tokens",
    "remote",
    "preloaded",
    "embedded",
    "flatness",
    "signing",
    "decisions",
)
ALGORITHMS = ("ES256", "RS256")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large each load is."""

    api: api.ApiLoad
    identities: identities.IdentityLoad
    flatness: flatness.FlatnessLoad
    tokens: tokens.TokenLoad
    formats: formats.FormatLoad
    bindings: tuple[int, ...]
    preloaded: int
    starts: int
    embedded_rounds: int
    crowd: int
    signing_seconds: float


def sizes(*, quick: bool, secrets: identities.Secrets) -> Sizes:
    """Return the sizes that goals are stated for, or small ones that only show that all runs."""
    if quick:
        return Sizes(
            api=api.ApiLoad(objects=200, watchers=10, updates=50, lists=5),
            identities=identities.IdentityLoad(namespaces=100, connections=16, secrets=secrets),
            flatness=flatness.FlatnessLoad(
                stored=(0, 1000, 5000), watches=(0, 50, 200), objects=300
            ),
            tokens=tokens.TokenLoad(gets=200, tokens=100),
            formats=formats.FormatLoad(
                objects=100, lists=5, watchers=5, updates=20, writes=100, turns=1
            ),
            bindings=(10, 100, 1000),
            preloaded=200,
            starts=1,
            embedded_rounds=5,
            crowd=10,
            signing_seconds=0.3,
        )
    return Sizes(
        api=api.ApiLoad(),
        identities=identities.IdentityLoad(secrets=secrets),
        flatness=flatness.FlatnessLoad(),
        tokens=tokens.TokenLoad(),
        formats=formats.FormatLoad(),
        bindings=(10, 1000, 10_000),
        preloaded=10_000,
        starts=3,
        embedded_rounds=20,
        crowd=100,
        signing_seconds=2.0,
    )


@dataclass(slots=True)
class Run:
    """What has been measured so far, and what has failed."""

    sizes: Sizes
    servers: tuple[str, ...]
    keys: Keys
    rounds: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {server: {} for server in report.SERVERS}
    )
    failures: list[str] = field(default_factory=list)

    def add(self, server: str, figures: dict[str, float], *, prefix: str = "") -> None:
        """Keep one round's figures."""
        for name, value in figures.items():
            self.rounds[server].setdefault(prefix + name, []).append(value)

    @asynccontextmanager
    async def attempt(self, what: str) -> AsyncIterator[None]:
        """Tell what is being measured, and note a failure instead of ending the run."""
        print(f"  {what}", file=sys.stderr, flush=True)
        try:
            yield
        # A failing load must not cost the figures of the others, whatever it failed of.
        except Exception as error:
            reasons = "; ".join(dict.fromkeys(_reasons(error)))
            self.failures.append(f"{what}: {reasons}")
            print(f"    failed: {reasons}", file=sys.stderr, flush=True)

    def command(self, server: str, algorithm: str | None = None) -> Command:
        """Return how to start a server, for one signing algorithm or with its own choice."""
        secrets = self.sizes.identities.secrets
        if server == "floor":
            return floor_command(algorithm=algorithm or "ES256", token_secrets=secrets)
        if algorithm is None:
            return verger_command()
        key = self.keys.files[algorithm]
        return verger_command(
            f"--token-secrets={secrets}", f"--service-account-private-key-file={key}"
        )


def _reasons(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _reasons(inner)
    else:
        yield str(error) if isinstance(error, ServerError) else f"{type(error).__name__}: {error}"


async def warm_up(run: Run) -> None:
    """Start each server once unmeasured, because the first start after a change compiles."""
    for name in run.servers:
        async with run.attempt(f"warm-up: {name}"), running(run.command(name)):
            pass


async def start(run: Run) -> None:
    """Start and stop each server a few times."""
    for _ in range(run.sizes.starts):
        for name in run.servers:
            async with run.attempt(f"start: {name}"):
                with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                    server = await Server.start(run.command(name), Path(folder))
                    idle = server.resident_megabytes()
                    stop = await server.stop()
                run.add(name, {"ready_s": server.ready_seconds, "idle_mb": idle, "stop_s": stop})


async def measure_api(run: Run) -> None:
    """Run the API load against each server."""
    for name in run.servers:
        async with run.attempt(f"api: {name}"), running(run.command(name)) as server:
            figures = await api.measure(server.target, run.sizes.api)
            figures["api_client_cpu_share"] = figures.pop("client_cpu_share")
            run.add(name, figures | {"loaded_mb": server.resident_megabytes()})


async def measure_formats(run: Run) -> None:
    """Run what is compared with itself: the floor knows neither protobuf nor patches."""
    if "verger" in run.servers:
        async with run.attempt("formats: verger"), running(run.command("verger")) as server:
            run.add("verger", await formats.measure(server, run.sizes.formats))


async def measure_identities(run: Run) -> None:
    """Run the storm against each server with each algorithm."""
    for algorithm in ALGORITHMS:
        for name in run.servers:
            async with (
                run.attempt(f"identities: {name}, {algorithm}"),
                running(run.command(name, algorithm)) as server,
            ):
                figures = await identities.measure(server.target, run.sizes.identities)
                run.add(name, figures, prefix=f"{algorithm.lower()}_")
                if name == "verger" and algorithm == "ES256":
                    run.add(name, {report.LOOP_RATE: figures["identities_per_s"]})
    if "floor" in run.servers:
        command = floor_command(signing="loop", token_secrets=run.sizes.identities.secrets)
        async with run.attempt("identities: floor, ES256 on its loop"), running(command) as server:
            figures = await identities.measure(server.target, run.sizes.identities)
            run.add("floor", {report.LOOP_RATE: figures["identities_per_s"]})


async def measure_tokens(run: Run) -> None:
    """Measure what tokens cost. The floor has none."""
    if "verger" not in run.servers:
        return
    async with (
        run.attempt("tokens: verger, RS256"),
        running(run.command("verger", "RS256")) as server,
    ):
        run.add("verger", await tokens.measure(server.target, server.kubeconfig, run.sizes.tokens))


async def measure_remote(run: Run) -> None:
    """Run the storm on a daemon in a process of its own, and on the same controllers in the server's."""
    if "verger" in run.servers:
        async with run.attempt("identities: verger run, ES256"):
            key = run.keys.files["ES256"]
            run.add("verger", await daemon.measure_storm(key, run.sizes.identities))


async def measure_preloaded(run: Run) -> None:
    """Start daemons beside a cluster that is full."""
    if "verger" in run.servers:
        async with run.attempt(f"{run.sizes.preloaded} namespaces: verger run, ES256"):
            key = run.keys.files["ES256"]
            run.add("verger", await daemon.measure_preloaded(key, run.sizes.preloaded))


async def measure_decisions(run: Run) -> None:
    """Measure authorization in this process."""
    async with run.attempt("decisions"):
        run.add("verger", await asyncio.to_thread(decisions.measure, run.sizes.bindings))


async def measure_embedded(run: Run) -> None:
    """Start planes in a process that has done nothing else."""
    for name in run.servers:
        async with run.attempt(f"embedded: {name}"):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bench.embedded",
                name,
                f"--rounds={run.sizes.embedded_rounds}",
                f"--crowd={run.sizes.crowd}",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env=environment(),
            )
            output, errors = await process.communicate()
            if process.returncode != 0:
                last = errors.decode(errors="replace").strip().splitlines()[-8:]
                raise ServerError("\n    ".join([f"exited with {process.returncode}", *last]))
            run.add(name, json.loads(output))


async def measure_flatness(run: Run) -> None:
    """Measure how the cost of a write grows; each part has a server of its own."""
    for name in run.servers:
        async with (
            run.attempt(f"flatness, idle watches: {name}"),
            running(run.command(name)) as server,
        ):
            run.add(name, await flatness.measure_watches(server, run.sizes.flatness))
        async with (
            run.attempt(f"flatness, stored objects: {name}"),
            running(run.command(name)) as server,
        ):
            run.add(name, await flatness.measure_stored(server, run.sizes.flatness))


async def measure_signing(run: Run) -> None:
    """Measure what the cores can sign. It has no server, so it stands in the floor's column."""
    async with run.attempt("signing"):
        run.add("floor", await asyncio.to_thread(signing.measure, run.sizes.signing_seconds))


def share_of_signing(run: Run) -> None:
    """Add the rates that RSA signatures limit as shares of the raw signing rate."""
    raw = run.rounds["floor"].get("rs256_signatures_per_s")
    if not raw:
        return
    for server in report.SERVERS:
        for rate, share in (
            ("rs256_identities_per_s", "rs256_share_of_signing"),
            ("token_requests_per_s", "token_requests_share"),
        ):
            if rates := run.rounds[server].get(rate):
                run.add(server, {share: statistics.median(rates) / statistics.median(raw)})


async def measure(run: Run, suites: list[str], rounds: int) -> None:
    """Run the named suites; those whose figures are stable in themselves only once."""
    if {"signing", "identities", "tokens"} & set(suites):
        await measure_signing(run)
    await warm_up(run)
    turns = {
        "start": start,
        "api": measure_api,
        "formats": measure_formats,
        "identities": measure_identities,
        "tokens": measure_tokens,
        "remote": measure_remote,
    }
    repeated = {suite: work for suite, work in turns.items() if suite in suites}
    for number in range(rounds if repeated else 0):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for work in repeated.values():
            await work(run)
    if "preloaded" in suites:
        await measure_preloaded(run)
    if "embedded" in suites:
        await measure_embedded(run)
    if "flatness" in suites:
        await measure_flatness(run)
    if "decisions" in suites:
        await measure_decisions(run)
    share_of_signing(run)


def sections(run: Run) -> list[tuple[str, list[report.Row]]]:
    """Return the table's parts, the empty ones too."""
    load = run.sizes.flatness
    identity_figures = [f for name in ALGORITHMS for f in report.identity_figures(name)]
    watchers = run.sizes.api.watchers
    storm = run.sizes.identities
    parts = [
        ("start of a process", report.start_figures()),
        (f"api ({run.sizes.api.objects} objects, {watchers} watchers)", report.api_figures()),
        ("formats and kinds of writes", report.format_figures()),
        (f"identities ({storm.namespaces} namespaces, {storm.secrets} secrets)", identity_figures),
        ("tokens", report.token_figures()),
        (f"verger run ({storm.namespaces} namespaces)", report.remote_figures()),
        (f"verger run, {run.sizes.preloaded} namespaces there", report.preloaded_figures()),
        ("embedded", report.embedded_figures(run.sizes.crowd)),
        ("flatness", report.flatness_figures(load.stored, load.watches)),
        ("authorization", report.decision_figures(run.sizes.bindings)),
        ("signing (the machine itself)", report.signing_figures()),
    ]
    return [(title, report.compare(figures, run.rounds)) for title, figures in parts]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Verger beside the floor, and compare."
    )
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; without any: all"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--rounds", type=int, default=3, help="turns of floor and Verger (3)")
    parser.add_argument("--secrets", choices=["auto", "manual"], default="auto", help="(auto)")
    parser.add_argument("--server", choices=report.SERVERS, help="measure only this one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--check", action="store_true", help="fail when a goal is not met")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"there is no suite named {', '.join(sorted(unknown))}")
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    return options


def main() -> int:
    """Run what the command line names; returns the exit code."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as folder:
        run = Run(
            sizes=sizes(quick=options.quick, secrets=options.secrets),
            servers=(options.server,) if options.server else report.SERVERS,
            keys=Keys.create(Path(folder)),
        )
        asyncio.run(measure(run, options.suites or list(SUITES), options.rounds))
    table = sections(run)
    print(report.render(table))
    for failure in run.failures:
        print(f"failed: {failure}")
    missed = [row for _, rows in table for row in rows if row.met is False]
    if options.json:
        document = {
            "machine": {
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "quick": options.quick,
            "rounds": options.rounds,
            "figures": report.as_json(table, run.rounds),
            "failures": run.failures,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if run.failures or (options.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
