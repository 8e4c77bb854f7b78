"""
Reads the lists of codes that a file declares. This module must never say what a list is for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.structure import check_name
from mhbridge.mapping.code_files import load_list
from mhbridge.mapping.codes import CodeList, CodeSystems
from mhbridge.mapping.library import Library
from mhbridge.mapping.reader import Items, Pairs, Text, YamlFile

__all__ = ["Lists", "read_lists"]


@dataclass(frozen=True, slots=True)
class Lists:
    """
    The lists of codes that a file declares.

    Args:
        members: name → (system name, code), for `in`.
        files: name → list with dates, for `member`, of those that stand in files.
    """

    members: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    files: Mapping[str, CodeList] = field(default_factory=dict)

    def __or__(self, other: Lists) -> Lists:
        return Lists({**self.members, **other.members}, {**self.files, **other.files})


def read_lists(
    library: Library,
    file: YamlFile,
    top: Declaration,
    systems: CodeSystems,
    folders: Iterable[str] = (),
    only: Collection[str] | None = None,
) -> Lists:
    """
    `lists:` name → `[system#code, …]`, or `{file: x.csv}`, which lies in `codes/lists/`.

    Args:
        folders: where a file is looked for first.
        only: the names to read; left out, all.
    """
    members: dict[str, frozenset[tuple[str, str]]] = {}
    files: dict[str, CodeList] = {}
    pairs = top.pairs("lists")
    for name, node in (pairs.entries if pairs else {}).items():
        assert pairs is not None
        if only is not None and name not in only:
            continue
        check_name(file, name, pairs.keys[name], "a list")
        if isinstance(node, Pairs):
            found = _list_file(library, file, name, node, systems, (*folders, "codes/lists"))
            if found is not None:
                files[name] = found
                if not found.dated:
                    members[name] = found.codes
            continue
        codes = set()
        for entry in node.entries if isinstance(node, Items) else (node,):
            system, hash_, code = entry.value.partition("#") if isinstance(entry, Text) else ("", "", "")
            if not hash_ or not code:
                file.report("E042", "a list has entries like system#code", entry.span)
            elif not systems.known(system):
                file.report(
                    "E401", f"unknown code system {system!r}", entry.span, did_you_mean(system, systems.names())
                )
            else:
                codes.add((system, code))
        members[name] = frozenset(codes)
    return Lists(members, files)


def _list_file(
    library: Library, file: YamlFile, name: str, node: Pairs, systems: CodeSystems, folders: tuple[str, ...]
) -> CodeList | None:
    declared = Declaration(file, node, "a list", ("file",))
    if not declared.require("file"):
        return None
    wanted = declared.text("file")
    for folder in folders:
        if (text := library.table(f"{folder}/{wanted}")) is not None:
            if text[1] is None:
                return None
            found, diagnostics = load_list(text[0], text[1], systems, name=name)
            library.reported.extend(diagnostics)
            return found
    known = [f"{one}.csv" for folder in folders for one in library.names(folder, ".csv")]
    hint = did_you_mean(wanted, known, f"it is looked for in {' and '.join(folders)}")
    file.report("E205", f"there is no list file {wanted!r}", declared.entries["file"].span, hint)
    return None
