"""Files that belong together: they wait for each other over restarts, are taken once, and never in halves."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zipfile import ZipFile

import pytest

from mhbridge import log as logs
from mhbridge.adapters.folder import DiskFiles, FolderReceiver
from mhbridge.formats.csv import FORMAT
from mhbridge.formats.several import read_files
from mhbridge.model import Answer, Verdict

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPELLS, STAYS = b"SpellID,Left\nS1,today\n", b"SpellID,Ward\nS1,Alder\n"
SOURCE = FORMAT.declare(
    "Europe/London",
    "",
    {
        "message_per": "Spell",
        "wait": "2h",
        "tables": {
            "Spell": {"columns": ["SpellID", "Left"], "key": "SpellID"},
            "Stay": {"columns": ["SpellID", "Ward"], "many_for": "Spell", "by": "SpellID"},
        },
    },
)


class Interrupted(BaseException):
    """The process ended here."""


class Files(DiskFiles):
    """Real files; the n-th call ends the process before or after it."""

    def __init__(self, at=0, *, after=False):
        self.calls, self._at, self._after = 0, at, after

    def write(self, path, body):
        self._through(super().write, path, body)

    def rename(self, old, new):
        self._through(super().rename, old, new)

    def _through(self, call, *values):
        self.calls += 1
        here = self.calls == self._at
        if here and not self._after:
            raise Interrupted
        call(*values)
        if here:
            raise Interrupted


class Books:
    """What the gateway keeps, over all processes."""

    def __init__(self):
        self.kept, self.calls, self.now, self.end_at = [], 0, NOW, None

    async def receive(self, envelope):
        self.calls += 1
        if self.end_at == (self.calls, False):
            raise Interrupted
        if envelope.body not in self.kept:
            self.kept.append(envelope.body)
        if self.end_at == (self.calls, True):
            raise Interrupted
        return Answer(Verdict.ACCEPTED, "Kept.", NOW, reference="1")

    async def refuse(self, feed, code):
        raise AssertionError((feed, code))


@asynccontextmanager
async def watching(path, books, files=None, **options):
    receiver = FolderReceiver(
        supplier="s", feed="s/folder", path=path, receive=books.receive, refuse=books.refuse,
        files=files or DiskFiles(), clock=lambda: books.now, log=logs.make(io.BytesIO()),
        gatherings=lambda: (FORMAT.gathers([SOURCE]),), **{"settle": 0.0, "every": 0.001} | options,
    )  # fmt: skip
    await receiver.open()
    try:
        yield receiver
    finally:
        await receiver.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for is a file
            await asyncio.sleep(0.005)


def left(path):
    return sorted(file.name for file in path.iterdir() if file.is_file())


def archived(path):
    return sorted(file.name.partition("-")[2] for file in (path / "archive").iterdir())


def inside(body):
    return {file.name: file.body for file in read_files(body)}


async def test_what_belongs_together_is_one_envelope_and_is_put_away_together(tmp_path):
    books = Books()
    async with watching(tmp_path, books):
        (tmp_path / "Stay_04.csv").write_bytes(STAYS)
        (tmp_path / "Spell_05.csv").write_bytes(SPELLS)
        (tmp_path / "other.csv").write_bytes(b"alone")
        await until(lambda: archived(tmp_path) == ["other.csv"])
        assert books.kept == [b"alone"], "two months are not one set"
        (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
        await until(lambda: archived(tmp_path) == ["Spell_04.csv", "Stay_04.csv", "other.csv"])
    assert [inside(body) for body in books.kept[1:]] == [{"Spell.csv": SPELLS, "Stay.csv": STAYS}]
    assert left(tmp_path) == ["Spell_05.csv"]


async def test_the_wait_outlives_a_stop_and_then_what_is_there_is_taken(tmp_path):
    books = Books()
    (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
    for hours in (0, 1):
        books.now = NOW + timedelta(hours=hours)
        async with watching(tmp_path, books):
            await until(lambda: list((tmp_path / ".claimed").glob(".*.waits")))
            await asyncio.sleep(0.05)
        assert left(tmp_path) == ["Spell_04.csv"]
    books.now = NOW + timedelta(hours=2)
    async with watching(tmp_path, books):
        await until(lambda: archived(tmp_path) == ["Spell_04.csv"])
        await until(lambda: not list((tmp_path / ".claimed").iterdir()))
    ((name, body),) = inside(books.kept[0]).items()
    assert (name, body) == ("Spell_04.csv", SPELLS), "whole, so that a person sees what there is"
    ((broken, _),) = FORMAT.messages(books.kept[0], [SOURCE])
    assert broken.code == "M850"


async def test_a_set_whose_sender_takes_a_file_back_waits_anew(tmp_path):
    books = Books()
    (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
    async with watching(tmp_path, books):
        await until(lambda: list((tmp_path / ".claimed").glob(".*.waits")))
        (tmp_path / "Spell_04.csv").unlink()
        await until(lambda: not list((tmp_path / ".claimed").glob(".*.waits")))
        books.now = NOW + timedelta(hours=3)
        (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
        await until(lambda: list((tmp_path / ".claimed").glob(".*.waits")))
        await asyncio.sleep(0.05)
    assert books.kept == []


async def test_an_archive_is_whole_and_waits_for_nothing(tmp_path):
    books = Books()
    with ZipFile(tmp_path / "x.part", "w") as archive:
        archive.writestr("extract/Stay.csv", STAYS)
        archive.writestr("extract/Spell.csv", SPELLS)
        archive.writestr("extract/readme.csv", b"alone")
        archive.writestr("extract/Stay_x.csv", STAYS)
    (tmp_path / "x.part").rename(tmp_path / "x.zip")
    async with watching(tmp_path, books):
        await until(lambda: archived(tmp_path) == ["x.zip"])
    together, half, alone = books.kept
    assert inside(together) == {"Spell.csv": SPELLS, "Stay.csv": STAYS}
    assert inside(half) == {"Stay_x.csv": STAYS}
    assert alone == b"alone"


async def test_a_second_file_of_one_table_waits_until_the_first_is_gone(tmp_path):
    books = Books()
    (tmp_path / "Stay_04.csv").write_bytes(STAYS)
    (tmp_path / "STAY_04.CSV").write_bytes(STAYS + b"S1,Beech\n")
    (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
    async with watching(tmp_path, books):
        await until(lambda: len(archived(tmp_path)) == 2)
        await asyncio.sleep(0.05)
    assert len(books.kept) == 1
    assert len(left(tmp_path)) == 1


async def test_each_file_may_have_a_marker(tmp_path):
    books = Books()
    async with watching(tmp_path, books, marker=".done"):
        for name, body in (("Stay_04.csv", STAYS), ("Spell_04.csv", SPELLS)):
            (tmp_path / name).write_bytes(body)
        (tmp_path / "Stay_04.csv.done").touch()
        await asyncio.sleep(0.05)
        assert books.kept == []
        (tmp_path / "Spell_04.csv.done").touch()
        await until(lambda: len(archived(tmp_path)) == 4)
    assert [inside(body) for body in books.kept] == [{"Spell.csv": SPELLS, "Stay.csv": STAYS}]
    assert left(tmp_path) == []


async def process(path, books, files):
    """A process that ends when everything is put away, or when it is interrupted: then it says so."""
    try:
        async with watching(path, books, files) as receiver:
            task = receiver._task
            await until(lambda: task.done() or not (left(path) or left(path / ".claimed")))
    except Interrupted:
        return True
    return False


@pytest.mark.parametrize("late", [False, True])
async def test_a_process_may_end_between_any_two_steps(tmp_path, late):
    """`late`: the second file is put there only after the process has ended."""
    ends = 0
    for kind, steps in (("files", 8), ("books", 2)):
        for n in range(1, steps + 1):
            for after in (False, True):
                path = tmp_path / f"{kind}{n}{after}"
                path.mkdir()
                (path / "Stay_04.csv").write_bytes(STAYS)
                books = Books()
                books.end_at = (n, after) if kind == "books" else None
                files = Files(n if kind == "files" else 0, after=after)
                if late:
                    async with watching(path, books):
                        await until(lambda path=path: list((path / ".claimed").glob(".*.waits")))
                (path / "Spell_04.csv").write_bytes(SPELLS)
                ends += await process(path, books, files)
                books.end_at = None
                assert await process(path, books, DiskFiles()) is False
                assert [inside(body) for body in books.kept] == [{"Spell.csv": SPELLS, "Stay.csv": STAYS}], (n, after)
                assert archived(path) == ["Spell_04.csv", "Stay_04.csv"], (kind, n, after)
                assert list((path / ".claimed").iterdir()) == []
    # Two claims, that they were answered, two put away; and one call of the gateway: each was an end, twice.
    assert ends == 2 * (5 + 1)


async def test_without_the_note_half_of_what_was_answered_would_wait_for_the_other(tmp_path):
    """The control: what ends between the two that are put away is told by the note alone."""
    books = Books()
    (tmp_path / "Stay_04.csv").write_bytes(STAYS)
    (tmp_path / "Spell_04.csv").write_bytes(SPELLS)
    assert await process(tmp_path, books, Files(4, after=True)) is True
    (note,) = (tmp_path / ".claimed").glob(".*.answered")
    note.unlink()
    books.now = NOW + timedelta(hours=1)
    async with watching(tmp_path, books):
        await until(lambda: list((tmp_path / ".claimed").glob(".*.waits")))
    assert len(left(tmp_path / ".claimed")) == 2, "a file and the note that it waits"
