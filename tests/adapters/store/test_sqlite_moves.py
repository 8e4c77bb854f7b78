"""The one move function: only legal moves, one row each, lanes that follow; checked against a plain model of lanes."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_cases import T0, keep

from mhbridge.adapters.sql import moves
from mhbridge.adapters.sql.transitions import (
    DELIVERY_MOVES,
    IN_LANE,
    MESSAGE_MOVES,
    NEW,
    OPEN_DELIVERIES,
    OPEN_MESSAGES,
)
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move

# The design's tables of moves (§2.1 and §2.2), once more; what is held as stale may be replaced or cancelled.
DELIVERY_TABLE = """
    (new)     queued
    queued    sending parked superseded cancelled
    retry     sending parked superseded cancelled
    sending   done awaiting retry unknown parked
    unknown   unknown done awaiting retry parked
    awaiting  awaiting done parked
    parked    queued closed superseded cancelled
"""
MESSAGE_TABLE = """
    (new)     stored done parked filtered
    stored    done held parked filtered superseded
    held      stored done superseded
    parked    stored closed superseded
    done      stored
    filtered  stored
"""


@pytest.mark.parametrize(
    ("table", "moves_of", "states"),
    [(DELIVERY_TABLE, DELIVERY_MOVES, DeliveryState), (MESSAGE_TABLE, MESSAGE_MOVES, MessageState)],
    ids=["delivery", "message"],
)
def test_the_legal_moves_are_those_of_the_design(table, moves_of, states):
    rows = [line.split() for line in table.strip().splitlines()]
    written = {old.replace("(new)", NEW): set(new) for old, *new in rows}
    assert {old: set(new) for old, new in moves_of.items() if new} == written
    assert set(moves_of) == {NEW, *states}
    is_open = OPEN_MESSAGES if states is MessageState else OPEN_DELIVERIES
    # What has ended moves no more, unless a person has it worked again.
    again = {state for state in set(states) - is_open if moves_of[state] == {MessageState.STORED}}
    assert {state for state in states if not moves_of[state]} == set(states) - is_open - again


def test_only_awaiting_is_open_and_out_of_the_lane():
    assert {DeliveryState.AWAITING} == OPEN_DELIVERIES - IN_LANE


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "store" / "mhbridge.db", turns=lambda _name: InlineTurns())
    await store.open()
    yield store
    await store.close()


async def write(store, verb):
    """Run a function of the books as the writer would."""

    books = store._books
    books.session.begin()
    mark = books.head
    try:
        verb(books)
        books.close()
        books.session.commit()
    except BaseException:
        books.session.rollback()
        books.forget(mark)
        raise


async def test_a_move_touches_the_row_in_the_state_that_it_is_said_to_be_in(store):
    done = await keep(store, 1, state=MessageState.PARKED)
    (message,) = done.messages

    def closing(about, old):
        return lambda books: moves.move(
            books, "message", about, old, MessageState.CLOSED, feed="a/b", at=0, code="", due_at=None
        )

    for about in (message + 1, message + 2):
        with pytest.raises(StoreError) as raised:
            await write(store, closing(about, MessageState.PARKED))
        assert raised.value.code == "S213"
    with pytest.raises(StoreError) as raised:
        await write(store, closing(message, MessageState.STORED))
    assert raised.value.code == "S212"
    assert (await store.status(T0)).differences == ()
    assert await store.verify_log() == 1


@pytest.mark.parametrize("new", list(MessageState))
@pytest.mark.parametrize("old", list(MessageState))
async def test_a_message_makes_its_legal_moves_and_no_other(store, old, new):
    done = await keep(store, 1, state=old if old in MESSAGE_MOVES[NEW] else MessageState.STORED)
    (message,) = done.messages
    (row,) = await store.messages()

    def moving(old, new):
        return lambda books: moves.move(books, "message", message, old, new, feed=row.feed, at=0, due_at=None)

    for step in {MessageState.CLOSED: [MessageState.PARKED, MessageState.CLOSED]}.get(old, [old]):
        (row,) = await store.messages()
        if row.state != step:
            await write(store, moving(row.state, step))
    if new in MESSAGE_MOVES[old]:
        await write(store, moving(old, new))
    else:
        with pytest.raises(StoreError) as raised:
            await write(store, moving(old, new))
        assert raised.value.code == "S212"
    assert [text for text in (await store.status(T0)).differences if not text.startswith("C5")] == []


@dataclass
class Sent:
    """The model's delivery."""

    lane: tuple[int | None, str]
    number: int
    message: int
    state: str = "queued"
    due_at: int | None = 0
    attempts: int = 0

    @property
    def in_lane(self):
        return self.state in ("queued", "sending", "unknown", "retry", "parked")


STATES = st.sampled_from(list(DeliveryState))
SECONDS = st.integers(0, 40)


