"""
Finds mapping files: an ordered list of folders, the first that has a file wins.

The order is that of design §5a: what the command line names, the configuration, `./mappings`, installed packages
(entry point `mhbridge.mappings`), the built-in ones. Files are read once and kept as parse trees. This module knows
nothing of what the files mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

from mhbridge.errors import Diagnostic
from mhbridge.mapping.reader import YamlFile, decoded, read

__all__ = ["Library", "built_in", "default_roots"]


def built_in(folder: str) -> Path:
    """The folder (`mappings` or `fixtures`) that came with mhbridge: in the wheel, or beside `src` in a checkout."""
    package = Path(str(files("mhbridge")))
    packed = package / f"_{folder}"
    return packed if packed.is_dir() else package.parent.parent / folder


def default_roots(first: Iterable[str | Path] = ()) -> list[Path]:
    """
    The folders to look in, in order, each once: those given, `./mappings`, installed packages, the built-in ones.

    An entry point of the group `mhbridge.mappings` names a package whose folder holds `suppliers/`, `documents/` ….
    """
    installed = [Path(str(files(point.value))) for point in entry_points(group="mhbridge.mappings")]
    roots = [*map(Path, first), Path("mappings"), *installed, built_in("mappings")]
    seen: dict[Path, Path] = {}
    for root in roots:
        if root.is_dir():
            seen.setdefault(root.resolve(), root)
    return list(seen.values())


class Library:
    """
    Mapping files by their path below a root (`documents/x/items.yaml`). Reading the same file twice costs once.

    Args:
        roots: folders, the most important first.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self.roots = tuple(roots)
        #: Diagnostics of files that are not YAML: tables, lists, headings.
        self.reported: list[Diagnostic] = []
        self._trees: dict[Path, YamlFile] = {}
        self._by_name: dict[str, YamlFile] = {}

    def find(self, relative: str) -> Path | None:
        """Where the file is, or `None`."""
        return next((path for root in self.roots if (path := root / relative).is_file()), None)

    def tree(self, relative: str) -> YamlFile | None:
        """The parse tree of a YAML file, with the diagnostics of reading it; `None` when there is no such file."""
        path = self.find(relative)
        if path is None:
            return None
        if path not in self._trees:
            self._trees[path] = tree = read(shown(path), path.read_bytes())
            self._by_name[tree.path] = tree
        return self._trees[path]

    def line(self, file: str, number: int) -> str:
        """The text of a line of a file that was read, by the path that people see."""
        tree = self._by_name.get(file)
        return tree.lines[number - 1] if tree is not None and 0 < number <= len(tree.lines) else ""

    def shown(self, relative: str) -> str:
        """The path of a file as people see it; empty when there is no such file."""
        path = self.find(relative)
        return "" if path is None else shown(path)

    def fixture(self, path: str) -> bytes | None:
        """A message that a mapping's test names: beside a folder of mappings, from here, or among the built-in ones."""
        fixtures = built_in("fixtures")
        places = [*(root.parent / path for root in self.roots), Path(path), fixtures / path.removeprefix("fixtures/")]
        return next((place.read_bytes() for place in places if place.is_file()), None)

    def text(self, relative: str) -> tuple[str, bytes] | None:
        """The path as people see it and the bytes of any other file."""
        path = self.find(relative)
        return None if path is None else (shown(path), path.read_bytes())

    def table(self, relative: str) -> tuple[str, str | None] | None:
        """
        The path as people see it and the text of a CSV file; `None` when there is no such file. One that is not UTF-8
        is reported, and its text is `None`.
        """
        path = self.find(relative)
        if path is None:
            return None
        file = decoded(shown(path), path.read_bytes(), "save the file as UTF-8; Excel calls it 'CSV UTF-8'")
        self.reported.extend(file.diagnostics)
        return file.path, None if file.diagnostics else file.raw

    def folders(self, relative: str) -> list[str]:
        """Names of the folders below `relative` in any root, sorted."""
        return sorted({entry.name for entry in self._entries(relative) if entry.is_dir()})

    def names(self, relative: str, suffix: str) -> list[str]:
        """Names (without suffix) of the files below `relative` in any root, sorted."""
        return sorted({entry.stem for entry in self._entries(relative) if entry.is_file() and entry.suffix == suffix})

    def diagnostics(self) -> list[Diagnostic]:
        """What reading, and everything that reported to the trees since, had to say."""
        return [*self.reported, *(found for tree in self._trees.values() for found in tree.diagnostics)]

    def _entries(self, relative: str) -> Iterator[Path]:
        for root in self.roots:
            folder = root / relative
            if folder.is_dir():
                yield from folder.iterdir()


def shown(path: Path) -> str:
    """A path as a person wants to see it: relative to where they stand when it lies below, with forward slashes."""
    absolute = path.resolve()
    here = Path(os.curdir).resolve()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()
