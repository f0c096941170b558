"""The parts of a plane that are no tasks, and how they fit together.

This is the only place where concrete classes meet: reading it from top to bottom tells what runs. The order of the
admission plugins and of the authenticators is the order in which they are listed here.
"""

import functools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from verger.apiserver.bindings import Bindings
from verger.apiserver.bodies import Bodies
from verger.apiserver.documents import Documents
from verger.apiserver.evictions import Evictions
from verger.apiserver.handlers import Handlers
from verger.apiserver.health import Check, Health
from verger.apiserver.metrics import Metrics
from verger.apiserver.protobuf import Codec
from verger.apiserver.reviews import Reviews
from verger.apiserver.server import ApiServer
from verger.controllers.account_finalizer import AccountPods
from verger.controllers.aggregation import Aggregation
from verger.controllers.definitions import Definitions
from verger.controllers.garbage import Garbage
from verger.controllers.manager import Manager, UnknownController, selected
from verger.controllers.namespaces import Namespaces
from verger.controllers.origins import Origins
from verger.controllers.policy import BootstrapPolicy
from verger.controllers.quotas import Quotas
from verger.controllers.reconcile import Reconciler
from verger.controllers.recorder import Recorder
from verger.controllers.root_ca import RootCA
from verger.controllers.serviceaccounts import ServiceAccounts
from verger.controllers.token_cleaner import TokenCleaner
from verger.controllers.token_tracking import TokenTracking
from verger.controllers.tokens import Tokens
from verger.embed.controllers_view import text_of
from verger.embed.link import INFORMERS, Link
from verger.embed.options import PlaneOptions, StartError
from verger.identity.accounts import Accounts
from verger.identity.authn import Chain, ClientCertificate, ServiceAccountTokens, StaticToken
from verger.identity.authz import AlwaysAllow, Authorizer, Masters, demand
from verger.identity.certificates import Authority
from verger.identity.escalation import EscalationCheck
from verger.identity.finalizer import AccountFinalizer
from verger.identity.issue import TokenIssuer
from verger.identity.keyring import KeyFileError, KeyFiles, KeyRing
from verger.identity.oidc import Issuer
from verger.identity.rbac import Policy, Rbac
from verger.identity.signing_requests import SigningRequests
from verger.identity.usage import LegacyUses
from verger.identity.validate import StoreLookup
from verger.store.admission import Chain as Admission
from verger.store.classes import Classes
from verger.store.client import Client
from verger.store.decoding import Decoder
from verger.store.expiry import EVENTS, Expiry
from verger.store.fitting import Fitter
from verger.store.kinds import built_in
from verger.store.limits import LimitRanges
from verger.store.local import LocalClient
from verger.store.memory import MemoryBackend
from verger.store.quota import QuotaAdmission
from verger.store.registry import Registry
from verger.store.request import AUTHENTICATED, MASTERS, User
from verger.store.schemas import load
from verger.store.tracking import Tracker
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

NAMESPACE_GRACE: Final = 0.2
NAMESPACE_RECHECK: Final = 1.0
INFORMER_BACKOFF_CAP: Final = 1.0
"""Seconds, instead of upstream's 5, 8 and 30: there is one server here, and looking costs nothing."""
ADMIN: Final = User("verger-admin", groups=(MASTERS, AUTHENTICATED))


