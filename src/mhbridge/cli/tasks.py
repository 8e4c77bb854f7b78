"""`tasks`: what people have to do, who has it, and until when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mhbridge.cli.acting import act, who_acts
from mhbridge.cli.looking import asking, config_option, table
from mhbridge.cli.options import as_json, say, show_json
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.ports import Task

__all__ = ["tasks"]


@click.group(invoke_without_command=True)
@click.option("--queue", default="", help="Only those of this queue.")
@click.option("--all", "ended", is_flag=True, help="Those that have ended, too, the newest first.")
@click.option("--most", default=100, show_default=True, help="How many at most.")
@config_option
@as_json
@click.pass_context
def tasks(context: click.Context, queue: str, ended: bool, most: int, config: Path | None, as_json: bool) -> int:
    """List what people have to do, the most urgent first; `take` and `done` say who does it and that it is done."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return 0
    found = list(asking(config, lambda store: store.tasks(queue=queue, ended=ended, most=most)))
    if as_json:
        show_json([_plain(task) for task in found])
    else:
        columns = ["task", "queue", "severity", "what", "why", "since", "until", "who"]
        table(f"{len(found)} tasks", columns, [_row(task) for task in found])
    return 0


@tasks.command()
@click.argument("task", type=int)
@click.pass_context
def take(context: click.Context, task: int) -> int:
    """Say that you do it. It stays with you and goes to no other queue."""
    who, now = who_acts(), datetime.now(UTC)
    status, answer = act(context.obj, lambda store: store.take_task(task, who, now), f"/tasks/{task}/take")
    return _told(status, answer, f"task {task} is yours", f"task {task} is not open, or somebody else has it")


@tasks.command()
@click.argument("task", type=int)
@click.option("--as", "as_what", required=True, metavar="TEXT", help="How it ended, in a few words; no patient's name.")
@click.pass_context
def done(context: click.Context, task: int, as_what: str) -> int:
    """Say that it is done. A task about something parked ends with that, and not here."""
    who, now = who_acts(), datetime.now(UTC)
    status, answer = act(
        context.obj, lambda store: store.finish_task(task, who, as_what, now), f"/tasks/{task}/done", {"as": as_what}
    )
    return _told(status, answer, f"task {task} is done", f"task {task} is not open, or ends with what it is about")


def _told(status: int, answer: Any, good: str, bad: str) -> int:
    if status == 200 and answer:
        say(good)
        return 0
    say(bad, severity=Severity.ERROR)
    return 1


def _plain(task: Task) -> dict[str, Any]:
    times = {key: getattr(task, key) for key in ("opened_at", "deadline", "next_at", "closed_at")}
    told = {"id": task.id, "what": task.what, "about": task.about, "name": task.name, "cause": task.cause}
    told |= {"queue": task.queue, "severity": task.severity, "holder": task.holder, "closed_as": task.closed_as}
    return told | {key: at.isoformat() if at else None for key, at in times.items()}


def _row(task: Task) -> list[str]:
    what = f"{task.what} {task.about}" if task.about else f"{task.what} {task.name}"
    until = f"{task.deadline:%Y-%m-%d %H:%M}" if task.deadline else ""
    who = task.holder or "nobody"
    return [
        str(task.id), task.queue, task.severity, what, task.cause, f"{task.opened_at:%Y-%m-%d %H:%M}", until,
        f"ended: {task.closed_as}" if task.closed_at else who,
    ]  # fmt: skip
