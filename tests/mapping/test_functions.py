"""
Every function does what its examples say; and what the examples cannot show.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from mhbridge.mapping import functions as module
from mhbridge.mapping.code_files import load_list, load_systems, load_table
from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.functions import KINDS, Example, Function, Parameter, function, functions
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Unknown

SYSTEMS_CSV = """system,title,r4,stu3,oid,v2
local,Local codes,,,,99LOC
snomed,SNOMED CT,http://snomed.info/sct,,,SCT
ucum,UCUM,http://unitsofmeasure.org,,,UCUM
beds,Bed types,,,,
"""
SYSTEMS, _ = load_systems([("systems.csv", SYSTEMS_CSV)])
CONTEXT = Context(systems=SYSTEMS, authorities={"RXX": "https://trust.example/Id/patient"}, supplier="example")
HEADER = "source_system,source_version,source_code,target_system,target_version,target_code,target_display,equivalence"


def call(name, *arguments, want="", context=CONTEXT):
    found = functions()[name]
    return found.call(context, *arguments, want=want or found.results[0])


def table(*rows, unmapped="keep", dated=False):
    text = "\n".join([HEADER + (",from,until" if dated else ""), *rows])
    found, problems = load_table("t.csv", text, SYSTEMS, name="t", unmapped=unmapped)
    assert problems == ()
    return found


def noted(name, *arguments, want=""):
    notes = []
    context = replace(CONTEXT, note=lambda code, text: notes.append((code, text)))
    return call(name, *arguments, want=want, context=context), notes


# --- the register ------------------------------------------------------------------------------------------


def examples():
    return [(found.name, example) for found in functions().values() for example in found.examples]


@pytest.mark.parametrize(("name", "example"), examples(), ids=[f"{n} {e.shown}" for n, e in examples()])
def test_example(name, example) -> None:
    context = Context()
    result = functions()[name].call(context, *example.arguments, want=example.want or functions()[name].results[0])
    assert result == example.result
    assert type(result) is type(example.result)
    assert name in example.shown


def test_every_function_is_documented_and_shown() -> None:
    for found in functions().values():
        assert found.summary
        assert found.results
        assert found.structural == (found.call is None)
        assert found.structural or found.examples
        assert all(parameter.kind in KINDS for parameter in found.parameters)
        optional = [parameter.optional for parameter in found.parameters]
        assert optional == sorted(optional), "a required parameter follows an optional one"
        assert not any(parameter.repeats for parameter in found.parameters[:-1])


def test_signatures_are_as_they_are_written() -> None:
    assert functions()["code"].signature == "code(value, table[, date])"
    assert functions()["derived_identifier"].signature == "derived_identifier(value, …)"
    assert functions()["deleted"].signature == "deleted()"


@function(Parameter("value"), results=("string",), examples=(Example("shout(x)", ("a",), "A"),))
def shout(context, value, *, want):  # noqa: ARG001
    """
    In capitals.

    Further words are not in the summary.
    """
    return value.upper()


@function(results=("string",))
def exists(context, *, want):  # noqa: ARG001
    """Pretends to be a built-in function."""
    return ""


def test_an_installed_package_adds_functions_and_replaces_none(monkeypatch) -> None:
    points = [EntryPoint("one", "one:F", "mhbridge.functions"), EntryPoint("two", "two:F", "mhbridge.functions")]
    loaded = {"one": shout, "two": (exists,)}
    with monkeypatch.context() as patched:
        patched.setattr(EntryPoint, "load", lambda point: loaded[point.name])
        patched.setattr(module, "entry_points", lambda group: points if group == "mhbridge.functions" else [])
        functions.cache_clear()
        assert functions()["shout"] is shout
        assert functions()["shout"].summary == "In capitals."
        assert functions()["exists"] is not exists
    functions.cache_clear()
    assert "shout" not in functions()
    assert isinstance(shout, Function)


# --- codes -------------------------------------------------------------------------------------------------

PLAIN = ("local,1,A,snomed,1,111,One,equal", "local,1,B,snomed,1,,,unmatched")
DATED = ("local,1,A,snomed,1,111,Old,equal,,2021-09-30", "local,1,A,snomed,1,222,New,equal,2021-10-01,")
ONE = {"system": "snomed", "code": "111", "display": "One"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("A", {"coding": [ONE, {"system": "local", "code": "A"}]}),
        ({"coding": [{"code": "A"}]}, {"coding": [ONE, {"system": "local", "code": "A"}]}),
        # A sender's own name for the list stays, and does not keep the table from being used.
        ({"coding": [{"system": "L", "code": "A"}]}, {"coding": [ONE, {"system": "L", "code": "A"}]}),
        (
            {"coding": [{"system": "local", "code": "A", "display": "Said"}], "text": "As written"},
            {"coding": [ONE, {"system": "local", "code": "A", "display": "Said"}], "text": "As written"},
        ),
        # The second coding is the one that the table knows.
        (
            {"coding": [{"code": "Z"}, {"code": "A"}]},
            {"coding": [ONE, {"system": "local", "code": "Z"}, {"system": "local", "code": "A"}]},
        ),
        # One word is the code that the table is asked for; more words are not.
        ({"text": "A"}, {"coding": [ONE, {"system": "local", "code": "A"}]}),
    ],
)
def test_code_puts_the_target_first_and_keeps_what_came(value, expected) -> None:
    assert noted("code", value, table(*PLAIN)) == (expected, [])


def test_a_code_of_another_known_system_is_not_taken_for_one_of_the_table() -> None:
    value = {"coding": [{"system": "snomed", "code": "A", "display": "Something else"}]}
    result, notes = noted("code", value, table(*PLAIN))
    assert result == {**value, "text": "Something else"}
    assert notes == [("I602", "the code is not in the table t")]


def test_a_code_that_has_lost_its_zeros_is_said_and_not_taken() -> None:
    rows = table("local,1,01,snomed,1,111,One,equal", "local,1,0Z,snomed,1,222,Two,equal")
    result, notes = noted("code", "1", rows)
    assert result == {"coding": [{"system": "local", "code": "1"}], "text": "1"}
    assert [code for code, _ in notes] == ["I602", "I643"]
    assert [code for code, _ in noted("code", "Z", rows)[1]] == ["I602"], "only digits are taken for a number"
    assert [code for code, _ in noted("code", "2", rows)[1]] == ["I602"]


@pytest.mark.parametrize("code", ["Z", "B"])
def test_a_code_without_a_counterpart(code) -> None:
    kept, notes = noted("code", code, table(*PLAIN))
    assert kept == {"coding": [{"system": "local", "code": code}], "text": code}
    said = "the code is not in the table t" if code == "Z" else "the table t has no counterpart for the code"
    assert notes == [("I602", said)]
    assert noted("code", code, table(*PLAIN, unmapped="omit")) == (UNKNOWN_ERROR, notes)
    assert noted("code", code, table(*PLAIN), want="code") == (UNKNOWN_ERROR, notes)
    with pytest.raises(Unconvertible) as refusal:
        call("code", code, table(*PLAIN, unmapped="refuse"))
    assert (refusal.value.code, refusal.value.refused, str(refusal.value)) == ("I602", True, notes[0][1])


def test_words_are_kept_as_words() -> None:
    result, _ = noted("code", {"text": "Not in any list"}, table(*PLAIN))
    assert result == {"text": "Not in any list"}


@pytest.mark.parametrize(
    ("date", "display"),
    [
        ("2021-09-30", "Old"),
        ("2021-09-30T23:59:00+01:00", "Old"),
        ("2021-10-01", "New"),
        ("2020", "Old"),
        ("2022-02", "New"),
        # Half of the year one, half of it the other; and no date at all.
        ("2021", None),
        (ABSENT, None),
        (UNKNOWN_ERROR, None),
    ],
)
def test_a_dated_table(date, display) -> None:
    result, notes = noted("code", "A", table(*DATED, dated=True), date)
    assert bool(notes) == (display is None)
    assert result["coding"][0].get("display") == display


def test_a_table_that_only_adds_words_does_not_say_the_code_twice() -> None:
    value = {"coding": [{"system": "snomed", "code": "111"}]}
    same = table("snomed,1,111,snomed,1,111,One,equal")
    assert call("code", value, same) == {"coding": [ONE]}


def test_a_table_of_truths() -> None:
    truths = table("local,1,Y,local,1,true,,equal", "local,1,N,local,1,false,,equal", "local,1,X,local,1,x,,equal")
    assert call("code", "Y", truths, want="boolean") is True
    assert call("code", "N", truths, want="boolean") is False
    with pytest.raises(Unconvertible):
        call("code", "X", truths, want="boolean")


@pytest.mark.parametrize("state", [ABSENT, DELETED, MASKED, Unknown("not-asked")])
@pytest.mark.parametrize("name", ["coded", "timestamp", "quantity"])
def test_functions_that_take_states_hand_on_that_of_their_value(name, state) -> None:
    others = {"coded": ("snomed",), "timestamp": ("09:00:00",)}
    assert call(name, state, *others.get(name, ())) is state


@pytest.mark.parametrize("name", ["code", "member"])
def test_what_is_asked_of_a_table_or_list_is_needed_and_the_date_is_not(name) -> None:
    value, _, date = functions()[name].parameters
    assert value.needed
    assert not date.needed


def test_coded_needs_a_system_that_is_known() -> None:
    assert call("coded", "1", "snomed", "One") == {"coding": [{"system": "snomed", "code": "1", "display": "One"}]}
    assert call("coded", "1", "http://snomed.info/sct") == {"coding": [{"system": "snomed", "code": "1"}]}
    assert call("coded", "1", "snomed", ABSENT) == {"coding": [{"system": "snomed", "code": "1"}]}
    assert call("coded", "1", UNKNOWN_ERROR) is UNKNOWN_ERROR
    for system in ("SCT", "no such system", "a b:c"):
        with pytest.raises(Unconvertible):
            call("coded", "1", system)


def beds():
    text = "system,code,display,from,until\nbeds,200,,2024-04-01,\nbeds,10,,,2024-03-31\nbeds,1,,,\n"
    found, problems = load_list("beds.csv", text, SYSTEMS)
    assert problems == ()
    return found


@pytest.mark.parametrize(
    ("coding", "date", "expected"),
    [
        ({"system": "beds", "code": "200"}, "2025-01-01", True),
        ({"system": "beds", "code": "200"}, "2024-03-31", False),
        ({"system": "beds", "code": "10"}, "2024-03-31T22:00:00+01:00", True),
        ({"system": "beds", "code": "200"}, "2024", Unknown("unknown")),
        ({"system": "beds", "code": "200"}, ABSENT, Unknown("unknown")),
        ({"system": "beds", "code": "1"}, ABSENT, True),
        ({"system": "beds", "code": "9"}, "2024", False),
        ({"code": "200"}, "2025-01-01", False),
    ],
)
def test_member(coding, date, expected) -> None:
    assert call("member", {"coding": [coding]}, beds(), date) == expected


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("2024", "2025", True),
        ("2025", "2024-12-31", False),
        ("2025", "2025", False),
        ("2025", "2025-06", Unknown("unknown")),
        ("2025-06-01", "2025-06-01T10:00:00+01:00", Unknown("unknown")),
        ("2025-06-01", "2025-06-02T00:30:00+01:00", True),
        ("2025-06-01T10:00:00+01:00", "2025-06-01T09:30:00Z", True),
        ("2025-06-01T10:00:00.5Z", "2025-06-01T10:00:00.25Z", False),
    ],
)
def test_before(first, second, expected) -> None:
    assert call("before", first, second) == expected


@pytest.mark.parametrize(
    "texts", [("2025-06-01T10:00:00", "2025-06-01T10:00:00Z"), ("2025-06-01T1", "2025-06-01T10:00:00Z")]
)
def test_what_is_no_moment_is_not_compared(texts) -> None:
    with pytest.raises(Unconvertible):
        call("before", *texts)


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        (("2025-01-01", "2025-01-10", "2025-01-10", "2025-01-20"), True),
        (("2025-01-01", "2025-01-10", "2025-01-11", ABSENT), False),
        (("2025-01-01", DELETED, "2025-06-01", ABSENT), True),
        (("2025-01-01", "2025", "2025-06-01", ABSENT), Unknown("unknown")),
        (("2025-01-01", UNKNOWN_ERROR, "2025-06-01", ABSENT), Unknown("unknown")),
        (("2025-01-01", UNKNOWN_ERROR, "2024-06-01", "2024-07-01"), False),
        ((ABSENT, ABSENT, "2024-06-01", "2024-07-01"), Unknown("unknown")),
    ],
)
def test_overlaps(periods, expected) -> None:
    assert call("overlaps", *periods) == expected


def test_timestamp_knows_the_zone_and_the_hour_that_came_twice() -> None:
    assert call("timestamp", "2025-01-01", "09:30:00.5") == "2025-01-01T09:30:00.5+00:00"
    result, notes = noted("timestamp", "2025-10-26", "01:30:00")
    assert (result, [code for code, _ in notes]) == ("2025-10-26T01:30:00+01:00", ["I621"])
    for day, time in (("2025-03-30", "01:30:00"), ("2025-03", "09:00:00")):
        with pytest.raises(Unconvertible):
            call("timestamp", day, time)
    assert call("timestamp", "2025-03", ABSENT) == "2025-03"


def test_days_between_counts_midnights() -> None:
    assert call("days_between", "2025-03-31", "2025-03-01T10:00:00+00:00") == -30
    with pytest.raises(Unconvertible):
        call("days_between", "2025-02-30", "2025-03-01")


# --- values ------------------------------------------------------------------------------------------------


def test_first_and_lines_pass_over_what_is_not_there() -> None:
    assert call("first", [DELETED, "b"], want="string") == "b"
    assert call("first", [DELETED], want="string") is ABSENT
    assert call("first", "a", want="string") == "a"
    assert call("lines", ["a", ABSENT, "b"]) == "a\nb"
    assert call("lines", [DELETED]) is ABSENT


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("no markup, <5 mg & more", "no markup, <5 mg & more"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<script>alert(1)</script>Rest", "Rest"),
        ("a<hr/>b", "a\n---\nb"),
        (f"<p>{'word ' * 400}</p>", ("word " * 400).strip()),
        ("<p> </p>", ABSENT),
    ],
)
def test_plain(markup, expected) -> None:
    assert call("plain", markup) == expected


@pytest.mark.parametrize("word", ["", "y", "J", "N Y"])
def test_flag_knows_two_words(word) -> None:
    with pytest.raises(Unconvertible):
        call("flag", word, "Y", "N")


def test_quantity_with_a_system() -> None:
    assert call("quantity", 72, "kg", "ucum") == {"value": 72, "unit": "kg", "system": "ucum", "code": "kg"}
    assert call("quantity", 72, DELETED, "ucum") == {"value": 72}
    with pytest.raises(Unconvertible):
        call("quantity", 72, "kg", "imperial")


def test_unknown_has_fhirs_reasons() -> None:
    with pytest.raises(Unconvertible):
        call("unknown", "because", want="string")


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("snomed", {"system": "snomed", "value": "1"}),
        ("http://snomed.info/sct", {"system": "snomed", "value": "1"}),
        ("urn:oid:1.2.3", {"system": "urn:oid:1.2.3", "value": "1"}),
        ("RXX", {"system": "https://trust.example/Id/patient", "value": "1"}),
        ("RYY", {"value": "1", "assigner": {"display": "RYY"}}),
    ],
)
def test_identifier(system, expected) -> None:
    assert call("identifier", " 1 ", system) == expected


def test_ods_organisation_leaves_other_systems_alone() -> None:
    known = {"identifiers": [{"system": "local", "value": "1"}, {"value": "X99999"}], "name": "Willow Surgery"}
    assert call("ods_organisation", known) == {
        "identifiers": [{"system": "local", "value": "1"}, {"system": "ods", "value": "X99999"}],
        "name": "Willow Surgery",
    }
    assert call("ods_organisation", {"name": "Willow Surgery"}) == {"name": "Willow Surgery"}


def test_derived_identifiers_differ_exactly_when_their_values_do() -> None:
    one = call("derived_identifier", {"system": "a", "value": "1"}, "x")
    assert one == call("derived_identifier", {"value": "1", "system": "a"}, "x")
    others = [
        call("derived_identifier", {"system": "a", "value": "2"}, "x"),
        call("derived_identifier", {"system": "a", "value": "1"}, "y"),
        call("derived_identifier", {"system": "a", "value": "1"}),
        call("derived_identifier", "1", "x"),
        call("derived_identifier", {"system": "a", "value": "1"}, "x", context=replace(CONTEXT, supplier="other")),
    ]
    assert len({other["value"] for other in (one, *others)}) == 6


@pytest.mark.parametrize("number", ["9990001", "C99900012", "CD123456", "H9990001", "C999000A", ""])
def test_practitioner_code_leaves_every_other_number_alone(number) -> None:
    person = {"identifiers": [{"system": "gmc-number", "value": number}], "name": [{"family": "Invented"}]}
    assert call("practitioner_code", person) == person
    for issuer in ({"system": "exac-staff"}, {"assigner": {"display": "PAYROLL"}}):
        other = {"identifiers": [{"value": "C9990001", **issuer}]}
        assert call("practitioner_code", other) == other
    assert call("practitioner_code", {"name": [{"family": "Invented"}]}) == {"name": [{"family": "Invented"}]}


# --- texts -------------------------------------------------------------------------------------------------

WRONG = [
    ("postcode", ("LS1",)),
    ("postcode", ("LS1 9CI",)),
    ("postcode", ("12345",)),
    ("phone", ("ring the ward",)),
    ("phone", ("4,41134960000E+11",)),
    ("decimal_comma", ("1.5",)),
    ("decimal_comma", ("12.34,5",)),
    ("attachment", ("JVBERi0xLjc=", "application/pdf", 7)),
    ("attachment", ("JVBERi0xLj", "application/pdf")),
    ("attachment", ("JVBE*i0x", "application/pdf")),
    ("attachment", ("", "application/pdf")),
    ("attachment", ("JVBERi0xLjc=", "a document")),
]


@pytest.mark.parametrize(("name", "arguments"), WRONG)
def test_a_text_without_its_form_does_not_convert(name, arguments) -> None:
    with pytest.raises(Unconvertible) as refused:
        call(name, *arguments)
    assert str(arguments[0]) not in str(refused.value) or not arguments[0]


def test_a_number_keeps_its_digits() -> None:
    assert str(call("decimal_comma", "1.072,50")) == "1072.50"
    assert str(call("decimal_comma", "0,10")) == "0.10"


@pytest.mark.parametrize(("text", "name"), [("A, B, C", "A, B, C"), (", Mary", ", Mary"), ("INVENTED,", "INVENTED,")])
def test_a_name_is_taken_apart_by_just_one_comma(text, name) -> None:
    assert call("surname_first", text) == {"text": name}


def test_a_pattern_takes_a_time_that_grows_with_the_text_alone() -> None:
    """The control: Python's own search for this pattern takes as good as for ever."""
    assert call("match", "a" * 100_000 + "b", "^(?:a+)+$") is ABSENT


def test_several_values_as_one_leave_out_what_is_not_there() -> None:
    assert call("join", ["a", DELETED, "b"], "-") == "a-b"
    assert call("join", [ABSENT], "-") is ABSENT
    assert call("last", ["a", "b", DELETED]) == "b"
    assert call("last", [DELETED]) is ABSENT
    assert call("split", "a//b", "/", 2) is ABSENT
    assert call("split", "a//b", "/", 4) is ABSENT
