"""The command line of Verger."""

import importlib
from typing import Final

import click

_COMMANDS: Final = {
    "serve": "verger.cmd.serve",
    "run": "verger.cmd.run",
    "explain": "verger.cmd.explain",
    "audit": "verger.cmd.explain",
    "token": "verger.cmd.token",
    "oidc": "verger.cmd.oidc",
    "demo": "verger.cmd.demo",
}
"""The commands, and the modules that hold them: only that of the command in use is loaded."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The text of the group tells of them, and needs none of them loaded."""


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def main() -> None:
    """Verger gives Kubernetes service accounts their identity.

    \b
    verger serve    a whole control plane in one process: store, HTTPS API, controllers
    verger run      the controllers alone, beside somebody else's API server
    verger explain  why a namespace, an account or a token Secret is as it is
    verger audit    which tokens lie about, and who uses them
    verger token    what a token proves, and a file that always holds a good one
    verger oidc     what others need to verify tokens, as files for any web server
    verger demo     how accounts get their identity, and how the world heals: a story that happens
    """
