"""What is an alarm, how it is said, and that it arrives: a table of events, and real webhooks that fail by plan."""

import ast
import asyncio
import base64
import hmac
import io
import json
import string
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

import mhbridge
from mhbridge import config
from mhbridge import log as logs
from mhbridge.adapters.outward import AlarmWebhook, Heartbeat
from mhbridge.adapters.signing import sign
from mhbridge.app import build
from mhbridge.config.values import Secret
from mhbridge.gateway.alarms import ALARMS, Alarms
from mhbridge.log import KEYS, Event
from mhbridge.ports import Alarm

NOW = datetime(2026, 3, 3, 9, tzinfo=UTC)
CANARY = "Zyxwvutsrq"
KEY = "a key of these tests"


class Heard:
    """Alarms without targets, with a clock that goes when it is told to."""

    def __init__(self):
        self.now, self.alarms, self.stream = NOW, [], io.BytesIO()
        self.log = Alarms(log=logs.make(self.stream), tell=[self.alarms.append], clock=lambda: self.now).log

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_an_alarm_is_in_the_log_in_words_with_how_bad_it_is():
    heard = Heard()
    heard.log.error(Event.SILENT, feed="s/mllp", kind="arrivals", code="D970", seconds=2_700)
    (line,) = heard.lines()
    assert line["event"] == "silent"
    assert line["severity"] == "high"
    assert line["says"] == (
        "Less has come from s/mllp than should have. It was last heard 45 minutes ago. What was received is safe."
    )
    (alarm,) = heard.alarms
    assert (alarm.name, alarm.state, alarm.says) == ("silent", "begun", line["says"])


def test_what_is_no_alarm_is_logged_as_it_is():
    heard = Heard()
    heard.log.info(Event.RECEIVED, feed="s/mllp", messages=1)
    assert heard.alarms == []
    assert "says" not in heard.lines()[0]


def test_a_task_is_as_bad_as_it_says_itself():
    heard = Heard()
    heard.log.error(Event.CLOCK_MISSED, task=7, queue="safety", severity="critical", code="follow-up-72h")
    heard.log.warning(Event.TASK_OVERDUE, task=8, queue="ward", severity="normal", code="D970")
    assert [alarm.severity for alarm in heard.alarms] == ["critical", "normal"]


def test_what_lasts_is_said_when_it_begins_and_when_it_ends():
    heard = Heard()
    heard.log.error(Event.DESTINATION_DOWN, destination="gp")
    heard.log.error(Event.DESTINATION_DOWN, destination="ward")
    heard.log.error(Event.DESTINATION_DOWN, destination="gp")
    heard.log.info(Event.DESTINATION_BACK, destination="gp")
    heard.log.info(Event.DESTINATION_BACK, destination="gp")
    said = [(alarm.about["destination"], alarm.state) for alarm in heard.alarms]
    assert said == [("gp", "begun"), ("ward", "begun"), ("gp", "ended")]
    assert heard.alarms[0].id == heard.alarms[2].id != heard.alarms[1].id


def test_what_happens_again_and_again_is_said_once_in_a_while_with_how_often():
    heard = Heard()
    for _ in range(100):
        heard.log.warning(Event.PARKED, feed="s/mllp", code="M702")
    heard.log.warning(Event.PARKED, feed="s/mllp", code="M703")
    heard.now += timedelta(minutes=11)
    heard.log.warning(Event.PARKED, feed="s/mllp", code="M702")
    assert [(alarm.about["code"], alarm.count) for alarm in heard.alarms] == [("M702", 1), ("M703", 1), ("M702", 100)]


def test_what_may_not_stand_in_the_log_is_in_no_alarm():
    heard = Heard()
    heard.log.error(Event.SILENT, feed=f"s/{CANARY}\x1b[2J", name=CANARY, seconds=60)
    assert CANARY not in repr(heard.alarms)
    assert CANARY not in heard.stream.getvalue().decode()


def test_alarms_of_many_places_are_bounded():
    heard = Heard()
    for task in range(3_000):
        heard.log.warning(Event.TASK_OVERDUE, task=task, queue="operations")
    assert len(heard.alarms) == 3_000
    assert len(heard.log._alarms._raised) <= 1_000


