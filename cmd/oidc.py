"""`verger oidc`: what others need to verify tokens, as files for any web server."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from verger.cmd.failure import Failure

if TYPE_CHECKING:
    from verger.identity.oidc import Published


@click.group()
def oidc() -> None:
    """Publish what others need to verify the tokens of service accounts."""


@oidc.command()
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that is served at the issuer's URL; it is made when it is not there.",
)
@click.option(
    "--service-account-key-file",
    "key_files",
    metavar="FILE",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="PEM file with keys that sign or signed tokens; of private ones only the public half is written. May be given "
    "several times.",
)
@click.option(
    "--service-account-issuer",
    "issuer",
    metavar="URL",
    required=True,
    help="Who issues the tokens: the first --service-account-issuer of the server.",
)
@click.option(
    "--service-account-jwks-uri",
    "jwks_uri",
    metavar="URL",
    default="",
    help="Where the keys will be found. Without it, below the issuer's URL.",
)
def export(folder: Path, key_files: tuple[Path, ...], issuer: str, jwks_uri: str) -> None:
    """Write .well-known/openid-configuration and openid/v1/jwks for static hosting.

    The server has to serve the first as application/json and the second as application/jwk-set+json. Tokens can be
    verified with them while the control plane is away; that a token was revoked only the control plane knows.
    """
    from verger.identity.keys import InvalidKey, KeySet, VerifyingKey, load_verifying_keys
    from verger.identity.oidc import (
        DISCOVERY_PATH,
        JWKS_PATH,
        InvalidIssuer,
        discovery,
        key_set,
    )

    found: dict[str, VerifyingKey] = {}
    for path in key_files:
        try:
            found |= {key.kid: key for key in load_verifying_keys(path) if key.kid not in found}
        except OSError as error:
            raise Failure(
                f"--service-account-key-file: cannot read {path}: {error.strerror or error}"
            ) from None
        except InvalidKey as error:
            raise Failure(f"--service-account-key-file: {path}: {error}") from None
    keys = KeySet(list(found.values()))
    try:
        document = discovery(issuer, jwks_uri or issuer.rstrip("/") + JWKS_PATH, keys)
    except InvalidIssuer as error:
        raise Failure(f"--service-account-issuer: {error}") from None
    # The keys first: whoever follows the other document finds them.
    for place, published in ((JWKS_PATH, key_set(keys)), (DISCOVERY_PATH, document)):
        click.echo(_written(folder / place.removeprefix("/"), published))


def _written(path: Path, published: "Published") -> str:
    from verger.embed.kubeconfig import write

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, published.body.decode())
        path.chmod(0o644)  # everybody may read it: that is what it is for
    except OSError as error:
        raise Failure(f"--dir: cannot write {path}: {error.strerror or error}") from None
    return f"{path}  {published.media_type}"
