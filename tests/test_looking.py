"""What the commands that look into a store show of it: what waits for a person, and what waits behind that."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from databases import database, execute, with_tables
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.app.storing import store_of
from mhbridge.cli import commands
from mhbridge.cli.auditing import audit
from mhbridge.cli.looking import messages, trace
from mhbridge.cli.repairing import parked
from mhbridge.cli.standing import status
from mhbridge.cli.tasks import tasks
from mhbridge.config import load
from mhbridge.errors import StoreError
from mhbridge.model import (
    Answer,
    DeliveryState,
    Document,
    Envelope,
    Key,
    MessageFacts,
    MessageState,
    Outcome,
    Planned,
    Verdict,
)
from mhbridge.ports import Move

#: Whoever looks is not asked for it by a server that trusts the tests.
PASSWORD = "c4n4ry-of-a-password"

NOW = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)


async def fill(config: Path) -> tuple[int, int]:
    """Two messages of one patient to one destination, which refuses the first at the second attempt."""
    store = store_of(load(config, {}))
    await store.open()
    found = []
    for number in (1, 2):
        facts = MessageFacts("hl7v2", "ADT^A03", control_id=f"C{number}")
        document = Document("letter", "r4", "document", bytes([number]) * 32, f"urn:uuid:{number}", b"{}")
        outcome = Outcome(
            facts=facts, state=MessageState.DONE, documents=(document,), deliveries=(Planned(0, "acute"),),
            patient=Key("example-mrn", "P1"),
        )  # fmt: skip
        envelope = Envelope(b"original", "s", "s/mllp", NOW, "mllp", "sender.example")
        answer = Answer(Verdict.ACCEPTED, "Safely stored.", NOW)
        found += (await store.commit(envelope, bytes([number]) * 32, [outcome], answer, {"acute": 60.0})).messages
    for state, code in ((DeliveryState.RETRY, "D901"), (DeliveryState.PARKED, "D946")):
        (due,) = await store.due(NOW, 10)
        await store.start([due.id], NOW, NOW + timedelta(minutes=1))
        due_at = NOW if state is DeliveryState.RETRY else None
        await store.finish([Move(due.id, state, code=code, due_at=due_at)], NOW)
    await store.close()
    return found[0], found[1]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def config(request, tmp_path: Path) -> Iterator[Path]:
    """A configuration of a store on either engine."""
    file = tmp_path / "mhbridge.toml"
    if request.param == "SQLite":
        file.write_text('[gateway]\nstore = "sqlite:m/m.db"\n')
        yield file
        return
    (tmp_path / "key").write_text("6b" * 32)
    (tmp_path / "password").write_text(PASSWORD)
    with database(with_tables()) as address:
        others = 'store_key = "file:key"\nstore_password = "file:password"\n'
        file.write_text(f'[gateway]\nstore = "{address}"\n{others}')
        yield file


@pytest.fixture
def filled(config: Path) -> tuple[Path, int, int]:
    return config, *asyncio.run(fill(config))


def look(command, config, *arguments):
    result = CliRunner(env={"COLUMNS": "250"}).invoke(command, [*map(str, arguments), "--config", str(config)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert PASSWORD not in result.output
    return result.output


def test_a_message_with_a_parked_delivery_is_on_the_list_with_its_reason(filled):
    config, first, _ = filled
    (row,) = json.loads(look(parked, config, "--all", "--json"))
    assert (row["id"], row["state"]) == (first, "done")
    assert [(waiting["destination"], waiting["code"]) for waiting in row["waiting"]] == [("acute", "D946")]
    assert "D946 at acute" in look(parked, config, "--cause", "D946")
    assert json.loads(look(parked, config, "--cause", "M710", "--json")) == []
    (cause,) = json.loads(look(parked, config, "--json"))
    told = {key: cause[key] for key in ("cause", "what", "feed", "destination", "count", "example")}
    assert told == {
        "cause": "D946", "what": "delivery", "feed": "s/mllp", "destination": "acute", "count": 1, "example": first,
    }  # fmt: skip
    said = look(parked, config)
    assert "1 delivery to acute" in said
    assert cause["mend"] in said
    told = json.loads(look(status, config, "--json"))
    assert (told["waiting"], told["late"]) == (1, {"acute": 2})
    said = look(status, config)
    assert "2 deliveries to acute past the deadline" in said
    assert "1 delivery waiting for a person at acute: " in said
    assert "(D946)" in said
    assert said.index("needs attention") < said.index("accounts")


def test_a_trace_says_what_a_delivery_waits_behind_and_is_no_python(filled):
    config, first, second = filled
    head = json.loads(look(trace, config, first, "--json"))["deliveries"][0]["id"]
    said = look(trace, config, second)
    assert f"behind delivery {head} of message {first}, parked, D946" in said
    assert "behind" not in look(trace, config, first)
    for text in (said, look(trace, config, first)):
        assert "datetime" not in text
        assert "{" not in text
    assert "D901" in look(trace, config, first)


def test_a_state_that_there_is_not_is_a_mistake_of_usage_and_no_empty_list():
    made = CliRunner().invoke(messages, ["--state", "prked"])
    assert made.exit_code == 2
    assert "parked" in made.stderr


def test_a_task_is_shown_taken_and_ends_with_what_it_is_about(filled):
    config, first, _ = filled
    (task,) = json.loads(look(tasks, config, "--json"))
    assert (task["what"], task["cause"], task["queue"], task["holder"]) == ("delivery", "D946", "operations", "")
    assert json.loads(look(trace, config, first, "--json"))["tasks"][0]["id"] == task["id"]
    assert "D946" in look(trace, config, first)
    assert json.loads(look(tasks, config, "--queue", "ward", "--json")) == []

    def run(*arguments):
        made = CliRunner(env={"COLUMNS": "250"}).invoke(tasks, ["--config", str(config), *map(str, arguments)])
        return made.return_value if made.exception is None else made.exception

    assert run("take", task["id"]) is None
    assert "at the command line" in look(tasks, config)
    refused = run("done", task["id"], "--as", "looked at")
    assert refused.code == "S230"


# Of a database no gateway has the store to itself: whoever acts is one more that writes.
@pytest.mark.parametrize("config", ["SQLite"], indirect=True)
def test_a_task_is_taken_through_the_gateway_that_has_the_store(filled, monkeypatch):
    config, _, _ = filled
    text = (
        config.read_text()
        + """
