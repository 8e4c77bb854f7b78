"""`insights`: a month in figures that name nobody, for people who are answerable for care."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mhbridge.cli.looking import asking, config_option
from mhbridge.cli.options import as_json, say, show_json
from mhbridge.insights.suppressing import SMALL

if TYPE_CHECKING:
    from mhbridge.config import Config
    from mhbridge.insights.groups import Names

__all__ = ["insights"]


@click.command()
@click.option("--month", "written", default="", metavar="YYYY-MM", help="Left out, the last month that is over.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write a CSV file and a page there.")
@click.option(
    "--small", type=click.IntRange(min=3), default=SMALL, show_default=True, help="Numbers below it are left out."
)
@config_option
@as_json
def insights(written: str, out: Path | None, small: int, config: Path | None, as_json: bool) -> int:
    """
    A month by sender and recipient: discharge summaries in time, what letters say by heading, how far they got,
    follow-up within 72 hours, codes and fields that are not mapped.

    Nobody is named. Small numbers are left out, and others with them where they would follow: publish a month once,
    with one --small. Without --out the figures go to standard output, as CSV.
    """
    from mhbridge.adapters.clock import utc_now
    from mhbridge.cli.operating import found
    from mhbridge.config import load
    from mhbridge.insights import extract
    from mhbridge.insights.groups import groups
    from mhbridge.insights.months import Month
    from mhbridge.insights.page import page

    now = utc_now()
    try:
        month = Month.of(written) if written else Month.before(now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--month") from None
    figures = asking(config, lambda store: store.figures(str(month), month.since, month.until, now))
    shown = groups(figures, small)
    if as_json:
        show_json(extract.plain(month, shown, small))
    elif out is None:
        click.echo(extract.as_csv(month, shown), nl=False)
    if out is not None:
        settings = load(found(config))
        made = page(month, shown, _names(settings), gateway=settings.gateway.name, small=small, made_at=now)
        out.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (out / f"insights-{month}.csv", extract.as_csv(month, shown)),
            (out / f"insights-{month}.html", made),
        ):
            path.write_text(text, "utf-8", newline="")
            say(f"written: {path}")
    return 0


def _names(config: Config) -> Names:
    """What people call suppliers, letters and headings."""
    from mhbridge.insights.groups import Names
    from mhbridge.mapping.catalogue import load

    catalogue = load(config.gateway.mappings)
    suppliers = {name: one.title for name in catalogue.suppliers() if (one := catalogue.supplier(name)) is not None}
    documents = map(catalogue.document, catalogue.library.folders("documents"))
    packs = [pack for pack in documents if pack is not None]
    headings = {asked.heading: (asked.title, asked.need) for pack in packs for asked in pack.headings}
    return Names(suppliers, {pack.name: pack.title for pack in packs}, headings)
