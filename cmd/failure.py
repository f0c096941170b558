"""How a command ends that the user can mend: one line that says what is wrong, and an exit code."""

from typing import IO, Any, Final

import click

EXIT_USAGE: Final = 2
"""The exit code of everything that the user can mend: flags, files, addresses."""


class Failure(click.ClickException):
    """Ends the command with a message for people."""

    exit_code = EXIT_USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the message as all others are printed."""
        click.echo(f"verger: {self.message}", file=file, err=file is None)
