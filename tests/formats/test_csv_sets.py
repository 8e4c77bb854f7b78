"""Sets of tables: rows joined by keys into one message for each row of the root, and all that goes wrong."""

from __future__ import annotations

import tempfile
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage, MessageError, explanations
from mhbridge.formats import BrokenMessage, DeclarationError, PathError, Scope, Source
from mhbridge.formats.csv import FORMAT
from mhbridge.formats.csv.sets import joining
from mhbridge.formats.csv.sets.record import Record
from mhbridge.formats.several import File, written
from mhbridge.model import ABSENT, NOTHING_BEFORE, Before

TABLES: dict[str, dict[str, Any]] = {
    "Spell": {"columns": ["SpellID", "RefID", "Left"], "key": "SpellID"},
    "Referral": {"columns": ["RefID", "PatID"], "one_for": "Spell", "by": "RefID"},
    "Patient": {"columns": ["PatID", "NHS"], "one_for": "Referral", "by": "PatID", "unjoined": "not on a ward"},
    "WardStay": {
        "columns": ["Spell", "Ward", "Start"],
        "many_for": "Spell",
        "by": {"SpellID": "Spell"},
        "latest": "Start",
    },
    "Ward": {"columns": ["Ward", "Site"], "one_for": "WardStay", "by": "Ward", "unjoined": "empty"},
    "Diagnosis": {"columns": ["RefID", "Code"], "many_for": "Referral", "by": "RefID", "optional": "true"},
}


def declare(tables: dict[str, dict[str, Any]] = TABLES, **options: Any) -> Source:
    given = {"message_per": "Spell", "tables": tables, "dates": "dd/mm/yyyy"} | options
    return FORMAT.declare("Europe/London", options.pop("charset", ""), given)


SOURCE = declare()
SCOPE = Scope(SOURCE)
ROWS = {
    "Spell": ["S1,R1,03/04/2025", "S2,R2,"],
    "Referral": ["R2,P2", "R1,P1"],
    "Patient": ["P1,9990000018", "P2,9990000026", "P3,9990000034"],
    "WardStay": ["S1,A,09/12/2024", "S1,B,01/02/2025", "S2,A,01/03/2025", "S1,A,20/01/2025"],
    "Ward": ["A,Alder House", "B,Beech House"],
    "Diagnosis": ["R1,F20", "R1,F32"],
}


def files(rows: dict[str, list[str]], **replaced: list[str] | None) -> list[File]:
    found = {name: replaced.get(name, lines) for name, lines in rows.items()}
    return [
        File(
            f"{name}_202504.csv", "".join(f"{line}\n" for line in [",".join(TABLES[name]["columns"]), *lines]).encode()
        )
        for name, lines in found.items()
        if lines is not None
    ]


def read(made: list[File], source: Source = SOURCE) -> list[Record | MessageError]:
    return [item for item, _ in FORMAT.messages(written(made), [source])]


def one(path: str, cursor: Any, scope: Scope = SCOPE) -> Any:
    found = FORMAT.scan(path, 0, len(path))
    assert found is not None
    return FORMAT.first(found[0], scope)(cursor)


def every(path: str, cursor: Any, scope: Scope = SCOPE) -> list[Any]:
    found = FORMAT.scan(path, 0, len(path))
    assert found is not None
    return FORMAT.every(found[0], scope)(cursor)


def loop(name: str, scope: Scope = SCOPE) -> tuple[Any, Scope]:
    found = FORMAT.scan_loop(name, 0, len(name))
    assert found is not None
    return FORMAT.loop(found[0], scope)


# --- what a path finds -------------------------------------------------------------------------------------


def test_a_row_of_the_root_is_a_message_with_all_that_belongs_to_it() -> None:
    first, second = read(files(ROWS))
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    cursor = FORMAT.cursor(first)
    assert (first.facts.control_id, first.facts.place) == ("S1", "record 1")
    assert one("[Patient.NHS]", cursor) == "9990000018"
    assert every("[Diagnosis.Code]", cursor) == ["F20", "F32"]
    with pytest.raises(PathError) as caught:
        one("[Diagnosis.Code]", cursor)
    assert caught.value.code == "E212", "nothing says which of several is meant"
    assert one("[WardStay.Ward]", cursor) == "B", "with `latest` the last, by the date and not by its digits"
    assert one("[Ward.Site]", cursor) == "Beech House", "and what belongs to that row"
    assert one("[Spell.Left]", FORMAT.cursor(second)) is ABSENT
    assert every("[Diagnosis.Code]", FORMAT.cursor(second)) == []


