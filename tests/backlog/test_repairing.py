"""People put things right: on a gateway that runs, through its API, and on a store that nobody has open."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner
from poison import ROOT, SUPPLIER, an_event

from gateways import configuration
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.cli import commands
from mhbridge.config import load
from mhbridge.errors import DestinationHeld
from mhbridge.pipeline.difference import Difference, differences

LETTER = (ROOT / "fixtures" / SUPPLIER / "discharge-letter" / "plain.hl7").read_bytes()
PLAIN = (ROOT / "fixtures" / "example-community" / "referrals" / "plain.csv").read_bytes()
TOKENS = {"VIEWER": "v-secret", "OPERATOR": "o-secret", "CLINICAL": "c-secret"}

ACCESS = """
[[access]]
token = "env:VIEWER"
roles = ["viewer"]
[[access]]
token = "env:OPERATOR"
roles = ["operator"]
name = "ann"
[[access]]
token = "env:CLINICAL"
roles = ["clinical"]
name = "records"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A configuration with mappings of its own, which do not take transfers (A02)."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    (tmp_path / "mhbridge.toml").write_text(
        configuration(store="m/m.db", mappings="mappings", port=port, access=ACCESS)
    )
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    _mapping(tmp_path, "ADT^A02, ", "")
    return tmp_path


def _mapping(place: Path, old: str, new: str, name: str = "adt.yaml") -> None:
    file = place / "mappings" / "suppliers" / SUPPLIER / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def mended(place):
    _mapping(place, "ADT^A01, ", "ADT^A01, ADT^A02, ")


class Gateway:
    def __init__(self, app, session):
        self.app, self.session, self.store = app, session, app.store

    async def send(self, *bodies):
        """The messages of what is sent, one in each envelope."""
        found = []
        for body in bodies:
            async with self.session.post(f"/feeds/{SUPPLIER}/http/messages", data=body) as response:
                found.append(int(response.headers["Location"].rsplit("/", 1)[1]))
        return found

    async def ask(self, method, path, role="operator", why="", **options):
        headers = {"Authorization": f"Bearer {TOKENS[role.upper()]}"} | ({"X-Reason": why} if why else {})
        async with self.session.request(method, path, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None)

    async def states(self, *messages):
        rows = [(await self.store.trace(message)).message for message in messages]
        return [" ".join(filter(None, (row.state, row.code))) for row in rows]

    async def reach(self, messages, *states):
        async with asyncio.timeout(20):
            while await self.states(*messages) != list(states):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(place):
    app = build(load(place / "mhbridge.toml"), log=logs.make(io.BytesIO()))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield Gateway(app, session)
    finally:
        await app.close()


def run(*arguments):
    """The command line: exit code, output and what was said."""
    made = CliRunner(env={"COLUMNS": "250"}).invoke(commands, [*map(str, arguments)], standalone_mode=False)
    if made.exception is not None:
        return type(made.exception).__name__, made.output, str(made.exception)
    return made.return_value, made.stdout, made.stderr


async def command(*arguments):
    return await asyncio.to_thread(run, *arguments)


def audited(lines):
    return [(line.who, line.act, line.about) for line in reversed(lines)]


# --- after a mapping was mended ----------------------------------------------------------------------------


async def test_what_is_parked_is_rehearsed_and_worked_once_the_mapping_is_mended(place):
    async with serving(place) as gateway:
        events = [an_event(f"{n:06}", patient=n, kind=b"A02") for n in range(1, 4)]
        messages = await gateway.send(*events)
        assert await gateway.states(*messages) == ["parked M710"] * 3
        code, said, _ = await command("parked", "--json")
        (cause,) = json.loads(said)
        assert (code, cause["cause"], cause["count"], cause["example"]) == (0, "M710", 3, messages[0])
        assert (await gateway.ask("get", "/parked/causes", "viewer"))[1]["causes"] == [cause]

        _, said, _ = await command("reprocess", "--cause", "M710", "--dry-run")
        assert said.splitlines()[0] == f"message {messages[0]}: parked M710 → parked M710"
        mended(place)
        assert (await gateway.ask("post", "/mappings/reload"))[0] == 200
        _, said, _ = await command("reprocess", messages[0], "--dry-run")
        assert said.splitlines()[:2] == [
            f"message {messages[0]}: parked M710 → done",
            "  encounter-event (r4): new to out",
        ]
        assert await gateway.states(*messages) == ["parked M710"] * 3

        code, _, said = await command("reprocess", "--cause", "M710", "--feed", f"{SUPPLIER}/http", "--rate", "500/s")
        assert (code, "3 messages of M710" in said) == (0, True)
        await gateway.reach(messages, "done", "done", "done")
        assert json.loads((await command("parked", "--json"))[1]) == []
        lines = await gateway.store.audited(about=0)
        assert ("ann", "reprocess M710", 0) in audited(lines)
        story = [line.moves for line in (await gateway.store.trace(messages[2])).lines if line.what == "message"]
        assert story == [">parked M710", "parked>stored again", "stored>done, 1 queued, historic"]
        assert (await gateway.store.status(gateway.app.gateway._clock())).differences == ()


