"""cmd/settings.py: where settings come from, who wins, and what is said about wrong ones."""

import re
import socket
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pytest
from verger.cmd.settings import (
    ServeSettings,
    SettingsError,
    flag_of,
    load_settings,
    variable_of,
)
from verger.embed import PlaneOptions

from tests.cmd.conftest import Run

NAMES = [item.name for item in fields(ServeSettings)]
HINTS = typing.get_type_hints(ServeSettings)


def another(name: str) -> str:
    """A value that is not the default, as it is written in a flag."""
    hint, default = HINTS[name], getattr(ServeSettings(), name)
    if hint is bool:
        return str(not default).lower()
    if typing.get_origin(hint) is Literal:
        return str(next(choice for choice in typing.get_args(hint) if choice != default))
    return "7" if hint in (int, float) else "x"


def shown(value: Any) -> str:
    """A default as it is written in a flag."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:.0f}" if isinstance(value, float) else str(value)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The path of a configuration file."""
    return tmp_path / "verger.yaml"


def load(
    config: Path | None = None,
    *,
    flags: Mapping[str, str] = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> ServeSettings:
    named = {"config": str(config)} if config else {}
    return load_settings(ServeSettings, {**flags, **named}, environment)


# Precedence


def test_defaults_are_those_of_a_plane_on_the_usual_port() -> None:
    """Without any setting the command runs what an embedded plane runs."""
    assert load().plane_options() == PlaneOptions(port=6443)


def test_flag_wins_over_environment_wins_over_file_wins_over_default(config: Path) -> None:
    """Each source is heard where the better ones are silent."""
    config.write_text(
        "secure-port: 1\nbind-address: from-file\nhistory-window: 1\nlog-level: error\n"
    )
    environment = {
        "VERGER_SECURE_PORT": "2",
        "VERGER_BIND_ADDRESS": "from-environment",
        "VERGER_HISTORY_WINDOW": "2",
    }
    settings = load(
        config, environment=environment, flags={"secure_port": "3", "bind_address": "from-flag"}
    )
    assert (settings.secure_port, settings.bind_address) == (3, "from-flag")
    assert settings.history_window == 2
    assert settings.log_level == "error"
    assert settings.shutdown_grace == ServeSettings().shutdown_grace


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_heard_from_every_source(name: str, config: Path) -> None:
    """File (with dashes or underscores), environment and flag know the same settings."""
    value = another(name)
    by_flag = load(flags={name: value})
    assert getattr(by_flag, name) != getattr(ServeSettings(), name)
    assert load(environment={variable_of(name): value}) == by_flag
    for key in (name, flag_of(name).removeprefix("--")):
        config.write_text(f"{key}: {value}\n")
        assert load(config) == by_flag


def test_file_is_named_by_flag_or_environment(config: Path, tmp_path: Path) -> None:
    """VERGER_CONFIG names it where nobody can give flags."""
    config.write_text("secure-port: 1")
    other = tmp_path / "other.yaml"
    other.write_text("secure-port: 2")
    assert load(environment={"VERGER_CONFIG": str(other)}).secure_port == 2
    assert load(config, environment={"VERGER_CONFIG": str(other)}).secure_port == 1


def test_file_may_say_things_as_yaml_does(config: Path) -> None:
    """Numbers, lists, nulls; an empty file says nothing."""
    config.write_text("controllers: [tokens, -root-ca]\nroot-ca-file: null\nhistory-window: 1.5\n")
    settings = load(config)
    assert settings.controllers == "tokens,-root-ca"
    assert settings.root_ca_file is None
    assert settings.history_window == 1.5
    config.write_text("# nothing\n")
    assert load(config) == ServeSettings()


def test_every_setting_reaches_the_plane_or_the_command() -> None:
    """No setting is without effect."""
    own = {"shutdown_grace", "log_level", "log_format"}
    base = load().plane_options()
    for name in set(NAMES) - own:
        assert load(flags={name: another(name)}).plane_options() != base, name


def test_setting_with_several_values_takes_them_in_each_way() -> None:
    """A flag is repeated, a variable has commas, a file has a list."""
    wanted = ("https://a", "https://b")
    assert load(flags={"service_account_issuer": wanted}).service_account_issuer == wanted  # type: ignore[dict-item]
    environment = {"VERGER_SERVICE_ACCOUNT_ISSUER": ",".join(wanted)}
    assert load(environment=environment).service_account_issuer == wanted


def test_time_may_be_a_duration_as_kubernetes_writes_it() -> None:
    """Seconds are a number, or hours, minutes and seconds with their letters."""
    for text, seconds in (("90", 90), ("1.5", 1.5), ("90s", 90), ("1h30m", 5400), ("0", 0)):
        assert load(flags={"history_window": text}).history_window == seconds, text


# Mistakes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("secure_port", "abc", "'abc' is no whole number", id="a word as a port"),
        pytest.param("secure_port", "1.5", "'1.5' is no whole number", id="a broken port"),
        pytest.param("secure_port", "", "'' is no whole number", id="an empty port"),
        pytest.param("secure_port", "-1", "'-1' must not be negative", id="a negative port"),
        pytest.param("secure_port", "65536", "'65536' is no port", id="a port beyond the last"),
        pytest.param("history_window", "soon", "'soon' is no number", id="a word as a time"),
        pytest.param("history_window", "-0.1", "must not be negative", id="a negative time"),
        pytest.param("shutdown_grace", "nan", "'nan' is no number", id="no number"),
        pytest.param("shutdown_grace", "inf", "'inf' is no number", id="a time without end"),
        pytest.param("log_level", "loud", "none of debug, info, warning, error", id="a level"),
        pytest.param("log_format", "xml", "none of auto, console, json", id="a format"),
        pytest.param("token_secrets", "no", "none of auto, on-request", id="a way of tokens"),
        pytest.param("root_ca_file", "", "'' is no file name", id="an empty file name"),
        pytest.param("anonymous_auth", "maybe", "neither true nor false", id="perhaps"),
        pytest.param("history_window", "5 days", "'5 days' is no number", id="days"),
    ],
)
def test_wrong_value_is_named_with_its_source(
    name: str, value: str, words: str, config: Path
) -> None:
    """Whoever has set it finds the place: the flag, the variable, or the key of the file."""
    config.write_text(f"{name}: {value!r}\n")
    sources: list[tuple[str, Any]] = [
        (flag_of(name), lambda: load(flags={name: value})),
        (variable_of(name), lambda: load(environment={variable_of(name): value})),
        (f"{config}: {name}", lambda: load(config)),
    ]
    for source, loading in sources:
        with pytest.raises(SettingsError) as raised:
            loading()
        message = str(raised.value)
        assert message.startswith(f"{source}: "), message
        assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "secure-prot: 1", ["'secure-prot'", "'secure-port'"], id="two letters swapped"
        ),
        pytest.param("kubeconfig: x", ["'kubeconfig'", "'write-kubeconfig'"], id="half a name"),
        pytest.param("port: 1", ["'port'", "'secure-port'"], id="the other half"),
        pytest.param("config: x", ["unknown key 'config'"], id="a file that names a file"),
        pytest.param("- a\n- b", ["one mapping"], id="a list"),
        pytest.param("just words", ["one mapping"], id="a text"),
        pytest.param("1: 2", ["one mapping"], id="keys that are no text"),
        pytest.param("a: [\n\nb", ["not YAML", "line"], id="no YAML"),
        pytest.param("a: b\n---\nc: d", ["not YAML"], id="two documents"),
        pytest.param("secure-port: true", ["True is no whole number"], id="yes as a port"),
        pytest.param("secure-port: [1]", ["[1] is no whole number"], id="a list as a port"),
        pytest.param("bind-address: 1", ["1 is no text"], id="a number as an address"),
        pytest.param("log-level: 1", ["1 is none of"], id="a number as a level"),
        pytest.param("root-ca-file: 1", ["1 is no file name"], id="a number as a file"),
    ],
)
def test_wrong_file_is_explained(text: str, words: list[str], config: Path) -> None:
    """The message names the file, and the setting that was probably meant."""
    config.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load(config)
    assert [word for word in [str(config), *words] if word not in str(raised.value)] == []


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    """It does not go without the settings that somebody wrote down."""
    with pytest.raises(SettingsError, match=r"--config: cannot read .*: \w+"):
        load(tmp_path / name)


