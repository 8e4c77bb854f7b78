"""
What the compiler makes: it points into the mapping file, holds no code of it, and reaches nothing.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mhbridge.formats import hl7v2
from mhbridge.mapping import leaves
from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
from mhbridge.mapping.conversions import Conversion
from mhbridge.mapping.library import Library
from mhbridge.mapping.types import Type

HERE = Path(__file__).parent
NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)
MESSAGE = (
    "MSH|^~\\&|PAS|ACME|GW|GW|20250314103000||ADT^A08|C1|P|2.4|||||||UNICODE UTF-8\rEVN|A08|20250101\r"
    "PID|||1^^^ACME||ASH^ROWAN|||1\rPV1|||||||||||||||||||V1^^^ACME\rNTE|||words\rDG1|||I10|x|2024|A||||||||||G1^ELM"
)


def small(folder: Path, changes: list[tuple[str, str, str]]) -> SupplierMapping:
    shutil.copytree(HERE / "small", folder / "small")
    for file, old, new in changes:
        path = folder / "small" / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
    return Catalogue(Library([folder / "small"])).mapping("acme/note")


def translated(mapping: SupplierMapping):
    message, _ = next(iter(mapping.format.messages(MESSAGE.encode(), [mapping.source])))
    reading = mapping.read(message, NOW)
    return mapping.build(reading, reading.items, NOW)


def bind(mapping: SupplierMapping):
    message, _ = next(iter(mapping.format.messages(MESSAGE.encode(), [mapping.source])))
    return mapping.bind(mapping.format.cursor(message), mapping.run(message.facts, NOW))


class Broken(Exception):
    """What a fault in a conversion or function raises."""


def last_own_frame(error: BaseException) -> traceback.FrameSummary:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".yaml")]
    assert frames
    return frames[-1]


def pointed_at(frame: traceback.FrameSummary) -> str:
    """The text that a traceback underlines, by the positions of the code."""
    line = Path(frame.filename).read_text("utf-8").splitlines()[frame.lineno - 1].encode()
    assert frame.end_lineno == frame.lineno
    return line[frame.colno : frame.end_colno].decode()


def raises(*_: object, **__: object):
    raise Broken


@pytest.mark.parametrize(
    ("file", "old", "new", "want"),
    [
        ("suppliers/acme/note.yaml", "= NTE-3 | lines", "= NTE-3 | lines", "NTE-3 | lines"),
        ("suppliers/acme/note.yaml", "    comment:  = DG1-4", "    comment:  = DG1-4 | lines", "DG1-4 | lines"),
        (
            "suppliers/acme/note.yaml",
            "{PV1-2: always an inpatient}",
            "{PV1-2: 'ä'}",
            "NTE-3 | lines",
        ),
        (
            "suppliers/acme/note.yaml",
            "summary:      = NTE-3 | lines",
            "summary: {$case: [{$when: 'PV1-2 = \"Überweisung 😀\"', $value: = PV1-2}, {$value: = NTE-3 | lines}]}",
            "NTE-3 | lines",
        ),
        ("documents/note/r4.yaml", "title: A note", "title: '= lines(summary)'", "lines(summary)"),
        (
            "documents/note/r4.yaml",
            "note: {text: = dx.comment}",
            "note: [{authorString: Zoë 😀, text: '= lines(dx.comment)'}]",
            "lines(dx.comment)",
        ),
    ],
    ids=["binding", "loop", "elsewhere", "after text that is not ASCII", "build", "loop of a build"],
)
def test_a_traceback_ends_in_the_mapping_file(tmp_path, monkeypatch, file, old, new, want) -> None:
    changes = [("suppliers/acme/note.yaml", "= NTE-3 | lines", "= NTE-3")] if "NTE-3" not in want else []
    changes.append((file, old, new))
    real = leaves.calling
    monkeypatch.setattr(
        leaves, "calling", lambda function, *a, **k: raises if function.name == "lines" else real(function, *a, **k)
    )
    mapping = small(tmp_path, changes)
    with pytest.raises(Broken) as caught:
        translated(mapping)
    frame = last_own_frame(caught.value)
    assert frame.filename.endswith(file)
    assert pointed_at(frame) == want


def test_a_fault_of_a_conversion_is_pointed_at(tmp_path, monkeypatch) -> None:
    broken = Conversion("TS", Type("dateTime"), raises, frozenset())
    from mhbridge.mapping.checker import expressions

    real = expressions.conversion
    monkeypatch.setattr(
        expressions, "conversion", lambda source, want: broken if want.name == "dateTime" else real(source, want)
    )
    mapping = small(tmp_path, [])
    with pytest.raises(Broken) as caught:
        translated(mapping)
    frame = last_own_frame(caught.value)
    assert pointed_at(frame) == "EVN-2"
    assert frame.name == "bind"


HOSTILE = '"); import os; os.system("id") #'


def test_text_of_a_file_never_becomes_code(tmp_path) -> None:
    """Names, keys and texts that would be code if they were pasted: they come out as they went in."""
    mapping = small(
        tmp_path,
        [
            ("suppliers/acme/note.yaml", "= NTE-3 | lines", f"'{HOSTILE}'"),
            ("documents/note/r4.yaml", "title: A note", "title: '__import__(\"os\").getcwd()'"),
        ],
    )
    built = translated(mapping)
    composition = built.resource["entry"][0]["resource"]
    assert composition["title"] == '__import__("os").getcwd()'
    assert mapping.bind.__code__.co_names
    for made in (mapping.bind, mapping.derive, *(one.body for one in mapping.builds["r4"].made.values())):
        assert made.__globals__["__builtins__"] == {}
        assert not {"os", "__import__", "getcwd", "eval", "exec", "open"} & set(made.__code__.co_names)


@pytest.mark.parametrize("name", ["position", "splice", "fill", "isinstance", "list", "made", "items", "run", "v1"])
def test_a_resource_may_have_any_name(tmp_path, name) -> None:
    """A resource is called what its author likes; generated code has names of its own."""
    text = (HERE / "small" / "documents" / "note" / "r4.yaml").read_text("utf-8")
    changed = text.replace("conditions", name)
    mapping = small(tmp_path, [("documents/note/r4.yaml", text, changed)])
    kinds = [entry["resource"]["resourceType"] for entry in translated(mapping).resource["entry"]]
    assert "Composition" in kinds
    assert mapping.builds["r4"].made[name].body.__code__.co_name == name


def test_a_segment_is_asked_for_once_in_a_message(tmp_path, monkeypatch) -> None:
    """Two paths into one segment share its row; what a segment is not there for is not looked into."""
    asked: list[str] = []
    real = hl7v2.plan

    def counting(path, scope):
        plan = real(path, scope)

        def row(cursor, width):
            asked.append(plan.key[0])
            return plan.row(cursor, width)

        return replace(plan, row=row)

    monkeypatch.setattr(hl7v2, "plan", counting)
    mapping = small(tmp_path, [])
    first, second = (bind(mapping) for _ in range(2))
    assert first == second
    assert {"EVN", "PID", "PV1"} <= set(asked)
    assert [asked.count(name) for name in ("EVN", "PID", "PV1")] == [2, 2, 2]


def test_a_format_without_rows_is_read_all_the_same(tmp_path, monkeypatch) -> None:
    by_rows = bind(small(tmp_path / "rows", []))
    monkeypatch.setattr(hl7v2, "plan", lambda _path, _scope: None)
    assert bind(small(tmp_path / "plain", [])) == by_rows


def test_nothing_is_reached_while_a_message_is_translated(tmp_path) -> None:
    """No file, socket, process, import or compilation: the mapping and the message are all there is."""
    mapping = small(tmp_path, [])
    translated(mapping)  # what is imported lazily is imported now
    seen: list[str] = []
    watching = True

    def watch(event: str, _args: object) -> None:
        if watching and event.split(".", maxsplit=1)[0] in (
            "open",
            "socket",
            "subprocess",
            "os",
            "exec",
            "import",
            "compile",
            "ctypes",
        ):
            seen.append(event)

    sys.addaudithook(watch)
    translated(mapping)
    assert seen == []
    compile("1", "control", "eval")
    watching = False
    assert "compile" in seen  # the control: the hook does see


def test_what_a_table_says_is_remembered_and_what_is_noted_is_noted_again(tmp_path) -> None:
    """The translation of a code is worked once; an issue belongs to every message, and no two share an object."""
    mapping = small(tmp_path, [("suppliers/acme/note.yaml", "code:     = DG1-3", "code:     = DG1-3 | code(sex)")])
    body = MESSAGE + "\rDG1|||2|x|2024|A\rDG1|||2|x|2024|A\rDG1|||77|x|2024|A"

    def read():
        message, _ = next(iter(mapping.format.messages(body.encode(), [mapping.source])))
        return mapping.read(message, NOW)

    first, second = read(), read()
    assert first.items == second.items
    assert first.issues == second.issues
    assert [issue.code for issue in first.issues].count("I602") == 2
    one, two, *_ = (diagnosis["code"] for diagnosis in second.items["diagnoses"][1:])
    assert one == two
    assert one is not two


def test_what_is_remembered_of_a_code_is_for_messages_with_its_separators_alone(tmp_path) -> None:
    """A feed may change its encoding characters; and words that somebody wrote are not kept."""
    mapping = small(tmp_path, [])
    line, other = "DG1|||I10^Raised&I10N|x|2024|A", "DG1|||I10^Raised#I10N|x|2024|A"

    def codes(characters: str, segment: str) -> list[dict[str, object]]:
        body = MESSAGE.replace("^~\\&", characters) + f"\r{segment}\r{segment}"
        message, _ = next(iter(mapping.format.messages(body.encode(), [mapping.source])))
        return [diagnosis["code"] for diagnosis in mapping.read(message, NOW).items["diagnoses"][-2:]]

    first, again = codes("^~\\#", line)
    assert first == again == {"coding": [{"code": "I10", "display": "Raised&I10N"}]}
    assert first is not again
    assert codes("^~\\&", line)[0] == {"coding": [{"code": "I10", "display": "Raised"}]}
    assert codes("^~\\#", other)[0] == {"coding": [{"code": "I10", "display": "Raised"}]}
    assert codes("^~\\&", other)[0] == {"coding": [{"code": "I10", "display": "Raised#I10N"}]}
