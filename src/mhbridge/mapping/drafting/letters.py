"""
Letters with what says whose they are beside them: which two files of the samples belong together, and how their names
would be written in a `source:` of documents.

What is the same in two names pairs them. Of a name only words go into a draft that letters are called by everywhere;
all else may be a patient's name or number and becomes a field, whatever it says. This module must never take two files
for a pair that might belong to others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.several import File, base_name, is_several, read_files, written

__all__ = ["Named", "Rule", "is_document", "paired", "rule"]

#: Endings of documents that are nothing else; `.txt` may be anything, and is one where it is said.
_DOCUMENTS: Final = frozenset({"pdf", "rtf", "html", "htm", "docx"})
_INDEXES: Final = frozenset({"csv", "xml", "json"})
#: Words by which files of letters are called; in capitals or not.
_PLAIN: Final = frozenset(
    {"cl", "clin", "clinic", "clinical", "copy", "correspondence", "dc", "dis", "disc", "disch", "discharge",
     "discharges", "dl", "doc", "docs", "document", "ds", "edl", "edt", "file", "gp", "hdr", "header", "idx", "index",
     "info", "inpatient", "ip", "let", "letter", "letters", "ltr", "ltrs", "meta", "metadata", "mh", "op", "opd", "out",
     "outpatient", "ref", "referral", "report", "sidecar", "sum", "summary", "to", "transfer", "txt"}
)  # fmt: skip
_PIECE: Final = re.compile(r"[^\W_]+")
#: A word before a number, without a sign between: `CL9002`.
_WORD_AND_NUMBER: Final = re.compile(r"([^\W\d_]+)(\d[^\W_]*)")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")
_NO_FIELD: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 40

#: A file: its name, and what is in it.
Named = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    How files are named.

    Args:
        letter: as `source:` says it.
        index: the same of the index; empty: there is none.
        index_format: by the ending of its name.
        control_id: the field that pairs them, or that no two letters share.
        fields: the fields of the letter's name.
        indexes: what each index says.
    """

    letter: str
    index: str
    index_format: str
    control_id: str
    fields: tuple[str, ...]
    indexes: tuple[bytes, ...]


def is_document(name: str, body: bytes) -> bool:
    """Whether a sample is a letter, or letters packed with what belongs to them."""
    if _ending(name) in _DOCUMENTS:
        return True
    try:
        files = read_files(body) if is_several(body[:4096]) else ()
    except MalformedMessage:
        return False
    return any(_ending(file.name) in _DOCUMENTS for file in files)


def paired(samples: Sequence[Named]) -> list[tuple[str, bytes]]:
    """
    Samples as bodies of the format `document`: each letter with its index, under the letter's name without an ending.

    Raises:
        MalformedMessage: M860 or M861, what belongs together is not plain. It names no file.
    """
    files = list(_files(samples))
    letters = [file for file in files if _ending(file.name) in _DOCUMENTS]
    indexes = [file for file in files if _ending(file.name) in _INDEXES]
    texts = [file for file in files if _ending(file.name) == "txt"]
    letters += texts  # a text is a letter, where it was said that letters these are
    if len(letters) + len(indexes) < len(files):
        raise MalformedMessage("M861", "a sample is neither a letter nor an index by the ending of its name")
    if not letters:
        raise MalformedMessage("M860", "there is no letter among the samples")
    if not indexes:
        return [(_stem(letter.name), written([letter])) for letter in letters]
    if len(indexes) != len(letters):
        text = f"of {len(letters)} letters and {len(indexes)} indexes not each has the other: name whole pairs"
        raise MalformedMessage("M860", text)
    return [(_stem(letter.name), written([letter, index])) for letter, index in _pairs(letters, indexes)]


def _files(samples: Sequence[Named]) -> Iterable[File]:
    for name, body in samples:
        if _ending(name) != "docx" and is_several(body[:4096]):
            yield from read_files(body)
        else:
            yield File(base_name(name), body)


def _pairs(letters: Sequence[File], indexes: Sequence[File]) -> list[tuple[File, File]]:
    found: list[tuple[File, File]] = []
    counts: set[int] = set()
    for letter in letters:
        # Those that have a letter already are asked, too: what is as like to one of them may be of neither.
        alike = [(_shared(letter.name, index.name), index) for index in indexes]
        most = max(count for count, _ in alike)
        best = [index for count, index in alike if count == most]
        found.append((letter, best[0]))
        counts.add(most)
        if not most or len(best) > 1 or len(counts) > 1 or any(index is best[0] for _, index in found[:-1]):
            text = (
                "which index belongs to which letter is not plain from their names: name one pair, or put it into a ZIP"
            )
            raise MalformedMessage("M860", text)
    return found


def _shared(one: str, other: str) -> int:
    """How many pieces two names share that tell one letter from another."""
    return (Counter(_telling(one)) & Counter(_telling(other))).total()


def _telling(name: str) -> list[str]:
    return [text.casefold() for text, field in _pieces(_stem(name)) if field]