# The command


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        pytest.param(["--secure-port", "abc"], {}, "--secure-port: 'abc'", id="flag"),
        pytest.param([], {"VERGER_SECURE_PORT": "x"}, "VERGER_SECURE_PORT: 'x'", id="environment"),
        pytest.param(["--config", "bad.yaml"], {}, "did you mean 'secure-port'", id="file"),
        pytest.param(["--config", "no.yaml"], {}, "cannot read no.yaml", id="no such file"),
        pytest.param(["--controllers", "nope"], {}, '"nope" is not in the list', id="controller"),
        pytest.param(
            ["--service-account-private-key-file", "bad.yaml"], {}, "bad.yaml", id="signing key"
        ),
        pytest.param(["--root-ca-file", "bad.yaml"], {}, "no certificate", id="authority"),
        pytest.param(["--tls-cert-file", "bad.yaml"], {}, "go together", id="half a TLS pair"),
        pytest.param(
            ["--tls-cert-file", "bad.yaml", "--tls-private-key-file", "bad.yaml"],
            {},
            "bad.yaml",
            id="TLS pair",
        ),
        pytest.param(
            ["--write-kubeconfig", "missing/x"], {}, "cannot write the kubeconfig", id="kubeconfig"
        ),
        pytest.param(["--bind-address", "192.0.2.1"], {}, "192.0.2.1", id="address"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], variables: dict[str, str], words: str, run: Run, tmp_path: Path
) -> None:
    """No traceback, no log: the line says what to change."""
    (tmp_path / "bad.yaml").write_text("secure-prot: 1\n")
    port = () if variables else ("--secure-port=0",)
    done = run("serve", *port, *arguments, variables=variables)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(rf"verger: .*{re.escape(words)}.*\n", done.stderr), done.stderr


