"""
The verdicts that a corpus of malformed input asks for, each through the real door.

`accept`: it is worked; `store_dlq`: at least a part of it waits for a person, with a code; `reject`: a refusal that
says why, and nothing is stored; `frame`: what its `why` says, over a socket. For a mapping file, `reject` is a
diagnostic with a place. Where this project decides otherwise, `DIFFERS` says what and why; an entry that is no longer
true is an error.

Set TEST_CORPUS to the folder of the corpus. What runs without it is `test_cases.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from doors import LIBRARY, Taken, listening, sound, take, well_formed

from mhbridge import log as logs
from mhbridge.adapters.folder import DiskFiles, FolderReceiver
from mhbridge.adapters.mllp.framing import frame
from mhbridge.errors import MalformedMessage, explanations
from mhbridge.formats.csv import FORMAT as CSV
from mhbridge.formats.several import read_files
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import Severity

#: Case → what we say instead, and why.
DIFFERS: dict[str, tuple[str, str]] = {
    "hl7v2/esc_unterminated.hl7": (
        "accept",
        "one bad value costs one value (design §4.3), and here not even that: the text is kept as it came, with I631",
    ),
    "hl7v2/esc_bad_hex.hl7": ("accept", "as esc_unterminated"),
    "hl7v2/two_messages_one_frame.hl7": (
        "accept",
        "HL7 v2.5.1 §2.10.3: the headers of a batch are optional; each message has its own state (design §3)",
    ),
}

#: An extract, for archives that hold one.
SOURCE = CSV.declare("Europe/London", "", {"columns": ["NHSNumber", "Family"]})
#: Values of the messages, none of which may be in an answer or an issue.
SECRETS = (b"9990000018", b"TESTPATIENT", b"WARD1", b"V0001", b"19800101", b"{{7*7}}", b"T\xc9ST")


def manifest(*folders: str) -> list:
    corpus = os.environ.get("TEST_CORPUS")
    files = sorted(Path(corpus).glob("**/generated/MANIFEST.jsonl")) if corpus else []
    if not files:
        return [pytest.param(None, None, marks=pytest.mark.skip(reason="TEST_CORPUS names no folder with a manifest"))]
    found = []
    for line in files[0].read_text("utf-8").splitlines():
        case = json.loads(line)
        if case["file"].startswith(folders):
            found.append(pytest.param(case, files[0].parent / case["file"], id=case["file"]))
    return found


def judge(case: dict, verdict: str) -> None:
    expected, _ = DIFFERS.get(case["file"], (case["expect"], ""))
    assert verdict == expected, case["why"]
    assert case["file"] not in DIFFERS or verdict != case["expect"], "DIFFERS says what is no longer true"


def tells_nothing(taken: Taken) -> None:
    told = [taken.acknowledgement, taken.answer.text.encode(), taken.answer.code.encode()]
    for outcome in taken.outcomes:
        told += [f"{issue.code} {issue.text} {issue.path}".encode() for issue in outcome.issues]
    for secret in SECRETS:
        assert not [one for one in told if secret in one], secret


@pytest.mark.parametrize(("case", "path"), manifest("hl7v2/"))
def test_hl7v2(case, path):
    taken = take(path.read_bytes())
    if case["expect"] != "frame":
        judge(case, taken.verdict)
    sound(taken)
    tells_nothing(taken)
    if case["file"] == "hl7v2/batch_one_bad.hl7":
        assert taken.codes == "done M708 done"
    if case["file"] == "hl7v2/ack_as_input.hl7":
        assert taken.acknowledgement == b""
    else:
        assert taken.acknowledgement


@pytest.mark.parametrize(("case", "path"), manifest("csv/"))
def test_csv(case, path):
    taken = take(path.read_bytes(), "csv")
    judge(case, taken.verdict)
    sound(taken)
    tells_nothing(taken)


@pytest.mark.parametrize(("case", "path"), manifest("xml/"))
def test_xml(case, path):
    taken = take(path.read_bytes(), "xml")
    judge(case, taken.verdict)
    sound(taken)
    tells_nothing(taken)
    for outcome in taken.outcomes:
        assert not [one for one in outcome.documents if b"javascript:" in one.body or b"<script" in one.body.lower()]


@pytest.mark.parametrize(("case", "path"), manifest("archive/"))
async def test_archive(case, path, tmp_path):
    """Through a watched folder, and as a body that several files may come in; gzip also as an extract."""
    assert case["expect"] == "reject"
    folder, received, refused = tmp_path / "in", [], []
    folder.mkdir()
    (folder / path.name).write_bytes(path.read_bytes())

    async def receive(envelope):
        received.append(envelope)

    async def refuse(_feed, code):
        refused.append(code)

    receiver = FolderReceiver(
        supplier="s", feed="s/folder", path=folder, receive=receive, refuse=refuse, files=DiskFiles(),
        clock=lambda: datetime.now(UTC), log=logs.make(BytesIO()), settle=0.0, every=0.01,
        parts=lambda file, before: CSV.parts(file, [SOURCE], before),
    )  # fmt: skip
    if path.suffix == ".zip":
        await receiver.open()
        async with asyncio.timeout(60):
            while not [file for file in (folder / "rejected").iterdir() if file.suffix == ".zip"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # what is waited for is a file
        await receiver.close()
        assert (received, refused) == ([], ["D976"])
        with pytest.raises(MalformedMessage) as whole:
            read_files(path.read_bytes())
        assert whole.value.code == "D976"
    else:
        with pytest.raises(MalformedMessage) as whole:
            list(CSV.messages(path.read_bytes(), [SOURCE]))
        assert whole.value.code == "M770"


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> list:
    """The diagnostics of all mapping cases: each is the mapping of a supplier of its own."""
    root = tmp_path_factory.mktemp("hostile")
    good = (LIBRARY / "suppliers/hostile/discharge.yaml").read_text("utf-8")
    for case in manifest("mapping/"):
        path = case.values[1]
        name = path.stem.replace("_", "-")
        folder = root / "suppliers" / name
        folder.mkdir(parents=True)
        (folder / "supplier.yaml").write_text(f"supplier: {name}\ntitle: Nobody\n", "utf-8")
        body = path.read_text("utf-8")
        if name.startswith("expr-"):
            body = good.replace("= NTE-3 | lines", "'= {}'".format(body.strip().replace("'", "''")))
            body = body.replace("hostile/discharge", f"{name}/discharge")
        (folder / "discharge.yaml").write_text(body, "utf-8")
    return Catalogue(Library([root, built_in("mappings")])).check()


@pytest.mark.parametrize(("case", "path"), manifest("mapping/"))
def test_mapping(case, path, checked):
    assert case["expect"] == "reject"
    name = path.stem.replace("_", "-")
    here = [d for d in checked if d.severity is Severity.ERROR and f"/{name}/" in d.span.file]
    assert here
    for diagnostic in here:
        assert diagnostic.code in explanations()
        assert len(diagnostic.render()) < 10_000
    if name.startswith("expr-"):
        assert all(d.text.startswith("  clinical_summary:") for d in here)


# --- frames ------------------------------------------------------------------------------------------------


async def _pipelined(peer, behind, sent):
    await peer.send(sent)
    answers = await peer.answers(100)
    assert [answer.split(b"\rMSA|")[1].split(b"|")[1] for answer in answers] == [b"P%d" % n for n in range(100)]
    assert len(behind.taken) == 100


async def _byte_by_byte(peer, behind, sent):
    for i in range(len(sent)):
        await peer.send(sent[i : i + 1])
        await asyncio.sleep(0)
    assert [well_formed(answer) for answer in await peer.answers(1)] == ["CA"]
    assert [taken.verdict for taken in behind.taken] == ["accept"]


async def _as_one(peer, behind, sent):
    await peer.send(sent)
    assert [well_formed(answer) for answer in await peer.answers(1)] == ["CA"]
    assert [taken.verdict for taken in behind.taken] == ["accept"]


async def _junk_first(peer, behind, sent):
    await peer.send(sent)
    assert [well_formed(answer) for answer in await peer.answers(2)] == ["AR", "CA"]
    assert behind.refused == ["D910"]
    assert [taken.verdict for taken in behind.taken] == ["accept"]


async def _never_ended(peer, behind, sent):
    await peer.send(sent)
    assert well_formed((await peer.rest())[1:-2]) in ("AR", "CR"), "a refusal, and never an acknowledgement"
    assert (behind.refused, behind.taken) == (["D912"], [])


async def _half_closed(peer, behind, sent):
    await peer.send(sent)
    peer.writer.write_eof()
    assert well_formed((await peer.rest())[1:-2]) in ("AR", "CR")
    assert (behind.refused, behind.taken) == (["D913"], [])


async def _parked(peer, behind, sent):
    await peer.send(frame(sent))
    assert [well_formed(answer) for answer in await peer.answers(1)] == ["CA"]
    assert [taken.codes for taken in behind.taken] == ["M705"]


FRAMES = {
    "hl7v2/vt_fs_in_body.hl7": _parked,
    "mllp/no_end.bin": _never_ended,
    "mllp/fs_lf.bin": _as_one,
    "mllp/garbage_before.bin": _junk_first,
    "mllp/pipelined_100.bin": _pipelined,
    "mllp/vt_flood.bin": _never_ended,
    "mllp/split_1byte.bin": _byte_by_byte,
    "mllp/half_close.bin": _half_closed,
}


@pytest.mark.parametrize(("case", "path"), [one for one in manifest("mllp/", "hl7v2/vt_") if one])
async def test_frames(case, path):
    assert case["expect"] == "frame"
    async with listening(frame_time=0.3) as (peer, behind, _receiver, log):
        await FRAMES[case["file"]](peer, behind, path.read_bytes())
        assert not [secret for secret in SECRETS if secret in log.getvalue()]


def test_every_difference_is_of_a_case_and_says_why():
    found = {one.values[0]["file"] for one in manifest("") if one.values[0]}
    assert not found or DIFFERS.keys() <= found
    assert all(why for _, why in DIFFERS.values())
