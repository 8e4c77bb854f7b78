"""`translate` and `validate`: messages and documents from files, without a gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mhbridge.cli.given import FILE, Given
from mhbridge.cli.options import issue_lines, ledger_lines, mappings_option, say
from mhbridge.errors import MalformedMessage, MessageError, MhbridgeError
from mhbridge.model import MessageState, Severity

if TYPE_CHECKING:
    from mhbridge.model import Outcome
    from mhbridge.pipeline import Earlier

__all__ = ["translate", "validate"]

_T = TypeVar("_T")

#: Bytes of a file that is looked through to recognise what is in it.
_LARGE: Final = 50_000_000


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--mapping", "name", metavar="SUPPLIER/FEED", help="The mapping to use; left out, the message is recognised."
)
@click.option("--target", type=click.Choice(["r4", "letter"]), default="r4", show_default=True, help="What to make.")
@click.option(
    "--beside",
    metavar="DOCUMENT",
    help="Not the letter, but the document of this type that may be made beside it: medicine-changes.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write one file a message into this folder."
)
@click.option("--report", is_flag=True, help="Say on standard error what was recognised, and every issue.")
@click.option(
    "--trace",
    "traced",
    is_flag=True,
    help="Say on standard error where each value came from, and from which line of the mapping; with --out in a file.",
)
@click.option(
    "--after",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of messages that came before: a letter takes of them what it may carry. May be given several times.",
)
@click.option(
    "--received-at",
    metavar="INSTANT",
    help="When the messages came, as 2026-01-05T09:00:00Z; now, if left out. The same instant gives the same bytes.",
)
@click.option("--pretty/--compact", default=None, help="Indented JSON; as it comes on a terminal.")
@mappings_option
def translate(
    files: tuple[Given, ...],
    name: str | None,
    target: str,
    beside: str | None,
    out: Path | None,
    report: bool,
    traced: bool,
    after: tuple[Path, ...],
    received_at: str | None,
    pretty: bool | None,
    roots: tuple[Path, ...],
) -> int:
    """
    Translate FILES, or - for standard input: one JSON document a message on standard output, several as lines.

    The message is recognised by its format, type and sender, and its mapping found; --mapping says which, when several
    fit.
    """
    from mhbridge.mapping.catalogue import load

    catalogue = load(roots)
    if name is not None and name not in catalogue.names():
        from mhbridge.mapping.checker.declarations import did_you_mean

        raise click.UsageError(
            f"there is no mapping {name!r}. {did_you_mean(name, catalogue.names()).capitalize()}".strip()
        )
    if out is not None:
        _told_apart(files)
    if beside is not None and beside not in catalogue.library.folders("documents"):
        raise click.UsageError(f"there is no document type {beside!r}")
    failed: list[str] = []
    now = _instant(received_at) if received_at is not None else datetime.now(UTC)
    before = _before(after, files, name, catalogue, now) if after else None
    made = (
        one for path in files for one in _translate(path, name, catalogue, now, target, report, failed, before, beside)
    )
    if traced:
        from mhbridge.cli.tracing import tell

        for path in files:
            tell(path, [name] if name is not None else _recognised(path, catalogue), catalogue, now, out, before)
    for (stem, body), alone in _told_alone(made):
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            extension = "html" if target == "letter" else f"{target}.json"
            (out / f"{stem}.{extension}").write_bytes(body)
        else:
            _print(body, target, pretty if pretty is not None else (sys.stdout.isatty() and alone))
    return 1 if failed else 0


def _instant(text: str) -> datetime:
    """
    An instant that somebody gave.

    Raises:
        click.UsageError: it is none, or of no time zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.UsageError(f"{text!r} is no instant with an offset, for example 2026-01-05T09:00:00Z")
    return found


