"""The suite of all stores, on SQLite: with threads as in production, and inline as in simulation."""

import pytest
from backlog_contract import BacklogContract
from store_contract import StoreContract

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite.turns import InlineTurns, ThreadTurns


class SqliteContract(StoreContract, BacklogContract):
    @pytest.fixture
    async def reopened(self, tmp_path, turns):
        stores = []

        async def opened():
            store = SqliteStore(tmp_path / "store" / "mhbridge.db", turns=turns)
            await store.open()
            stores.append(store)
            return store

        yield opened
        for store in stores:
            await store.close()

    @pytest.fixture
    async def store(self, reopened):
        return await reopened()


class TestSqliteOnThreads(SqliteContract):
    @pytest.fixture
    def turns(self):
        return ThreadTurns


class TestSqliteInline(SqliteContract):
    @pytest.fixture
    def turns(self):
        return lambda _name: InlineTurns()
