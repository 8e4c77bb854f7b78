"""ZIP files in a watched folder: what is in order is taken file by file, and of what is not, nothing is."""

from __future__ import annotations

import asyncio
import io
import json
import stat
import struct
import tracemalloc
import zipfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from mhbridge import log as logs
from mhbridge.adapters.folder import DiskFiles, FolderReceiver
from mhbridge.errors import MalformedMessage
from mhbridge.formats import Part
from mhbridge.formats.archive import Limits, looked_through
from mhbridge.model import Answer, Before, Verdict

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = "Zyxwvutsrq"
LIMITS = Limits(size=100_000, ratio=100, members=20)
#: What compresses to about a half, so that no ratio is in the way.
TEXT = bytes(range(256)) * 4


def packed(*members, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of (name or ZipInfo, content)."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def a_link() -> bytes:
    member = zipfile.ZipInfo(f"{CANARY}.csv")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return packed(("a.csv", b"a"), (member, b"/etc/passwd"))


def a_device() -> bytes:
    member = zipfile.ZipInfo("null.csv")
    member.external_attr = (stat.S_IFCHR | 0o666) << 16
    return packed((member, b""))


def changed(archive: bytes, at: bytes, offset: int, to: bytes) -> bytes:
    """An archive with some bytes behind a signature changed: in every local header or directory entry."""
    made, where = bytearray(archive), -1
    while (where := archive.find(at, where + 1)) >= 0:
        made[where + offset : where + offset + len(to)] = to
    return bytes(made)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def twice(archive: bytes) -> bytes:
    """One stretch of bytes that is two members: the directory names it again under another name."""
    at, end = archive.find(CENTRAL), archive.find(END)
    entry = archive[at:end]
    again = entry.replace(b"a.csv", b"b.csv")
    tail = bytearray(archive[end:])
    struct.pack_into("<2HL", tail, 8, 2, 2, len(entry) * 2)
    return archive[:at] + entry + again + bytes(tail)


GOOD = packed(("a.csv", TEXT), ("below/b.csv", b"b"))

#: name → (the archive, words of the reason).
BAD = {
    "a bomb": (packed(("a.csv", bytes(90_000))), "100 times"),
    "too much in all": (packed(*[(f"{n}.csv", TEXT * 7) for n in range(15)]), "more than 0 MB"),
    "too many": (packed(*[(f"{n}.csv", b"x") for n in range(21)]), "20 members"),
    "a link": (a_link(), "member 2: it is a link"),
    "a device": (a_device(), "member 1: it is a link, or no file"),
    "above": (packed(("../a.csv", b"a")), "way out"),
    "above, further in": (packed(("x/../../a.csv", b"a")), "way out"),
    "above, as Windows writes it": (packed(("x\\..\\..\\a.csv", b"a")), "way out"),
    "absolute": (packed(("/etc/a.csv", b"a")), "way out"),
    "absolute, as Windows writes it": (packed(("C:\\a.csv", b"a")), "way out"),
    "a control character": (packed(("a\x1b[2J.csv", b"a")), "cannot be shown"),
    "a name twice": (packed(("a.csv", b"a"), ("A.CSV", b"b")), "member 2: another one has its name"),
    "a name twice, composed": (packed(("é.csv", b"a"), ("e\u0301.csv", b"b")), "another one"),
    "encrypted": (changed(changed(GOOD, CENTRAL, 8, b"\x01\x00"), LOCAL, 6, b"\x01\x00"), "encrypted"),
    "bzip2": (packed(("a.csv", TEXT), compression=zipfile.ZIP_BZIP2), "packed in a way"),
    "an archive in it": (packed(("a.csv", b"a"), ("b.csv", GOOD)), "member 2: it is packed itself"),
    "gzip in it": (packed(("a.csv.gz", b"\x1f\x8b\x08" + TEXT)), "packed itself"),
    "a wrong checksum": (changed(changed(GOOD, CENTRAL, 16, bytes(4)), LOCAL, 14, bytes(4)), "damaged"),
    "longer than it says": (changed(changed(GOOD, CENTRAL, 24, b"\x02\0\0\0"), LOCAL, 22, b"\x02\0\0\0"), "damaged"),
    "one name outside, another inside": (changed(GOOD, LOCAL, 30, b"b.csv"), "damaged"),
    "members in each other": (twice(packed(("a.csv", TEXT))), "in each other"),
    "cut off": (GOOD[:-30], "not whole"),
    "its beginning only": (GOOD[:40], "not whole"),
    "a count that lies": (changed(GOOD, END, 8, struct.pack("<2H", 1, 1)), "another number"),
    "a count beyond all": (changed(GOOD, END, 8, b"\xff\xff\xff\xff"), "ZIP64"),
    "a directory beyond all": (changed(GOOD, END, 12, struct.pack("<L", 5_000_000)), "directory is too large"),
    "a member before the beginning": (changed(GOOD, END, 16, struct.pack("<L", len(GOOD))), "outside the archive"),
    "one of several": (changed(GOOD, END, 4, b"\x01\x00"), "several parts"),
    "nothing in it": (packed(), "no file in it"),
    "a folder alone": (packed(("x/", b"")), "no file in it"),
}


class Door:
    def __init__(self):
        self.bodies, self.refused, self.answers, self.first = [], [], {}, None

    async def receive(self, envelope):
        self.bodies.append(envelope.body)
        if self.first is not None:
            self.first()
        return self.answers.get(envelope.body, Answer(Verdict.ACCEPTED, "Safely stored.", NOW, reference="1"))

    async def refuse(self, feed, code):
        self.refused.append((feed, code))


def by_line(file, before):
    """Parts of one line each, of what begins with `lines`."""
    file.seek(0)
    if not file.readline().startswith(b"lines"):
        return None

    def lines():
        at = before
        for line in file:
            after = Before(at.rows + 1, at.lines + 1, at.offset + len(line))
            yield Part(line, at, after)
            at = after

    return lines()


@asynccontextmanager
async def watching(path, **options):
    door, stream = Door(), io.BytesIO()
    receiver = FolderReceiver(
        supplier="s", feed="s/folder", path=path, receive=door.receive, refuse=door.refuse, files=DiskFiles(),
        clock=lambda: NOW, log=logs.make(stream), settle=0.02, every=0.01, archives=LIMITS, **options,
    )  # fmt: skip
    await receiver.open()
    try:
        yield door, stream
    finally:
        await receiver.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for is a file
            await asyncio.sleep(0.01)


def put(path, body, name="x.zip"):
    (path / f"{name}.part").write_bytes(body)
    (path / f"{name}.part").rename(path / name)


def names(path):
    return sorted(file.name.partition("-")[2] or file.name for file in path.iterdir() if file.is_file())


async def test_each_file_of_an_archive_is_an_envelope_and_the_archive_is_kept(tmp_path):
    beside = [("x/", b""), ("__MACOSX/._a.csv", b"shadow"), (".hidden", b"hidden")]
    async with watching(tmp_path) as (door, _):
        archive = packed(("a.csv", TEXT), *beside, ("below/b.csv", b"b"))
        put(tmp_path, archive)
        await until(lambda: names(tmp_path / "archive") == ["x.zip"])
        assert door.bodies == [TEXT, b"b"]
        assert next((tmp_path / "archive").iterdir()).read_bytes() == archive
        assert names(tmp_path / ".claimed") == []
        assert door.refused == []


@pytest.mark.parametrize("first", ["[Content_Types].xml", "mimetype", "_rels/.rels"])
async def test_a_workbook_is_not_taken_to_pieces(tmp_path, first):
    body = packed((first, b"application"), ("xl/workbook.xml", b"<workbook/>"))
    async with watching(tmp_path) as (door, _):
        put(tmp_path, body, "x.csv")
        await until(lambda: names(tmp_path / "archive") == ["x.csv"])
        assert door.bodies == [body]


@pytest.mark.parametrize("name", BAD)
async def test_of_an_archive_that_is_not_in_order_nothing_is_taken(tmp_path, name):
    archive, why = BAD[name]
    async with watching(tmp_path) as (door, log):
        put(tmp_path, archive)
        await until(lambda: names(tmp_path / "rejected") == ["x.zip", "x.zip.reason.json"])
        (reason,) = (tmp_path / "rejected").glob("*.reason.json")
        said = json.loads(reason.read_bytes())
        assert (said["code"], door.bodies, door.refused) == ("D976", [], [("s/folder", "D976")])
        assert why in said["text"]
        assert CANARY not in said["text"] + log.getvalue().decode()


async def test_a_large_table_in_an_archive_is_taken_in_parts(tmp_path):
    async with watching(tmp_path, parts=by_line, limit=4) as (door, _):
        put(tmp_path, packed(("a.csv", b"lines\n1\n2\n"), ("b.csv", b"b")))
        await until(lambda: names(tmp_path / "archive") == ["x.zip"])
        assert door.bodies == [b"1\n", b"2\n", b"b"]
        assert names(tmp_path / ".claimed") == []


async def test_the_worst_answer_is_that_of_the_archive_and_says_whose_it_is(tmp_path):
    async with watching(tmp_path, limit=5) as (door, _):
        door.answers[b"b"] = Answer(Verdict.REFUSED, "A person has been told.", NOW, "M710", reference="7")
        put(tmp_path, packed(("a.csv", b"a"), ("b.csv", b"b"), ("c.csv", b"c")))
        await until(lambda: names(tmp_path / "archive") == ["x.zip", "x.zip.reason.json"])
        assert door.bodies == [b"a", b"b", b"c"]
        (reason,) = (tmp_path / "archive").glob("*.reason.json")
        assert json.loads(reason.read_bytes())["text"] == "Member 2: A person has been told."
        put(tmp_path, packed(("a.csv", b"too large"), ("d.csv", b"d")), "y.zip")
        await until(lambda: names(tmp_path / "rejected") == ["y.zip", "y.zip.reason.json"])
        assert door.bodies[-1] == b"d"


async def test_an_archive_that_a_stop_left_is_received_again_whole(tmp_path):
    async with watching(tmp_path) as (door, _):
        stopping = asyncio.Event()
        door.first = stopping.set
        put(tmp_path, packed(*[(f"{n}.csv", b"%d" % n) for n in range(10)]))
        await stopping.wait()
    assert len(door.bodies) < 10
    assert names(tmp_path / ".claimed") == ["x.zip"]
    async with watching(tmp_path) as (door, _):
        await until(lambda: names(tmp_path / "archive") == ["x.zip"])
        # The store takes what it has for a repeat.
        assert door.bodies == [b"%d" % n for n in range(10)]


def test_what_an_archive_unpacks_to_is_never_in_memory():
    # A hundred megabytes of lines that compress to two.
    archive = io.BytesIO(packed(("a.csv", b"".join(b"%09d," % (n * 7919 % 9973) for n in range(10_000)) * 1_000)))
    tracemalloc.start()
    members = looked_through(archive, Limits())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert members[0].file_size == 100_000_000
    assert most < 8_000_000


#: What each protection is there for: taken away, the same archive passes.
CONTROLS = {
    "a bomb": Limits(100_000, 10**6, 20),
    "too much in all": Limits(10**9, 100, 20),
    "too many": Limits(100_000, 100, 21),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_control_without_its_limit_it_would_be_taken(name):
    archive, _ = BAD[name]
    with pytest.raises(MalformedMessage):
        looked_through(io.BytesIO(archive), LIMITS)
    assert looked_through(io.BytesIO(archive), CONTROLS[name])


@pytest.mark.parametrize("name", ["a link", "above", "absolute", "a name twice", "an archive in it"])
def test_control_the_library_alone_would_unpack_it(name):
    archive, _ = BAD[name]
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
