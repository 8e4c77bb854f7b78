"""What the commands that look into a store show of it: what waits for a person, and what waits behind that."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.cli.looking import messages, parked, status, trace
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

NOW = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)


async def fill(path: Path) -> tuple[int, int]:
    """Two messages of one patient to one destination, which refuses the first at the second attempt."""
    store = SqliteStore(path)
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


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, int, int]:
    (tmp_path / "mhbridge.toml").write_text('[gateway]\nstore = "sqlite:m/m.db"\n')
    return tmp_path / "mhbridge.toml", *asyncio.run(fill(tmp_path / "m" / "m.db"))


def look(command, config, *arguments):
    result = CliRunner(env={"COLUMNS": "250"}).invoke(command, [*map(str, arguments), "--config", str(config)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_a_message_with_a_parked_delivery_is_on_the_list_with_its_reason(filled):
    config, first, _ = filled
    (row,) = json.loads(look(parked, config, "--json"))
    assert (row["id"], row["state"]) == (first, "done")
    assert [(waiting["destination"], waiting["code"]) for waiting in row["waiting"]] == [("acute", "D946")]
    assert "D946 at acute" in look(parked, config)
    told = json.loads(look(status, config, "--json"))
    assert (told["waiting"], told["late"]) == (1, {"acute": 2})
    assert "overdue to acute" in look(status, config)


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