def test_a_loop_runs_over_the_rows_below_with_the_rows_above_in_scope() -> None:
    first, _ = read(files(ROWS))
    stays, inside = loop("WardStay")
    found = [
        (one("[Ward.Site]", stay, inside), one("[Patient.NHS]", stay, inside), one("[Spell.SpellID]", stay, inside))
        for stay in stays.cursors(FORMAT.cursor(first))
    ]
    assert found == [(site, "9990000018", "S1") for site in ("Alder House", "Beech House", "Alder House")]
    assert [
        one("[Diagnosis.Code]", row, inner)
        for rows, inner in [loop("Diagnosis")]
        for row in rows.cursors(FORMAT.cursor(first))
    ] == ["F20", "F32"], "at any depth"


@pytest.mark.parametrize(
    ("path", "code"),
    [("[Spel.Left]", "E205"), ("[Spell.Lef]", "E205"), ("[Left]", "E205"), (".", "E206")],
)
def test_a_path_that_is_not_possible_says_so(path: str, code: str) -> None:
    with pytest.raises(PathError) as wrong:
        one(path, None)
    assert wrong.value.code == code


@pytest.mark.parametrize(
    ("name", "around", "code"),
    [
        ("Wardstay", (), "E205"),
        ("[WardStay.Ward]", (), "E207"),
        ("WardStay", ("Diagnosis",), "E207"),
        ("Spell", (), "E207"),
    ],
)
def test_a_loop_that_is_not_possible_says_so(name: str, around: tuple[str, ...], code: str) -> None:
    scope = SCOPE
    for outer in around:
        _, scope = loop(outer, scope)
    with pytest.raises(PathError) as wrong:
        loop(name, scope)
    assert wrong.value.code == code


def test_a_record_is_read_again_from_its_own_bytes_with_the_lines_of_the_file() -> None:
    for record in read(files(ROWS)):
        assert isinstance(record, Record)
        (again,) = (item for item, _ in FORMAT.messages(record.body, [SOURCE]))
        assert isinstance(again, Record)
        assert [(row.table.name, row.line, row.cells) for row in again.rows] == [
            (row.table.name, row.line, row.cells) for row in sorted(record.rows, key=_as_it_stands)
        ] or sorted(map(_as_it_stands, again.rows)) == sorted(map(_as_it_stands, record.rows))


def _as_it_stands(row: Any) -> tuple[str, int, str]:
    return row.table.name, row.line, str(row.cells)


# --- the field ledger --------------------------------------------------------------------------------------


def test_every_cell_is_a_leaf_with_its_table_and_row() -> None:
    first, _ = read(files(ROWS))
    assert isinstance(first, Record)
    leaves = {
        FORMAT.path(first, cell, 0, SOURCE, exact=True): FORMAT.leaf(first, cell, 0)
        for cell, _ in FORMAT.populated(first)
    }
    assert leaves["[WardStay.Start][2]"] == "01/02/2025"
    assert leaves["[Patient.NHS]"] == "9990000018"
    assert len(leaves) == sum(len([c for c in row.cells.values() if c.strip()]) for row in first.rows)
    acted = {FORMAT.path(first, cell, 0, SOURCE, exact=False) for cell, _ in FORMAT.structural(first, SOURCE)}
    assert acted == {
        "[Spell.SpellID]", "[Spell.RefID]", "[Referral.RefID]", "[Referral.PatID]", "[Patient.PatID]",
        "[WardStay.Spell]", "[WardStay.Ward]", "[Ward.Ward]", "[Diagnosis.RefID]",
    }  # fmt: skip


def test_a_changed_cell_is_the_only_one_that_differs() -> None:
    first, _ = read(files(ROWS))
    assert isinstance(first, Record)
    keys = {cell for cell, _ in FORMAT.structural(first, SOURCE)}
    for cell, _ in FORMAT.populated(first):
        if cell in keys:
            continue
        path = FORMAT.path(first, cell, 0, SOURCE, exact=True)
        (again,) = (item for item, _ in FORMAT.messages(FORMAT.altered(first, cell, 0, 'Q"7, x', SOURCE), [SOURCE]))
        assert isinstance(again, Record)
        changed = [
            (old.table.name, name)
            for old, new in zip(
                sorted(first.rows, key=lambda row: (row.table.name, row.line)),
                sorted(again.rows, key=lambda row: (row.table.name, row.line)),
                strict=True,
            )
            for name in old.cells
            if old.cells[name] != new.cells[name]
        ]
        assert len(changed) == 1
        assert path.startswith("[{}.{}]".format(*changed[0]))


