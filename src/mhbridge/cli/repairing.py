"""`parked`, `reprocess`, `resend`, `release` and `close`: what waits for a person, and how a person puts it right."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mhbridge.cli.acting import act, elsewhere, is_elsewhere, who_acts
from mhbridge.cli.looking import asking, config_option, plain, show_messages, table
from mhbridge.cli.options import as_json, say, show_json
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.gateway.rehearsing import Rehearsed
    from mhbridge.ports import Store

__all__ = ["close", "parked", "release", "reprocess", "resend"]

T = TypeVar("T")

_MOST: Final = 1_000
#: So many of one cause are rehearsed: enough to see whether a mapping was mended.
_REHEARSED: Final = 20


# --- parked ------------------------------------------------------------------------------------------------


@click.command()
@click.option("--cause", default="", metavar="CODE", help="List the messages that wait for this.")
@click.option("--all", "every", is_flag=True, help="List every message that waits.")
@config_option
@as_json
def parked(cause: str, every: bool, config: Path | None, as_json: bool) -> int:
    """
    Show what waits for a person, by why it does: how much, since when, and what to do.

    A message waits that is parked itself, or of which a delivery is.
    """
    if cause or every:
        rows = list(asking(config, lambda store: store.messages(state="parked", most=_MOST)))
        if cause:
            rows = [row for row in rows if cause in (row.code, *(waiting.code for waiting in row.waiting))]
        if as_json:
            show_json([plain(row) for row in rows])
        else:
            show_messages(
                rows, "1 message waits for a person" if len(rows) == 1 else f"{len(rows)} messages wait for a person"
            )
        return 0
    from mhbridge.console.repairing import cause_of

    causes = [cause_of(found) for found in asking(config, lambda store: store.parked_causes())]
    if as_json:
        show_json(causes)
        return 0
    table(
        f"{sum(one['count'] for one in causes)} wait for a person",
        ["why", "how many", "since", "feed", "mapping", "the oldest", "what it means"],
        [
            [one["cause"], _how_many(one), one["oldest"][:16].replace("T", " "), one["feed"], one["mapping"],
             str(one["example"]), one["title"]]
            for one in causes
        ],
    )  # fmt: skip
    for code, mend in {one["cause"]: one["mend"] for one in causes if one["mend"]}.items():
        click.echo(f"{code}: {mend}")
    return 0


def _how_many(cause: dict[str, Any]) -> str:
    what = cause["what"] if cause["count"] == 1 else {"message": "messages", "delivery": "deliveries"}[cause["what"]]
    where = f" to {cause['destination']}" if cause["destination"] else ""
    return f"{cause['count']} {what}{where}"


# --- reprocess ---------------------------------------------------------------------------------------------


@click.command()
@click.argument("messages", type=int, nargs=-1, metavar="[MESSAGE]...")
@click.option("--cause", default="", metavar="CODE", help="Every message that is parked for this.")
@click.option("--feed", default="", help="With --cause: only messages of this feed.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be different, by place.")
@click.option("--values", is_flag=True, help="With --dry-run: also what it was and what it would be. Needs --why.")
@click.option("--why", default="", metavar="TEXT", help="With --values: why it is read; no patient's name, it stays.")
@click.option("--rate", default="10/s", show_default=True, metavar="N/s", help="With --cause: so many a second.")
@elsewhere
@config_option
@as_json
def reprocess(
    messages: tuple[int, ...], cause: str, feed: str, dry_run: bool, values: bool, why: str, rate: str,
    config: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """
    Work messages again, from their bytes, with the mapping as it is now.

    Parked messages are worked as if they came now; of those that are done, only what has changed is sent, as a new
    version, and says in the log that it is historic.
    """
    if bool(messages) == bool(cause):
        raise click.UsageError("give messages, or --cause")
    if values and not (dry_run and why.strip()):
        raise click.UsageError("--values goes with --dry-run and --why")
    if dry_run and cause and is_elsewhere():
        raise click.UsageError("--dry-run --cause looks into a store here; elsewhere, give messages")
    if dry_run:
        wanted = messages or tuple(asking(config, lambda store: store.parked_of(cause, feed=feed, most=_REHEARSED)))
        return _show_rehearsals([_rehearse(config, about, values=values, why=why) for about in wanted], as_json=as_json)
    every = 1 / _a_second(rate)
    if cause:
        return _reprocess_cause(config, cause, feed, every)
    return max(_reprocess_one(config, about) for about in messages)


def _a_second(rate: str) -> float:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(?:/s)?", rate)
    if found is None or not float(found[1]):
        raise click.UsageError("--rate is a number of messages a second, as 10/s")
    return float(found[1])


def _reprocess_cause(config: Path | None, cause: str, feed: str, every: float) -> int:
    who, now = who_acts(), datetime.now(UTC)

    async def do(store: Store) -> int:
        found = await store.parked_of(cause, feed=feed, most=_MOST * 10)
        return len(await store.reprocess(found, who, now, every=every))

    status, answer = act(config, do, "/parked/reprocess", {"cause": cause, "feed": feed, "rate": 1 / every})
    if status != 200:
        return _told(status, answer, "")
    count = answer["messages"] if isinstance(answer, dict) else answer
    say(f"{count} message{'s' * (count != 1)} of {cause} {_when(answer, count)} worked again")
    return 0


def _reprocess_one(config: Path | None, about: int) -> int:
    done = _by(lambda store, who, now: store.reprocess([about], who, now))
    status, answer = act(config, done, f"/messages/{about}/reprocess")
    bad = f"message {about} is under way, was closed, has been purged, or is not there"
    return _told(status, answer, f"message {about} {_when(answer)} worked again", bad)


def _when(answer: Any, count: int = 1) -> str:
    # What was done on the store itself is worked by the gateway that is started next.
    return (
        ("is being" if count == 1 else "are being")
        if isinstance(answer, dict)
        else "will, once the gateway is started, be"
    )


def _rehearse(config: Path | None, about: int, *, values: bool, why: str) -> dict[str, Any]:
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    settings = load(found(config))

    async def do(store: Store) -> Rehearsed | None:
        from mhbridge.app.feeds import feeds_from
        from mhbridge.gateway.rehearsing import rehearse
        from mhbridge.gateway.workers import Here
        from mhbridge.mapping.catalogue import load as load_mappings

        return await rehearse(store, Here(feeds_from(settings, load_mappings(settings.gateway.mappings))), about)

    query = "?dry-run&values" if values else "?dry-run"
    status, answer = act(config, do, f"/messages/{about}/reprocess{query}", why=why if values else "")
    if status != 200 or answer is None:
        raise click.ClickException(_why_not(answer) or f"there is no message {about}")
    shown: dict[str, Any] = answer if isinstance(answer, dict) else answer.plain(values=values)
    return shown


def _show_rehearsals(rehearsed: Sequence[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        show_json(list(rehearsed))
        return 0
    if not rehearsed:
        say("no message waits for this")
    for one in rehearsed:
        click.echo(f"message {one['message']}: {one['was']} → {one['would_be']}")
        for document in one["documents"]:
            to = f" to {', '.join(document['to'])}" if document["to"] else ""
            click.echo(f"  {document['type']} ({document['target']}): {document['change']}{to}")
            for place in document["differences"]:
                click.echo(f"    {place['change']} {place['path']}")
                for key in ("was", "now"):
                    if place.get(key) is not None:
                        click.echo(f"      {key}: {place[key]}")
        for issue in one["issues"]:
            click.echo(f"  {issue['code']} {issue['path']}".rstrip())
    return 0


# --- deliveries --------------------------------------------------------------------------------------------


@click.command()
@click.argument("message", type=int)
@click.option("--to", default="", metavar="DESTINATION", help="Only to this one; left out, to each it was sent to.")
@elsewhere
@config_option
def resend(message: int, to: str, config: Path | None) -> int:
    """Deliver the documents of a message again, behind whatever waits for the same patient."""
    done = _by(lambda store, who, now: store.resend(message, who, now, to=to))
    status, answer = act(config, done, f"/messages/{message}/resend", {"to": to} if to else {})
    bad = f"nothing of message {message} can be sent again: replaced, under way, or never made"
    count = answer.get("deliveries", 0) if isinstance(answer, dict) else answer
    return _told(status, answer, f"message {message} will be delivered again, to {count}", bad)


@click.command()
@click.argument("delivery", type=int, required=False)
@click.option("--destination", default="", metavar="NAME", help="A destination that is held or down, at once.")
@elsewhere
@config_option
def release(delivery: int | None, destination: str, config: Path | None) -> int:
    """
    Let a parked delivery go: it is sent again, first in its lane.

    A destination that refused us (401, 403) is asked again every quarter of an hour; once its credentials are mended,
    --destination has it asked at once.
    """
    if (delivery is None) == (not destination):
        raise click.UsageError("give a delivery, or --destination")
    if destination:

        async def nobody_has_it(_store: Store) -> bool:
            return True

        status, answer = act(config, nobody_has_it, f"/destinations/{destination}/release")
        good = f"destination {destination} is sent to again"
        if answer is True:
            good = "no gateway runs, so no destination is held: all are sent to when it is started"
        return _told(status, answer, good, f"destination {destination} is not held, or there is none of this name")
    done = _by(lambda store, who, now: store.release(delivery or 0, who, now))
    status, answer = act(config, done, f"/deliveries/{delivery}/release")
    return _told(status, answer, f"delivery {delivery} will be sent", f"no delivery {delivery} is parked")


@click.command()
@click.argument("message", type=int)
@click.option("--why", required=True, metavar="TEXT", help="The reason; it stays in the log, so no patient's name.")
@elsewhere
@config_option
def close(message: int, why: str, config: Path | None) -> int:
    """End what is parked of a message, with a reason. What waits behind it goes on."""
    if not why.strip() or not why.isprintable():
        raise click.UsageError("--why is a line of text")
    reason = why.strip()
    done = _by(lambda store, who, now: store.close_message(message, who, reason, now))
    status, answer = act(config, done, f"/messages/{message}/close", {"why": reason})
    return _told(status, answer, f"message {message} is closed", f"nothing of message {message} is parked")


# --- underneath --------------------------------------------------------------------------------------------


def _by(do: Callable[[Store, str, datetime], Awaitable[T]]) -> Callable[[Store], Awaitable[T]]:
    """What whoever runs the command does, now."""
    return lambda store: do(store, who_acts(), datetime.now(UTC))


def _told(status: int, answer: Any, good: str, bad: str = "it cannot be done") -> int:
    if status == 200 and answer:
        say(good)
        return 0
    say(_why_not(answer) or bad, severity=Severity.ERROR)
    return 1


def _why_not(answer: Any) -> str:
    """What the API says of it."""
    issues = answer.get("issue", []) if isinstance(answer, dict) else []
    text = issues[0].get("diagnostics", "") if issues else ""
    return str(text)