class Parts:
    """One plane at rest. Raises StartError for options that do not fit the machine."""

    def __init__(
        self,
        options: PlaneOptions,
        clock: Clock,
        log: "FilteringBoundLogger",
        *,
        is_ready: Callable[[], bool],
        url: Callable[[], str],
        traced: bool,
    ) -> None:
        options.check()
        self._options = options
        self._clock = clock
        self._log = log
        self.authority = Authority(clock.time())
        self.ca = self.authority.certificate
        """What clients verify the server with, in PEM."""
        if options.tls_cert_file is not None:
            self.ca += _read(options.tls_cert_file, "--tls-cert-file")
        self.key_files = KeyFiles(
            signing=options.signing_key_file,
            private=options.private_key_file,
            public=options.key_files,
        )
        self.keys = _ring(self.key_files)
        self.token = secrets.token_urlsafe(32)
        """The administrator's bearer token."""

        # The store
        self.schemas = load()
        self.kinds = built_in(self.schemas)
        self.backend = MemoryBackend(clock, window=options.history_window)
        self.expiry = Expiry(self.backend, clock, resource=EVENTS, ttl=options.event_ttl)
        self.policy = policy = Policy(self.backend)
        self.authorizer: Authorizer = (
            Masters(Rbac(policy)) if options.authorization == "RBAC" else AlwaysAllow()
        )
        lookup = StoreLookup(self.backend)
        decoder = Decoder(self.schemas)
        admission = Admission(
            [
                LimitRanges(self.backend, clock),
                Accounts(lookup, clock, tokens=options.pod_tokens),
                *([AccountFinalizer(lookup, decoder)] if options.account_finalizer else ()),
                EscalationCheck(policy, self.authorizer, self.kinds),
                Classes(self.backend),
                SigningRequests(self.authorizer, clock),
                QuotaAdmission(self.backend, clock),
            ]
        )
        tracker = Tracker(self.schemas, clock)
        self.registry = Registry(
            self.backend,
            clock,
            admission=admission,
            tracker=tracker,
            may_create=demand(self.authorizer),
        )
        self.fitter = Fitter(self.schemas, tracker)

        # The controllers
        self.origins = Origins(clock) if traced else None
        """What was written for which reason."""
        informers = Link(self.client_of("shared-informers"))
        self.links: dict[str, Link] = {INFORMERS: informers}
        """The way of each controller to the store, and that of what all of them see the world by."""
        reconcilers = list(self._reconcilers())
        self.manager = Manager(
            reconcilers,
            informers,
            clock,
            log,
            self.origins,
            backoff_cap=INFORMER_BACKOFF_CAP,
        )
        try:
            # What serves custom kinds is a part of the server, and not for choice.
            always, *names = self.manager.names
            self.controllers = [always, *selected(options.controllers, names)]
            for name, seconds in options.delays.items():
                self.manager.delay(name, seconds)
        except UnknownController as error:
            raise StartError(f"--controllers: {error}") from None

        # Who asks
        issuers = tuple(options.issuers)
        audiences = tuple(options.audiences) or issuers
        self.uses = LegacyUses(
            self.client_of("legacy-token-uses"), self.kinds.core("Secret"), clock, log
        )
        admin = StaticToken(self.token, ADMIN)
        tokens = ServiceAccountTokens(
            self.keys,
            lookup,
            clock,
            issuers=issuers,
            audiences=audiences,
            on_legacy_use=self.uses.note,
        )
        authentication = Chain([admin, tokens, ClientCertificate()], anonymous=options.anonymous)

        # The API
        self.issuer = TokenIssuer(
            self.keys,
            lookup,
            clock,
            issuer=issuers[0],
            audiences=audiences,
            max_seconds=options.max_token_seconds,
            extend=options.extend_token_expiration,
        )
        reviews = Reviews(self.authorizer, tokens, admin, clock)
        bindings = Bindings(self.registry, self.kinds.core("Pod"), clock)
        evictions = Evictions(self.registry, self.kinds, clock)
        self.handlers = handlers = Handlers(
            self.registry,
            self.fitter,
            decoder,
            Bodies(Codec(self.schemas)),
            clock,
            answerers={
                **reviews.answerers(),
                **bindings.answerers(),
                **evictions.answerers(),
                ("serviceaccounts", "token"): self.issuer.answer,
            },
        )
        self.kinds.listen(handlers.kind_changed)
        metrics = Metrics()
        documents = Documents(
            self.kinds,
            self.schemas,
            self._health(is_ready),
            metrics,
            options.kubernetes_version,
            _issuer(self.keys, options, log),
            url,
            functools.partial(text_of, self.manager),
        )
        self.server = ApiServer(
            kinds=self.kinds,
            handlers=handlers,
            documents=documents,
            authentication=authentication,
            authorizer=self.authorizer,
            metrics=metrics,
            clock=clock,
            log=log,
        )
        _measure(metrics, self.manager, handlers, self.backend, authentication, tokens, self.server)

    def client_of(self, component: str) -> LocalClient:
        """The client of a part of the system."""
        user = User(f"system:serviceaccount:kube-system:{component}", groups=(MASTERS,))
        return LocalClient(self.registry, self.kinds, self.fitter, user)

    def _reconcilers(self) -> Iterator[Reconciler[Any]]:
        """The controllers, each over a link of its own, which carries its name."""
        options, kinds, clock, log = self._options, self.kinds, self._clock, self._log
        root_ca = self._root_ca()
        makers: list[tuple[str, Callable[[Client, Recorder], Reconciler[Any]]]] = [
            ("kube-apiserver", lambda client, _: Definitions(client, kinds, log, clock)),
            (
                "service-account-controller",
                lambda client, recorder: ServiceAccounts(client, kinds, recorder, log),
            ),
            (
                "tokens-controller",
                lambda client, recorder: Tokens(
                    client, kinds, recorder, log, self.keys, root_ca, options.token_secrets
                ),
            ),
            (
                "namespace-controller",
                lambda client, recorder: Namespaces(
                    client,
                    kinds,
                    recorder,
                    log,
                    clock,
                    grace=NAMESPACE_GRACE,
                    recheck_max=NAMESPACE_RECHECK,
                ),
            ),
            (
                "root-ca-cert-publisher",
                lambda client, recorder: RootCA(client, kinds, recorder, log, root_ca),
            ),
            (
                "generic-garbage-collector",
                lambda client, recorder: Garbage(client, kinds, recorder, log),
            ),
            ("resourcequota-controller", lambda client, _: Quotas(client, kinds, log, clock)),
            ("bootstrap-policy", lambda client, _: BootstrapPolicy(client, kinds, log)),
            (
                "clusterrole-aggregation-controller",
                lambda client, _: Aggregation(client, kinds, log),
            ),
            (
                "legacy-token-tracking-controller",
                lambda client, _: TokenTracking(client, kinds, log, clock),
            ),
            (
                "legacy-service-account-token-cleaner",
                lambda client, _: TokenCleaner(
                    client, kinds, log, clock, options.legacy_token_period
                ),
            ),
        ]
        if options.account_finalizer:
            makers.append(
                (
                    "serviceaccount-finalizer",
                    lambda client, recorder: AccountPods(client, kinds, recorder, log),
                )
            )
        for component, make in makers:
            link = Link(self.client_of(component))
            recorder = Recorder(link, kinds.core("Event"), clock, log, component=component)
            reconciler = make(link, recorder)
            self.links[reconciler.name] = link
            yield reconciler

    def _root_ca(self) -> str:
        path = self._options.root_ca_file
        root_ca = _read(path, "--root-ca-file") if path is not None else self.ca
        if b"-----BEGIN CERTIFICATE-----" not in root_ca:
            raise StartError(f"--root-ca-file {path} holds no certificate in PEM")
        return root_ca.decode()

    def _health(self, is_ready: Callable[[], bool]) -> Health:
        return Health(
            [
                Check("informer-sync", lambda: "" if is_ready() else "not started", ("/readyz",)),
                *(
                    Check(name, functools.partial(_unsynced, self.manager, name), ("/readyz",))
                    for name in self.controllers
                ),
            ]
        )


