"""
Where documents go: by document type, recipient, organisation and sensitivity; and what fits nowhere waits for a person.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import shipped
from mhbridge import config, pipeline
from mhbridge.app.feeds import feeds_from
from mhbridge.errors import ConfigurationError
from mhbridge.mapping.library import built_in

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LETTERS = built_in("fixtures") / "example-mental-health" / "discharge-letter"
#: The practice of its patient is Y12345.
PLAIN = (LETTERS / "plain.hl7").read_bytes()
#: Compiled once, and not for each test.
CATALOGUE = shipped.catalogue
CONFIGURATION = """
[gateway]
mode = "test"

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[http]
listen = "127.0.0.1:0"
"""
DESTINATION = """
[[destination]]
name = "{name}"
kind = "folder"
path = "{name}"
"""
ROUTE = """
[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["{to}"]
"""


def outcome(routes, body=PLAIN):
    """What becomes of a message with these routes: (destination, what the route has beside it)."""
    text = CONFIGURATION + "".join(DESTINATION.format(name=name) for name in dict.fromkeys(to for to, _ in routes))
    text += "".join(ROUTE.format(to=to) + more + "\n" for to, more in routes)
    feed = feeds_from(config.parse(text, environ={}), shipped.catalogue())["example-mental-health/http"]
    (found,) = pipeline.outcome_now(body, feed, NOW)
    return found.state.value, found.code, [planned.destination for planned in found.deliveries]


def recipients(*organisations, items=("gp_practice",)):
    listed = ", ".join(f'"{one}"' for one in organisations)
    return (
        f"recipients = {{items = [{', '.join(f'{chr(34)}{i}{chr(34)}' for i in items)}], organisations = [{listed}]}}"
    )


ROUTES = {
    "everything": ([("a", "")], ["a"]),
    "its practice": ([("a", recipients("Y12345"))], ["a"]),
    "one of many": ([("a", recipients("Y99001", "Y12345", "Y99002"))], ["a"]),
    "one destination serves several, another the rest": (
        [("a", recipients("Y12345", "Y99002")), ("b", recipients("Y99001"))],
        ["a"],
    ),
    "two that fit": ([("a", recipients("Y12345")), ("b", "")], ["a", "b"]),
    "a recipient and a condition": ([("a", recipients("Y12345") + '\nwhen = "= not sensitive"')], ["a"]),
    "one of several items": ([("a", recipients("Y12345", items=("custodian", "gp_practice")))], ["a"]),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_letter_goes_where_its_recipients_are_served(name):
    routes, to = ROUTES[name]
    assert outcome(routes) == ("done", "", to)


NOWHERE = {
    "another practice": [("a", recipients("Y99001"))],
    "the practice under another item": [("a", recipients("Y12345", items=("custodian",)))],
    "a recipient, but not the condition": [("a", recipients("Y12345") + '\nwhen = "= sensitive"')],
}


@pytest.mark.parametrize("name", NOWHERE)
def test_what_fits_nowhere_waits_for_a_person(name):
    assert outcome(NOWHERE[name]) == ("parked", "M741", [])


@pytest.mark.parametrize("change", [(b"^^^ODS", b"^^^LOCAL"), (b"^^Y12345^", b"^^^"), (b"Y12345", b"Y1234")])
def test_an_organisation_without_its_ods_code_is_nobodys_recipient(change):
    assert outcome([("a", recipients("Y12345"))], PLAIN.replace(*change))[1] == "M741"


@pytest.mark.parametrize("item", ["no_such_item", "safety_plan"])
def test_an_item_that_names_no_organisation_is_found_when_it_is_loaded(item):
    with pytest.raises(ConfigurationError) as raised:
        outcome([("a", recipients("Y12345", items=("gp_practice", item)))])
    assert [code for code, _ in raised.value.problems] == ["C828"]
    assert item in raised.value.problems[0][1]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (recipients("y12345"), "route[0].recipients.organisations[0]"),
        (recipients("Y12345", items=("GP",)), "route[0].recipients.items[0]"),
        (recipients(), "route[0].recipients.organisations"),
        ("recipients = {items = ['gp_practice']}", "route[0].recipients.organisations"),
    ],
)
def test_how_recipients_are_written_is_checked(text, place):
    with pytest.raises(ConfigurationError) as raised:
        outcome([("a", text)])
    ((code, said),) = raised.value.problems
    assert code in ("C804", "C806")
    assert f" {place}: " in said