# --- what goes wrong ---------------------------------------------------------------------------------------


WRONG: dict[str, tuple[dict[str, list[str] | None], list[str]]] = {
    "a row belongs to nothing": ({"WardStay": [*ROWS["WardStay"], "S9,A,01/01/2025"]}, ["S1", "S2", "M852"]),
    "rows that may belong to nothing do": ({"Patient": [*ROWS["Patient"], "P8,1"]}, ["S1", "S2"]),
    "a key stands twice": ({"Spell": ["S1,R1,", "S2,R2,", "S1,R2,"]}, ["M853", "S2", "M853"]),
    "a key is empty": ({"Spell": [",R1,", "S2,R2,", "S1,R1,"]}, ["M853", "S2", "S1"]),
    "two rows where one is meant": ({"Patient": ["P1,1", "P2,2", "P1,3"]}, ["M854", "S2"]),
    "two rows that are alike": ({"Patient": ["P1,1", "P2,2", "P1,1"]}, ["S1", "S2"]),
    "a row that cannot be read": ({"Diagnosis": ["R1,F20", "R1,F32,or so"]}, ["M855", "S2"]),
    "a row of nobody that cannot be read": ({"Diagnosis": ["R1,F20", "R7,F32,or so"]}, ["S1", "S2", "M771"]),
    "a row of the root that cannot be read": (
        {"Spell": ["S1,R1,,x", "S2,R2,"], "WardStay": ["S2,A,01/03/2025"], "Referral": ["R2,P2"], "Diagnosis": []},
        ["S2", "M771"],
    ),
    "a table is missing": ({"Ward": None}, ["M850"]),
    "an optional table is missing": ({"Diagnosis": None}, ["S1", "S2"]),
    "a key with its zero lost": ({"Referral": ["R2,P2", "1,P1"]}, ["S1", "S2", "M852", "M852"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong_costs_what_it_must_and_is_said(case: str) -> None:
    replaced, expected = WRONG[case]
    made = files(ROWS, **replaced)
    found = read(made)
    assert [item.facts.control_id if isinstance(item, Record) else item.code for item in found] == expected
    for item in found:
        if not isinstance(item, Record):
            assert isinstance(item, BrokenMessage)
            assert item.code in explanations()
            assert case == "a table is missing" or "line" in item.message
            assert "9990" not in item.message
    assert _told(found) == _told(in_parts(made)), "the same, taken to pieces"


def test_other_files_wait_whole() -> None:
    strange = [*files(ROWS), File("notes.txt", b"x")]
    doubled = [*files(ROWS), File("Ward_2.csv", b"Ward,Site\n")]
    other_header = [*files(ROWS)[:-1], File("Diagnosis.csv", b"RefID,Icd\nR1,F20\n")]
    month_first = files(ROWS, WardStay=[f"S1,A,01/{day}/2025" for day in range(13, 20)])
    for made, code in [(strange, "M851"), (doubled, "M851"), (other_header, "M770"), (month_first, "M773")]:
        (item,) = read(made)
        assert isinstance(item, BrokenMessage)
        assert (item.code, item.body) == (code, written(made))
        if made is other_header or made is month_first:
            assert _told(in_parts(made)) == _told([item]), "and so it is taken from a folder"
    ((alone, _),) = FORMAT.messages(b"Ward,Site\nA,B\n", [SOURCE])
    assert isinstance(alone, BrokenMessage)
    assert alone.code == "M850"
    ((nothing, _),) = FORMAT.messages(b" \n", [SOURCE])
    assert isinstance(nothing, BrokenMessage)
    assert nothing.code == "M700"


def test_a_single_extract_and_a_set_of_one_supplier_are_told_apart() -> None:
    single = FORMAT.declare("Europe/London", "", {"columns": ["A", "B"]})
    assert [takers for _, takers in FORMAT.messages(b"A,B\n1,2\n", [SOURCE, single])] == [(1,)]
    assert [takers for _, takers in FORMAT.messages(written(files(ROWS)), [single, SOURCE])] == [(1,), (1,)]


# --- large files -------------------------------------------------------------------------------------------


def test_one_table_alone_is_said_to_be_one_of_a_set() -> None:
    other = FORMAT.declare("Europe/London", "", {"columns": ["Nothing", "Like", "This"]})
    for file in files(ROWS):
        [(item, taken)] = FORMAT.messages(file.body, [other, SOURCE])
        assert isinstance(item, MessageError)
        assert (item.code, taken) == ("M770", ())
        assert f"it is {file.name.partition('.')[0].partition('_')[0]} of a set of {len(TABLES)} tables" in str(item)


def in_parts(made: list[File], before: Before = NOTHING_BEFORE) -> list[Record | MessageError]:
    gathering = FORMAT.gathers([SOURCE])
    assert gathering is not None
    named: dict[str, tuple[str, Any]] = {}
    for file in made:
        place = gathering.place(file.name)
        assert place is not None
        named[place[1]] = (file.name, BytesIO(file.body))
    parts = gathering.parts(named, before, tempfile.TemporaryFile)
    if parts is None:
        return read(made)
    return [item for part in parts for item, _ in FORMAT.messages(part.body, [SOURCE], part.before)]


def _told(found: list[Record | MessageError]) -> list[tuple[str, str]]:
    return sorted(
        (item.facts.control_id, str(sorted(map(_as_it_stands, item.rows))))
        if isinstance(item, Record)
        else (item.code, item.message)
        for item in found
    )


KEYS = st.sampled_from(["1", "2", "3", "4", " 2 ", "02", ""])


@st.composite
def sets(draw: st.DrawFn) -> list[File]:
    def lines(name: str, *, most: int) -> list[str]:
        width = len(TABLES[name]["columns"])
        row = st.lists(KEYS, min_size=width, max_size=width)
        odd = st.lists(KEYS, min_size=width + 1, max_size=width + 1)
        return [",".join(cells) for cells in draw(st.lists(row | row | row | odd, max_size=most))]

    return files({name: lines(name, most=5) for name in TABLES})


@given(sets())
@settings(deadline=None)
def test_in_parts_as_in_one(made: list[File]) -> None:
    whole = read(made)
    assert _told(in_parts(made)) == _told(whole)
    # Nothing is lost: each line that says something is in a message, or belongs to a table whose rows may.
    bodies = b"".join(item.body for item in whole if isinstance(item, (Record, BrokenMessage)))
    for file in made:
        if file.name.startswith(("Patient", "Ward_")):
            continue
        for line in file.body.splitlines()[1:]:
            assert not line.strip(b", ") or line in bodies


def test_a_large_set_is_joined_in_runs_that_lie_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_RUN", 64)
    count = 3000
    order = [(n * 1009) % count for n in range(count)]
    made = files(
        {
            "Spell": [f"S{n},R{n},03/04/2025" for n in range(count)],
            "Referral": [f"R{n},P{n % 100}" for n in order],
            "Patient": [f"P{n},999" for n in range(100)],
            "WardStay": [f"S{n},W{n % 7},{day}/01/2025" for day in ("07", "09") for n in reversed(order)],
            "Ward": [f"W{n},Site {n}" for n in range(7)],
            "Diagnosis": [f"R{n},F{n}" for n in order],
        }
    )
    found = in_parts(made)
    assert [item.facts.control_id for item in found if isinstance(item, Record)] == [f"S{n}" for n in range(count)]
    for number, record in enumerate(found):
        assert isinstance(record, Record)
        assert every("[WardStay.Ward]", FORMAT.cursor(record)) == [f"W{number % 7}"] * 2
        assert every("[Diagnosis.Code]", FORMAT.cursor(record)) == [f"F{number}"]


def test_what_is_spilled_holds_nothing_of_a_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_RUN", 2)
    spilled: list[bytes] = []

    class Spy(BytesIO):
        def close(self) -> None:
            if not self.closed:
                spilled.append(self.getvalue())
            super().close()

    made = files(ROWS)
    gathering = FORMAT.gathers([SOURCE])
    assert gathering is not None
    named = {gathering.place(f.name)[1]: (f.name, BytesIO(f.body)) for f in made}  # type: ignore[index]
    assert len(list(gathering.parts(named, NOTHING_BEFORE, Spy) or ())) == 1
    held = b"".join(spilled)
    assert held
    cells = {cell for file in made for cell in file.body.replace(b"\n", b",").split(b",") if len(cell) > 1}
    assert b"9990000018" in cells
    assert not [cell for cell in cells if cell in held]


def test_it_goes_on_where_it_was_left() -> None:
    count = 60
    made = files(
        ROWS,
        Spell=[f"S{n},R{n},03/04/2025" for n in range(count)],
        Referral=[f"R{n},P{n}" for n in range(count)],
        WardStay=["S900,A,01/01/2025"],
        Diagnosis=[],
    )
    gathering = FORMAT.gathers([SOURCE])
    assert gathering is not None
    named = {gathering.place(f.name)[1]: (f.name, BytesIO(f.body)) for f in made}  # type: ignore[index]
    parts = list(gathering.parts(named, NOTHING_BEFORE, tempfile.TemporaryFile) or ())
    assert [part.after.rows for part in parts] == [25, 50, 60, 61]
    for number, part in enumerate(parts):
        rest = list(gathering.parts(named, part.after, tempfile.TemporaryFile) or ())
        assert [one.body for one in rest] == [one.body for one in parts[number + 1 :]]


def test_what_no_part_can_come_of_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    many = files(ROWS, Spell=["S1,R1,"] * 200)
    ragged = files(ROWS, WardStay=["S1,A,x,y"] * 1200)
    monkeypatch.setattr("mhbridge.formats.csv.sets.gathering._WHOLE", 1000)
    for made, code in [(many, "M853"), (ragged, "M856")]:
        with pytest.raises(MalformedMessage) as refused:
            in_parts(made)
        assert refused.value.code == code
    monkeypatch.setattr("mhbridge.formats.csv.sets.reading.MOST_ROWS", 10)
    monkeypatch.setattr(joining, "MOST_ROWS", 10)
    wide = files(ROWS, Diagnosis=[f"R1,F{n}" for n in range(30)])
    for found in (read(wide), in_parts(wide)):
        assert "M856" in [getattr(item, "code", "") for item in found]


# --- declarations ------------------------------------------------------------------------------------------


def _with(name: str, **changed: Any) -> dict[str, dict[str, Any]]:
    return {**TABLES, name: {key: value for key, value in ({**TABLES[name], **changed}).items() if value is not None}}


DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "no root": ({"message_per": "Stay"}, "message_per"),
    "columns beside tables": ({"columns": ["A"]}, "columns"),
    "a key of a table that there is not": ({"tables": _with("Ward", sort="Ward")}, "sort"),
    "a root that belongs to something": ({"tables": _with("Spell", one_for="Ward", by="RefID")}, "root"),
    "a root without a key": ({"tables": _with("Spell", key=None)}, "'key'"),
    "a key that is no column": ({"tables": _with("Spell", key="Spell")}, "'Spell'"),
    "belongs to nothing": ({"tables": _with("Ward", one_for=None)}, "one_for or many_for"),
    "belongs twice": ({"tables": _with("Ward", many_for="Spell")}, "one_for or many_for"),
    "a parent that there is not": ({"tables": _with("Ward", one_for="Wardstay")}, "'Wardstay'"),
    "a circle": ({"tables": _with("Referral", one_for="Patient", by="PatID")}, "circle"),
    "no by": ({"tables": _with("Ward", by=None)}, "'by'"),
    "a by that the parent has not": ({"tables": _with("Ward", by={"Bed": "Ward"})}, "'Bed'"),
    "a latest that is no column": ({"tables": _with("WardStay", latest="End")}, "'End'"),
    "no reason": ({"tables": _with("Ward", unjoined=" ")}, "unjoined"),
    "perhaps": ({"tables": _with("Ward", optional="maybe")}, "optional"),
    "no columns": ({"tables": _with("Ward", columns=None)}, "columns"),
    "a path for a pattern": ({"tables": _with("Ward", file="a/*.csv")}, "'file'"),
    "a wait that is none": ({"wait": "soon"}, "wait"),
}


@pytest.mark.parametrize("case", DECLARED)
def test_a_declaration_that_is_not_possible_is_refused(case: str) -> None:
    options, said = DECLARED[case]
    with pytest.raises(DeclarationError) as wrong:
        declare(**options)
    assert said in f"{wrong.value.key} {wrong.value.message}"


def test_a_set_of_wide_characters_is_refused() -> None:
    with pytest.raises(DeclarationError):
        FORMAT.declare("Europe/London", "utf-16", {"message_per": "Spell", "tables": TABLES})


@pytest.mark.parametrize(
    ("pattern", "name", "place"),
    [
        ("", "Ward_202504.csv", ("_202504", "Ward")),
        ("", "WARD.CSV", ("", "Ward")),
        ("", "WardStay_202504.csv", ("_202504", "WardStay")),
        ("", "Wardens.csv", None),
        ("w_*_x*.csv", "W_2025_X7.csv", ("2025|7", "Ward")),
        ("w_*_x*.csv", "Ward.csv", None),
    ],
)
def test_files_are_told_by_their_names(pattern: str, name: str, place: tuple[str, str] | None) -> None:
    source = declare(_with("Ward", file=pattern or None))
    gathering = FORMAT.gathers([source])
    assert gathering is not None
    assert gathering.place(name) == place