def test_port_that_is_taken_is_one_line_and_exit_code_2(run: Run) -> None:
    """The most frequent reason why a server does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--secure-port", str(port))
    assert done.returncode == 2
    assert re.fullmatch(rf"verger: cannot listen on 127\.0\.0\.1:{port}: .*\n", done.stderr)


def test_unknown_flag_is_a_mistake(run: Run) -> None:
    """It is not taken for a setting without effect."""
    done = run("serve", "--secure-prot", "1")
    assert done.returncode == 2
    assert "No such option '--secure-prot'" in done.stderr


# Help


def run_together(text: str) -> str:
    """A text without the spaces and line breaks that its layout may have put in, behind hyphens too."""
    return re.sub(r"\s+", "", text)


def test_help_documents_every_setting_and_its_default(run: Run) -> None:
    """Nobody has to read code to know what can be set."""
    done = run("serve", "--help")
    assert done.returncode == 0
    _, *entries = re.split(r"\n  (?=--|-h)", done.stdout)
    found = {entry.split()[0].rstrip(","): run_together(entry) for entry in entries}
    for item in fields(ServeSettings):
        entry = found[flag_of(item.name)]
        assert run_together(item.metadata["help"]) in entry
        if item.default not in (None, "", ()):
            assert f"[default:{run_together(shown(item.default))}]" in entry
    assert found.keys() - {flag_of(name) for name in NAMES} == {"--config", "--hints", "-h"}
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert "VERGER_" in done.stdout


def test_help_of_the_command_names_its_commands(run: Run) -> None:
    """-h is --help; without a command there is help too."""
    done = run("-h")
    assert done.returncode == 0
    assert "serve" in done.stdout
    assert run("--help").stdout == done.stdout