async def test_a_file_that_lacks_a_declared_column_becomes_its_rows_once_that_is_mended(place):
    """The whole file waits as one message; then each of its rows is one."""
    file = place / "mhbridge.toml"
    text = file.read_text().replace('supplier = "example-mental-health"', 'supplier = "example-community"')
    file.write_text(text.replace('["encounter-event"', '["community-referral"'))
    mapping = place / "mappings" / "suppliers" / "example-community" / "referrals.yaml"
    right = mapping.read_text()
    mapping.write_text(right.replace("    - Referral No\n", "    - Referral No\n    - Not In The File\n", 1))
    header, _, row = PLAIN.partition(b"\n")
    number = row.split(b",")[0]
    rows = [row.replace(number, b"%s-%d" % (number, n), 1) for n in range(3)]
    body = header + b"\n" + b"".join(rows)
    async with serving(place) as gateway:
        path = "/feeds/example-community/referrals/messages"
        async with gateway.session.post(path, data=body) as response:
            message = int(response.headers["Location"].rsplit("/", 1)[1])
        assert await gateway.states(message) == ["parked M770"]
        mapping.write_text(right)
        assert (await gateway.ask("post", "/mappings/reload"))[0] == 200
        _, told = await gateway.ask("post", f"/messages/{message}/reprocess?dry-run")
        assert told["would_be"] == "3 messages, each worked by itself"
        assert (await gateway.ask("post", f"/messages/{message}/reprocess"))[0] == 200
        async with asyncio.timeout(20):
            while [row.state for row in await gateway.store.messages()] != ["done"] * 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [row.place for row in await gateway.store.messages()] == ["row 3", "row 2", "row 1"]
        assert (await gateway.store.status(gateway.app.gateway._clock())).differences == ()


async def test_a_done_message_is_worked_again_and_only_what_has_changed_is_sent(place):
    async with serving(place) as gateway:
        (letter,) = await gateway.send(LETTER)
        _, told = await gateway.ask("post", f"/messages/{letter}/reprocess?dry-run")
        assert (told["was"], told["would_be"]) == ("done", "done")
        assert [(one["change"], one["differences"]) for one in told["documents"]] == [("same", [])]
        assert await gateway.ask("post", f"/messages/{letter}/reprocess") == (200, {"messages": 1})
        await gateway.reach([letter], "done")
        trace = await gateway.store.trace(letter)
        assert (trace.message.fanout, len(trace.documents)) == (1, 1)

        _mapping(place, "name: Example Mental Health", "name: Renamed Mental Health", name="discharge-letter.yaml")
        assert (await gateway.ask("post", "/mappings/reload"))[0] == 200
        _, told = await gateway.ask("post", f"/messages/{letter}/reprocess?dry-run")
        (document,) = told["documents"]
        assert document["change"] == "changed"
        assert document["differences"]
        assert not any("was" in one or "now" in one for one in document["differences"])
        assert (await gateway.ask("post", f"/messages/{letter}/reprocess"))[0] == 200
        await gateway.reach([letter], "done")
        trace = await gateway.store.trace(letter)
        assert (trace.message.fanout, [one["version"] for one in trace.documents]) == (2, [1, 2])


async def test_values_are_shown_to_who_may_see_them_and_says_why(place):
    async with serving(place) as gateway:
        (message,) = await gateway.send(an_event("000001"))
        path = f"/messages/{message}/reprocess?dry-run&values"
        assert (await gateway.ask("post", path, "operator", why="asked by the ward"))[0] == 403
        assert (await gateway.ask("post", path, "clinical"))[0] == 400
        assert (await gateway.ask("post", path, "clinical", why="asked by the ward"))[0] == 200
        assert (await gateway.ask("post", f"/messages/{message}/reprocess?dry-run", "viewer"))[0] == 403
        code, said, _ = await command("reprocess", message, "--dry-run", "--values", "--why", "call 17", "--json")
        assert (code, json.loads(said)[0]["would_be"]) == (0, "done")
        lines = await gateway.store.audited(about=message)
        assert [line for line in audited(lines) if line[1] == "read difference"] == [
            ("records", "read difference", message)
        ] * 2


@pytest.mark.parametrize("wrong", [{}, {"cause": 7}, {"cause": "M710", "rate": 0}, {"cause": "M710", "rate": True}])
async def test_what_is_asked_wrongly_changes_nothing(place, wrong):
    async with serving(place) as gateway:
        (message,) = await gateway.send(an_event("000001", kind=b"A02"))
        assert (await gateway.ask("post", "/parked/reprocess", json=wrong))[0] == 400
        assert (await gateway.ask("post", "/parked/reprocess", "viewer", json={"cause": "M710"}))[0] == 403
        assert (await gateway.ask("post", "/messages/999999999/reprocess"))[0] == 409
        assert (await gateway.ask("post", "/messages/999999999/reprocess?dry-run"))[0] == 404
        assert await gateway.states(message) == ["parked M710"]


# --- deliveries and destinations ---------------------------------------------------------------------------