[http]
listen = "127.0.0.1:PORT"
[[access]]
token = "env:OPERATOR"
roles = ["operator"]
name = "ann"
"""
    )
    monkeypatch.setenv("OPERATOR", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    config.write_text(text.replace("PORT", str(port)))
    (task,) = json.loads(look(tasks, config, "--json"))

    async def served():
        app = build(load(config), log=logs.make(io.BytesIO()))
        await app.open()
        try:
            return await asyncio.to_thread(
                CliRunner().invoke, tasks, ["--config", str(config), "take", str(task["id"])]
            )
        finally:
            await app.close()

    made = asyncio.run(served())
    assert made.exit_code == 0, made.output
    assert json.loads(look(tasks, config, "--json"))[0]["holder"] == "ann"


# --- audit -------------------------------------------------------------------------------------------------


async def write_down(config: Path) -> None:
    store = store_of(load(config, {}))
    await store.open()
    for number in range(5):
        at = NOW + timedelta(minutes=number)
        await store.audit(f"night-{number % 2}", "read original", number + 1, at, why="ward asked: bed 7")
    await store.close()


def test_the_audit_is_listed_and_narrowed(filled: tuple[Path, int, int]) -> None:
    config = filled[0]
    asyncio.run(write_down(config))

    def lines(*options: str) -> list[dict[str, object]]:
        result = CliRunner().invoke(audit, ["--config", str(config), "--json", *options], standalone_mode=False)
        return json.loads(result.stdout)  # type: ignore[no-any-return]

    assert [line["about"] for line in lines()] == [5, 4, 3, 2, 1]
    assert [line["about"] for line in lines("--who", "night-0")] == [5, 3, 1]
    assert [line["about"] for line in lines("--about", "2")] == [2]
    assert [line["about"] for line in lines("--since", "2026-03-03T09:03")] == [5, 4]
    first = lines("--most", "2")
    assert [line["about"] for line in lines("--most", "2", "--before", str(first[-1]["number"]))] == [3, 2]
    assert {(line["act"], line["why"]) for line in lines()} == {("read original", "ward asked: bed 7")}
    shown = CliRunner().invoke(audit, ["--config", str(config)]).stdout
    assert "read original" in shown
    assert "ward asked" in shown


def change(config: Path, statement: str) -> None:
    gateway = load(config, {}).gateway
    if gateway.database:
        execute(gateway.database, statement)
    else:
        with closing(sqlite3.connect(gateway.store_path)) as file, file:
            file.execute(statement)


def test_a_changed_audit_is_found(filled: tuple[Path, int, int]) -> None:
    config = filled[0]
    asyncio.run(write_down(config))
    whole = CliRunner().invoke(commands, ["audit", "--verify", "--config", str(config)])
    assert (whole.exit_code, "The log is whole" in whole.stdout) == (0, True)
    change(config, "update log set who = 'somebody else' where what = 'audit' and about = 3")
    with pytest.raises(StoreError) as raised:
        CliRunner().invoke(audit, ["--verify", "--config", str(config)], standalone_mode=False, catch_exceptions=False)
    assert raised.value.code == "S207"


# --- search ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--search", "c1"], [0]),
        (["--search", "C1", "--kind", "patient"], []),
        (["--search", "P1", "--kind", "patient"], [1, 0]),
        (["--since", "2026-03-03"], [1, 0]),
        (["--until", "2026-03-03T09:00"], []),
        (["--most", "1"], [1]),
    ],
)
def test_messages_are_narrowed(filled: tuple[Path, int, int], options: list[str], found: list[int]) -> None:
    config, *ids = filled
    result = CliRunner().invoke(messages, ["--config", str(config), "--json", *options], standalone_mode=False)
    assert [row["id"] for row in json.loads(result.stdout)] == [ids[number] for number in found]


def test_what_is_searched_for_need_not_stand_on_the_command_line(filled: tuple[Path, int, int]) -> None:
    result = CliRunner().invoke(messages, ["--config", str(filled[0]), "--json", "--search", "-"], input="C2\n")
    assert [row["id"] for row in json.loads(result.stdout)] == [filled[2]]


@pytest.mark.parametrize(
    "options", [["--kind", "nhs"], ["--since", "yesterday"], ["--kind", "person", "--search", "Q"], ["--most", "0"]]
)
def test_what_cannot_be_looked_for_is_told_so(filled: tuple[Path, int, int], options: list[str]) -> None:
    result = CliRunner().invoke(messages, ["--config", str(filled[0]), *options])
    assert result.exit_code == 2
    assert "Q" not in result.stderr.replace("Usage", "")


@pytest.mark.parametrize("config", ["SQLite"], indirect=True)
def test_names_are_whole_in_what_is_piped(filled, monkeypatch):
    config, _, _ = filled
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = CliRunner().invoke(messages, ["--config", str(config)]).output
    [feed] = {one["feed"] for one in json.loads(look(messages, config, "--json"))}
    assert feed in piped
    assert max(map(len, piped.splitlines())) > 80, "as wide as it has to be"