class Lanes(RuleBasedStateMachine):
    """Any sequence of what a gateway, its crashes and its people do, against a list of deliveries."""

    def __init__(self):
        super().__init__()
        self.patients: dict[int, int] = {}
        self.directory = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.sent: dict[int, Sent] = {}
        self.last: dict[tuple[int | None, str], int] = {}
        self.now = 0
        self.commits = 0
        self.store = self.opened()

    def teardown(self):
        self.run(self.store.verify_log())
        self.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.directory)

    def run(self, call):
        return self.loop.run_until_complete(call)

    def opened(self):
        store = SqliteStore(self.directory / "mhbridge.db", turns=lambda _name: InlineTurns())
        self.run(store.open())
        return store

    def at(self, seconds=0):
        return T0 + timedelta(seconds=self.now + seconds)

    def plan(self, message, deliveries):
        """Take over the deliveries that the store has made of a message."""
        for made in deliveries:
            if made["id"] not in self.sent:
                lane = (self.patients[message], made["destination"])
                self.last[lane] = self.last.get(lane, 0) + 1
                self.sent[made["id"]] = Sent(lane, self.last[lane], message, due_at=self.now)
                assert made["number"] == self.last[lane]

    def heads(self):
        lanes: dict[tuple[int | None, str], int] = {}
        for about, one in self.sent.items():
            if one.in_lane and (one.lane not in lanes or one.number < self.sent[lanes[one.lane]].number):
                lanes[one.lane] = about
        return set(lanes.values())

    def due(self):
        return {
            about
            for about in self.heads()
            if self.sent[about].state != "parked" and self.sent[about].due_at <= self.now
        }

    def some(self, data, *states):
        """One of the deliveries, of these states if there are any."""
        fitting = [about for about, one in self.sent.items() if not states or one.state in states]
        return data.draw(st.sampled_from(fitting or sorted(self.sent)))

    @rule(patient=st.integers(1, 3), to=st.sets(st.sampled_from(["gp", "acute"])))
    def commit(self, patient, to):
        self.commits += 1
        done = self.run(keep(self.store, self.commits, *sorted(to), patient=patient, at=self.at()))
        (message,) = done.messages
        self.patients[message] = patient
        self.plan(message, self.run(self.store.trace(message)).deliveries)

    @rule(most=st.integers(1, 4), seconds=st.integers(1, 40))
    def take(self, most, seconds):
        due = [one.id for one in self.run(self.store.due(self.at(), most))]
        taken = self.run(self.store.start(due, self.at(), self.at(seconds)))
        assert set(taken) == set(due) <= self.due()
        assert len(due) == min(most, len(self.due()))
        for about in taken:
            self.hold(about, seconds)

    def hold(self, about, seconds):
        one = self.sent[about]
        if one.state in ("queued", "retry"):
            one.state, one.attempts = "sending", one.attempts + 1
        else:
            one.state = "unknown"
        one.due_at = self.now + seconds

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), seconds=st.integers(1, 40))
    def start_any(self, data, seconds):
        about = self.some(data)
        expected = [about] if about in self.due() else []
        assert self.run(self.store.start([about], self.at(), self.at(seconds))) == expected
        for taken in expected:
            self.hold(taken, seconds)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), state=STATES, seconds=SECONDS)
    def finish(self, data, state, seconds):
        about = self.some(data, "sending", "unknown", "awaiting")
        one = self.sent[about]
        waits = state in (DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING)
        move = Move(about, state, level=1, due_at=self.at(seconds) if waits else None)
        if one.state in ("sending", "unknown", "awaiting") and state in DELIVERY_MOVES[one.state]:
            self.run(self.store.finish([move], self.at()))
            one.state, one.due_at = state.value, self.now + seconds if waits else None
        else:
            with pytest.raises(StoreError):
                self.run(self.store.finish([move], self.at()))

    @rule()
    def crash(self):
        self.run(self.store.close())
        self.store = self.opened()
        expected = [one for one in self.sent.values() if one.state == "sending"]
        assert self.run(self.store.recover(self.at())) == len(expected)
        for one in expected:
            one.state, one.due_at = "unknown", self.now

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def release(self, data):
        about = self.some(data, "parked")
        one = self.sent[about]
        assert self.run(self.store.release(about, "operator-7", self.at())) == (one.state == "parked")
        if one.state == "parked":
            one.state, one.due_at = "queued", self.now

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def close(self, data):
        message = self.sent[self.some(data, "parked")].message
        parked = [one for one in self.sent.values() if one.message == message and one.state == "parked"]
        assert self.run(self.store.close_message(message, "operator-7", "why", self.at())) == bool(parked)
        for one in parked:
            one.state, one.due_at = "closed", None

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def resend(self, data):
        message = self.sent[self.some(data, "done", "closed")].message
        newest = {one.lane: one for one in self.sent.values() if one.message == message}
        again = [one for one in newest.values() if one.state in ("done", "closed", "superseded", "cancelled")]
        assert self.run(self.store.resend(message, "operator-7", self.at())) == len(again)
        self.plan(message, self.run(self.store.trace(message)).deliveries)

    @rule(seconds=SECONDS)
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def heads_that_are_due_are_due(self):
        due = self.run(self.store.due(self.at(), 1_000))
        assert {one.id for one in due} == self.due()
        for one in due:
            expected = self.sent[one.id]
            assert (one.state, one.number, one.attempts) == (expected.state, expected.number, expected.attempts)

    @invariant()
    def the_next_time_is_the_earliest(self):
        times = [self.sent[about].due_at for about in self.heads() if self.sent[about].state != "parked"]
        expected = min(times, default=None)
        assert self.run(self.store.next_due()) == (None if expected is None else T0 + timedelta(seconds=expected))

    @invariant()
    def the_accounts_are_even(self):
        status = self.run(self.store.status(self.at()))
        assert [text for text in status.differences if "behind" not in text] == []
        counts: dict[str, int] = {}
        for one in self.sent.values():
            counts[one.state] = counts.get(one.state, 0) + 1
        assert status.deliveries == counts


Lanes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLanes = Lanes.TestCase
