"""The log: nothing of a message gets into it, whoever tries and however it goes wrong."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import warnings
from importlib.resources import files

import pytest

from mhbridge import log as logs
from mhbridge.errors import MalformedMessage
from mhbridge.log import Event

CANARY = "Zyxwvutsrq"


def logger(level=logging.INFO):
    stream = io.BytesIO()
    return logs.make(stream, level=level), lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_event_and_what_is_allowed():
    log, lines = logger()
    log.info(Event.RECEIVED, feed="s/mllp", size=1234, reference="7")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "info", "event": "received", "feed": "s/mllp", "size": 1234, "reference": "7"}


def test_a_key_that_is_not_allowed_is_dropped_and_counted():
    log, lines = logger()
    log.info(Event.RECEIVED, patient=CANARY, body=CANARY, feed="s/mllp")
    (line,) = lines()
    assert CANARY not in json.dumps(line)
    assert (line["dropped"], line["feed"]) == (2, "s/mllp")


def test_an_event_that_does_not_exist_is_not_written():
    log, lines = logger()
    said = f"received {CANARY}"
    log.info(said)
    assert [line["event"] for line in lines()] == ["?"]


VALUES = [
    "a\nb",
    "a\x1b[31mb",
    "a\u2028b",
    "a" * 200,
    "Zoë",
    'a"b',
    "<b>",
    {"name": CANARY},
    [CANARY, '"'],
    "a;b",
    "a%20b",
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_another_shape_is_not_written(value):
    log, lines = logger()
    log.info(Event.RECEIVED, feed=value, size=value)
    (line,) = lines()
    assert (line["feed"], line["size"]) == ("?", "?")


def failing():
    patient = CANARY  # noqa: F841  a frame's variable
    raise MalformedMessage("M701", CANARY)


def test_an_exception_is_its_class_code_and_place_in_our_files():
    with pytest.raises(ValueError) as elsewhere:
        json.loads("{" + CANARY)
    assert logs.where(elsewhere.value) == {"error": "JSONDecodeError", "where": ""}
    with pytest.raises(MalformedMessage) as raised:
        failing()
    assert logs.where(raised.value) == {"error": "MalformedMessage", "where": "", "code": "M701"}
    from mhbridge.formats.hl7v2 import FORMAT

    with pytest.raises(MalformedMessage) as raised:
        list(FORMAT.messages(CANARY.encode(), []))
    said = logs.where(raised.value)
    assert said["where"].startswith("formats/hl7v2/envelope.py:")
    assert CANARY not in str(said)


def test_debug_shows_no_more_of_a_message():
    log, lines = logger(logging.DEBUG)
    log.debug(Event.REQUEST, route="/x", path=f"/{CANARY}", exc_info=ValueError(CANARY), stack_info=True)
    assert CANARY not in json.dumps(lines())
    quiet, none = logger(logging.INFO)
    quiet.debug(Event.REQUEST, route="/x")
    assert none() == []


@pytest.fixture
def standard_logging():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("standard_logging")
def test_what_libraries_log_says_that_they_did_and_not_what():
    log, lines = logger()
    logs.adopt_logging(log)
    logging.getLogger("aiohttp.server").warning("bad request %s", CANARY)
    logging.getLogger("asyncio").error("failed", exc_info=ValueError(CANARY))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn(CANARY, stacklevel=1)
    logging.getLogger("x").info(CANARY)
    assert CANARY not in json.dumps(lines())
    assert [(line["event"], line["library"], line.get("error")) for line in lines()] == [
        ("library", "aiohttp.server", None),
        ("library", "asyncio", "ValueError"),
        ("library", "py.warnings", None),
    ]


async def test_what_the_event_loop_would_print_is_an_event():
    log, lines = logger()
    loop = asyncio.get_running_loop()
    logs.adopt_asyncio(log, loop)
    try:
        loop.call_exception_handler({"message": CANARY, "exception": ValueError(CANARY)})
        loop.call_exception_handler({"message": CANARY})
    finally:
        loop.set_exception_handler(None)
    assert [(line["event"], line.get("error")) for line in lines()] == [("failed", "ValueError"), ("failed", None)]
    assert CANARY not in json.dumps(lines())


# --- every call in the product -----------------------------------------------------------------------------

LEVELS = {"debug", "info", "warning", "error", "critical", "log"}


def calls():
    """Every call of a logger in the product: file, line, event and keys."""
    for file in sorted(files("mhbridge").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = ast.unparse(node.args[0])
            if function in LEVELS and first.startswith("Event."):
                yield f"{file.name}:{node.lineno}", first.removeprefix("Event."), [k.arg for k in node.keywords]


def test_every_event_and_key_that_is_logged_is_on_the_list():
    found = list(calls())
    assert len(found) > 30
    for place, event, keys in found:
        assert event in Event.__members__, place
        assert {key for key in keys if key is not None} <= logs.KEYS.keys(), place


def test_every_event_is_logged_somewhere():
    logged = {event for _, event, _ in calls()}
    for file in files("mhbridge").rglob("*.py"):
        if file.name != "log.py":
            text = file.read_text("utf-8")
            logged |= {event for event in Event.__members__ if f"Event.{event}" in text}
    logged |= {"FAILED", "LIBRARY"}
    assert set(Event.__members__) == logged


def test_nothing_in_the_product_prints_or_logs_by_itself():
    allowed = {"log.py"}
    # The reader of a PDF hears what the library warns of, and refuses. It says nothing.
    hears = {"objects.py"}
    for file in files("mhbridge").rglob("*.py"):
        text = file.read_text("utf-8")
        if file.name not in allowed and "cli" not in file.parts and "testing" not in file.parts:
            assert "import logging" not in text or file.name in hears, file.name
            assert not re.search(r"\b(logger|logging)\.(debug|info|warning|error|critical|exception|log)\(", text), (
                file.name
            )
            assert "structlog" not in text, file.name
            assert "print(" not in text.replace("fingerprint(", ""), file.name


async def test_what_goes_well_is_written_once_a_turn_and_all_else_at_once():
    stream = io.BytesIO()
    log = logs.make(stream, gather=True)
    log.info(Event.RECEIVED, reference="1")
    log.info(Event.RECEIVED, reference="2")
    assert not stream.getvalue()
    log.warning(Event.PARKED, code="M720")
    assert stream.getvalue().count(b"\n") == 3
    log.info(Event.RECEIVED, reference="3")
    await asyncio.to_thread(log.info, Event.RECEIVED, reference="4")
    said = [json.loads(line).get("reference") for line in stream.getvalue().splitlines()]
    assert said == ["1", "2", None, "3", "4"]
