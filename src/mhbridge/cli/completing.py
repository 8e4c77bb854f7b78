"""`completeness`: what the documents of a feed say of what their record standard asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mhbridge.cli.covering import fixtures_of
from mhbridge.cli.options import as_json, mappings_option, say, show_json
from mhbridge.errors import MessageError
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.mapping.completeness import Counted, Tally

__all__ = ["completeness"]

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("name", metavar="SUPPLIER/FEED")
@click.argument("files", nargs=-1, type=_FILES)
@click.option("--elements", is_flag=True, help="Show every element under its heading.")
@click.option("--fail-under", type=float, metavar="PERCENT", help="Exit code 1 if fewer mandatory elements are there.")
@as_json
@mappings_option
def completeness(
    name: str, files: tuple[Path, ...], elements: bool, fail_under: float | None, as_json: bool, roots: tuple[Path, ...]
) -> int:
    """
    What the documents in FILES, or in the fixtures of a feed, say of what their record standard asks for.

    An element may be present, in words only where the standard has codes, withheld, unreadable, or absent: not recorded
    by the sender, which does not mean that there is nothing. Counts only: no contents are shown.
    """
    from mhbridge.mapping.catalogue import load
    from mhbridge.mapping.completeness import Tally
    from mhbridge.mapping.completeness import completeness as complete
    from mhbridge.testing.replaying import RECEIVED_AT

    catalogue = load(roots)
    if name not in catalogue.names():
        from mhbridge.mapping.checker.declarations import did_you_mean

        raise click.UsageError(f"there is no mapping {name!r}. {did_you_mean(name, catalogue.names())}".strip())
    mapping = catalogue.mapping(name)
    found = Tally()
    for path in files or fixtures_of(name, roots):
        try:
            for message, _ in mapping.format.messages(path.read_bytes(), [mapping.source]):
                if not isinstance(message, MessageError):
                    found.add(complete(mapping.document, mapping.read(message, RECEIVED_AT).items))
        except MessageError as error:
            say(f"{path}: {error}", severity=Severity.WARNING)
    if not found.documents:
        raise click.UsageError(f"there are no messages of {name} (fixtures/{name}/): name files")
    if as_json:
        show_json(_plain(name, mapping.document.name, found))
    else:
        click.echo(f"{mapping.document.title}: {found.documents} document{'s' * (found.documents != 1)}")
        _show(found, elements=elements)
    mandatory, required = found.percent("mandatory"), found.percent("required")
    say(f"{mandatory:.1f}% of the mandatory elements are there, {required:.1f}% of the required ones.")
    if fail_under is not None and mandatory < fail_under:
        say(f"{fail_under:g}% of the mandatory elements are asked for", severity=Severity.ERROR)
        return 1
    return 0


def _show(found: Tally, *, elements: bool) -> None:
    from mhbridge.mapping.completeness import Said

    rows: list[tuple[str, Counted]] = []
    for name, heading in found.headings.items():
        rows.append((heading.about.label, heading))
        rows += [(f"  {one.about.label}", one) for one in (found.under(name) if elements else ())]
    width = max(len(title) for title, _ in rows)
    for title, one in rows:
        words = ", ".join(f"{one.said[said]} {said.value}" for said in Said if said in one.said)
        click.echo(f"{title:<{width}}  {one.about.need:<9}  {words}")


def _plain(name: str, document: str, found: Tally) -> dict[str, Any]:
    def plain(one: Counted) -> dict[str, Any]:
        return {"need": one.about.need, "said": {said.value: count for said, count in one.said.items()}}

    return {
        "mapping": name,
        "document": document,
        "documents": found.documents,
        "mandatory_percent": round(found.percent("mandatory"), 2),
        "required_percent": round(found.percent("required"), 2),
        "headings": [
            {
                "heading": heading,
                **plain(one),
                "elements": [{"item": element.about.item, **plain(element)} for element in found.under(heading)],
            }
            for heading, one in found.headings.items()
        ],
    }