def _before(after: Iterable[Path], files: Iterable[Given], name: str | None, catalogue: Any, now: datetime) -> Earlier:
    """
    What messages that came before said, for the letters of some files.

    Raises:
        click.UsageError: one of them cannot be read.
    """
    from mhbridge.pipeline import Earlier, Feed, carries_by_document

    found = {path: [catalogue.mapping(one) for one in _recognised(path, catalogue)] for path in after}
    letters = [name] if name is not None else [one for path in files for one in _recognised(path, catalogue)]
    mappings = {one.name: one for some in found.values() for one in some}
    mappings |= {one: catalogue.mapping(one) for one in letters}
    feed = Feed("", "file", (), live=False, carries=carries_by_document(mappings.values()))
    before = Earlier(feed, now)
    for path, own in found.items():
        try:
            before.add(path.read_bytes(), own)
        except MessageError as error:
            raise click.UsageError(f"{path}: {error}") from None
    return before


def _told_alone(found: Iterable[_T]) -> Iterator[tuple[_T, bool]]:
    """Each of several, and whether it is the only one; no more than two are held."""
    held: list[_T] = []
    number = 0
    for number, one in enumerate(found, 1):  # noqa: B007  how many there were is asked for below
        if held:
            yield held.pop(), False
        held.append(one)
    if held:
        yield held.pop(), number == 1


def _told_apart(files: Iterable[Given]) -> None:
    """
    That each file has a name of its own: what is written is named after it.

    Raises:
        click.UsageError: one would be written over another.
    """
    seen: dict[str, Given] = {}
    for path in files:
        if seen.setdefault(path.stem, path) != path:
            what = f"{seen[path.stem]} and {path} would be written to the same file"
            raise click.UsageError(f"{what}: translate them one after the other, each with an --out of its own")


def _print(body: bytes, target: str, pretty: bool) -> None:
    if target == "r4" and pretty:
        from mhbridge.fhir.bundle import dumps, loads

        body = dumps(loads(body), pretty=True)
    sys.stdout.buffer.write(body + b"\n")
    sys.stdout.buffer.flush()


def _translate(
    path: Given,
    name: str | None,
    catalogue: Any,
    now: datetime,
    target: str,
    report: bool,
    failed: list[str],
    before: Earlier | None = None,
    beside: str | None = None,
) -> Iterator[tuple[str, bytes]]:
    """The documents of one file, as they come. `failed` gets the place of each message that gave none."""
    from mhbridge.pipeline import Feed, Route, outcomes_of_file
    from mhbridge.testing.replaying import with_extracts

    try:
        names = [name] if name is not None else _recognised(path, catalogue)
    except MessageError as error:
        say(f"{path}: {error}", severity=Severity.ERROR)
        names = []
    if not names:
        failed.append(f"{path}")
        return
    mappings = tuple(catalogue.mapping(one) for one in names)
    supplier = names[0].partition("/")[0]
    documents = frozenset(mapping.document.name for mapping in mappings)
    feed = Feed(supplier, f"{supplier}/file", mappings, (Route(documents, ("standard output",)),), live=False)
    feed = replace(feed, carries=before.carries) if before is not None else feed
    if beside is not None:
        feed = with_extracts(feed, catalogue, [beside])
    try:
        with path.open("rb") as file:
            outcomes = _told_alone(outcomes_of_file(file, feed, now, before))
            number = 0
            for number, (outcome, alone) in enumerate(outcomes, 1):
                place = f"{path}" if alone else f"{path} ({outcome.facts.place or f'message {number}'})"
                stem = path.stem if alone else f"{path.stem}-{number}"
                _say(outcome, place, report)
                if outcome.state is MessageState.PARKED:
                    failed.append(place)
                made = [one for one in outcome.documents if beside in (None, one.type)]
                if beside is not None and not made:
                    say(f"{place}: nothing is made of it as {beside}", severity=Severity.ERROR)
                    failed.append(place)
                for index, document in enumerate(made, 1):
                    if target == "letter" and document.bundle != "document":
                        text = f"{place}: a letter is made of documents, and {document.type} is none"
                        say(text, severity=Severity.ERROR)
                        failed.append(place)
                        continue
                    body = document.body if target == "r4" else _letter(document.body)
                    yield f"{stem}-{index}" if len(made) > 1 else stem, body
            if not number:
                say(f"{path}: there is no message in it", severity=Severity.WARNING)
    except MessageError as error:
        say(f"{path}: {error}", severity=Severity.ERROR)
        failed.append(f"{path}")


