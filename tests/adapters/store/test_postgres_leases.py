"""Two gateways on one PostgreSQL: leases of parts, and that nobody writes for what is another's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from store_cases import FEED, MINUTE, T0, a_patient, a_reading, keep, take

from databases import database, with_tables
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import PARTS, Move, SharedStore, part_of

#: So long a lease lasts where it is to end; and where it is not.
SHORT, LONG = 0.2, 600.0


@pytest.fixture
def address():
    with database(with_tables()) as found:
        yield found


@asynccontextmanager
async def a_node(address, name):
    from mhbridge.adapters.postgres import Address, PostgresStore

    store = PostgresStore(Address(address), master=lambda: b"m" * 32, node=name, writers=8)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def a(address):
    async with a_node(address, "alder") as store:
        yield store


@pytest.fixture
async def b(address):
    async with a_node(address, "larch") as store:
        yield store


async def take_all(store, lease=LONG):
    """Take what is free, and work for what is held."""
    holding = await store.renew(lease)
    store.work_for(holding.held, holding.held)
    return holding


async def refused(call):
    with pytest.raises(StoreError) as raised:
        await call
    return raised.value.code


async def test_a_part_is_one_nodes_and_its_token_grows_whenever_it_is_taken(a, b):
    assert isinstance(a, SharedStore)
    first = await take_all(a, SHORT)
    assert first.held == dict.fromkeys(range(PARTS), 1)
    assert set(first.taken.values()) == {True}
    assert first.nodes == {"alder": PARTS}
    assert (await take_all(b)).held == {}
    await asyncio.sleep(2 * SHORT)
    second = await take_all(b)
    assert second.held == dict.fromkeys(range(PARTS), 2)
    assert set(second.taken.values()) == {False}
    assert list(second.lost) == ["alder"]
    back = await take_all(a)
    assert (back.held, back.nodes) == ({}, {"alder": 0, "larch": PARTS})


async def test_two_lives_of_one_name_keep_apart_and_know_of_each_other(address, a):
    await take_all(a)
    async with a_node(address, "alder") as other:
        first = await take_all(other)
        # It may be the same gateway, started again; that another's leases still run says nothing of that.
        assert (first.held, first.namesake) == ({}, True)
        assert (await a.renew(LONG)).namesake
        assert (await other.renew(LONG)).namesake
        assert (await a.renew(LONG)).held.keys() == set(range(PARTS))
    await a.renew(LONG)
    assert not (await a.renew(LONG)).namesake


async def test_what_is_given_up_is_taken_in_good_order(a, b):
    await take_all(a)
    await b.renew(LONG)
    left = await a.renew(LONG, leave=range(100))
    # Whoever gives something up does not take it again at once.
    assert left.held.keys() == set(range(100, PARTS))
    found = await b.renew(LONG)
    assert found.taken == dict.fromkeys(range(100), True)
    await a.resign(range(100, 200))
    assert (await b.renew(LONG)).taken == dict.fromkeys(range(100, 200), True)
    assert (await b.renew(LONG)).nodes == {"larch": 200}


async def test_what_is_wanted_is_said_to_whoever_has_it_and_kept_for_who_wants_it(address, a, b):
    await take_all(a)
    await b.renew(LONG, want=[7, 9])
    assert (await a.renew(LONG)).wanted == {7, 9}
    await a.renew(LONG, leave=[7, 8])
    async with a_node(address, "rowan") as c:
        assert 7 not in (await c.renew(LONG)).held
        assert 7 in (await b.renew(LONG, want=[7, 9])).held


async def test_of_what_is_due_each_is_given_its_own(a, b):
    for number in range(40):
        await keep(a, number, "x", patient=number)
        await keep(b, 100 + number, patient=1000 + number, state=MessageState.STORED)
    even, odd = (dict.fromkeys(range(first, PARTS, 2), 0) for first in (0, 1))
    a.work_for(even, even)
    b.work_for(odd, odd)
    now = T0 + MINUTE
    mine, yours = [await store.due(now, 100) for store in (a, b)]
    assert len(mine) + len(yours) == 40
    assert {part_of(one.patient) % 2 for one in mine} == {0}
    assert {part_of(one.patient) % 2 for one in yours} == {1}
    some, others = [await store.waiting(now, 100) for store in (a, b)]
    assert len(some) + len(others) == 40
    assert {part_of(one.patient) % 2 for one in some} == {0}
    # What is held and about to be given up is not asked for.
    a.work_for(even, ())
    assert await a.due(now, 100) == await a.waiting(now, 100) == []
    assert (await a.next_due(), await a.next_waiting(T0 - MINUTE)) == (None, None)


async def test_the_part_of_a_patient_is_known_before_anything_of_it_is(a):
    patients = [a_patient(number) for number in range(20)]
    before = [await a.parts_of([patient]) for patient in patients]
    for number in range(20):
        await keep(a, number, "x", patient=number)
    due = {one.message: one.patient for one in await a.due(T0 + MINUTE, 100)}
    after = [{part_of(due[message])} for message in sorted(due)]
    assert before == after
    assert len({part for parts in before for part in parts}) > 10


# --- the fence ---------------------------------------------------------------------------------------------


async def taken_over(a, b, *to):
    """A message is being sent by one node when another takes its part."""
    await take_all(a, SHORT)
    await keep(a, 1, *to)
    (delivery,) = await take(a, T0 + MINUTE) if to else [None]
    await b.renew(LONG)
    await asyncio.sleep(2 * SHORT)
    await take_all(b)
    return delivery


async def test_who_has_lost_a_part_records_nothing_of_it(a, b):
    delivery = await taken_over(a, b, "x")
    done = Move(delivery.id, DeliveryState.DONE, level=2)
    assert await refused(a.finish([done], T0)) == "S260"
    assert await refused(keep(a, 2, "x", readings=[a_reading({"bed": "3"})])) == "S260"
    assert await refused(a.take_over([part_of(delivery.patient)], T0, T0)) == "S260"
    # Whoever has it looks up what was being sent, when it must have arrived.
    assert await b.take_over(range(PARTS), T0 + MINUTE, T0 + 2 * MINUTE) == 1
    assert await b.due(T0 + 1.9 * MINUTE, 10) == []
    (again,) = await b.due(T0 + 2 * MINUTE, 10)
    assert (again.id, again.state) == (delivery.id, DeliveryState.UNKNOWN)
    assert await b.start([again.id], T0 + 2 * MINUTE, T0 + 3 * MINUTE) == [delivery.id]
    await b.finish([done], T0 + 2 * MINUTE)
    assert (await b.status(T0 + 2 * MINUTE)).differences == ()


async def test_with_the_fence_off_it_would(a, b):
    delivery = await taken_over(a, b, "x")
    a._books.fence = None
    # What nobody has looked up counts as delivered …
    await a.finish([Move(delivery.id, DeliveryState.DONE, level=2)], T0)
    assert (await b.status(T0)).deliveries == {"done": 1}
    # … and what was made of less than is known by now leaves after what was made of all of it.
    await keep(b, 2, "x", readings=[a_reading({"bed": "4"})])
    late = await keep(a, 3, "x", readings=[a_reading({"bed": "3"})])
    await take(b, T0 + MINUTE)
    rows = {row.id: row.deliveries for row in await b.messages()}
    assert rows[late.messages[0]] == {"queued": 1}


async def test_what_is_only_made_durable_any_node_takes(a, b):
    await taken_over(a, b)
    committed = await keep(a, 5, state=MessageState.STORED)
    (pending,) = await b.waiting(T0 + MINUTE, 10)
    assert pending.id == committed.messages[0]
    assert await refused(a.begin([pending], T0 + MINUTE, T0 + 2 * MINUTE)) == "S260"
    (taken,) = await b.begin([pending], T0 + MINUTE, T0 + 2 * MINUTE)
    # Whoever takes over need not wait until whoever is gone would have been back.
    await b.take_over(range(PARTS), T0 + MINUTE, T0 + MINUTE)
    assert (await b.waiting(T0 + MINUTE, 10))[0].starts == taken.starts == 1


async def test_what_people_do_any_node_records(a, b):
    delivery = await taken_over(a, b, "x")
    await b.take_over(range(PARTS), T0, T0)
    await b.start([delivery.id], T0 + MINUTE, T0 + 2 * MINUTE)
    await b.finish([Move(delivery.id, DeliveryState.PARKED, "D946")], T0 + MINUTE)
    assert await a.release(delivery.id, "somebody", T0 + MINUTE)
    assert [one.id for one in await b.due(T0 + 2 * MINUTE, 10)] == [delivery.id]
    assert (await a.status(T0 + MINUTE)).differences == ()


async def test_a_part_is_not_taken_while_something_is_written_for_it(address, a, b):
    await take_all(a, SHORT)
    await keep(a, 1, "x")
    await b.renew(LONG)
    import psycopg

    part = next(iter(await a.parts_of([a_patient(1)])))
    with psycopg.connect(address) as connection:
        connection.execute("select 1 from part where part = %s for share", [part])
        await asyncio.sleep(2 * SHORT)
        assert part not in (await b.renew(LONG)).held
        connection.rollback()
        assert part in (await b.renew(LONG)).held


# --- between nodes -----------------------------------------------------------------------------------------


async def test_the_same_from_two_nodes_at_once_is_taken_once(a, b):
    both = await asyncio.gather(*(keep(store, 1, state=MessageState.STORED) for store in (a, b)))
    assert sorted(one.repeated for one in both) == [False, True]
    many = await asyncio.gather(
        *(keep(store, n, patient=n, state=MessageState.STORED) for n in range(2, 30) for store in (a, b))
    )
    assert sum(one.repeated for one in many) == 28
    status = await a.status(T0)
    assert (status.differences, status.messages, status.repeats) == ((), {"stored": 29}, 29)


async def test_who_comes_later_to_another_node_comes_after(a, b):
    for number in range(12):
        await keep((a, b)[number % 2], number, state=MessageState.STORED)
    found = await a.waiting(T0 + MINUTE, 100)
    assert len(found) == 1
    order = [row.id for row in reversed(await a.messages(most=100))]
    assert order == sorted(order)
    assert found[0].id == order[0]


async def test_what_one_has_learned_the_other_knows(a, b):
    await take_all(a)
    await keep(a, 1, readings=[a_reading({"bed": "3"})])
    assert (await b.known(a_patient(1), "V1", "encounter-event")).items == {"bed": "3"}
    await keep(a, 2, readings=[replace(a_reading({"bed": "4"}), effective_at="")])
    assert (await b.known(a_patient(1), "V1", "encounter-event")).items == {"bed": "4"}


async def test_a_node_hears_what_another_has_taken(a, b):
    heard, own = asyncio.Queue(), asyncio.Queue()
    b.listen(heard.put_nowait)
    a.listen(own.put_nowait)
    (part,) = await a.parts_of([a_patient(1)])
    b.work_for({part: 1}, {part})
    others = [number for number in range(2, 6) if part not in await a.parts_of([a_patient(number)])]
    await asyncio.sleep(0.5)
    for number in (*others, 1):
        await keep(a, number, patient=number, state=MessageState.STORED)
    # It hears of what is its own, and once; and of parts that anybody may take.
    assert await asyncio.wait_for(heard.get(), 5) is False
    await a.resign([])
    assert await asyncio.wait_for(heard.get(), 5) is True
    assert heard.empty()
    assert own.empty()


async def test_the_accounts_are_of_all(a, b):
    await take_all(a)
    await keep(a, 1, "x")
    await keep(b, 2, state=MessageState.STORED, patient=2)
    for store in (a, b):
        status = await store.status(T0)
        assert (status.receipts, status.differences, status.feeds[FEED]["received"]) == (2, (), 2)
        assert await store.verify_log() > 0


async def test_what_was_being_looked_up_is_not_looked_up_sooner_either(a, b):
    delivery = await taken_over(a, b, "x")
    await b.take_over(range(PARTS), T0, T0)
    # Looked up by one, which may send it again; then somebody else takes the part.
    await b.start([delivery.id], T0 + MINUTE, T0 + 2 * MINUTE)
    await b.resign(range(PARTS))
    await take_all(a)
    assert await a.take_over(range(PARTS), T0 + MINUTE, T0 + 10 * MINUTE) == 1
    assert await a.due(T0 + 9 * MINUTE, 10) == []
    assert [one.id for one in await a.due(T0 + 10 * MINUTE, 10)] == [delivery.id]