async def test_a_message_is_sent_again_to_one_destination(place):
    async with serving(place) as gateway:
        (message,) = await gateway.send(LETTER)
        async with asyncio.timeout(10):
            while not list((place / "out").glob("*.json")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for to, expected in (("nowhere", 1), ("out", 0)):
            code, _, _ = await command("resend", message, "--to", to)
            assert code == expected
        assert (await command("resend", 999999999))[0] == 1
        assert ("ann", "resend", message) in audited(await gateway.store.audited(about=message))


async def test_a_held_destination_is_let_go_at_once(place):
    async with serving(place) as gateway:
        (sender,) = gateway.app.senders
        deliver = sender.deliver

        async def refuse(_delivery):
            raise DestinationHeld("D944", "the credentials are refused")

        sender.deliver = refuse
        await gateway.send(LETTER)
        async with asyncio.timeout(10):
            while not gateway.app.outbox.shut:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        sender.deliver = deliver
        assert (await command("release", "--destination", "nowhere"))[0] == 1
        assert (await command("release", "--destination", "out"))[0] == 0
        async with asyncio.timeout(10):
            while not list((place / "out").glob("*.json")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
def written(tmp_path_factory):
    """A folder with nothing in it but a token."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "token").write_text("o-secret\n")
    return folder


async def test_a_gateway_elsewhere_is_asked_with_a_token_by_reference(place, monkeypatch, written):
    async with serving(place) as gateway:
        (message,) = await gateway.send(an_event("000001", kind=b"A02"))
        url = str(gateway.app.receivers["http"].address)
        # Nothing of the configuration is there.
        monkeypatch.chdir(written)
        for token, expected in (("env:VIEWER", 1), ("file:token", 0), ("env:OPERATOR", 1)):
            code, _, _ = await command("close", message, "--why", "by post", "--url", url, "--token", token)
            assert code == expected
        assert await gateway.states(message) == ["closed M710"]
        (line,) = [line for line in await gateway.store.audited(about=message) if line.act == "close"][-1:]
        assert line.who == "ann"
        for token in ("o-secret", "env:NOWHERE", "file:nowhere", ""):
            code, *said = await command("resend", message, "--url", url, "--token", token)
            assert (code, "o-secret" in "".join(said)) == ("UsageError", False)
        code, *_ = await command("resend", message, "--url", "gateway.example", "--token", "file:token")
        assert code == "UsageError"


async def test_without_a_gateway_the_store_itself_is_changed_and_the_next_gateway_works_it(place):
    async with serving(place) as gateway:
        messages = await gateway.send(*[an_event(f"{n:06}", patient=n, kind=b"A02") for n in range(3)])
    mended(place)
    # What is rehearsed on the store is worked with the mappings as they are on the disk.
    _, said, _ = await command("reprocess", messages[0], "--dry-run")
    assert said.startswith(f"message {messages[0]}: parked M710 → done")
    assert (await command("close", messages[2], "--why", "sent by post"))[0] == 0
    code, _, said = await command("reprocess", *messages[:2])
    assert (code, "once the gateway is started" in said) == (0, True)
    assert (await command("reprocess", messages[2]))[0] == 1
    async with serving(place) as gateway:
        await gateway.reach(messages, "done", "done", "closed M710")
        acts = audited(await gateway.store.audited())
        assert [(act, about) for who, act, about in acts if "command line" in who] == [
            ("/messages/{id}/reprocess?dry-run", messages[0]),
            ("/messages/{id}/close", messages[2]),
            *[("/messages/{id}/reprocess", message) for message in (*messages[:2], messages[2])],
        ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("reprocess",),
        ("reprocess", "1", "--cause", "M710"),
        ("reprocess", "1", "--values"),
        ("reprocess", "1", "--dry-run", "--values"),
        ("reprocess", "--cause", "M710", "--rate", "fast"),
        ("reprocess", "--cause", "M710", "--rate", "0"),
        ("release",),
        ("release", "1", "--destination", "out"),
        ("close", "1"),
        ("close", "1", "--why", " "),
    ],
    ids=" ".join,
)
def test_a_command_that_says_too_little_or_too_much_is_a_mistake_of_usage(place, arguments):
    code, _, _ = run(*arguments)
    assert code in ("UsageError", "MissingParameter")
    assert not (place / "m").exists()


# --- differences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [Difference("a", "changed", 1, 2)]),
        ({"a": 1}, {}, [Difference("a", "removed", was=1)]),
        ({}, {"a": {"b": 1}}, [Difference("a", "added", now={"b": 1})]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [Difference("a[1].b", "changed", 2, 3)]),
        ({"a": [1, 2]}, {"a": [1]}, [Difference("a[1]", "removed", was=2)]),
        ({"a": [1]}, {"a": [1, 2]}, [Difference("a[1]", "added", now=2)]),
        ({"a": "x"}, {"a": ["x"]}, [Difference("a", "changed", "x", ["x"])]),
        ({"a": True}, {"a": 1}, [Difference("a", "changed", True, 1)]),
        ({"a": {"b": [{"c": "x"}]}}, {"a": {"b": [{"c": "x"}]}}, []),
    ],
)
def test_what_is_different_is_named_by_its_place(was, now, expected):
    assert list(differences(was, now)) == expected
