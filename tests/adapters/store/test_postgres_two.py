"""Two processes that write one database at the same time: what each makes is there once, and the accounts are one."""

import asyncio

import pytest
from store_cases import FEED, T0, a_reading, keep, keep_reading

from databases import database, execute, with_tables
from mhbridge.adapters.postgres import Address, PostgresStore
from mhbridge.errors import StoreError

MANY = 60


@pytest.fixture
async def two():
    with database(with_tables()) as address:
        stores = [PostgresStore(Address(address), master=lambda: b"m" * 32, writers=2, node=name) for name in "ab"]
        for store in stores:
            await store.open()
        yield address, *stores
        for store in stores:
            await store.close()


async def test_the_same_envelope_is_taken_once_wherever_it_comes_in(two):
    address, *stores = two
    taken = await asyncio.gather(*[keep(store, number, patient=number) for number in range(MANY) for store in stores])
    assert sum(not one.repeated for one in taken) == sum(one.repeated for one in taken) == MANY
    assert len({one.envelope for one in taken}) == MANY
    for store in stores:
        status = await store.status(T0)
        assert (status.receipts, status.repeats, status.differences) == (2 * MANY, MANY, ())
        assert await store.verify_log() > 0
    assert execute(address, "select count(distinct writer) from log") == [(2,)]


async def test_ids_are_given_once_and_a_patient_is_made_once(two):
    address, *stores = two
    await asyncio.gather(
        *[
            keep(store, number * 2 + which, patient=number)
            for number in range(MANY)
            for which, store in enumerate(stores)
        ]
    )
    assert execute(address, "select count(*) from patient") == [(MANY,)]
    assert execute(address, "select count(*) from message") == [(2 * MANY,)]
    tables = ("envelope", "message", "reading", "document", "delivery", "patient", "destination")
    ids = [row for table in tables for row in execute(address, f"select id from {table}")]
    assert len(ids) == len(set(ids))


async def test_what_one_has_written_the_other_knows(two):
    from store_cases import EVENT, a_patient

    _, first, second = two
    for number in range(6):
        store = (first, second)[number % 2]
        await keep_reading(store, number, a_reading({f"n{number}": number}))
        for one in (first, second):
            known = await one.known(a_patient(), "V1", EVENT)
            assert set(known.items) == {f"n{n}" for n in range(number + 1)}
    assert (await first.known(a_patient(), "V1", EVENT)).digest == (await second.known(a_patient(), "V1", EVENT)).digest


async def test_nobody_is_alone_beside_one_of_several(two, monkeypatch):
    address, first, second = two
    monkeypatch.setattr("mhbridge.adapters.postgres.opening._LET_GO", 0.1)
    await (first if first._writer.number == 1 else second).close()
    alone = PostgresStore(Address(address), master=lambda: b"m" * 32)
    with pytest.raises(StoreError) as caught:
        await alone.open()
    assert caught.value.code == "S206"
    await asyncio.gather(first.close(), second.close())
    await alone.open()
    await alone.close()


async def test_numbers_of_writers_are_free_again_when_one_ends(two):
    address, first, second = two
    assert {first._writer.number, second._writer.number} == {1, 2}
    await first.close()
    third = PostgresStore(Address(address), master=lambda: b"m" * 32, writers=2, node="c")
    await third.open()
    await keep(third, 1000)
    assert third._writer.number == 1
    await third.verify_log()
    await third.close()
    await first.open()
    assert {name for name, *_ in execute(address, "select feed from envelope")} == {FEED}
