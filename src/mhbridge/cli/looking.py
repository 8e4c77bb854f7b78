"""`messages`, `trace`, `parked` and `status`: what a store holds. They read; they change nothing and show no bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mhbridge.cli.options import as_json, say, show_json
from mhbridge.model import Severity
from mhbridge.ports import MessageRow, Store

__all__ = ["messages", "parked", "show_trace", "status", "trace"]

T = TypeVar("T")

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The gateway's configuration; left out, ./mhbridge.toml.",
)


def _asking(config: Path | None, ask: Callable[[Store], Awaitable[T]]) -> T:
    """Open the configured store, ask it one thing, close it."""
    from mhbridge.adapters.sqlite import SqliteStore
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    configured = load(found(config)).gateway.store

    async def run() -> T:
        store = SqliteStore(Path(configured.removeprefix("sqlite:")), read_only=True)
        await store.open()
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _plain(row: MessageRow) -> dict[str, Any]:
    return {
        "id": row.id, "received_at": row.received_at.isoformat(), "feed": row.feed, "kind": row.kind,
        "state": row.state.value, "code": row.code, "mapping": row.mapping, "deliveries": dict(row.deliveries),
    }  # fmt: skip


def _table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=False).print(table)


def _show(rows: list[MessageRow], title: str) -> None:
    _table(
        title,
        ["id", "received", "feed", "kind", "state", "why", "deliveries"],
        [
            [str(row.id), f"{row.received_at:%Y-%m-%d %H:%M:%S}", row.feed, row.kind, row.state.value, row.code,
             ", ".join(f"{n} {state}" for state, n in row.deliveries.items())]
            for row in rows
        ],
    )  # fmt: skip


@click.command()
@click.option("--state", default="", help="Only messages in this state.")
@click.option("--feed", default="", help="Only messages of this feed.")
@click.option("--search", default="", metavar="ID", help="An exact control id, patient or visit identifier.")
@click.option("--most", default=50, show_default=True, help="How many at most, the newest first.")
@config_option
@as_json
def messages(state: str, feed: str, search: str, most: int, config: Path | None, as_json: bool) -> int:
    """List messages, the newest first."""
    rows = list(_asking(config, lambda store: store.messages(state=state, feed=feed, search=search, most=most)))
    if as_json:
        show_json([_plain(row) for row in rows])
    else:
        _show(rows, f"{len(rows)} messages")
    return 0


@click.command()
@config_option
@as_json
def parked(config: Path | None, as_json: bool) -> int:
    """List the messages that wait for a person, with the code that says why (`mhbridge explain CODE`)."""
    rows = list(_asking(config, lambda store: store.messages(state="parked", most=1000)))
    if as_json:
        show_json([_plain(row) for row in rows])
    else:
        _show(rows, f"{len(rows)} messages wait for a person")
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
    found = _asking(config, lambda store: store.trace(message))
    if found is None:
        say(f"there is no message {message}", severity=Severity.ERROR)
        return 1
    if as_json:
        show_json({
            "message": _plain(found.message), "issues": found.issues, "documents": found.documents,
            "deliveries": found.deliveries,
            "lines": [
                {"at": line.at.isoformat(), "what": line.what, "about": line.about, "moves": line.moves,
                 "who": line.who}
                for line in found.lines
            ],
        })  # fmt: skip
        return 0
    _show([found.message], "message")
    lines = [
        [f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], f"{line.what} {line.about}", line.moves, line.who]
        for line in found.lines
    ]
    _table("story", ["at", "what", "moves", "who"], lines)
    if found.deliveries:
        columns = list(found.deliveries[0])
        _table(
            "deliveries",
            columns,
            [[str(row[c] if row[c] is not None else "") for c in columns] for row in found.deliveries],
        )
    if found.issues:
        columns = ["code", "severity", "item", "path", "text"]
        _table("issues", columns, [[str(issue.get(c, "")) for c in columns] for issue in found.issues])
    return 0


@click.command()
@config_option
@as_json
def status(config: Path | None, as_json: bool) -> int:
    """Show the accounts: receipts, messages and deliveries by state; exit code 1 when they do not add up."""
    now = datetime.now(UTC)
    found = _asking(config, lambda store: store.status(now))
    if as_json:
        show_json({
            "at": found.at.isoformat(), "receipts": found.receipts, "repeats": found.repeats,
            "refusals": found.refusals,
            "messages": dict(found.messages), "deliveries": dict(found.deliveries), "acknowledged": found.acknowledged,
            "overdue": found.overdue, "differences": list(found.differences),
            "oldest_open": found.oldest_open.isoformat() if found.oldest_open else None,
        })  # fmt: skip
    else:
        rows = [["receipts", str(found.receipts)], ["repeats", str(found.repeats)], ["refusals", str(found.refusals)]]
        rows += [[f"messages {state}", str(n)] for state, n in found.messages.items() if n]
        rows += [[f"deliveries {state}", str(n)] for state, n in found.deliveries.items() if n]
        rows += [["acknowledged", str(found.acknowledged)], ["overdue", str(found.overdue)]]
        if found.oldest_open:
            rows.append(["oldest open", f"{found.oldest_open:%Y-%m-%d %H:%M:%S}"])
        _table("accounts", ["what", "how many"], rows)
        for difference in found.differences:
            say(difference, severity=Severity.ERROR)
    return 1 if found.differences else 0
