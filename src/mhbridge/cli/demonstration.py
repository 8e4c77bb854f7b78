"""
`demo`: the main job end to end, on fixtures.

A gateway on free loopback ports with its embedded store, a small receiving FHIR endpoint, and a third destination where
nobody answers. The fixtures of every supplier go in as its systems send them; the accounts come out. Nothing in it is
shown that the store does not say.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mhbridge.cli.options import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from mhbridge.app import App
    from mhbridge.testing.receiving import ReceivingServer
    from mhbridge.testing.replaying import Case

__all__ = ["demo"]

#: How the messages of each feed come in.
_FEEDS: Final = {
    "example-mental-health/adt": "mllp",
    "example-mental-health/discharge-letter": "http",
    "example-acute/adt": "mllp",
    "example-acute/discharge-letter": "mllp",
    "example-community/discharges": "folder",
    "example-community/referrals": "folder",
}
#: The discharge that is sent twice, and shown at the end.
_SHOWN: Final = "example-mental-health/discharge-letter/plain.hl7"
#: How long to wait for deliveries before the accounts are drawn.
_SETTLE: Final = 15.0

_CONFIGURATION: Final = """\
# Written by `mhbridge demo`. `mhbridge serve --config` with this file runs the same gateway again.
[gateway]
name = "mhbridge-demo"
store = "sqlite:store/mhbridge.db"
mode = "test"

[http]
listen = "127.0.0.1:0"

{receivers}
[[destination]]
name = "community-team"
kind = "fhir"
url = "{fhir}"

[[destination]]
name = "discharge-letters"
kind = "folder"
path = "documents"

# Nobody listens there: what is sent to it is tried again, and overdue after its deadline.
[[destination]]
name = "gp-practice"
kind = "fhir"
url = "{nobody}"
deadline = "1s"

[[route]]
documents = ["encounter-event", "community-referral", {letters}]
to = ["community-team"]

