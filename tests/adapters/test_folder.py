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
from mhbridge.adapters.folder import DiskFiles, FolderReceiver, FolderSender, answering
from mhbridge.adapters.folder import receiver as receiver_module
from mhbridge.errors import (
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
    MalformedMessage,
    StoreError,
    explanations,
)
from mhbridge.formats import Part
from mhbridge.model import Answer, Before, DeliveryState, Document, Verdict
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
        self.bodies, self.before, self.refused, self.fail, self.answers = [], [], [], None, {}
        self.first, self.pause = None, 0.0

    async def receive(self, envelope):
        if self.fail is not None:
            raise self.fail
        if self.first is not None:
            self.first(envelope)
        self.bodies.append(envelope.body)
        self.before.append(envelope.before)
        await asyncio.sleep(self.pause)
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


async def test_a_folder_that_was_not_there_is_warned_of(tmp_path):
    said = []
    for _ in range(2):
        async with watching(tmp_path / "misspelt") as (_, log):
            said.append([json.loads(line)["event"] for line in log().splitlines()])
    assert said == [["folder_made", "listening"], ["listening"]]


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
        await until(lambda: names(tmp_path / "rejected") == ["x.csv", "x.csv.reason.json"])
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


async def test_a_file_too_large_pushes_none_out_that_was_before(tmp_path):
    async with watching(tmp_path, limit=10) as (_, __):
        for n in (1, 2):
            (tmp_path / "x.csv").write_bytes(b"%d" % n * 11)
            await until(lambda n=n: len(names(tmp_path / "rejected")) == 2 * n)


@pytest.mark.parametrize("name", ["x.csv.part", "x.TMP", "x.filepart", "~$x.csv", "x.csv~", ".x.csv", "x.crdownload"])
async def test_a_name_that_says_unfinished_is_left_alone(tmp_path, name):
    async with watching(tmp_path) as (door, _):
        (tmp_path / name).write_bytes(b"unfinished")
        (tmp_path / "whole.csv").write_bytes(b"whole")
        await until(lambda: names(tmp_path / "archive"))
        await asyncio.sleep(0.1)
        assert door.bodies == [b"whole"]
        assert (tmp_path / name).exists()


async def test_folders_below_and_what_is_no_file_are_not_looked_at(tmp_path):
    async with watching(tmp_path) as (door, log):
        (tmp_path / "below.csv").mkdir()
        (tmp_path / "below.csv" / "x.csv").write_bytes(b"below")
        os.mkfifo(tmp_path / "pipe.csv")
        (tmp_path / "good.csv").write_bytes(b"good")
        await until(lambda: names(tmp_path / "archive"))
        await asyncio.sleep(0.1)
        assert door.bodies == [b"good"]
        assert len(log().splitlines()) == 1


async def test_a_link_that_takes_the_place_of_a_claimed_file_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    watched = tmp_path / "in"
    (watched / ".claimed").mkdir(parents=True)
    (watched / ".claimed" / "x.csv").symlink_to(tmp_path / "secret")
    async with watching(watched) as (door, _):
        await asyncio.sleep(0.1)
        assert door.bodies == []


async def test_what_an_earlier_process_had_claimed_is_taken_in_the_order_of_its_files(tmp_path):
    claimed = tmp_path / ".claimed"
    claimed.mkdir()
    for n in range(20):
        for name in (f"{19 - n}.csv.done", f"{19 - n}.csv"):
            (claimed / name).write_bytes(b"%d" % n)
            os.utime(claimed / name, (n, n))
    async with watching(tmp_path, marker=".done") as (door, _):
        await until(lambda: len(door.bodies) == 20)
    assert door.bodies == [b"%d" % n for n in range(20)]


async def test_a_file_is_waited_for_until_its_marker_is_there(tmp_path):
    async with watching(tmp_path, marker=".done", settle=0.0, pattern="*.csv") as (door, _):
        (tmp_path / "x.csv").write_bytes(b"half")
        (tmp_path / "other.csv.done").touch()
        await asyncio.sleep(0.1)
        assert door.bodies == []
        (tmp_path / "x.csv").write_bytes(b"whole")
        (tmp_path / "x.csv.done").touch()
        await until(lambda: names(tmp_path / "archive") == ["x.csv", "x.csv.done"])
        assert door.bodies == [b"whole"]
        assert names(tmp_path) == ["other.csv.done"]


async def test_a_file_that_is_still_written_to_is_received_again(tmp_path):
    async with watching(tmp_path) as (door, _):

        def write_on(envelope):
            if envelope.body == b"half":
                with (tmp_path / ".claimed" / "x.csv").open("ab") as late:
                    late.write(b" and whole")

        door.first = write_on
        (tmp_path / "x.csv").write_bytes(b"half")
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
        assert door.bodies == [b"half", b"half and whole"]


