"""`replay`: fixtures against their golden files, or against a running gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mhbridge.cli.options import mappings_option, say
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.testing.replaying import Case

__all__ = ["replay"]

#: Differences of one fixture that are printed.
_SHOWN: Final = 20


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--update", is_flag=True, help="Write the golden files as they come out now.")
@click.option("--junit", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML to a file.")
@click.option(
    "--to",
    "address",
    metavar="URL|HOST:PORT",
    help="Send the fixtures to a running test gateway instead, and show its answers.",
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="With --to: so many messages a second.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, help="With --to: so many connections at a time.")
@click.option("--times", type=click.IntRange(1), default=1, help="With --to: send everything so often.")
@click.option("--status-at", metavar="URL", help="With --to HOST:PORT: where it says over HTTP that it is a test one.")
@mappings_option
def replay(
    folder: Path | None,
    update: bool,
    report: Path | None,
    address: str | None,
    rate: float | None,
    concurrency: int,
    times: int,
    status_at: str | None,
    roots: tuple[Path, ...],
) -> int:
    """
    Put the fixtures of FOLDER (./fixtures, or the built-in ones) through the flow; compare with golden files.

    The clock stands still and ids are derived, so that the same fixture gives the same bytes on every machine.
    """
    from mhbridge.mapping.library import built_in
    from mhbridge.testing.junit import junit
    from mhbridge.testing.replaying import cases

    root = folder or (Path("fixtures") if Path("fixtures").is_dir() else built_in("fixtures"))
    found = list(cases(root))
    if address is not None:
        outcomes, code = _sent(found * times, address, rate, concurrency, status_at)
    else:
        if not found:
            raise click.UsageError(f"there are no fixtures in {root}: they lie in SUPPLIER/FEED/CASE.EXT")
        outcomes, code = _compared(found, update, roots)
    if report is not None:
        report.write_text(junit(outcomes), "utf-8")
    return code


def _compared(found: Iterable[Case], update: bool, roots: tuple[Path, ...]) -> tuple[list[Any], int]:
    from mhbridge.mapping.catalogue import load
    from mhbridge.testing.junit import Outcome
    from mhbridge.testing.replaying import compare, feed_of, golden_files
    from mhbridge.testing.replaying import replay as replay_case

    catalogue = load(roots)
    feeds: dict[str, Any] = {}
    outcomes: list[Outcome] = []
    differing = lost = 0
    for case in found:
        suite = f"{case.supplier}/{case.feed}"
        if case.supplier not in catalogue.suppliers():
            lost += 1
            text = f"there is no supplier {case.supplier!r} in the mappings"
            say(f"{case.name}: {text}", severity=Severity.ERROR)
            outcomes.append(Outcome(suite, case.path.name, failures=(text,)))
            continue
        if case.supplier not in feeds:
            feeds[case.supplier] = feed_of(catalogue, case.supplier)
        made = replay_case(case, catalogue, feeds[case.supplier])
        differences = compare(case, made)
        if update:
            golden_files(case.path, made)
        outcomes.append(Outcome(suite, case.path.name, failures=() if update else tuple(map(str, differences))))
        if differences:
            differing += 1
            say(f"{case.name}: {'updated' if update else 'differs'}", severity=Severity.WARNING)
            for one in differences[:_SHOWN]:
                say(f"  {one.file} {one.path}")
                say(f"    expected  {one.expected}")
                say(f"    got       {one.got}")
            if len(differences) > _SHOWN:
                say(f"  and {len(differences) - _SHOWN} more")
    word = "updated" if update else "differ"
    say(f"{len(outcomes)} fixtures, {differing} {word}.")
    return outcomes, 1 if lost or (differing and not update) else 0


def _sent(
    found: list[Case], address: str, rate: float | None, concurrency: int, status_at: str | None
) -> tuple[list[Any], int]:
    from aiohttp import ClientError

    from mhbridge.testing.junit import Outcome
    from mhbridge.testing.sending import send_cases

    outcomes: list[Outcome] = []
    try:
        answers, seconds = send_cases(found, address, rate=rate, concurrency=concurrency, status_at=status_at)
    except (OSError, EOFError, ClientError) as error:
        text = f"nobody answers at {address} as a gateway does ({type(error).__name__}): is it running, and listening?"
        say(text, severity=Severity.ERROR)
        return outcomes, 3
    for one in answers:
        click.echo(f"{one.case.name}: {one.answer}")
        failures = () if one.accepted else (f"answered {one.answer}",)
        outcomes.append(Outcome(f"{one.case.supplier}/{one.case.feed}", one.case.path.name, one.seconds, failures))
    if answers:
        times = sorted(one.seconds * 1000 for one in answers)
        usual, slow = times[len(times) // 2], times[len(times) * 99 // 100]
        said = ", ".join(f"{count} {answer}" for answer, count in sorted(Counter(a.answer for a in answers).items()))
        say(
            f"{len(answers)} messages in {seconds:.1f} s ({len(answers) / max(seconds, 1e-9):.0f} a second): {said}. "
            f"Answered in {usual:.0f} ms, 99 in 100 in {slow:.0f} ms."
        )
    return outcomes, 1 if any(not one.accepted for one in answers) else 0
