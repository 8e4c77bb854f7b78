"""`audit`: who read what is about patients, who did what, and who was refused, as the chained log has it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mhbridge.cli.looking import asking, config_option, table
from mhbridge.cli.options import as_json, show_json

if TYPE_CHECKING:
    from mhbridge.ports import Store

__all__ = ["audit"]


@click.command()
@click.option("--who", default="", metavar="NAME", help="Only what this one did: a credential's name, or os:USER.")
@click.option("--about", default=0, metavar="ID", help="Only what was done with this message or delivery.")
@click.option("--since", default="", metavar="TIME", help="Then or later: 2026-03-03, 2026-03-03T09:30, 2h.")
@click.option("--before", default=0, metavar="NUMBER", help="The page after the one that ended with this line.")
@click.option("--most", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--verify", is_flag=True, help="Check instead that every row of the log is as it was written.")
@config_option
@as_json
def audit(
    who: str, about: int, since: str, before: int, most: int, verify: bool, config: Path | None, as_json: bool
) -> int:
    """List who read what and who did what, the newest first; exit code 3 when the log has been changed."""
    from mhbridge.console.asking import instant

    if verify:
        rows, heads = asking(config, partial(_verified, config))
        click.echo(f"The log is whole: {rows} rows, each as it was written.")
        click.echo(f"It is as long as it has been: {heads} notes of how far it had come.")
        return 0
    try:
        at = instant(since, datetime.now(UTC)) if since else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    lines = asking(config, lambda store: store.audited(who=who, about=about, since=at, before=before, most=most))
    if as_json:
        show_json(
            [
                {"number": line.number, "at": line.at.isoformat(), "who": line.who, "act": line.act, "why": line.why,
                 "about": line.about or None}
                for line in lines
            ]
        )  # fmt: skip
        return 0
    table(
        f"{len(lines)} line{'s' * (len(lines) != 1)}",
        ["number", "at", "who", "what", "about", "why"],
        [
            [str(line.number), f"{line.at:%Y-%m-%d %H:%M:%S}", line.who, line.act, str(line.about or ""), line.why]
            for line in lines
        ],
    )
    if len(lines) == most:
        click.echo(f"the next page: --before {lines[-1].number}")
    return 0


async def _verified(config: Path | None, store: Store) -> tuple[int, int]:
    """How many rows the log has, and how many notes say so."""
    from mhbridge.adapters.heads import HeadsFile
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    notes = HeadsFile(load(found(config)).gateway.heads_path)
    return await store.verify_log(), await store.verify_heads(notes.lines())
