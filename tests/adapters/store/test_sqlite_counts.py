"""The accounts count what has ended once: they say the same as counting everything, and find what is damaged later."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace

import apsw
import pytest
from store_cases import MINUTE, T0, keep, take

from mhbridge.adapters.sql import accounts
from mhbridge.adapters.sql.counts import Counts
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore, opening
from mhbridge.adapters.sqlite.session import SqliteSession
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move

WIDTH = 64


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "store" / "mhbridge.db", turns=lambda _name: InlineTurns())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def reader(tmp_path, store):
    """Who looks, with slices so small that there are some."""
    keys = store._keys
    connection = opening.open_reader(tmp_path / "store" / "mhbridge.db", apsw.Connection, keys)
    reader = Reader(SqliteSession(connection), keys)
    reader.counts = Counts(WIDTH)
    yield reader
    connection.close()


def sealed(reader):
    return [one for one in reader.counts._slices if one is not None]


def whole(reader):
    """The accounts by counting everything."""
    fresh = Reader(reader.session, reader.keys)
    return accounts.status(fresh, T0)


async def some(store, count, *, first=0):
    for number in range(first, first + count):
        await keep(store, number, "gp", "ward", patient=number)
    for due in await take(store, T0, count * 2):
        await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)


async def test_what_has_ended_is_counted_once(store, reader):
    await some(store, 60)
    assert accounts.status(reader, T0) == whole(reader)
    assert len(sealed(reader)) >= 5
    asked = []
    rows, reader.rows = reader.rows, lambda name, **values: asked.append((name, values)) or rows(name, **values)
    assert accounts.status(reader, T0) == whole(reader)
    counted = [values["to"] - values["after"] for name, values in asked if name == "count_messages"]
    # One slice in turn, and what has come since.
    assert len(counted) == 2
    assert counted[0] == WIDTH


@pytest.mark.parametrize("seed", range(8))
async def test_counting_the_ended_once_says_what_counting_everything_says(store, reader, seed):
    chance, now, number = random.Random(seed), T0, 0
    for _ in range(120):
        now += MINUTE
        match chance.randrange(6):
            case 0 | 1 | 2:
                number += 1
                state = chance.choice([MessageState.DONE] * 4 + [MessageState.PARKED, MessageState.FILTERED])
                to = ("gp", "ward")[: chance.randrange(3)] if state is MessageState.DONE else ()
                await keep(store, number, *to, at=now, patient=chance.randrange(20), state=state, code="M740")
            case 3:
                for due in await take(store, now, 5):
                    to = chance.choice([DeliveryState.DONE, DeliveryState.RETRY, DeliveryState.PARKED])
                    at = now + MINUTE if to is DeliveryState.RETRY else None
                    await store.finish([Move(due.id, to, code="D946", level=2 * (to == "done"), due_at=at)], now)
            case 4:
                for row in await store.messages(state="parked", most=2):
                    await store.close_message(row.id, "operator-7", "by post", now)
            case 5:
                for row in (await store.messages(state="done", most=50))[-2:]:
                    await store.resend(row.id, "operator-7", now)
        if chance.random() < 0.5:
            said = accounts.status(reader, now)
            assert said == accounts.status(Reader(reader.session, reader.keys), now)
    assert reader.counts._slices


DAMAGE = [
    ("C2", "delete from message where id in (select min(id) from message)"),
    ("C3", "delete from delivery where id in (select min(id) from delivery)"),
    ("C3", "update message set fanout = 7 where id in (select min(id) from message)"),
    ("C4", "update message set state = 'closed' where id in (select min(id) from message)"),
    ("C4", "update delivery set state = 'closed' where id in (select min(id) from delivery)"),
    ("C1", "delete from envelope where id in (select min(id) from envelope)"),
]


@pytest.mark.parametrize(("check", "damage"), DAMAGE)
async def test_what_is_damaged_after_it_was_counted_is_found_in_turn(store, reader, tmp_path, check, damage):
    await some(store, 60)
    assert accounts.status(reader, T0).differences == ()
    with closing(sqlite3.connect(tmp_path / "store" / "mhbridge.db")) as file, file:
        file.execute(damage)
    looks = 0
    while not (found := accounts.status(reader, T0).differences):
        looks += 1
        assert looks <= len(reader.counts._slices)
    assert [one for one in found if one.startswith(check)]
    assert found == whole(reader).differences
    # It is said at every look, and not everything is counted again for it.
    forgotten, forget = [], reader.counts.forget
    reader.counts.forget = lambda: forgotten.append(1) or forget()
    assert accounts.status(reader, T0).differences == found
    assert not forgotten


async def test_what_changes_by_right_after_it_was_counted_is_no_difference(store, reader, tmp_path):
    await some(store, 60)
    accounts.status(reader, T0)
    with closing(sqlite3.connect(tmp_path / "store" / "mhbridge.db")) as file, file:
        file.execute("update message set state = 'closed' where id in (select min(id) from message)")
        file.execute("update tally set n = n - 1 where what = 'message' and state = 'done'")
        file.execute("insert into tally select writer, feed, what, 'closed', 1 from tally where what = 'message'")
    assert accounts.status(reader, T0).differences == ()
    assert accounts.status(reader, T0) == whole(reader)


async def test_a_slice_of_which_much_is_open_is_counted_at_each_look(store, reader):
    for number in range(60):
        await keep(store, number, "gp", patient=number)
    said = accounts.status(reader, T0)
    assert said.deliveries == {"queued": 60}
    assert reader.counts._slices
    assert not sealed(reader)
    for due in await take(store, T0, 100):
        await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
    assert accounts.status(reader, T0).deliveries == {"done": 60}
    for _ in reader.counts._slices:
        assert replace(accounts.status(reader, T0)) == whole(reader)
    assert sealed(reader)


async def test_the_accounts_tell_where_things_are(store, reader):
    await keep(store, 1, "gp", at=T0 - 3 * MINUTE)
    await keep(store, 2, patient=2, at=T0 - 2 * MINUTE, state=MessageState.PARKED, code="M740")
    await keep(store, 3, "ward", patient=3, at=T0 - MINUTE)
    (first, _) = await take(store, T0)
    await store.finish([Move(first.id, DeliveryState.PARKED, code="D946")], T0)
    said = accounts.status(reader, T0)
    assert said.feeds == {"example-mental-health/adt": {"done": 2, "parked": 1, "received": 3}}
    assert said.destinations == {"gp": {"parked": 1}, "ward": {"sending": 1}}
    assert said.levels == {"gp": {"created": 1}, "ward": {"created": 1}}
    assert said.oldest == {"parked": T0 - 3 * MINUTE, "sending": T0 - MINUTE}
    assert (said.oldest_open, said.held) == (T0 - 3 * MINUTE, {"gp": 1})
