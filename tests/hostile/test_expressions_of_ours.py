"""
Regular expressions: ours are judged by their shape, because nobody can wait for the input that hangs one; the published
strings that hang others go through all of ours and through every door; and a mapping file can hold none at all.
"""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from re import _constants as sre  # the parse tree of the standard library: there is no public door to it
from re import _parser as parser
from typing import Any

import cases
import pytest
from doors import sound, take

import mhbridge
from mhbridge.fhir.xhtml import sanitise
from mhbridge.formats.hl7v2.delimiters import delimiters
from mhbridge.mapping.functions import functions, texts
from mhbridge.mapping.reader import read

#: A repeat inside a repeat that cannot go wrong, and why.
HARMLESS = {
    "mhbridge.adapters.postgres.dialect._ROW": "each parameter has a question mark, and it reads our own queries",
    "mhbridge.fhir.primitives._URN": "each run of digits begins with a dot",
    "mhbridge.fhir.wording._CODE_WORDS": "each further word begins with a hyphen",
    "mhbridge.fhir.wording._WORD": "each further word begins with a blank or a hyphen",
    "mhbridge.formats.fhir._RESOURCE": "each member begins with a quote and ends with a comma",
    "mhbridge.formats.hl7v2.acknowledgement._SECOND": "each line begins with letters that no line end has",
    "mhbridge.formats.hl7v2.delimiters.Delimiters": "each inner run begins and ends with the escape character",
    "mhbridge.formats.json._RESOURCE": "each member begins with a quote and ends with a comma",
    "mhbridge.formats.json.pieces._TOKEN": "each further part begins with a backslash",
    "mhbridge.formats.xml.declaration._TEMPLATE": "each run of digits begins with a dot",
    "mhbridge.mapping.code_files._OID": "each run of digits begins with a dot",
    "mhbridge.mapping.conversions.cda.identifiers._OID": "each run of digits begins with a dot",
    "mhbridge.mapping.conversions.identifiers._OID": "each run of digits begins with a dot",
    "mhbridge.mapping.conversions.primitives._CODE": "each further word begins with a blank",
    "mhbridge.mapping.rows._QUOTED": "each further part begins with two quotes",
}
MANY = 20


@cache
def patterns() -> dict[str, re.Pattern[Any]]:
    """Every compiled expression of a module of ours, and that of one message's escapes."""
    limits = delimiters("|", "^~\\&", "utf-8")
    assert limits is not None
    found: dict[str, re.Pattern[Any]] = {"mhbridge.formats.hl7v2.delimiters.Delimiters": limits._pattern}
    for module in pkgutil.walk_packages(mhbridge.__path__, "mhbridge."):
        if module.name.endswith(("__main__", ".generate", ".generate_codes")) or ".testing" in module.name:
            continue  # these read what we wrote, and no message
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, re.Pattern) and value not in found.values():
                found[f"{module.name}.{name}"] = value
    return found


@cache
def looking() -> frozenset[str]:
    """The names of those that are looked for anywhere in a text; the others have to begin where it begins."""
    found = set()
    for name in patterns():
        module, _, own = name.rpartition(".")
        source = Path(import_module(module).__file__ or "").read_text("utf-8")
        if re.search(rf"\b{own}\.(?:search|sub|subn|split|finditer|findall)\b", source) or own == "Delimiters":
            found.add(name)
    return frozenset(found)


def nested(pattern: re.Pattern[Any]) -> bool:
    """Whether a repeat that may go on for long has another inside it: the shape of all that hang for ever."""
    return any(_nested(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE | 0), 0))


def _nested(tree: Any, inside: int) -> Iterator[bool]:
    for operator, argument in tree:
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            _, most, body = argument
            repeats = int(most == sre.MAXREPEAT or most > MANY)
            yield inside + repeats > 1
            yield from _nested(body, inside + repeats)
        elif operator is sre.SUBPATTERN:
            yield from _nested(argument[-1], inside)
        elif operator is sre.BRANCH:
            for branch in argument[1]:
                yield from _nested(branch, inside)
        elif operator in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _nested(argument[1], inside)


def test_none_of_ours_repeats_a_repeat():
    assert len(patterns()) > 80
    assert {name for name, pattern in patterns().items() if nested(pattern)} <= HARMLESS.keys()


@pytest.mark.parametrize("expression", [r"(a+)+$", r"(a*)*b", r"(a|b+)*c", r"([a-z]+\s*)+$", r"(?:x{1,40})+y"])
def test_the_shape_of_what_hangs_is_seen(expression):
    """The control."""
    assert nested(re.compile(expression))


def test_a_mapping_can_hold_no_expression_of_this_kind():
    """`match` has RE2's, which takes no more than the text is long, and `split` a separator that stands for itself."""
    found = [name for name in functions() if re.search("match|regex|pattern|replace|search|split", name)]
    assert sorted(found) == ["match", "split"]
    # What only an engine that can go back has is refused, so it is none that can; as one it would never come back.
    assert texts.pattern_fault(r"(a)\1")
    assert texts.pattern_fault(r"a(?=b)")
    assert not texts.pattern_fault("(a+)+b")
    assert texts._compiled("(a+)+b").search("a" * 5_000) is None


# --- published ---------------------------------------------------------------------------------------------

_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\*(\d+))?')
_UNESCAPED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "\\": "\\", '"': '"'}


def attack(line: str) -> str:
    r"""`"a:"+"\\0 0"*16+"!"` as the string that it describes; read, and not evaluated."""
    pieces = []
    for piece, times in _PIECE.findall(line):
        text = re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[0]), piece)
        pieces.append(text * min(int(times or 1), 3_000))
    return "".join(pieces)


@cache
def attacks() -> list[str]:
    root = os.environ.get("TEST_CORPUS")
    found: dict[str, None] = {}
    for path in sorted(Path(root).glob("**/redos/regexlib*.txt")) if root else []:
        for line in path.read_text("utf-8-sig", "replace").splitlines():
            if "AttackString:" in line:
                found[attack(line.partition("AttackString:")[2])] = None
    return list(found)


#: For a repeat at the start of each of ours.
OWN = [
    "a" * 5_000 + "!",
    " " * 5_000 + "\x00",
    "\\" * 5_000,
    "<" * 5_000,
    "&a" * 3_000,
    '"' * 5_001,
    "0." * 3_000,
    "[(" * 3_000,
]


@pytest.mark.parametrize("published", [False, True])
def test_strings_that_hang_others_go_through_ours(published):
    """There is nothing to assert but that it ends."""
    strings = attacks() if published else OWN
    if not strings:
        pytest.skip("TEST_CORPUS names no corpus with strings that hang regular expressions")
    for number, text in enumerate(strings):
        for name, pattern in patterns().items():
            given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
            pattern.match(given)
            pattern.fullmatch(given)
            if name in looking():
                pattern.search(given)
        written = text.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")
        sound(take(cases.message(note=written, name=written[:200])))
        sound(take(cases.HEAD + cases.ROW.replace(b"fine", b'"' + written.replace(b'"', b'""') + b'"'), "csv"))
        if number % 10 == 0:
            sanitise(text)
            read("a.yaml", b"a: " + written)
