"""Folders: nothing is lost, nothing is seen half-written, nothing arrives twice, wherever the process ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import stat
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from mhbridge import log as logs
from mhbridge.adapters.folder import DiskFiles, FolderReceiver, FolderSender
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable, StoreError
from mhbridge.model import Answer, DeliveryState, Document, Verdict
from mhbridge.ports import DueDelivery

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UUID = "0b6f8b9f-974b-4a50-973b-8d0fda50973b"
NAME = f"000000000007-{UUID}.json"


class Interrupted(BaseException):
    """The process ended here."""


class Files(DiskFiles):
    """Real files; the n-th call ends the process before or after it, or fails."""

    def __init__(self, at=0, *, after=False, error=None):
        self.calls, self._at, self._after, self._error = 0, at, after, error or Interrupted()

    def write(self, path, body):
        self._through(super().write, path, body)

    def rename(self, old, new):
        self._through(super().rename, old, new)

    def _through(self, call, *values):
        self.calls += 1
        here = self.calls == self._at
        if here and not self._after:
            raise self._error
        call(*values)
        if here:
            raise self._error


def due(body=b'{"a":1}', **changes) -> DueDelivery:
    document = Document("letter", "r4", "document", b"s" * 32, f"urn:uuid:{UUID}", body)
    values = {"id": 7, "message": 1, "destination": "out", "patient": 1, "number": 1, "attempts": 0, "deadline": None}
    return DueDelivery(**values | changes, state=DeliveryState.SENDING, document=document)


async def sender(path, files=None) -> FolderSender:
    made = FolderSender(name="out", path=path, files=files or DiskFiles(), clock=lambda: NOW)
    await made.open()
    return made


def delivered(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


# --- out ---------------------------------------------------------------------------------------------------


async def test_a_document_is_put_whole_under_a_name_of_ids(tmp_path):
    found = await (await sender(tmp_path / "out")).deliver(due())
    assert (found.level, found.remote_id) == (2, NAME)
    assert delivered(tmp_path / "out") == {NAME: b'{"a":1}'}


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("after", [False, True])
async def test_wherever_the_process_ends_it_arrives_once(tmp_path, after, taken):
    """Every call of `Files` is an end; whoever reads the folder may take the file before we look."""
    count = Files()
    await (await sender(tmp_path / "count", count)).deliver(due())
    assert count.calls == 3
    for n in range(1, count.calls + 1):
        out = tmp_path / f"out{n}{after}"
        arrived = []

        def take(out=out, arrived=arrived):
            for name, body in delivered(out).items():
                arrived.append((name, body))
                (out / name).unlink()

        with pytest.raises(Interrupted):
            await (await sender(out, Files(n, after=after))).deliver(due())
        if taken:
            take()
        # The next process finds it `sending`, and looks before it sends.
        again = await sender(out)
        if await again.look(due()) is None:
            await again.deliver(due())
        take()
        assert arrived == [(NAME, b'{"a":1}')], n


async def test_without_the_witness_a_taken_file_would_be_sent_twice(tmp_path):
    """The control for the test above: the protection is the witness."""
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        await (await sender(out, Files(3, after=True))).deliver(due())
    (out / NAME).unlink()
    (out / ".staging" / f"{NAME}.leaving").unlink()
    assert await (await sender(out)).look(due()) is None


FAILURES = [(1, DestinationUnavailable), (2, DestinationUnavailable), (3, DestinationSilent)]


@pytest.mark.parametrize(("n", "error"), FAILURES)
async def test_a_disk_that_fails_says_what_may_be_done_next(tmp_path, n, error):
    failing = await sender(tmp_path / "out", Files(n, error=OSError(28, "No space left on device")))
    with pytest.raises(error):
        await failing.deliver(due())
    assert delivered(tmp_path / "out") == {}
    assert await failing.look(due()) is None
    await failing.deliver(due())
    assert delivered(tmp_path / "out") == {NAME: b'{"a":1}'}


async def test_what_is_there_is_never_written_over(tmp_path):
    out = await sender(tmp_path / "out")
    await out.deliver(due())
    await out.deliver(due())
    with pytest.raises(DestinationRejected):
        await out.deliver(due(b"other"))
    assert delivered(tmp_path / "out") == {NAME: b'{"a":1}'}


async def test_old_witnesses_are_cleared_and_young_ones_are_not(tmp_path):
    staging = tmp_path / ".staging"
    staging.mkdir()
    for name, age in (("old", 40), ("young", 30)):
        (staging / f"{name}.leaving").touch()
        os.utime(staging / f"{name}.leaving", (NOW.timestamp() - age * 86400,) * 2)
    await sender(tmp_path)
    assert [file.name for file in staging.iterdir()] == ["young.leaving"]


async def test_no_identifier_is_a_path(tmp_path):
    document = Document("letter", "r4", "document", b"s" * 32, "urn:uuid:../../etc/x\0\n", b"{}")
    values = {"message": 1, "destination": "out", "patient": 1, "number": 1, "attempts": 0, "deadline": None}
    strange = DueDelivery(id=7, **values, state=DeliveryState.SENDING, document=document)
    assert (await (await sender(tmp_path)).deliver(strange)).remote_id == "000000000007-etcx.json"


# --- in ----------------------------------------------------------------------------------------------------


class Door:
    def __init__(self):
        self.bodies, self.refused, self.fail, self.answers = [], [], None, {}

    async def receive(self, envelope):
        if self.fail is not None:
            raise self.fail
        self.bodies.append(envelope.body)
        accepted = Answer(Verdict.ACCEPTED, "Safely stored.", NOW, reference="1")
        return self.answers.get(envelope.body, accepted)

    async def refuse(self, feed, code):
        self.refused.append((feed, code))


@asynccontextmanager
async def watching(path, **options):
    door, stream = Door(), io.BytesIO()
    receiver = FolderReceiver(
        supplier="s", feed="s/folder", path=path, receive=door.receive, refuse=door.refuse, files=DiskFiles(),
        clock=lambda: NOW, log=logs.make(stream), **{"settle": 0.05, "every": 0.01} | options,
    )  # fmt: skip
    await receiver.open()
    try:
        yield door, lambda: stream.getvalue().decode()
    finally:
        await receiver.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for is a file
            await asyncio.sleep(0.01)


def names(path):
    return sorted(file.name.partition("-")[2] or file.name for file in path.iterdir() if file.is_file())


def mode(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


async def test_folders_and_originals_are_for_us_alone(tmp_path):
    await sender(tmp_path / "out")
    assert [mode(path) for path in (tmp_path / "out", tmp_path / "out" / ".staging")] == ["0o700"] * 2
    async with watching(tmp_path / "in"):
        made = [tmp_path / "in", *(tmp_path / "in" / name for name in (".claimed", "archive", "rejected"))]
        assert [mode(path) for path in made] == ["0o700"] * 4
        (tmp_path / "in" / "a.csv").write_bytes(b"a")
        (tmp_path / "in" / "a.csv").chmod(0o644)
        await until(lambda: names(tmp_path / "in" / "archive"))
        assert [mode(file) for file in (tmp_path / "in" / "archive").iterdir()] == ["0o600"]


async def test_a_folder_that_somebody_else_made_keeps_its_rights(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o755)
    await sender(tmp_path / "out")
    assert mode(tmp_path / "out") == "0o755"


async def test_a_file_is_received_and_archived(tmp_path):
    async with watching(tmp_path) as (door, log):
        (tmp_path / "Smithson, Zebedee.csv").write_bytes(b"a,b\r\n1,2\r\n")
        await until(lambda: names(tmp_path / "archive"))
        assert door.bodies == [b"a,b\r\n1,2\r\n"]
        assert names(tmp_path / "archive") == ["Smithson, Zebedee.csv"]
        assert names(tmp_path) == []
        # The name is the supplier's, and may be a patient's.
        assert "Zebedee" not in log()


async def test_a_file_that_is_still_written_is_left_alone(tmp_path):
    async with watching(tmp_path, settle=0.2) as (door, _):
        with (tmp_path / "x.csv").open("wb", buffering=0) as growing:
            for n in range(10):
                growing.write(b"%d\r\n" % n)
                await asyncio.sleep(0.04)
        assert door.bodies == []
        await until(door.bodies.__len__)
        assert door.bodies == [b"".join(b"%d\r\n" % n for n in range(10))]


async def test_without_settling_half_a_file_would_be_taken(tmp_path):
    """The control for the test above."""
    async with watching(tmp_path, settle=0.0) as (door, _):
        with (tmp_path / "x.csv").open("wb", buffering=0) as growing:
            growing.write(b"half")
            await until(door.bodies.__len__)
        assert door.bodies == [b"half"]


async def test_what_is_refused_is_kept_with_the_reason(tmp_path):
    async with watching(tmp_path) as (door, _):
        door.answers[b"bad"] = Answer(Verdict.REJECTED, "This is not csv.", NOW, "M701")
        (tmp_path / "x.csv").write_bytes(b"bad")
        await until(lambda: names(tmp_path / "rejected") == ["x.csv", "x.csv.reason.json"])
        (reason,) = (tmp_path / "rejected").glob("*.reason.json")
        assert json.loads(reason.read_bytes())["code"] == "M701"


async def test_what_is_stored_though_refused_is_archived(tmp_path):
    async with watching(tmp_path) as (door, _):
        door.answers[b"odd"] = Answer(Verdict.REFUSED, "A person has been told.", NOW, "M710", reference="1")
        (tmp_path / "x.csv").write_bytes(b"odd")
        await until(lambda: names(tmp_path / "archive") == ["x.csv", "x.csv.reason.json"])


async def test_a_file_that_is_too_large_is_rejected_unread(tmp_path):
    async with watching(tmp_path, limit=10) as (door, _):
        (tmp_path / "x.csv").write_bytes(b"x" * 11)
        await until((tmp_path / "rejected" / "too-large-x.csv").exists)
        assert (door.bodies, door.refused) == ([], [("s/folder", "D917")])


async def test_while_the_store_fails_files_wait_and_nothing_is_lost(tmp_path):
    async with watching(tmp_path) as (door, _):
        door.fail = StoreError("S209", "the store has failed")
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_bytes(name.encode())
        await until(lambda: names(tmp_path / ".claimed") != [])
        await asyncio.sleep(0.1)
        assert (names(tmp_path / "archive"), names(tmp_path / "rejected")) == ([], [])
        door.fail = None
        await until(lambda: len(names(tmp_path / "archive")) == 2)
        assert sorted(door.bodies) == [b"a.csv", b"b.csv"]


async def test_what_was_claimed_when_the_process_ended_is_received_at_the_next_start(tmp_path):
    (tmp_path / ".claimed").mkdir()
    (tmp_path / ".claimed" / "x.csv").write_bytes(b"left")
    async with watching(tmp_path) as (door, _):
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
        assert door.bodies == [b"left"]


async def test_one_name_with_other_content_pushes_nothing_out(tmp_path):
    async with watching(tmp_path) as (_, __):
        for n in (1, 2):
            (tmp_path / "daily.csv").write_bytes(b"%d" % n)
            await until(lambda n=n: len(names(tmp_path / "archive")) == n)
        assert sorted(file.read_bytes() for file in (tmp_path / "archive").iterdir()) == [b"1", b"2"]


async def test_links_hidden_files_and_other_names_are_not_looked_at(tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_bytes(b"secret")
    watched = tmp_path / "in"
    async with watching(watched, pattern="*.csv") as (door, _):
        (watched / "link.csv").symlink_to(secret)
        (watched / ".hidden.csv").write_bytes(b"x")
        (watched / "note.txt").write_bytes(b"x")
        (watched / "good.csv").write_bytes(b"good")
        await until(lambda: names(watched / "archive"))
        await asyncio.sleep(0.1)
        assert door.bodies == [b"good"]


async def test_files_are_received_in_the_order_in_which_they_were_written(tmp_path):
    for n, name in enumerate(("c.csv", "a.csv", "b.csv")):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (NOW.timestamp() + n,) * 2)
    async with watching(tmp_path) as (door, _):
        await until(lambda: len(door.bodies) == 3)
        assert door.bodies == [b"c.csv", b"a.csv", b"b.csv"]


@pytest.mark.parametrize("name", ["x" * 250 + ".csv", "a\nb.csv", "ä\u202e.csv"])
async def test_a_strange_name_is_received_like_any_other(tmp_path, name):
    async with watching(tmp_path) as (door, log):
        (tmp_path / name).write_bytes(b"1")
        await until(lambda: names(tmp_path / "archive"))
        assert door.bodies == [b"1"]
        assert len(log().splitlines()) == 1
