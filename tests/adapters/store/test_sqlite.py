"""The suite of all stores, on SQLite: with threads as in production, and inline as in simulation."""

import sqlite3
from contextlib import closing

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

from mhbridge.adapters.sql.turns import InlineTurns, ThreadTurns
from mhbridge.adapters.sqlite import SqliteStore


class SqliteContract(
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
    async def reopened(self, tmp_path, turns):
        stores = []

        async def opened():
            store = SqliteStore(tmp_path / "store" / "mhbridge.db", turns=turns, duties=DUTIES)
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
    async def test_no_identifier_is_in_the_indexes_in_clear(self, tmp_path):
        # The bodies hold them; the tables that are searched do not.
        with closing(sqlite3.connect(tmp_path / "store" / "mhbridge.db")) as file:
            rows = [
                row
                for table in ("property", "identity", "message", "patient")
                for row in file.execute(f"select * from {table}")
            ]
        assert rows
        written = repr(rows).casefold()
        assert not [text for kind, text in FOUND if kind != "remote" and len(text) > 4 and text.casefold() in written]


class TestSqliteOnThreads(SqliteContract):
    @pytest.fixture
    def turns(self):
        return ThreadTurns


class TestSqliteInline(SqliteContract):
    @pytest.fixture
    def turns(self):
        return lambda _name: InlineTurns()
