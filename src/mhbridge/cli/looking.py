"""`messages` and `trace`: what a store holds. They read; they change nothing and show no bodies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from mhbridge.cli.options import as_json, say, show_json
from mhbridge.errors import StoreError
from mhbridge.model import MessageState, Severity
from mhbridge.ports import MessageRow, Sought, Store

__all__ = ["asking", "config_option", "messages", "plain", "show_messages", "show_trace", "table", "trace"]

T = TypeVar("T")

#: Columns of a table that goes into a pipe or a file.
_WIDE: Final = 250

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The gateway's configuration; left out, ./mhbridge.toml.",
)


def asking(config: Path | None, ask: Callable[[Store], Awaitable[T]]) -> T:
    """Open the configured store, ask it one thing, close it."""
    from mhbridge.app.storing import store_of
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    file = found(config)
    settings = load(file)
    path = settings.gateway.store_path
    if path is not None and (
        not path.parent.is_dir() or not (path.exists() or path.with_name(f"{path.name}.key").exists())
    ):
        hint = f"as {file} says" if file else "and no ./mhbridge.toml that names another: give --config"
        raise StoreError("S217", f"there is no store {path}, {hint}")

    async def run() -> T:
        store = store_of(settings, read_only=True)
        await store.open()
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(run())


def plain(row: MessageRow) -> dict[str, Any]:
    """A message as JSON has it."""
    return {
        "id": row.id, "received_at": row.received_at.isoformat(), "feed": row.feed, "kind": row.kind,
        "place": row.place, "state": row.state.value, "code": row.code, "mapping": row.mapping,
        "deliveries": dict(row.deliveries),
        "waiting": [{"delivery": w.delivery, "destination": w.destination, "code": w.code} for w in row.waiting],
    }  # fmt: skip


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print rows for people."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console = Console(soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE  # nobody sees the edge of a pipe, and a name cut in two is not found again
    console.print(shown)


def _what(row: MessageRow) -> str:
    """Its kind, and where it was in what it came in: `unreadable (row 150)`."""
    return f"{row.kind} ({row.place})" if row.place else row.kind


def _why(row: MessageRow) -> str:
    """The message's own code, and that of each delivery that waits for a person, with where it was to go."""
    return "\n".join(filter(None, (row.code, *(f"{w.code} at {w.destination}" for w in row.waiting))))


def _cell(value: Any) -> str:
    """A value of a story as people read it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def _behind(head: Mapping[str, Any]) -> str:
    """Which delivery stands at the head of the lane."""
    said = f"behind delivery {head['delivery']} of message {head['message']}, {head['state']}"
    return f"{said}, {head['code']}" if head["code"] else said


def show_messages(rows: list[MessageRow], title: str) -> None:
    """Print messages for people."""
    table(
        title,
        ["id", "received", "feed", "kind", "state", "why", "deliveries"],
        [
            [str(row.id), f"{row.received_at:%Y-%m-%d %H:%M:%S}", row.feed, _what(row), row.state.value, _why(row),
             ", ".join(f"{n} {state}" for state, n in row.deliveries.items())]
            for row in rows
        ],
    )  # fmt: skip


@click.command()
@click.option("--search", default="", metavar="ID", help="An identifier, whole; - asks for it, unseen by others.")
@click.option("--kind", type=click.Choice([k.value for k in Sought]), help="What ID is; a person: name, birth.")
@click.option("--state", type=click.Choice([s.value for s in MessageState]), help="Only messages in this state.")
@click.option("--feed", default="", help="Only messages of this feed.")
@click.option("--since", default="", metavar="TIME", help="Received then or later: 2026-03-03, 2026-03-03T09:30, 2h.")
@click.option("--until", default="", metavar="TIME", help="Received before then.")
@click.option("--before", default=0, metavar="MESSAGE", help="The page after the one that ended with this message.")
@click.option("--most", default=50, show_default=True, help="How many at most, the newest first.")
@config_option
@as_json
def messages(config: Path | None, as_json: bool, **given: Any) -> int:
    """
    List messages, the newest first.

    ID is a control id, the sender's patient number, an NHS number, a visit, a document, or what a receiver calls what
    it was sent; with --kind person, a surname and a date of birth: 'Surname 1987-06-21'. The whole of it, in any case,
    with or without blanks.

    What stands on a command line can be seen by other users of the machine and is kept in the shell's history. With
    --search - it is asked for instead.
    """
    if given["search"] == "-":
        given["search"] = click.prompt("Search for", err=True)
    from mhbridge.console.asking import filters

    try:
        wanted = filters({key: value for key, value in given.items() if value is not None}, datetime.now(UTC))
        rows = list(asking(config, lambda store: store.messages(**wanted)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        show_json([plain(row) for row in rows])
        return 0
    full = len(rows) == wanted["most"]
    show_messages(rows, f"{len(rows)} message{'s' * (len(rows) != 1)}{', and there may be more' * full}")
    if full:
        click.echo(f"the next page: --before {rows[-1].id}")
    return 0


@click.command()
@click.argument("message", type=int)
@config_option
@as_json
def trace(message: int, config: Path | None, as_json: bool) -> int:
    """Tell the story of one message: every state it was in, its documents, its deliveries."""
    return show_trace(message, config, as_json=as_json)


def show_trace(message: int, config: Path | None, *, as_json: bool) -> int:
    """Print a trace; exit code 1 when there is no such message."""
    found = asking(config, lambda store: store.trace(message))
    if found is None:
        say(f"there is no message {message}", severity=Severity.ERROR)
        return 1
    if as_json:
        show_json({
            "message": plain(found.message), "issues": found.issues, "documents": found.documents,
            "deliveries": found.deliveries,
            "tasks": found.tasks, "clocks": found.clocks,
            "lines": [
                {"at": line.at.isoformat(), "what": line.what, "about": line.about, "moves": line.moves,
                 "who": line.who}
                for line in found.lines
            ],
        })  # fmt: skip
        return 0
    show_messages([found.message], "message")
    lines = [
        [f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], f"{line.what} {line.about}", line.moves, line.who]
        for line in found.lines
    ]
    table("story", ["at", "what", "moves", "who"], lines)
    if found.deliveries:
        columns = [column for column in found.deliveries[0] if column not in ("tried", "behind")]
        table("deliveries", columns, [[_cell(row[column]) for column in columns] for row in found.deliveries])
        columns = ["n", "started_at", "ended_at", "result", "code"]
        tried = [[str(row["id"]), *(_cell(t[c]) for c in columns)] for row in found.deliveries for t in row["tried"]]
        if tried:
            table("attempts that did not end well", ["delivery", *columns], tried)
        for row in found.deliveries:
            if row["behind"] is not None:
                click.echo(f"delivery {row['id']} waits {_behind(row['behind'])}")
    if found.clocks:
        columns = ["name", "document", "entry", "recipient", "started_at", "due_at", "state", "step", "of", "next_at"]
        table("clocks", columns, [[_cell(getattr(clock, c)) for c in columns] for clock in found.clocks])
    if found.tasks:
        columns = ["id", "what", "cause", "queue", "severity", "deadline", "holder", "closed_as"]
        table("tasks", columns, [[_cell(getattr(task, c)) for c in columns] for task in found.tasks])
    if found.issues:
        columns = ["code", "severity", "item", "path", "text"]
        table("issues", columns, [[str(issue.get(c, "")) for c in columns] for issue in found.issues])
    return 0