def _say(outcome: Outcome, place: str, report: bool) -> None:
    """What became of a message, where it was asked for or is not well."""
    if outcome.code or report:
        used = ", ".join(reading.mapping for reading in outcome.readings) or "no mapping"
        state = f"would be parked, {outcome.code}" if outcome.code else "translated"
        say(
            f"{place}: {outcome.facts.kind}: {used}: {state}, {len(outcome.issues)} issues",
            severity=Severity.WARNING if outcome.code else None,
        )
    if report or outcome.state is MessageState.PARKED:
        for severity, line in issue_lines(outcome.issues):
            say(line, severity=severity)
    if report:
        for severity, line in ledger_lines(outcome.ledger):
            say(line, severity=severity)


def _letter(body: bytes) -> bytes:
    from mhbridge.fhir.bundle import loads
    from mhbridge.fhir.letter import letter

    return letter(loads(body)).encode()


def _recognised(path: Given, catalogue: Any) -> list[str]:
    """The mappings that take the messages of a file; none, and a line that says why, when that is not clear."""
    if isinstance(path, Path) and path.stat().st_size > _LARGE:
        raise click.UsageError(f"{path} is large: say with --mapping what takes it")
    found: dict[str, None] = {}
    documents: dict[str, str] = {}
    body = path.read_bytes()
    for name in catalogue.candidates(body):
        if catalogue.header(name) is None:
            say(f"{name} has errors and takes nothing: mhbridge check", severity=Severity.WARNING)
    none = True
    for message, names in catalogue.recognise(body):
        none = False
        if isinstance(message, MessageError):
            say(f"{path}: {message}", severity=Severity.ERROR)
            continue
        if not names:
            say(
                f"{path}: M710: no mapping takes {message.facts.kind} {message.facts.place}".rstrip(),
                severity=Severity.ERROR,
            )
        for name in names:
            document = catalogue.header(name)[0]
            if (
                documents.setdefault(document, name) != name
                and name.partition("/")[0] != documents[document].partition("/")[0]
            ):
                say(
                    f"{path}: M711: several mappings take it: {documents[document]}, {name}. Say which with --mapping",
                    severity=Severity.ERROR,
                )
                return []
            found[name] = None
    if none:
        raise MalformedMessage("M700", "there is no message in it")
    return list(found)


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--quiet", is_flag=True, help="Nothing on standard output; the exit code tells.")
def validate(files: tuple[Given, ...], quiet: bool) -> int:
    """
    Validate FHIR resources in JSON, one a file or a line, or - for standard input: an OperationOutcome each, of several
    one a line; exit code 1 for an error.
    """
    from mhbridge.fhir.bundle import dumps, loads
    from mhbridge.fhir.validate import default_validator, operation_outcome
    from mhbridge.model import Issue

    failed = False
    found = [(place, body) for file in files for place, body in _resources(file)]
    for place, body in found:
        try:
            issues: tuple[Issue, ...] = default_validator()(loads(body))
        except MhbridgeError as error:
            issues = (Issue(error.code, Severity.ERROR, error.message),)
        bad = any(issue.severity is Severity.ERROR for issue in issues)
        failed = failed or bad
        if not quiet:
            click.echo(dumps(operation_outcome(issues), pretty=len(found) == 1).decode())
        say(f"{place}: {'not valid' if bad else 'valid'}", severity=Severity.ERROR if bad else None)
    return 1 if failed else 0


def _resources(path: Given) -> list[tuple[str, bytes]]:
    """The resources of a file with their places: one, or one a line as `translate` prints several."""
    body = path.read_bytes()
    lines = [(f"{path}:{number}", line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    several = len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for _, line in lines)
    return lines if several else [(f"{path}", body)]
