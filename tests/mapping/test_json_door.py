"""
JSON documents as mappings read them: both twins the same, whatever stands in a document, and what is wrong with a
mapping of them said at its place.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from side_by_side import compare

from mhbridge.mapping.catalogue import Catalogue, load
from mhbridge.mapping.library import Library, built_in

HERE = Path(__file__).parent
SHIPPED = ("example-crisis-house/discharges", "example-toc/mental-health-discharge")

MAPPING = """\
mapping: acme/jot
document: note
authors: true
source:
  format: json
  where: {$.kind: [note, jot]}
  control_id: $.id
  fields: [kind, id, by, stay.no, stay.names.family, stay.names.use, at, said.text, said.to, sex, found.code,
           found.words, found.since, found.signed.by, found.tags]
tables:
  sex: {file: sex.csv, unmapped: omit}
items:
  spell_id:     = identifier($.stay.no, "ACME")
  written_at:   = $.at
  local_id:     = identifier($.id, "ACME")
  patient_name: {family: '= $.stay.names[use!="usual"].family'}
  gender:       = $.sex | code(sex)
  gp:           = $.by
  sensitivity:  = if $.said[to="nobody"].text then "restricted"
  summary:      = $.said[to="gp"].text or $.said.text
  diagnoses:
    $each: $.found
    $when: '.code or .words'
    code:     {text: '= .words', coding: [{code: '= .code', system: snomed}]}
    comment:  = .tags[2]
    onset:    = .since
    recorder: = .signed.by
"""


@cache
def library(folder: Path) -> Path:
    """The small library with a mapping of JSON, and nothing else of its supplier."""
    root = folder / "small"
    shutil.copytree(HERE / "small", root)
    (root / "suppliers/acme/note.yaml").unlink()
    (root / "suppliers/acme/jot.yaml").write_text(MAPPING, "utf-8")
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return library(tmp_path_factory.mktemp("json"))


def test_the_mapping_is_clean(small) -> None:
    """The control of what follows."""
    assert [d.render() for d in load([small], only=True).check()] == []


words = st.sampled_from(
    ["", " ", "1", "A", "gp", "nobody", "usual", "M", "2025-02-30", "2025-03-14", "44054006", "é\n"]
)
scalars = words | st.none() | st.booleans() | st.integers(-3, 9_999_999_999) | st.sampled_from([1.10, 2.5e3])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=2), max_leaves=5
)


def several(inner: st.SearchStrategy) -> st.SearchStrategy:
    """One, several, or something else."""
    return inner | st.lists(inner, max_size=3) | anything


def thing(**members: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional={name: several(inner) for name, inner in members.items()})


documents = st.tuples(
    st.fixed_dictionaries({"kind": st.sampled_from(["note", "jot"]), "id": scalars}),
    thing(
        by=words, at=words, sex=words, stay=thing(no=scalars, names=thing(family=words, use=words)),
        said=thing(text=words, to=words), more=anything,
        found=thing(code=words, words=words, since=words, signed=thing(by=words), tags=words),
    ),
).map(lambda both: both[0] | both[1])  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=documents)
def test_the_twins_agree_on_generated_documents(small, document) -> None:
    assert compare(small, "acme/jot", json.dumps(document).encode()) == 1


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_twins_agree_on_damaged_fixtures(data) -> None:
    """Something else in one place of a real document, or in a few: every rule about bad values is met somewhere."""
    name = data.draw(st.sampled_from(SHIPPED))
    path = data.draw(st.sampled_from(sorted((built_in("fixtures") / name).glob("*n.json"))))
    document = json.loads(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([one for one in places(document) if one]))
        around = document
        for key in place[:-1]:
            around = around[key]
        around[place[-1]] = data.draw(anything)
    compare(built_in("mappings"), name, json.dumps(document).encode())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_twins_agree_on_every_fixture(name) -> None:
    files = [
        p for p in (built_in("fixtures") / name).glob("*.json") if not p.name.endswith((".r4.json", ".report.json"))
    ]
    assert sum(compare(built_in("mappings"), name, path.read_bytes()) for path in files) >= 4


#: What is wrong: (text taken out, text put in, what `check` says).
BROKEN = {
    "a member that no document has": (
        "= $.by",
        "= $.bi",
        """\
small/suppliers/acme/jot.yaml:18:20: E205: no document has a bi
  18 |   gp:           = $.bi
     |                    ^^^
     = hint: its members are at, by, found, id, kind, said, sex, stay""",
    ),
    "a predicate of a member that no document has": (
        'use!="usual"',
        'usage="usual"',
        """\
small/suppliers/acme/jot.yaml:16:35: E205: no document has a stay.names.usage
  16 |   patient_name: {family: '= $.stay.names[usage="usual"].family'}
     |                                   ^^^^^^
     = hint: did you mean 'use'?""",
    ),
    "a predicate that is not closed": (
        '[to="gp"]',
        '[to="gp"',
        """\
small/suppliers/acme/jot.yaml:20:33: E107: ']' or 'and' is expected
  20 |   summary:      = $.said[to="gp".text or $.said.text
     |                                 ^""",
    ),
    "outside of a loop": (
        "= $.at",
        "= .at",
        """\
small/suppliers/acme/jot.yaml:14:19: E206: a path that begins with a dot needs a $each around it
  14 |   written_at:   = .at
     |                   ^^^""",
    ),
    "a key of another format": (
        "control_id: $.id",
        "delimiter: ','",
        "small/suppliers/acme/jot.yaml:7:3: E040: a json source has no key 'delimiter'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_mapping_says_where(tmp_path, monkeypatch, name) -> None:
    old, new, expected = BROKEN[name]
    root = tmp_path / "small"
    shutil.copytree(library(tmp_path / "made"), root)
    file = root / "suppliers/acme/jot.yaml"
    assert MAPPING.count(old) == 1
    file.write_text(MAPPING.replace(old, new), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert expected in "\n".join(d.render() for d in Catalogue(Library([Path("small")])).check())
