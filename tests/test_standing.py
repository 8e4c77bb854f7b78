"""What `status` tells the shift: in words, the worst first, with ages, and calm when nothing is the matter."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.cli.standing import age, attention, served, status
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import ParkedCause, Status, Task

NOW = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALM = Status(NOW, 7, 0, 0, {"done": 7}, {"done": 7}, 7, 0, None)


def with_(**values: object) -> Status:
    told = {name: getattr(CALM, name) for name in CALM.__dataclass_fields__}
    return Status(**(told | values))


def task(cause: str, severity: str = "normal", **values: object) -> Task:
    told = {"id": 1, "what": "feed", "about": 0, "name": "", "queue": "operations", "opened_at": NOW - HOUR}
    return Task(cause=cause, severity=severity, **(told | values))


def cause(code: str, count: int, hours: int = 1, **values: object) -> ParkedCause:
    told = {"what": "message", "feed": "a/b", "mapping": "a/b", "destination": "", "example": 17}
    return ParkedCause(code=code, count=count, oldest=NOW - hours * HOUR, **(told | values))


def test_when_all_is_well_nothing_needs_attention() -> None:
    assert attention(CALM, [], []) == []


CASES = [
    (with_(differences=("C2: 1 envelopes …",)), [], [], "critical", "The accounts do not add up. C2: 1 envelopes …"),
    (with_(late={"gp": 1}), [], [], "critical", "1 delivery to gp past the deadline"),
    (with_(late={"gp": 1200}), [], [], "critical", "1,200 deliveries to gp past the deadline"),
    (with_(clocks={"summary-24h": {"running": 9, "missed": 2}}), [], [], "critical", "summary-24h: missed for 2 stays"),
    (with_(messages={"stored": 3}, oldest={"stored": NOW - HOUR}), [], [], "high", "3 messages received and not yet"),
    (with_(behind={"gp": 4}), [], [], "high", "4 patients waiting to be sent to gp"),
    (with_(nodes={"alder": 86, "larch": 86}), [], [], "high", "84 of 256 parts of the patients are no gateway's"),
    (with_(held={"gp": 1}), [], [], "high", "1 patient held at gp behind what is parked"),
    (CALM, [cause("M740", 2), cause("M740", 3, 9, feed="a/c")], [], "normal", "5 messages waiting for a person: "),
    (CALM, [cause("D946", 1, what="delivery", destination="gp")], [], "high", "1 delivery waiting for a person at gp"),
    (CALM, [], [task("D908", "critical", holder="night-1")], "critical", "1 task of operations: "),
    (CALM, [cause("M740", 1)], [task("M740", "high", what="message")], "high", "1 message waiting for a person: "),
    (CALM, [], [task("D970", name="a/b"), task("D970", name="a/c")], "normal", "(a/b, a/c); 2 taken by nobody"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "parked", "tasks", "severity", "text"), CASES, ids=[case[-1] for case in CASES])
def test_each_trouble_is_said_in_words(
    found: Status, parked: list[ParkedCause], tasks: list[Task], severity: str, text: str
) -> None:
    (row,) = attention(found, parked, tasks)
    assert row.severity == severity
    assert text in row.text
    assert row.first


def test_what_is_received_just_now_is_nothing_to_look_at() -> None:
    assert attention(with_(messages={"stored": 3}, oldest={"stored": NOW - timedelta(minutes=4)}), [], []) == []


def test_a_code_is_said_with_its_title() -> None:
    from mhbridge.errors import explanations

    (row,) = attention(CALM, [cause("M740", 1)], [])
    assert explanations()["M740"].title.lower() in row.text.lower()
    assert row.text.endswith("(M740)")
    assert row.first == "mhbridge trace 17"
    (row,) = attention(CALM, [], [task("summary-24h", what="clock")])
    assert "summary-24h" in row.text


def test_a_task_about_something_parked_is_not_said_twice() -> None:
    assert attention(CALM, [], [task("M740", what="message"), task("D946", what="delivery")]) == []


def test_the_worst_stands_first_and_among_like_the_oldest() -> None:
    found = with_(late={"gp": 1}, held={"gp": 1})
    rows = attention(found, [cause("M740", 1, 3), cause("M702", 1, 9)], [task("D970", opened_at=NOW - 5 * HOUR)])
    assert [row.severity for row in rows] == ["critical", "high", "normal", "normal", "normal"]
    assert [age(row.since, NOW) for row in rows[2:]] == ["9 h", "5 h", "3 h"]


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0, "just now"), (1, "1 min"), (59, "59 min"), (60, "1 h"), (125, "2 h 5 min"), (1440, "1 d"),
     (1441 + 180, "1 d 3 h"), (-5, "just now")],
)  # fmt: skip
def test_an_age_has_two_units_at_most(minutes: int, said: str) -> None:
    assert age(NOW - timedelta(minutes=minutes), NOW) == said
    assert age(None, NOW) == ""


def test_every_state_has_words() -> None:
    from mhbridge.cli import standing

    assert set(standing._MESSAGES) == set(MessageState)
    assert set(standing._DELIVERIES) == set(DeliveryState)


_HOLD = """
import asyncio, sys
from pathlib import Path
from mhbridge.adapters.sqlite import SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    print("open", flush=True)
    sys.stdin.read()
    await store.close()
asyncio.run(main())
"""


def test_who_has_the_store_open_is_asked_without_taking_anything(tmp_path: Path) -> None:
    path = tmp_path / "store" / "store.db"
    if sys.platform != "linux":
        assert served(path) is None
        return
    assert served(path) is False
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    assert served(path) is True
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
    assert served(path) is False


async def _made(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.refuse("a/b", "M701", NOW)
    await store.close()


def test_the_whole_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import sqlite3

    (tmp_path / "mhbridge.toml").write_text('[gateway]\nstore = "sqlite:m/m.db"\n', "utf-8")
    asyncio.run(_made(tmp_path / "m" / "m.db"))
    arguments = ["--config", str(tmp_path / "mhbridge.toml")]
    alone = CliRunner(env={"COLUMNS": "200"}).invoke(status, arguments, standalone_mode=False)
    assert alone.return_value == 0
    assert ("No gateway has this store open" in alone.stdout) == (sys.platform == "linux")
    monkeypatch.setattr("mhbridge.cli.standing.served", lambda _: True)
    calm = CliRunner(env={"COLUMNS": "200"}).invoke(status, arguments, standalone_mode=False)
    assert calm.return_value == 0
    assert calm.stdout.startswith("Nothing needs attention, and the accounts add up.")
    assert "of these, refused" in calm.stdout
    told = json.loads(CliRunner().invoke(status, [*arguments, "--json"], standalone_mode=False).stdout)
    assert (told["attention"], told["refusals"], told["feeds"]) == ([], 1, {"a/b": {"received": 1, "refused": 1}})
    assert told["served"] is True
    with sqlite3.connect(tmp_path / "m" / "m.db") as file:
        file.execute("update tally set n = 5 where state = 'received'")
    file.close()
    wrong = CliRunner(env={"COLUMNS": "200"}).invoke(status, arguments, standalone_mode=False)
    assert wrong.return_value == 1
    assert "needs attention" in wrong.stdout
    assert "C1: a/b received 5" in wrong.stdout
    assert "C1: a/b received 5" in wrong.stderr