def errors_logged():
    """Every event that the source logs as an error or worse, by its name there."""
    for path in Path(mhbridge.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                if node.func.attr in ("error", "critical") and isinstance(first, ast.Attribute):
                    yield Event[first.attr]


def test_whatever_is_logged_as_an_error_is_an_alarm_but_what_is_wrong_with_alarms():
    assert set(errors_logged()) - ALARMS.keys() == {Event.ALARM_TARGET_DOWN}


@pytest.mark.parametrize("event", ALARMS, ids=str)
def test_an_alarm_says_only_what_may_be_said_in_words_that_the_log_takes(event):
    kind = ALARMS[event]
    asked = {name for _, name, _, _ in string.Formatter().parse(kind.says) if name}
    assert asked | set(kind.by) <= KEYS.keys() | {"lasts"}
    assert KEYS["says"](kind.says) == kind.says


# --- webhooks -------------------------------------------------------------------------------------------------


class Target:
    """A webhook that answers by plan: each status in turn, then 200."""

    def __init__(self, *plan):
        self.plan, self.got, self.event = list(plan), [], asyncio.Event()

    async def take(self, request):
        self.got.append((dict(request.headers), await request.read()))
        self.event.set()
        status = self.plan.pop(0) if self.plan else 200
        if status == 0:
            request.transport.abort()
        return web.Response(status=status or 500)

    async def wait(self, count):
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.event.clear()
                await self.event.wait()
        return [json.loads(body) for _, body in self.got]


@asynccontextmanager
async def served(target):
    application = web.Application()
    application.router.add_post("/{secret}", target.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{CANARY}"
    finally:
        await runner.cleanup()


def an_alarm(number=1, severity="high", state="once", at=NOW):
    return Alarm(f"id{number}", "silent", severity, state, f"says {number}", at, {"feed": "s/mllp"})


@asynccontextmanager
async def webhook(url, *, clock=lambda: NOW, **others):
    stream = io.BytesIO()
    made = AlarmWebhook(
        url=url, key=Secret("env:KEY", lambda: KEY), clock=clock, log=logs.make(stream), first_pause=0.01, **others
    )
    made.stream = stream
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def until(so):
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110  what it waits for is a line of the log
            await asyncio.sleep(0.01)


def said(made):
    return [json.loads(line)["event"] for line in made.stream.getvalue().splitlines()]


async def test_an_alarm_arrives_signed():
    target = Target()
    async with served(target) as url, webhook(url, gateway="trial") as made:
        made.tell(an_alarm())
        (body,) = await target.wait(1)
    assert body == {
        "gateway": "trial", "alarm": "silent", "state": "once", "severity": "high", "says": "says 1",
        "at": "2026-03-03T09:00:00+00:00", "count": 1, "about": {"feed": "s/mllp"},
    }  # fmt: skip
    headers, content = target.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    digest = base64.b64encode(hmac.digest(KEY.encode(), signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert KEY not in repr(target.got)


def test_a_key_may_be_written_as_standard_webhooks_has_it():
    key = "whsec_" + base64.b64encode(b"another key").decode()
    assert sign(key, "a", 1, b"{}") == sign("another key", "a", 1, b"{}") != sign(KEY, "a", 1, b"{}")


@pytest.mark.parametrize("answers", [(503,), (500, 429, 0), (404, 0, 0, 302)])
async def test_an_alarm_is_sent_again_until_it_is_taken_in_order_and_the_outage_is_said_once(answers):
    target = Target(*answers)
    async with served(target) as url, webhook(url) as made:
        for number in range(1, 4):
            made.tell(an_alarm(number))
        bodies = await target.wait(len(answers) + 3)
        await until(lambda: said(made) == ["alarm_target_down", "alarm_target_back"])
    assert [body["says"] for body in bodies] == ["says 1"] * len(answers) + ["says 1", "says 2", "says 3"]
    # An attempt more has the same id, so that the target can tell.
    assert len({headers["webhook-id"] for headers, _ in target.got}) == 3
    assert CANARY not in made.stream.getvalue().decode()


async def test_nobody_waits_for_a_target_that_is_not_there():
    async with webhook("http://127.0.0.1:9/x") as made:
        for number in range(1_500):
            made.tell(an_alarm(number))
        await until(lambda: "alarm_target_down" in said(made))
        assert len(made._waiting) == 1_000


async def test_what_was_raised_while_it_stops_is_still_sent():
    target = Target()
    async with served(target) as url:
        async with webhook(url) as made:
            for number in range(5):
                made.tell(an_alarm(number))
        assert len(target.got) == 5


async def test_a_target_that_does_not_answer_holds_up_no_stop():
    target = Target(*[500] * 1_000)
    async with served(target) as url, asyncio.timeout(2), webhook(url) as made:
        made.tell(an_alarm())
        await until(lambda: said(made) == ["alarm_target_down"])


async def test_what_is_less_bad_than_is_wanted_is_not_sent():
    target = Target()
    async with served(target) as url, webhook(url, least="critical") as made:
        made.tell(an_alarm(1, "normal"))
        made.tell(an_alarm(2, "high"))
        made.tell(an_alarm(3, "critical"))
        assert [body["says"] for body in await target.wait(1)] == ["says 3"]


async def test_after_a_day_an_alarm_is_given_up():
    target = Target(*[503] * 3)
    now = NOW
    async with served(target) as url, webhook(url, clock=lambda: now) as made:
        made.tell(an_alarm(1))
        await target.wait(1)
        now += timedelta(hours=25)
        made.tell(an_alarm(2, at=now))
        bodies = await target.wait(4)
    assert bodies[-1]["says"] == "says 2"


# --- the heartbeat --------------------------------------------------------------------------------------------


@asynccontextmanager
async def beating(url, well):
    stream = io.BytesIO()
    log = Alarms(log=logs.make(stream), tell=[], clock=lambda: NOW).log
    made = Heartbeat(url=url, well=well, clock=lambda: NOW, log=log, gateway="trial", every=0.02)
    made.stream = stream
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def test_it_beats_as_long_as_the_gateway_is_well():
    target, well = Target(), True
    async with served(target) as url, beating(url, lambda: well):
        assert (await target.wait(3))[0] == {"gateway": "trial", "at": "2026-03-03T09:00:00+00:00"}
        well = False
        await asyncio.sleep(0.05)
        before = len(target.got)
        await asyncio.sleep(0.2)
        # What it was sending when it fell ill may still arrive.
        assert len(target.got) <= before


async def test_a_heartbeat_that_nobody_hears_is_said_once():
    target = Target(500, 0, 500)
    async with served(target) as url, beating(url, lambda: True) as made:
        await target.wait(5)
        await until(lambda: said(made) == ["heartbeat_failed", "heartbeat_back"])


# --- the whole gateway ----------------------------------------------------------------------------------------

WHOLE = """
[gateway]
mode = "test"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[watch]
heartbeat = {{url = "{url}", every = "20ms"}}

[[alarm]]
url = "{url}"
key = "env:KEY"
"""


async def test_a_gateway_that_was_configured_so_beats_and_tells_of_its_alarms(tmp_path):
    target = Target()
    async with served(target) as url:
        found = config.parse(WHOLE.format(url=url), base=tmp_path, environ={"KEY": KEY})
        app = build(found, log=logs.make(io.BytesIO()), clock=lambda: NOW)
        await app.open()
        try:
            await target.wait(2)
            host, _, port = app.receivers["example-mental-health/mllp"].address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"\x0bMSH|^~\\&|A|B|C|D|20260303090000||ZZZ^Z99|1|T|2.4\r\x1c\r")
            await reader.readuntil(b"\x1c\r")
            writer.close()
            await until(lambda: any(b"alarm" in body for _, body in target.got))
            bodies = [json.loads(body) for _, body in target.got if b"alarm" in body]
        finally:
            await app.close()
    assert {(body["alarm"], body["state"], body["severity"]) for body in bodies} == {("parked", "once", "normal")}