async def test_a_file_that_may_not_be_read_is_said_once_and_stops_nobody(tmp_path, monkeypatch):
    real = receiver_module.open_claimed

    def opened(path):
        if path.name == "secret.csv":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(receiver_module, "open_claimed", opened)
    async with watching(tmp_path) as (door, log):
        (tmp_path / "secret.csv").write_bytes(b"secret")
        (tmp_path / "good.csv").write_bytes(b"good")
        await until(lambda: names(tmp_path / "archive") == ["good.csv"])
        await asyncio.sleep(0.1)
        assert door.bodies == [b"good"]
        assert [json.loads(line)["event"] for line in log().splitlines()][1:] == ["failed"]
        assert "secret" not in log()
        monkeypatch.undo()
        await until(lambda: names(tmp_path / "archive") == ["good.csv", "secret.csv"])


async def test_a_folder_that_is_gone_is_said_once(tmp_path):
    watched = tmp_path / "in"
    async with watching(watched) as (door, log):
        watched.rename(tmp_path / "away")
        await asyncio.sleep(0.1)
        assert len(log().splitlines()) == 3, "it was made, it is listened on, it is gone"
        (tmp_path / "away").rename(watched)
        (watched / "x.csv").write_bytes(b"x")
        await until(lambda: door.bodies == [b"x"])


# --- in parts ----------------------------------------------------------------------------------------------


def by_line(file, before):
    """Parts of one line each; a file that begins with `whole` is not taken to pieces, and `lost` ends the reading."""
    file.seek(before.offset)
    if not before.offset and file.readline().startswith(b"whole"):
        return None
    file.seek(before.offset)

    def lines():
        at = before
        for line in file:
            if line.startswith(b"lost"):
                raise MalformedMessage("M772", f"line {at.lines + 1}: the quotes go wrong")
            after = Before(at.rows + 1, at.lines + 1, at.offset + len(line))
            yield Part(line, at, after)
            at = after

    return lines()


async def test_a_large_file_is_received_in_parts_and_archived_once(tmp_path):
    async with watching(tmp_path, parts=by_line, limit=4) as (door, _):
        (tmp_path / "x.csv").write_bytes(b"1\n2\n3\n")
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
        assert door.bodies == [b"1\n", b"2\n", b"3\n"]
        assert [before.rows for before in door.before] == [0, 1, 2]
        assert door.refused == []


async def test_a_file_that_is_not_taken_to_pieces_is_received_whole(tmp_path):
    async with watching(tmp_path, parts=by_line, limit=8) as (door, _):
        (tmp_path / "x.csv").write_bytes(b"whole\n2\n")
        (tmp_path / "empty.csv").touch()
        (tmp_path / "large.csv").write_bytes(b"whole\n2\n3\n")
        await until(lambda: len(names(tmp_path / "archive")) == 2)
        await until(lambda: names(tmp_path / "rejected") == ["large.csv", "large.csv.reason.json"])
        assert sorted(door.bodies) == [b"", b"whole\n2\n"]
        assert door.refused == [("s/folder", "D917")]


async def test_where_a_file_cannot_be_read_on_it_is_rejected_and_what_came_before_is_taken(tmp_path):
    async with watching(tmp_path, parts=by_line) as (door, _):
        (tmp_path / "x.csv").write_bytes(b"1\n2\nlost\n4\n")
        await until(lambda: names(tmp_path / "rejected") == ["x.csv", "x.csv.reason.json"])
        (reason,) = (tmp_path / "rejected").glob("*.reason.json")
        assert json.loads(reason.read_bytes()) == {
            "code": "M772", "text": "line 3: the quotes go wrong.", "reference": "", "mend": explanations()["M772"].mend
        }  # fmt: skip
        assert door.bodies == [b"1\n", b"2\n"]
        assert door.refused == [("s/folder", "M772")]


async def test_the_worst_answer_to_a_part_is_the_answer_to_the_file(tmp_path):
    async with watching(tmp_path, parts=by_line) as (door, _):
        door.answers[b"2\n"] = Answer(Verdict.REFUSED, "A person has been told.", NOW, "M710", reference="7")
        (tmp_path / "x.csv").write_bytes(b"1\n2\n3\n")
        await until(lambda: names(tmp_path / "archive") == ["x.csv", "x.csv.reason.json"])
        assert door.bodies == [b"1\n", b"2\n", b"3\n"]