def _ending(name: str) -> str:
    return base_name(name).rpartition(".")[2].lower()


def _stem(name: str) -> str:
    return base_name(name).rpartition(".")[0]


def _pieces(stem: str) -> list[tuple[str, bool]]:
    """A name in pieces: (text, whether it is a field)."""
    made: list[tuple[str, bool]] = []
    at = 0
    for piece in _PIECE.finditer(stem):
        if piece.start() > at:
            made.append((stem[at : piece.start()], False))
        both = _WORD_AND_NUMBER.fullmatch(piece[0])
        if piece[0].casefold() in _PLAIN:
            made.append((piece[0], False))
        elif both is not None and both[1].casefold() in _PLAIN:
            made += [(both[1], False), (both[2], True)]
        else:
            made.append((piece[0], True))
        at = piece.end()
    if at < len(stem):
        made.append((stem[at:], False))
    return made


def rule(bodies: Sequence[bytes], said: Sequence[Mapping[str, str]] = ()) -> Rule:
    """
    How the files of samples are named.

    Args:
        bodies: what `paired` made.
        said: what each index says, name of a value → the value: a field that always says the same is called so.

    Raises:
        MalformedMessage: M861, the names are not of one kind.
    """
    pairs = [read_files(body) for body in bodies]
    letters = [_pieces(_stem(pair[0].name)) for pair in pairs]
    shape, values = _alike(letters)
    stems = [_pieces(_stem(pair[1].name)) for pair in pairs if len(pair) > 1]
    endings = {_ending(pair[0].name) for pair in pairs}
    index_shape, index_values = _alike(stems) if stems else ([], [])
    own = [_same(column, values) for column in index_values]
    shared = [number for number in own if number is not None]
    if stems and not shared:
        raise MalformedMessage("M860", "the names of a letter and its index have nothing in common that pairs them")
    telling = shared or [number for number, column in enumerate(values) if len(set(column)) == len(column)]
    numbers = [number for number in telling if all(any(map(str.isdigit, one)) for one in values[number])]
    if not telling:
        raise MalformedMessage("M861", "no part of the names tells one letter from the others")
    control = (numbers or telling)[0]
    names = _named(values, control, said)
    names_of_index = [f"{{{names[number]}}}" if number is not None else "*" for number in own]
    ending = endings.pop() if len(endings) == 1 else "*"
    formats = {_ending(pair[1].name) for pair in pairs if len(pair) > 1}
    if len(formats) > 1:
        raise MalformedMessage("M861", "the indexes are of several formats")
    index_format = formats.pop() if formats else ""
    letter = _text(shape, [f"{{{name}}}" for name in names]) + f".{ending}"
    index = f"{_text(index_shape, names_of_index)}.{index_format}" if index_format else ""
    indexes = tuple(pair[1].body for pair in pairs if len(pair) > 1)
    return Rule(letter, index, index_format, names[control], tuple(names), indexes)


def _alike(names: Sequence[list[tuple[str, bool]]]) -> tuple[list[str], list[list[str]]]:
    """What names of one kind have in common, empty where a field is, and what stands there in each."""
    width = len(names[0])
    if any(len(one) != width for one in names):
        raise MalformedMessage("M861", "the names of the samples are of several kinds: name samples of one feed")
    shape: list[str] = []
    values: list[list[str]] = []
    for column in zip(*names, strict=True):
        texts = [text for text, _ in column]
        if any(field for _, field in column) or (len({t.casefold() for t in texts}) > 1 and texts[0].isalnum()):
            shape.append("")
            values.append(texts)
        elif len({text.casefold() for text in texts}) > 1 or set("{}*/\\") & set(texts[0]):
            raise MalformedMessage("M861", "the names of the samples are of several kinds: name samples of one feed")
        else:
            shape.append(texts[0])
    return shape, values


def _text(shape: Sequence[str], gaps: Sequence[str]) -> str:
    left = iter(gaps)
    return "".join(text or next(left) for text in shape)


def _same(column: Sequence[str], values: Sequence[Sequence[str]]) -> int | None:
    """The field of the letter's name that says in every pair what one of the index's name says."""
    wanted = [text.casefold() for text in column]
    return next((n for n, one in enumerate(values) if [text.casefold() for text in one] == wanted), None)


def _named(values: Sequence[Sequence[str]], control: int, said: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of the fields: as the index calls what they say, or by their place."""
    names: list[str] = []
    for number, column in enumerate(values):
        alike = (
            key
            for key in (said[0] if said else ())
            if all(one.get(key) == text for one, text in zip(said, column, strict=True))
        )
        name = (
            "letter_no" if number == control else _NO_FIELD.sub("_", next(alike, "").casefold()).strip("_")[:_LONGEST]
        )
        taken = {*names, "content", "name"} if number == control else {*names, "content", "name", "letter_no"}
        names.append(name if _FIELD.fullmatch(name) and name not in taken else f"part_{number + 1}")
    return names
