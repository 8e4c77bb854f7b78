"""Options that several commands share, and how they say things."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from mhbridge.model import Issue, Ledger, Severity

__all__ = ["as_json", "issue_lines", "ledger_lines", "mappings_option", "say", "show_json"]


def _is_a_root(_context: click.Context, _parameter: click.Parameter, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """The likeliest mistake is to name a folder too deep, or not deep enough: then nothing in it is found, unsaid."""
    for folder in folders:
        if (folder / "supplier.yaml").is_file() or folder.name == "suppliers":
            above = folder.parent if folder.name == "suppliers" else folder.parent.parent
            raise click.BadParameter(f"{folder} is a supplier's folder; name the folder above suppliers/: {above}")
        if not _holds_mappings(folder):
            inner = next(filter(_holds_mappings, sorted(folder.iterdir())), None)
            hint = f"did you mean {inner}?" if inner else "name the folder that holds suppliers/"
            raise click.BadParameter(f"there are no mapping files in {folder}: {hint}")
    return folders


def _holds_mappings(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in ("suppliers", "documents", "parts", "codes"))


mappings_option = click.option(
    "--mappings",
    "roots",
    multiple=True,
    callback=_is_a_root,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of mapping files to look in first; may be given again.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFORMATION: "cyan"}


def say(text: str, *, severity: Severity | None = None) -> None:
    """A line on standard error; coloured when that is a terminal."""
    click.secho(text, err=True, fg=_COLOURS[severity] if severity else None)


def issue_lines(issues: Iterable[Issue], indent: str = "  ") -> list[tuple[Severity, str]]:
    """Issues for people: code, place in the source, what, and the rule that decided."""
    return [
        (issue.severity, f"{indent}{' '.join(filter(None, (issue.code, issue.item, issue.path)))}: "
         + issue.text.removeprefix(f"{issue.path}: ")
         + (f"  ({issue.rule})" if issue.rule else ""))
        for issue in issues
    ]  # fmt: skip


#: What of a ledger is to be looked at: list, code, what it means. What failed has issues of its own.
_TO_BE_SEEN = (
    ("passed_over", "I603", "the mapping took another value instead"),
    ("unmapped", "I604", "no mapping mentions it"),
    ("not_written", "I607", "it was read, and this target does not write it"),
)


def ledger_lines(ledger: Ledger, indent: str = "  ") -> list[tuple[Severity, str]]:
    """The field ledger for people: how many leaves are in each state, then every leaf to be looked at."""
    counts = ", ".join(f"{count} {state.value}" for state, count in ledger.counts.items() if count)
    lines = [(Severity.INFORMATION, f"{indent}{ledger.leaves} values: {counts or 'nothing was read'}")]
    for name, code, text in _TO_BE_SEEN:
        paths: tuple[str, ...] = getattr(ledger, name)
        lines += [(Severity.INFORMATION, f"{indent}{code} {path}: {text}") for path in paths]
    return lines


def show_json(value: Any) -> None:
    """JSON on standard output."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())