async def test_when_the_gateway_stops_a_large_file_is_left_and_gone_on_with(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"".join(b"%d\n" % n for n in range(10)))
    async with watching(tmp_path, parts=by_line) as (door, _):
        door.pause = 0.02
        await until(lambda: len(door.bodies) >= 3)
    taken = len(door.bodies)
    assert 3 <= taken < 10
    async with watching(tmp_path, parts=by_line) as (door, _):
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
    assert door.bodies == [b"%d\n" % n for n in range(taken, 10)], "nothing is received again"
    assert list((tmp_path / ".claimed").iterdir()) == []


async def test_a_note_of_another_file_says_nothing(tmp_path):
    """The control for the test above: a file of the same name with other bytes is read from its beginning."""
    (tmp_path / "x.csv").write_bytes(b"".join(b"%d\n" % n for n in range(10)))
    async with watching(tmp_path, parts=by_line) as (door, _):
        door.pause = 0.02
        await until(lambda: len(door.bodies) >= 3)
    (tmp_path / ".claimed" / "x.csv").write_bytes(b"other\nfile\n")
    async with watching(tmp_path, parts=by_line) as (door, _):
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
    assert door.bodies == [b"other\n", b"file\n"]


# --- wherever the process ends -----------------------------------------------------------------------------


class Durable:
    """What the gateway keeps: bodies by their bytes, over all processes. A process may end before or after."""

    def __init__(self):
        self.kept, self.calls, self.end_at = [], 0, None

    async def receive(self, envelope):
        self.calls += 1
        if self.end_at == (self.calls, False):
            raise Interrupted
        if envelope.body not in self.kept:
            self.kept.append(envelope.body)
        if self.end_at == (self.calls, True):
            raise Interrupted
        verdict = Verdict.REFUSED if envelope.body == b"3\n" else Verdict.ACCEPTED
        return Answer(verdict, "Kept.", NOW, reference="1")

    async def refuse(self, feed, code):
        raise AssertionError((feed, code))


async def process(path, books, files, **options):
    """A process that ends when everything is put away, or when it is interrupted: then it says so."""
    receiver = FolderReceiver(
        supplier="s", feed="s/folder", path=path, receive=books.receive, refuse=books.refuse, files=files,
        clock=lambda: NOW, log=logs.make(io.BytesIO()), settle=0.0, every=0.001, **options,
    )  # fmt: skip
    await receiver.open()
    task = receiver._task
    try:
        await until(lambda: task.done() or not (left(path) or left(path / ".claimed")))
        await receiver.close()
    except Interrupted:
        return True
    return False


def left(path):
    return [file for file in path.iterdir() if file.is_file()]


STEPS = [*((n, after) for n in range(1, 11) for after in (False, True))]


@pytest.mark.parametrize("marker", ["", ".done"])
@pytest.mark.parametrize("parts", [None, by_line])
async def test_a_process_may_end_between_any_two_steps(tmp_path, monkeypatch, marker, parts):
    monkeypatch.setattr(answering, "_NOTED", 1)
    body = b"1\n2\n3\n4\n"
    expected = [body] if parts is None else [b"1\n", b"2\n", b"3\n", b"4\n"]
    ends = 0
    for kind in ("files", "books"):
        for n, after in STEPS:
            path = tmp_path / f"{kind}{n}{after}"
            path.mkdir()
            (path / "x.csv").write_bytes(body)
            if marker:
                (path / "x.csv.done").touch()
            books = Durable()
            books.end_at = (n, after) if kind == "books" else None
            files = Files(n if kind == "files" else 0, after=after)
            ended = await process(path, books, files, marker=marker, parts=parts)
            ends += ended
            books.end_at = None
            assert await process(path, books, DiskFiles(), marker=marker, parts=parts) is False
            assert books.kept == expected, (kind, n, after)
            archived = sorted({"x.csv", f"x.csv{marker}", *(["x.csv.reason.json"] if parts else [])})
            assert names(path / "archive") == archived, (kind, n, after)
            assert [file.read_bytes() for file in (path / "archive").glob("*-x.csv")] == [body]
            assert list((path / ".claimed").iterdir()) == []
    # Each step of the disk and of the gateway was an end once: claim, put away, and what comes with the variants.
    steps = 2 + (2 if marker else 0) + (0 if parts is None else 5)
    assert ends == 2 * (steps + len(expected))


async def test_without_claiming_first_a_file_of_the_same_name_would_be_taken_for_it(tmp_path):
    """The control: a marker that is left behind by its file would let the next file of that name in half-written."""
    books = Durable()
    (tmp_path / "x.csv").write_bytes(b"1\n")
    (tmp_path / "x.csv.done").touch()
    assert await process(tmp_path, books, DiskFiles(), marker=".done") is False
    async with watching(tmp_path, marker=".done", settle=0.0) as (door, _):
        (tmp_path / "x.csv").write_bytes(b"half")
        await asyncio.sleep(0.1)
        assert door.bodies == []
