"""`new`: a first mapping of a feed from sample messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mhbridge.cli.options import mappings_option, say
from mhbridge.errors import ConfigurationError, MessageError
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.formats import Format
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.drafting import Draft

__all__ = ["new"]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")
_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("name", metavar="SUPPLIER/FEED")
@click.argument("samples", nargs=-1, required=True, type=_FILES)
@click.option(
    "--document", metavar="TYPE", help="What the messages are; left out, it is told by them where that is sure."
)
@click.option(
    "--format", "format_name", metavar="FORMAT", help="The format of the samples; left out, it is recognised."
)
@click.option("--title", default="", help="The supplier's name for people.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder that holds mappings/ and fixtures/; here, if left out.",
)
@click.option(
    "--as-they-are",
    is_flag=True,
    help="Copy the samples as fixtures. Only if no real person's data is in them: fixtures are kept, shared and shown.",
)
@mappings_option
def new(
    name: str,
    samples: tuple[Path, ...],
    document: str | None,
    format_name: str | None,
    title: str,
    out: Path,
    as_they_are: bool,
    roots: tuple[Path, ...],
) -> int:
    """
    Begin a mapping from SAMPLES: what is plain is bound, the rest is listed in it as comments with what it looks like.

    Values of the samples go nowhere: fixtures have the same places with invented values in them. What is written passes
    `mhbridge check`, and says what is missing.
    """
    from mhbridge.formats import DeclarationError
    from mhbridge.mapping.catalogue import load
    from mhbridge.mapping.drafting import draft
    from mhbridge.mapping.drafting.letters import paired
    from mhbridge.mapping.drafting.sets import as_set
    from mhbridge.mapping.library import Snapshot, default_roots

    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is no name of a feed: SUPPLIER/FEED, in small letters, digits and hyphens")
    mappings = out / "mappings"
    target = mappings / "suppliers" / f"{name}.yaml"
    if target.exists():
        raise ConfigurationError([("C850", f"{target} is there already: take it away, or choose another name")])
    own = [mappings] if mappings.is_dir() else []
    catalogue = load([*roots, *own])
    bodies = [path.read_bytes() for path in samples]
    format_ = _format(format_name, samples, bodies)
    names = [path.stem for path in samples]
    if format_.name == "document":
        try:
            letters = paired([(path.name, body) for path, body in zip(samples, bodies, strict=True)])
        except MessageError as error:
            raise click.UsageError(f"the samples cannot be read as letters: {error}") from None
        names, bodies = [name for name, _ in letters], [body for _, body in letters]
    known = catalogue.supplier(name.partition("/")[0])
    title = title or (known.title if known is not None else "")
    kind = catalogue.document(document or _told(catalogue, format_, bodies))
    if kind is None:
        from mhbridge.mapping.checker.declarations import did_you_mean

        hint = did_you_mean(document or "", catalogue.library.folders("documents"))
        raise click.UsageError(f"there is no document type {document!r}. {hint}".strip())
    try:
        snapshot = Snapshot.of(default_roots([*roots, *own]))
        proposed: list[str] = []
        if format_.name == "csv":
            proposed = as_set([(path.name, body) for path, body in zip(samples, bodies, strict=True)])
        made = draft(snapshot, name, kind, format_, bodies, title, proposed)
    except MessageError as error:
        raise click.UsageError(f"the samples cannot be read as {format_.name}: {error}") from None
    except DeclarationError as error:
        # What only the supplier can say of its messages is not made up.
        example = f"`source:` of {format_.name} in mappings/REFERENCE.md"
        text = (
            f"a first mapping of {format_.name} cannot be begun from samples ({error.message}): copy one, see {example}"
        )
        raise click.UsageError(text) from None
    if not made.samples and format_.name == "csv":
        raise click.UsageError("the samples have a header and no row that can be read")
    if not made.samples:
        raise click.UsageError(f"there is no message in the samples that can be read as {format_.name}")
    for relative, text in made.files.items():
        path = mappings / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        say(f"{path}")
    after = load([mappings, *roots])
    given = zip(names, bodies, strict=True) if as_they_are else ()
    fixtures = _fixtures(made, after, out / "fixtures" / name, given)
    for path in fixtures:
        say(f"{path}")
    if proposed:
        what = f"the samples are several tables, and only {samples[0]} was looked at"
        say(f"{what}: how they may be one set stands in {target}", severity=Severity.WARNING)
    # A letter and its index are one message only together: as a fixture they are, and as files they are not.
    shown = fixtures[:1] if format_.name == "document" else list(samples)
    return _summary(made, after, mappings, shown, as_they_are)


def _format(name: str | None, samples: tuple[Path, ...], bodies: list[bytes]) -> Format:
    from mhbridge.formats import format_named, formats, sniff
    from mhbridge.mapping.drafting.letters import is_document

    if name is None and any(is_document(path.name, body) for path, body in zip(samples, bodies, strict=True)):
        name = "document"
    found = format_named(name) if name is not None else sniff(bodies[0]) or _in_utf_16(bodies[0])
    if found is None and name is None and (why := _no_sample(bodies[0])):
        raise click.UsageError(f"{samples[0]}: {why}")
    if found is None:
        what = f"there is no format {name!r}" if name else "no format recognises the first sample"
        raise click.UsageError(f"{what}: --format is one of {', '.join(formats())}")
    for path, body in zip(samples, bodies, strict=True) if name is None else ():
        if not found.recognise(body[:4096]) and found is not _in_utf_16(body):
            what = f"{samples[0]} is {found.name}, and {path} is not: name samples of one feed, or say --format"
            raise click.UsageError(what)
    return found


def _in_utf_16(body: bytes) -> Format | None:
    """CSV as Excel saves it as "Unicode text": of any other charset only a mapping could tell."""
    from mhbridge.formats import format_named
    from mhbridge.mapping.drafting.sketches import read_as

    csv = format_named("csv")
    text, charset, _ = read_as(body)
    return csv if charset == "UTF-16" and csv is not None and csv.recognise(text[:4096].encode()) else None


def _no_sample(body: bytes) -> str:
    """Why nothing can be made of a sample, where that is plain; empty where it is not."""
    from mhbridge.formats.csv.header import other_file
    from mhbridge.mapping.drafting.sketches import read_as

    if not body.strip():
        return "the file is empty"
    text, _, delimiter = read_as(body)
    first = text.splitlines()[0]
    if other := other_file(body[:4096]):
        return f"{other}; save it as CSV in UTF-8"
    cells = [cell.strip() for cell in first.split(delimiter)]
    if len(cells) < 3 or not first.isprintable():
        return ""
    twice = next((n for n, cell in enumerate(cells) if cell and cell in cells[:n]), None)
    if twice is not None:
        return f"it looks like CSV, and its column {twice + 1} has the name of another: each needs its own"
    if "" in cells:
        return f"it looks like CSV, and its column {cells.index('') + 1} has no name: each needs one"
    return ""


def _told(catalogue: Catalogue, format_: Format, bodies: list[bytes]) -> str:
    """The document type, where the samples say it: an ADT is an event, and nobody wrote it."""
    known = catalogue.library.folders("documents")
    try:
        kinds = {message.facts.kind for body in bodies for message, _ in format_.messages(body, [])
                 if not isinstance(message, MessageError)}  # fmt: skip
    except (MessageError, KeyError, IndexError):
        kinds = set()
    if kinds and all(kind.startswith("ADT^") for kind in kinds) and "encounter-event" in known:
        return "encounter-event"
    titles = [f"  {one}: {found.title}" for one in known if (found := catalogue.document(one)) is not None]
    raise click.UsageError("say with --document what the messages are:\n" + "\n".join(titles))


def _fixtures(made: Draft, catalogue: Catalogue, folder: Path, given: Iterable[tuple[str, bytes]]) -> list[Path]:
    """Messages to test with, those given or else invented ones, and what they become now."""
    from mhbridge.testing.replaying import Case, golden_files, replay
    from mhbridge.testing.synthetic import synthetic

    mapping = catalogue.mapping(made.name)
    supplier, _, feed = made.name.partition("/")
    suffix = {"hl7v2": ".hl7", "fhir": ".json", "document": ".mime"}.get(mapping.format.name, f".{mapping.format.name}")
    messages = dict(given)
    if not messages:
        for sample in made.samples:
            kind = sample.message.facts.kind
            stem = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-") if kind else "first"
            if stem not in messages:
                messages[stem] = synthetic(mapping, sample.message, made.keep)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for stem, body in messages.items():
        markup = mapping.format.name == "fhir" and body.lstrip()[:1] == b"<"
        path = folder / f"{stem}{'.xml' if markup else suffix}"
        path.write_bytes(body)
        written.append(path)
        golden = replay(Case(supplier, feed, path), catalogue)
        written += golden_files(path, golden)
    return written


def _summary(made: Draft, catalogue: Catalogue, mappings: Path, samples: Sequence[Path], as_they_are: bool) -> int:
    found: list[Any] = [d for d in catalogue.check_of(made.name) if _concerns(d.span.file, mappings)]
    errors = [d for d in found if d.severity is Severity.ERROR]
    for diagnostic in errors:
        say(diagnostic.render(), severity=diagnostic.severity)
    say(
        f"{len(made.bound)} items are bound; {len(made.wanted)} mandatory ones and {len(made.open)} paths of the "
        f"samples wait for you: they are listed in {mappings / 'suppliers' / (made.name + '.yaml')}."
    )
    if not as_they_are:
        say("No value of the samples was written: the fixture has invented ones.")
    where, tables = f"--mappings {mappings}", f"{mappings}/suppliers/{made.name.partition('/')[0]}/codes/tables"
    feed = f"{made.name} {_together(samples)} {where}"
    say("")
    for words, command in (
        ("completion and help in an editor", f"schema --out {mappings}/schema {where}"),
        ("every problem, again whenever you save", f"check {mappings} --watch"),
        ("what a message becomes, and from which line", f"translate {samples[0]} {where} --trace"),
        ("what nothing is made of yet", f"coverage {feed}"),
        ("the codes that no table has, as tables to be filled in", f"coverage {feed} --codes {tables}"),
        ("the golden files, when all is right", f"replay {mappings.parent / 'fixtures'} {where} --update"),
    ):
        say(f"{words}:\n  mhbridge {command}")
    return 1 if errors else 0


def _together(samples: Sequence[Path]) -> str:
    """The samples as arguments: their folder, where all that is in it are samples."""
    folders = {path.parent for path in samples}
    if len(samples) > 1 and len(folders) == 1:
        [folder] = folders
        if folder != Path() and {path.name for path in folder.iterdir()} == {path.name for path in samples}:
            return str(folder)
    return " ".join(map(str, samples))


def _concerns(file: str, mappings: Path) -> bool:
    return Path(file).resolve().is_relative_to(mappings.resolve())
