"""`review`: a person signs for a mapping as it is now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mhbridge.cli.options import as_json, mappings_option, say, show_json
from mhbridge.errors import ConfigurationError, MappingError
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.supplier import SupplierMapping

__all__ = ["review"]


@click.command()
@click.argument("names", nargs=-1, metavar="[SUPPLIER/FEED]...")
@click.option("--who", help="Name and role of the person who has looked at it and answers for it.")
@click.option("--says", default="", help="What they want to have written beside it.")
@as_json
@mappings_option
def review(names: tuple[str, ...], who: str | None, says: str, as_json: bool, roots: tuple[Path, ...]) -> int:
    """
    Record that somebody has reviewed mappings as they are now; without --who, say which are reviewed.

    The record is a line in `suppliers/SUPPLIER/reviews.csv` and is about a hash: of the mapping, its document type with
    all parts, and every code table. When any of that changes, a live gateway wants a new one.
    """
    from mhbridge.mapping.catalogue import load

    catalogue = load(roots)
    for name in names:
        if name not in catalogue.names():
            from mhbridge.mapping.checker.declarations import did_you_mean

            raise click.UsageError(f"there is no mapping {name!r}. {did_you_mean(name, catalogue.names())}".strip())
    if who is None:
        return _show(catalogue, names, as_json)
    if not names or not who.strip():
        raise click.UsageError("say which mappings were reviewed, and by whom")
    for name in names:
        mapping = catalogue.mapping(name)
        _fit(catalogue, mapping, roots)
    for name in names:
        _record(catalogue, catalogue.mapping(name), who.strip(), says, roots)
    return 0


def _fit(catalogue: Catalogue, mapping: SupplierMapping, roots: tuple[Path, ...]) -> None:
    """
    That a mapping is whole.

    Raises:
        ConfigurationError: C853, there is something that a reviewer would have to overlook.
    """
    from mhbridge.cli.covering import fixtures_of
    from mhbridge.testing.replaying import Case, compare, feed_of, replay

    problems: list[tuple[str, str]] = []
    if mapping.file.draft:
        problems.append(("C853", f"{mapping.name} says `draft: true`"))
    failing = [found for found in catalogue.run_tests(mapping.name) if found.severity is Severity.ERROR]
    problems += [("C853", found.render()) for found in failing]
    supplier, _, feed = mapping.name.partition("/")
    flow = feed_of(catalogue, supplier)
    for path in fixtures_of(mapping.name, roots):
        case = Case(supplier, feed, path)
        if compare(case, replay(case, catalogue, flow)):
            problems.append(("C853", f"{case.name} does not give what its golden files say: mhbridge replay"))
    if problems:
        raise ConfigurationError(problems)


def _record(catalogue: Catalogue, mapping: SupplierMapping, who: str, says: str, roots: tuple[Path, ...]) -> None:
    from mhbridge.mapping.reviews import HEADER, Review, line, path_of

    relative = path_of(mapping.supplier.name)
    target = _folder(mapping, roots) / relative
    there = catalogue.library.text(relative)
    body = target.read_bytes() if target.is_file() else there[1] if there is not None else b""
    text = body.decode("utf-8") or ",".join(HEADER) + "\n"
    if not text.endswith("\n"):
        text += "\n"
    made = Review(mapping.name, mapping.hash, who, datetime.now(UTC).isoformat(timespec="seconds"), says)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + line(made), "utf-8")
    say(f"{target}: {mapping.name} {mapping.hash[:12]} by {who}")


def _folder(mapping: SupplierMapping, roots: tuple[Path, ...]) -> Path:
    """The folder of mappings that the record goes to: the first that was named, else where the mapping stands."""
    from mhbridge.mapping.library import built_in, default_roots

    if roots:
        return roots[0]
    for root in default_roots():
        if (root / "suppliers" / f"{mapping.name}.yaml").is_file() and root.resolve() != built_in("mappings").resolve():
            return root
    text = f"{mapping.name} came with mhbridge: name with --mappings the folder that is to say who reviewed it"
    raise ConfigurationError([("C853", text)])


def _show(catalogue: Catalogue, names: tuple[str, ...], as_json: bool) -> int:
    """Which mappings are reviewed as they are; exit code 1 when one of those named is not."""
    rows: list[dict[str, Any]] = []
    for name in names or catalogue.names():
        try:
            mapping = catalogue.mapping(name)
        except MappingError:
            rows.append({"mapping": name, "hash": "", "state": "has errors", "who": "", "when": ""})
            continue
        found = catalogue.review(mapping)
        earlier = [one for one in catalogue.reviews(mapping.supplier.name) if one.mapping == name]
        state = (
            "draft" if mapping.file.draft else "reviewed" if found else "changed since" if earlier else "not reviewed"
        )
        last = found or (earlier[-1] if earlier else None)
        rows.append(
            {
                "mapping": name,
                "hash": mapping.hash,
                "state": state,
                "who": last.who if last else "",
                "when": last.when if last else "",
            }
        )
    if as_json:
        show_json(rows)
    else:
        width = max((len(row["mapping"]) for row in rows), default=0)
        for row in rows:
            click.echo(
                f"{row['mapping']:<{width}}  {row['hash'][:12]:<12}  {row['state']:<13}  "
                f"{row['who']} {row['when']}".rstrip()
            )
    return 1 if names and any(row["state"] != "reviewed" for row in rows) else 0
