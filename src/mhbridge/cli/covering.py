"""`coverage`: the field ledger of a feed over many messages, the proof of it, and the codes that no table has."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mhbridge.cli.options import as_json, mappings_option, say, show_json
from mhbridge.errors import MessageError
from mhbridge.model import LeafState, Severity

if TYPE_CHECKING:
    from mhbridge.formats import Format
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.testing.covering import Coverage

__all__ = ["coverage", "fixtures_of"]

_FILES = click.Path(exists=True, path_type=Path)
#: States that a person looks at; the others are only counted unless all is asked for.
_SHOWN = (LeafState.FAILED, LeafState.PASSED_OVER, LeafState.UNMAPPED)
_COLOURS = {
    LeafState.UNMAPPED: Severity.WARNING,
    LeafState.FAILED: Severity.ERROR,
    LeafState.PASSED_OVER: Severity.INFORMATION,
}


@click.command()
@click.argument("name", metavar="SUPPLIER/FEED")
@click.argument("files", nargs=-1, type=_FILES)
@click.option("--all", "everything", is_flag=True, help="List every path, also what is bound, asked or ignored.")
@click.option("--fail-under", type=float, metavar="PERCENT", help="Exit code 1 if less of the values is accounted for.")
@click.option("--mutate", is_flag=True, help="Change each value in turn, and list what the ledger says wrongly of it.")
@click.option("--every", type=click.IntRange(1), default=1, help="With --mutate: try only each so-many-th value.")
@click.option(
    "--codes",
    type=click.Path(file_okay=False, allow_dash=True),
    metavar="DIR",
    help="Add the codes that no table has to the tables in DIR, ready to be filled in; - prints them.",
)
@as_json
@mappings_option
def coverage(
    name: str,
    files: tuple[Path, ...],
    everything: bool,
    fail_under: float | None,
    mutate: bool,
    every: int,
    codes: str | None,
    as_json: bool,
    roots: tuple[Path, ...],
) -> int:
    """
    What becomes of every value in the messages of a feed: FILES, all that is in folders, or its fixtures.

    Exit code 1 when less than --fail-under percent are accounted for, or when --mutate finds that the ledger is wrong.
    """
    from mhbridge.mapping.catalogue import load
    from mhbridge.testing.covering import Coverage

    catalogue = load(roots)
    if name not in catalogue.names():
        from mhbridge.mapping.checker.declarations import did_you_mean

        raise click.UsageError(f"there is no mapping {name!r}. {did_you_mean(name, catalogue.names())}".strip())
    supplier = name.partition("/")[0]
    mapping = catalogue.mapping(name)
    found = Coverage(mapping, (catalogue.mapping(one) for one in catalogue.feeds(supplier)))
    chosen = [one for path in files for one in _messages_below(path, mapping.format)] or fixtures_of(name, roots)
    if not chosen:
        raise click.UsageError(f"there are no fixtures of {name} (fixtures/{name}/): name files")
    for path in chosen:
        try:
            found.add(path.read_bytes())
        except MessageError as error:
            found.others += 1
            say(f"{path}: {error}", severity=Severity.WARNING)
    if as_json:
        show_json(found.plain())
    elif codes != "-":
        _show(found, everything=everything)
    if codes is not None:
        _write_codes(found, codes, catalogue, roots)
    failed = False
    if fail_under is not None and found.percent < fail_under:
        say(
            f"{found.shown}% of the values are accounted for, and {fail_under:g}% are asked",
            severity=Severity.ERROR,
        )
        failed = True
    if mutate:
        failed = _prove(catalogue, name, chosen, every) > 0 or failed
    return 1 if failed else 0


def _messages_below(path: Path, format_: Format) -> list[Path]:
    """A file, or the files of a folder that are of a format: what lies beside fixtures is none of them."""
    if path.is_file():
        return [path]
    found = []
    for one in sorted(path.rglob("*")):
        if one.is_file() and not one.name.endswith((".ack.hl7", ".report.json", ".r4.json")):
            with one.open("rb") as file:
                if format_.recognise(file.read(4096)):
                    found.append(one)
    return found


def fixtures_of(name: str, roots: Iterable[Path]) -> list[Path]:
    """The fixtures of a feed: those beside its own folder of mappings, in `./fixtures`, or the built-in ones."""
    from mhbridge.mapping.library import built_in, default_roots
    from mhbridge.testing.replaying import cases

    beside = [root.resolve().parent / "fixtures" for root in roots]
    packed = [root / "fixtures" for root in default_roots()]  # an installed package keeps them in its own folder
    for folder in (*beside, Path("fixtures"), *packed, built_in("fixtures")):
        found = [case.path for case in cases(folder) if f"{case.supplier}/{case.feed}" == name]
        if found:
            return found
    return []


def _show(found: Coverage, *, everything: bool) -> None:
    rows = [row for row in found.rows if everything or row.state in _SHOWN]
    width = max((len(row.path) for row in rows), default=0)
    for row in rows:
        line = f"{row.path:<{width}}  {row.state.value:<11}  {row.messages:>5} of {found.messages}  {row.said}"
        click.echo(line.rstrip())
    unused = list(found.unused())
    if unused:
        click.echo(f"{'' if not rows else chr(10)}paths of the mapping that found nothing in these messages:")
        for rule, item, path in unused:
            click.echo(f"  {rule}: {item} <- {path}")
    counts = ", ".join(f"{count} {state.value}" for state, count in found.counts.items() if count)
    others = f", {found.others} not of this feed" if found.others else ""
    say(f"{found.messages} messages{others}, {found.leaves} values: {counts or 'none'}.")
    say(f"{found.shown}% of the values are accounted for.")
    for table, unmapped in sorted(found.unmapped.items()):
        total = sum(unmapped.codes.values())
        say(
            f"table {table}: {_codes(len(unmapped.codes))} that it does not have, {total} times",
            severity=Severity.WARNING,
        )


def _write_codes(found: Coverage, where: str, catalogue: Catalogue, roots: Iterable[Path]) -> None:
    """
    One table a file, in the header form of code tables; the codes go to nobody who did not ask. In the supplier's own
    folder of tables a file is read instead of everybody's of that name, so it has what that one has.
    """
    supplier, folder = found.mapping.supplier.name, Path(where)
    own = any((root / "suppliers" / supplier / "codes/tables").resolve() == folder.resolve() for root in roots)
    for table, unmapped in sorted(found.unmapped.items()):
        if where == "-":
            click.echo(unmapped.rows(), nl=False)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / unmapped.file
        there, copied = path.read_text("utf-8") if path.is_file() else "", ""
        if not there and own and (shared := catalogue.library.table(f"codes/tables/{path.name}")) is not None:
            there, copied = shared[1] or "", f", below a copy of {shared[0]}, which is not read for {supplier} any more"
        new = unmapped.rows(there)
        path.write_text(there + ("" if not there or there.endswith("\n") else "\n") + new, "utf-8")
        count = len(new.splitlines()) - (not there)
        total = sum(unmapped.codes.values())
        say(f"{path}: {_codes(count)} of the table {table} to be filled in, {total} times{copied}")


def _codes(count: int) -> str:
    return f"{count} code{'' if count == 1 else 's'}"


def _prove(catalogue: Catalogue, name: str, files: list[Path], every: int) -> int:
    """Change each value in turn; how many lies were found."""
    from mhbridge.testing.proving import Worker, lies
    from mhbridge.testing.replaying import feed_of

    mapping = catalogue.mapping(name)
    worker = Worker(feed_of(catalogue, name.partition("/")[0]), mapping.format)
    count = changes = 0
    with _progress(files) as bodies:
        for path in bodies:
            for place, body in _messages(path, worker):
                found, made = lies(body, worker, every=every)
                changes += made
                count += len(found)
                for lie in found:
                    by = f" ({', '.join(lie.by)})" if lie.by else ""
                    say(f"{path}{place}: {lie.path} is {lie.state.value}{by}: {lie.why}", severity=Severity.ERROR)
    say(f"{changes} changed messages, {count} lies.", severity=Severity.ERROR if count else None)
    return count


def _messages(path: Path, worker: Any) -> Iterator[tuple[str, bytes]]:
    """The messages of a file, each alone; what cannot be read has no leaves."""
    try:
        for message, _ in worker.format.messages(path.read_bytes(), worker.sources()):
            if not isinstance(message, MessageError):
                yield f" ({message.facts.place})" if message.facts.place else "", message.body
    except MessageError:
        return


def _progress(files: list[Path]) -> Any:
    """A bar on a terminal, nothing in a pipe."""
    hidden = not sys.stderr.isatty()
    return click.progressbar(files, label="changing each value", file=sys.stderr, hidden=hidden)
