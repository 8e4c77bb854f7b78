"""`serve`: the gateway in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["serve"]


@click.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The configuration; left out, ./mhbridge.toml, and without that the defaults and the environment.",
)
def serve(config: Path | None) -> int:
    """
    Run the gateway until SIGTERM or SIGINT, then answer what was read and stop.

    Its log is JSON lines on standard error.
    """
    from mhbridge.app import faults_of, run
    from mhbridge.config import load

    run(load(found(config), further=faults_of))
    return 0


def found(config: Path | None) -> Path | None:
    """The configuration file: the one named, else ./mhbridge.toml when it is there."""
    usual = Path("mhbridge.toml")
    return config or (usual if usual.is_file() else None)