def _ring(files: KeyFiles) -> KeyRing:
    try:
        return files.ring()
    except KeyFileError as error:
        raise StartError(str(error)) from None


def _issuer(keys: KeyRing, options: PlaneOptions, log: "FilteringBoundLogger") -> Issuer:
    issuer = Issuer(keys, options.issuers[0], options.jwks_uri)
    if issuer.problem:
        log.warning("tokens cannot be verified by others", reason=issuer.problem)
    return issuer


def _unsynced(manager: Manager, name: str) -> str:
    return "" if manager.synced(name) else "not synced"


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path}: {error.strerror or error}") from None


def _measure(
    metrics: Metrics,
    manager: Manager,
    handlers: Handlers,
    backend: MemoryBackend,
    authentication: Chain,
    tokens: ServiceAccountTokens,
    server: ApiServer,
) -> None:
    """What is counted where it happens, under the names that people know."""
    metrics.add_queues(manager.statistics)
    metrics.add_gauge("verger_watches", "Watches that are open.", lambda: handlers.open_watches)
    metrics.add_gauge("verger_store_revision", "The newest revision.", lambda: backend.revision)
    metrics.add_gauge(
        "verger_store_history_events", "Changes in the history.", lambda: len(backend.log)
    )
    metrics.add_counters(
        "authentication_attempts",
        "Requests by whether it was known who asked.",
        "result",
        lambda: authentication.attempts,
    )
    metrics.add_counters(
        "authorization_attempts",
        "Requests by whether they were allowed.",
        "result",
        lambda: server.decisions,
    )
    metrics.add_counters(
        "authentication_token_cache_request",
        "Tokens by whether their signature was known to be good.",
        "status",
        lambda: tokens.lookups,
    )
    for name, sort in (
        ("serviceaccount_valid_tokens", "valid"),
        ("serviceaccount_stale_tokens", "stale"),
        ("serviceaccount_legacy_manual_token_uses", "manual"),
        ("serviceaccount_legacy_auto_token_uses", "auto"),
        ("serviceaccount_invalid_legacy_auto_token_uses", "invalid"),
    ):
        metrics.add_counters(
            name,
            f"Uses of tokens that are {sort}.",
            "",
            lambda sort=sort: {"": tokens.uses[sort]},  # type: ignore[misc]
        )
