"""`codes`: code tables from elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from mhbridge.cli.options import mappings_option, say
from mhbridge.model import Severity

__all__ = ["codes"]


@click.group()
def codes() -> None:
    """Work on code tables."""


@codes.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The table to write; standard output if left out."
)
@click.option("--supplier", default="", help="Whose systems.csv names code systems besides the shared one.")
@mappings_option
def import_(file: Path, out: Path | None, supplier: str, roots: tuple[Path, ...]) -> int:
    """
    Make a code table (CSV) of a FHIR ConceptMap in JSON.

    A code with several targets is an error, and so is all else that would have to be guessed; then nothing is written.
    """
    from mhbridge.mapping.catalogue import load
    from mhbridge.mapping.concept_map import read_concept_map, table_text

    systems = load(roots).systems(supplier)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        say(f"{file}: E580: the file is not UTF-8", severity=Severity.ERROR)
        return 1
    rows, diagnostics = read_concept_map(str(file), text, systems)
    for diagnostic in diagnostics:
        say(diagnostic.render(), severity=diagnostic.severity)
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    if errors:
        say(f"{errors} {'error' if errors == 1 else 'errors'}; nothing was written.")
        return 1
    if out is None:
        click.echo(table_text(rows), nl=False)
    else:
        out.write_text(table_text(rows), "utf-8", newline="")
    say(f"{len(rows)} codes.")
    return 0
