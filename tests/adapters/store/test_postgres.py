"""The suite of all stores, on PostgreSQL."""

import pytest
from acknowledging_contract import AcknowledgingContract
from backlog_contract import BacklogContract
from clock_contract import ClockContract
from figures_contract import FiguresContract
from keeping_contract import KeepingContract
from letters_contract import LettersContract
from merge_contract import MergeContract
from repairing_contract import RepairingContract
from search_contract import FOUND, SearchContract
from series_contract import SeriesContract
from silence_contract import SilenceContract
from store_contract import StoreContract
from task_contract import DUTIES, TaskContract
from watching_contract import WatchingContract

from databases import database, execute, with_tables


@pytest.fixture
def address():
    with database(with_tables()) as found:
        yield found


class TestPostgres(
    AcknowledgingContract,
    StoreContract,
    ClockContract,
    BacklogContract,
    LettersContract,
    MergeContract,
    SearchContract,
    SeriesContract,
    SilenceContract,
    FiguresContract,
    TaskContract,
    WatchingContract,
    KeepingContract,
    RepairingContract,
):
    @pytest.fixture
    async def reopened(self, address):
        from mhbridge.adapters.postgres import Address, PostgresStore

        stores = []

        async def opened():
            store = PostgresStore(Address(address), master=lambda: b"m" * 32, duties=DUTIES)
            await store.open()
            stores.append(store)
            return store

        yield opened
        for store in stores:
            await store.close()

    @pytest.fixture
    async def store(self, reopened):
        return await reopened()

    @pytest.mark.usefixtures("three")
    async def test_no_identifier_is_in_the_indexes_in_clear(self, address):
        tables = ("property", "identity", "message", "patient")
        rows = [row for table in tables for row in execute(address, f"select * from {table}")]
        assert rows
        written = repr(rows).casefold()
        assert not [text for kind, text in FOUND if kind != "remote" and len(text) > 4 and text.casefold() in written]