[[route]]
documents = [{letters}]
to = ["discharge-letters"]

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["gp-practice"]
when = "= attachments"
"""
_LETTERS: Final = '"acute-inpatient-discharge", "community-discharge", "mental-health-inpatient-discharge"'
_RECEIVER: Final = """\
[[receiver]]
supplier = "{supplier}"
kind = "{kind}"
"""
#: What each kind of receiver says beyond that. An extract is complete when its marker lies beside it.
_MORE: Final = {
    "mllp": 'listen = "127.0.0.1:0"\n',
    "http": "",
    "folder": 'path = "extracts"\nmarker = ".done"\nevery = "100ms"\n',
}


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where store and documents go; left out, a new temporary folder.",
)
@click.option("--keep-running", is_flag=True, help="Leave the gateway up until Ctrl-C.")
def demo(out: Path | None, keep_running: bool) -> int:
    """Relay the fixtures end to end: MLLP, HTTP and files in, a FHIR endpoint and a folder out, and the accounts."""
    folder = out or Path(tempfile.mkdtemp(prefix="mhbridge-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_demo(folder.resolve(), keep_running))


@dataclass
class _Sent:
    """What the senders saw: the number of the discharge that is shown, and how many repeats were known as such."""

    shown: int | None = None
    repeats: int = 0


def _configuration(fhir: str, nobody: str) -> str:
    ways = sorted({(feed.partition("/")[0], kind) for feed, kind in _FEEDS.items()})
    receivers = [_RECEIVER.format(supplier=supplier, kind=kind) + _MORE[kind] for supplier, kind in ways]
    return _CONFIGURATION.format(receivers="\n".join(receivers), fhir=fhir, nobody=nobody, letters=_LETTERS)


async def _demo(folder: Path, keep_running: bool) -> int:
    from mhbridge.app import build
    from mhbridge.config import load
    from mhbridge.testing.receiving import ReceivingServer

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ReceivingServer(validates=True))
        configuration = folder / "mhbridge.toml"
        nobody = f"http://127.0.0.1:{_closed_port()}"
        configuration.write_text(_configuration(server.url, nobody), "utf-8")
        log = stack.enter_context((folder / "mhbridge.log").open("ab"))
        from mhbridge import log as logs

        app = build(load(configuration, {}), log=logs.make(log))
        await app.open()
        stack.push_async_callback(app.close)
        say(f"mhbridge: {', '.join(f'{name} on {one.address}' for name, one in sorted(app.receivers.items()))}")
        say(f"receiving FHIR endpoint: {server.url}")
        sent = await _relay(app, folder / "extracts")
        await _show(app, server, sent, folder)
        if keep_running:
            say("\nThe gateway stays up; Ctrl-C stops it.")
            await _until_interrupted()
        status = await app.store.status(datetime.now(UTC))
        return 1 if status.differences else 0


def _closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _until_interrupted() -> None:
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


# --- sending -----------------------------------------------------------------------------------------------


def _fixtures() -> list[Case]:
    from mhbridge.mapping.library import built_in
    from mhbridge.testing.replaying import cases

    return [case for case in cases(built_in("fixtures")) if f"{case.supplier}/{case.feed}" in _FEEDS]


async def _relay(app: App, extracts: Path) -> _Sent:
    """Send every fixture the way its feed comes in, one of them twice; wait until it is delivered."""
    import aiohttp
    from rich.console import Console
    from rich.progress import Progress

    from mhbridge.testing.sending import mllp_peer, post

    found = _fixtures()
    sent = _Sent()
    base = app.receivers["http"].address
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, disable=not console.is_terminal))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        peers = {}
        for supplier in sorted({feed.partition("/")[0] for feed, kind in _FEEDS.items() if kind == "mllp"}):
            host, _, port = app.receivers[f"{supplier}/mllp"].address.rpartition(":")
            peers[supplier] = await stack.enter_async_context(mllp_peer(host, int(port)))
        sending = progress.add_task("sending", total=len(found))
        for case in found:
            body, feed = case.path.read_bytes(), f"{case.supplier}/{case.feed}"
            if _FEEDS[feed] == "mllp":
                await peers[case.supplier].send(body)
            elif _FEEDS[feed] == "folder":
                file = extracts / f"{case.feed}-{case.path.name}"
                file.write_bytes(body)
                file.with_name(f"{file.name}.done").touch()
            else:
                posted = await post(session, base, feed, body)
                if case.name == _SHOWN:
                    sent.shown = posted.message
                    sent.repeats += (await post(session, base, feed, body)).status == 200
            progress.advance(sending)
        await _settle(app, extracts, progress)
    return sent


async def _settle(app: App, extracts: Path, progress: Progress) -> None:
    """Wait until every file is taken, everything that can be delivered is, and what cannot is overdue."""
    delivering = progress.add_task("delivering", total=None)
    async with asyncio.timeout(_SETTLE):
        while True:
            status = await app.store.status(datetime.now(UTC))
            waiting = sum(status.deliveries.get(state, 0) for state in ("queued", "sending", "unknown"))
            done = status.deliveries.get("done", 0)
            progress.update(delivering, total=done + waiting, completed=done)
            if not waiting and status.overdue and not _untaken(extracts):
                return
            await asyncio.sleep(0.1)


def _untaken(extracts: Path) -> bool:
    """Whether a file still lies where it was put, or where it is being read."""
    return any(any(folder.glob("*.csv")) for folder in (extracts, extracts / ".claimed"))


# --- showing -----------------------------------------------------------------------------------------------


async def _show(app: App, server: ReceivingServer, sent: _Sent, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from mhbridge.errors import explanations
    from mhbridge.fhir.bundle import loads
    from mhbridge.fhir.letter import letter_text

    now = datetime.now(UTC)
    status = await app.store.status(now)
    rows = await app.store.messages(most=1000)
    console = Console(file=sys.stdout, width=max(138, Console().width))
    if sent.shown is not None:
        document = (await app.store.documents(sent.shown))[0]
        console.print("\nOne discharge, as the person who cares for the patient next reads it:\n", style="bold")
        console.print(letter_text(loads(document.body), width=96), markup=False, highlight=False)
    table = Table(title="What became of the messages", title_justify="left")
    columns = ("received", "translated", "filtered", "waiting", "delivered", "acknowledged", "parked", "overdue")
    for column in ("feed", *columns):
        table.add_column(column, justify="left" if column == "feed" else "right", no_wrap=True)
    for feed in sorted({row.feed for row in rows}):
        own = [row for row in rows if row.feed == feed]
        table.add_row(feed, *await _counts(app, own, now))
    table.add_section()
    table.add_row("all", *await _counts(app, list(rows), now), style="bold")
    console.print(table)
    known = explanations()
    waiting = [row for row in rows if row.state == "parked"]
    for code, count in sorted(Counter(row.code for row in waiting).items()):
        title = known[code].title if code in known else ""
        console.print(f"parked, waiting for a person: {count} × {code}: {title}", markup=False, highlight=False)
    for line in await _cases(app, list(rows), now):
        console.print(line, markup=False, highlight=False)
    console.print(f"repeats that got their first answer again: {sent.repeats}", highlight=False)
    balanced = "they add up" if not status.differences else "; ".join(status.differences)
    console.print(f"accounts: {status.receipts} receipts; {balanced}", highlight=False)
    console.print(f"held by the receiving FHIR endpoint: {_held(server)}", highlight=False)
    console.print(
        f"documents: {folder / 'documents'}\nstore, log and configuration: {folder}", highlight=False, soft_wrap=True
    )


async def _counts(app: App, rows: list[Any], now: datetime) -> list[str]:
    """What the columns say. Deliveries are counted apart from messages, of which one has none, one or several."""
    deliveries = [d for row in rows if row.fanout for d in await _deliveries(app, row.id)]
    counted = [
        len(rows),
        sum(row.state == "done" for row in rows),
        sum(row.state == "filtered" for row in rows),
        # For an earlier message: what is taken back was never sent here.
        sum(row.state in ("stored", "held") for row in rows),
        sum(d["level"] >= 1 for d in deliveries),
        sum(d["level"] >= 2 for d in deliveries),
        sum(row.state == "parked" for row in rows),
        sum(d["state"] != "done" and d["deadline"] is not None and _instant(d["deadline"]) < now for d in deliveries),
    ]
    return [str(count) for count in counted]


async def _cases(app: App, rows: list[Any], now: datetime) -> list[str]:
    """One message that waits for a person, and one delivery that is late: what somebody has to see to."""
    lines = []
    parked = next((row for row in rows if row.state == "parked"), None)
    if parked is not None:
        lines.append(f"  for example message {parked.id}, {parked.kind} of {parked.feed}: {parked.code}")
    for row in rows:
        for delivery in await _deliveries(app, row.id) if row.fanout else ():
            if delivery["state"] != "done" and delivery["deadline"] and _instant(delivery["deadline"]) < now:
                where = f"{delivery['state']}, attempts: {delivery['attempts']}"
                lines.append(
                    f"overdue: message {row.id}, {row.kind} of {row.feed}, to {delivery['destination']}: {where}"
                )
    return lines


async def _deliveries(app: App, message: int) -> tuple[Any, ...]:
    trace = await app.store.trace(message)
    return trace.deliveries if trace is not None else ()


def _instant(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _held(server: ReceivingServer) -> str:
    held = {type_: len(server.holdings.all(type_)) for type_ in ("Bundle", "Encounter", "Patient")}
    return ", ".join(f"{count} {type_}" for type_, count in held.items())
