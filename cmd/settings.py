"""The settings of each command: where they come from, and what is said about a wrong one.

A setting is one field of a frozen dataclass, documented by its help. A flag wins over the environment, the environment
over the configuration file, the file over the default. Unknown keys in the file are errors.
"""

import difflib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

if TYPE_CHECKING:
    from verger.embed.options import PlaneOptions

T = TypeVar("T")
ENVIRONMENT: Final = "VERGER_"
CONFIG: Final = "config"


class SettingsError(ValueError):
    """A setting is wrong; the message says which, and where it came from."""


def setting(default: Any, help: str, *, metavar: str = "") -> Any:
    """A field of a settings class."""
    return field(default=default, metadata={"help": help, "metavar": metavar})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """The settings of everything that runs until it is told to end."""

    shutdown_grace: float = setting(
        10.0, "Seconds that everything has to end after SIGTERM.", metavar="SECONDS"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "What is logged.")
    log_format: Literal["auto", "console", "json"] = setting(
        "auto", "How it is logged; auto is console on a terminal and JSON elsewhere."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings(ProcessSettings):
    """The settings of `verger serve`."""

    bind_address: str = setting("127.0.0.1", "Address to listen on.", metavar="ADDRESS")
    secure_port: int = setting(
        6443, "Port to serve HTTPS on; 0 takes any free one.", metavar="PORT"
    )
    controllers: str = setting(
        "*",
        "Controllers to run, separated by commas: a name, -name to leave one out, * for all others.",
        metavar="LIST",
    )
    token_secrets: Literal["auto", "on-request"] = setting(
        "auto",
        "auto: every account gets a token Secret. on-request: only Secrets that a user creates are filled.",
    )
    pod_tokens: Literal["projected", "secret"] = setting(
        "projected",
        "projected: pods get a volume that asks for a token. secret: they get the token Secret of their account.",
    )
    service_account_finalizer: bool = setting(
        False,
        "Whether pods receive the security context and the Secrets that annotations of their account name.",
    )
    service_account_private_key_file: Path | None = setting(
        None,
        "PEM file with the RSA or EC key that signs tokens. Without one a P-256 key is made at start.",
        metavar="FILE",
    )
    service_account_signing_key_file: Path | None = setting(
        None,
        "PEM file with the key that signs requested tokens, when it is another one than for those of Secrets.",
        metavar="FILE",
    )
    service_account_key_file: tuple[Path, ...] = setting(
        (),
        "PEM file with further keys whose tokens are accepted. All key files are read again when they change, and on "
        "SIGHUP.",
        metavar="FILE",
    )
    service_account_issuer: tuple[str, ...] = setting(
        ("https://kubernetes.default.svc.cluster.local",),
        "Who issues tokens: a URL. The first signs, tokens of all of them are accepted.",
        metavar="URL",
    )
    service_account_jwks_uri: str = setting(
        "", "Where others find the public keys. Without it, this server.", metavar="URL"
    )
    api_audiences: tuple[str, ...] = setting(
        (),
        "For whom tokens have to be that this server accepts. Without any, its issuers.",
        metavar="NAME",
    )
    service_account_max_token_expiration: float = setting(
        0.0, "The longest life of a requested token; 0 for no limit.", metavar="SECONDS"
    )
    service_account_extend_token_expiration: bool = setting(
        True,
        "Whether the tokens of pods live a year, for clients that never read them again.",
    )
    legacy_service_account_token_clean_up_period: float = setting(
        365 * 86400.0,
        "Seconds without use after which a token that was made for its account is marked invalid, and after as many "
        "again deleted.",
        metavar="SECONDS",
    )
    authorization_mode: Literal["RBAC", "AlwaysAllow"] = setting(
        "RBAC", "Who decides what users may do."
    )
    anonymous_auth: bool = setting(
        True, "Whether requests without credentials are served, as system:anonymous."
    )
    root_ca_file: Path | None = setting(
        None,
        "PEM file with the certificate authorities for token Secrets and kube-root-ca.crt. Without one, the plane's "
        "own.",
        metavar="FILE",
    )
    tls_cert_file: Path | None = setting(
        None,
        "PEM file with the server's certificate. Without one a certificate is made.",
        metavar="FILE",
    )
    tls_private_key_file: Path | None = setting(
        None, "PEM file with the key of --tls-cert-file.", metavar="FILE"
    )
    write_kubeconfig: Path | None = setting(
        None,
        "Where to write the administrator's kubeconfig (mode 0600). Without one, a temporary file, named in the log.",
        metavar="FILE",
    )
    event_ttl: float = setting(
        3600.0,
        "Seconds after which Events go that nobody has written since; 0 to keep them.",
        metavar="SECONDS",
    )
    history_window: float = setting(
        300.0, "Seconds for which old revisions can be read and watched from.", metavar="SECONDS"
    )

    def plane_options(self) -> "PlaneOptions":
        """The options of the plane that these settings describe."""
        from verger.embed.options import PlaneOptions

        return PlaneOptions(
            host=self.bind_address,
            port=self.secure_port,
            controllers=tuple(item.strip() for item in self.controllers.split(",")),
            token_secrets=self.token_secrets,
            pod_tokens=self.pod_tokens,
            account_finalizer=self.service_account_finalizer,
            private_key_file=self.service_account_private_key_file,
            signing_key_file=self.service_account_signing_key_file,
            key_files=self.service_account_key_file,
            issuers=self.service_account_issuer,
            jwks_uri=self.service_account_jwks_uri,
            audiences=self.api_audiences,
            max_token_seconds=int(self.service_account_max_token_expiration),
            extend_token_expiration=self.service_account_extend_token_expiration,
            legacy_token_period=self.legacy_service_account_token_clean_up_period,
            authorization=self.authorization_mode,
            anonymous=self.anonymous_auth,
            root_ca_file=self.root_ca_file,
            tls_cert_file=self.tls_cert_file,
            tls_private_key_file=self.tls_private_key_file,
            kubeconfig=self.write_kubeconfig.absolute() if self.write_kubeconfig else None,
            history_window=self.history_window,
            event_ttl=self.event_ttl,
        )


def flag_of(name: str) -> str:
    """How a setting is called on the command line."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """How a setting is called in the environment."""
    return ENVIRONMENT + name.upper()


def options_of(cls: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a flag for each setting to a command, and --config."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        config = click.option(
            flag_of(CONFIG),
            metavar="FILE",
            default=None,
            help="YAML file with any of these settings.",
        )
        own = cls.__annotations__
        # What all commands have comes behind what is theirs.
        ordered = sorted(fields(cls), key=lambda item: item.name not in own)
        for item in reversed(ordered):
            command = _option(item, typing.get_type_hints(cls)[item.name])(command)
        return config(command)

    return decorate


def _option(item: "Field[Any]", type_: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    several = typing.get_origin(type_) is tuple
    text = item.metadata["help"]
    if several:
        text += " May be given several times."
    if item.default not in (None, "", ()):
        text += f"  [default: {_shown(item.default)}]"
    choices = typing.get_args(type_) if typing.get_origin(type_) is Literal else None
    if type_ is bool:
        choices = ("true", "false")
    metavar = "|".join(choices) if choices else item.metadata["metavar"]
    return click.option(
        flag_of(item.name), item.name, metavar=metavar, default=None, multiple=several, help=text
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.0f}" if isinstance(value, float) and value == int(value) else str(value)


def load_settings(cls: type[T], flags: Mapping[str, Any], environment: Mapping[str, str]) -> T:
    """The settings from flags, environment and file. Raises SettingsError."""
    names = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    path = flags.get(CONFIG) or environment.get(variable_of(CONFIG))
    values: dict[str, Any] = {}
    if path:
        for key, value in _read_file(Path(path)).items():
            name = key.replace("-", "_")
            if name not in names:
                raise SettingsError(f"{path}: unknown key {key!r}{_nearest(name, names)}")
            values[name] = _convert(value, hints[name], f"{path}: {key}")
    for name in names:
        if (text := environment.get(variable_of(name))) is not None:
            values[name] = _convert(text, hints[name], variable_of(name))
        if flags.get(name) not in (None, ()):
            values[name] = _convert(flags[name], hints[name], flag_of(name))
    return cls(**values)


def _read_file(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"--config: cannot read {path}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"--config: {path} is not YAML{where}") from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise SettingsError(f"--config: {path} must hold one mapping of settings")
    return document


def _nearest(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return f"; did you mean {found[0].replace('_', '-')!r}?" if found else ""


def _convert(value: Any, type_: Any, source: str) -> Any:
    """A value of the right type. Raises SettingsError that names the source and the value."""
    if typing.get_origin(type_) is Literal:
        choices = typing.get_args(type_)
        if value not in choices:
            raise SettingsError(f"{source}: {value!r} is none of {', '.join(choices)}")
        return value
    if typing.get_origin(type_) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise SettingsError(f"{source}: {value!r} is no list")
        return tuple(_convert(item, typing.get_args(type_)[0], source) for item in items)
    if type_ is bool:
        text = str(value).lower()
        if text not in ("true", "false"):
            raise SettingsError(f"{source}: {value!r} is neither true nor false")
        return text == "true"
    if isinstance(type_, types.UnionType):
        if value is None:
            return None
        type_ = next(arg for arg in typing.get_args(type_) if arg is not types.NoneType)
    if type_ is Path:
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{source}: {value!r} is no file name")
        return Path(value)
    if type_ is str:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ",".join(value)
        if not isinstance(value, str):
            raise SettingsError(f"{source}: {value!r} is no text")
        return value
    return _number(value, type_, source)


def _number(value: Any, type_: Any, source: str) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number: int | float = _seconds(value) if type_ is float else type_(value)
    except (TypeError, ValueError):
        what = (
            "whole number" if type_ is int else "number of seconds, and no duration like 90s or 24h"
        )
        raise SettingsError(f"{source}: {value!r} is no {what}") from None
    if not 0 <= number < float("inf"):
        raise SettingsError(f"{source}: {value!r} must not be negative")
    if source.lower().endswith("port") and number > 65535:
        raise SettingsError(f"{source}: {value!r} is no port; ports go up to 65535")
    return number


def _seconds(value: Any) -> float:
    """Seconds, as a number or as Kubernetes writes them (`1h30m`). Raises ValueError, TypeError."""
    if not isinstance(value, str) or not value[-1:].isalpha():
        return float(value)
    from verger.store.timestamps import parse_duration

    seconds = parse_duration(value)
    if seconds is None:
        raise ValueError
    return seconds
