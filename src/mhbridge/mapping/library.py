"""
Finds mapping files: an ordered list of folders, the first that has a file wins.

The order is that of design §5a: what the command line names, the configuration, `./mappings`, installed packages
(entry point `mhbridge.mappings`), the built-in ones. Files are read once and kept as parse trees. A `Snapshot` holds
them all as they were at one instant, so that every process of a gateway works with the same ones whatever is edited
meanwhile. This module knows nothing of what the files mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from mhbridge.errors import Diagnostic
from mhbridge.mapping.reader import YamlFile, decoded, read

__all__ = ["Library", "Snapshot", "built_in", "default_roots"]

#: What is read of a folder of mappings: a README beside them is for people.
_READ: Final = (".yaml", ".csv")


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


class _Shelf(Protocol):
    """Where files are: by their path below a root, the first root that has one wins."""

    def read(self, relative: str) -> tuple[str, bytes] | None:
        """The path as people see it and the bytes."""

    def entries(self, relative: str) -> Iterator[tuple[str, bool]]:
        """Names in a folder, and whether each is a file."""

    def beside(self, path: str) -> Iterator[Path]:
        """Where a file lies that a mapping names by its path from the folder that holds `mappings/`."""


class _Folders:
    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._found: dict[str, tuple[str, bytes] | None] = {}

    def read(self, relative: str) -> tuple[str, bytes] | None:
        if relative not in self._found:
            path = next((path for root in self._roots if (path := root / relative).is_file()), None)
            self._found[relative] = None if path is None else (shown(path), path.read_bytes())
        return self._found[relative]

    def entries(self, relative: str) -> Iterator[tuple[str, bool]]:
        for root in self._roots:
            folder = root / relative
            if folder.is_dir():
                yield from ((entry.name, entry.is_file()) for entry in folder.iterdir())

    def beside(self, path: str) -> Iterator[Path]:
        yield from (root.parent / path for root in self._roots)

    def everything(self) -> dict[str, tuple[str, bytes]]:
        found: dict[str, tuple[str, bytes]] = {}
        for root in self._roots:
            for path in sorted(root.rglob("*")):
                if path.suffix in _READ and path.is_file():
                    found.setdefault(path.relative_to(root).as_posix(), (shown(path), path.read_bytes()))
        return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All mapping files of some folders as they were at one instant. A value: it goes to other processes as it is.

    Args:
        files: path below a root → the path as people see it, and the bytes.
    """

    files: Mapping[str, tuple[str, bytes]]
    #: Folder → the names in it, and whether each is a file; known once somebody has asked.
    _folders: dict[str, dict[str, bool]] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, roots: Iterable[Path]) -> Snapshot:
        """What these folders hold now, the most important first."""
        return cls(_Folders(roots).everything())

    @property
    def digest(self) -> str:
        """Names the content: equal for equal files under equal paths."""
        digest = sha256()
        for relative, (_, body) in sorted(self.files.items()):
            digest.update(b"%d %b %d " % (len(relative), relative.encode(), len(body)) + body)
        return digest.hexdigest()[:16]

    def read(self, relative: str) -> tuple[str, bytes] | None:
        """The path as people see it and the bytes."""
        found = self.files.get(relative)
        return found if found is not None else self.files.get(PurePosixPath(relative).as_posix())

    def entries(self, relative: str) -> Iterator[tuple[str, bool]]:
        """Names in a folder, and whether each is a file."""
        if not self._folders:
            for path in self.files:
                folder, _, name = path.rpartition("/")
                self._folders.setdefault(folder, {})[name] = True
                while folder:
                    folder, _, name = folder.rpartition("/")
                    self._folders.setdefault(folder, {})[name] = False
        yield from self._folders.get(relative.rstrip("/"), {}).items()

    def beside(self, _path: str) -> Iterator[Path]:
        """Nothing: messages that tests name are no mapping files."""
        return iter(())


class Library:
    """
    Mapping files by their path below a root (`documents/x/items.yaml`). Reading the same file twice costs once.

    Args:
        source: folders, the most important first; or what they held at one instant.
    """

    def __init__(self, source: Iterable[Path] | Snapshot) -> None:
        self._shelf: _Shelf = source if isinstance(source, Snapshot) else _Folders(source)
        #: Diagnostics of files that are not YAML: tables, lists, headings.
        self.reported: list[Diagnostic] = []
        self._trees: dict[str, YamlFile | None] = {}
        self._by_name: dict[str, YamlFile] = {}
        #: Folder → the names in it, and whether each is a file.
        self._entries: dict[str, list[tuple[str, bool]]] = {}
        self._names: dict[tuple[str, str], list[str]] = {}

    def has(self, relative: str) -> bool:
        """Whether there is such a file."""
        return self._shelf.read(relative) is not None

    def tree(self, relative: str) -> YamlFile | None:
        """The parse tree of a YAML file, with the diagnostics of reading it; `None` when there is no such file."""
        if relative not in self._trees:
            found = self._shelf.read(relative)
            self._trees[relative] = tree = None if found is None else read(*found)
            if tree is not None:
                self._by_name[tree.path] = tree
        return self._trees[relative]

    def line(self, file: str, number: int) -> str:
        """The text of a line of a file that was read, by the path that people see."""
        tree = self._by_name.get(file)
        return tree.lines[number - 1] if tree is not None and 0 < number <= len(tree.lines) else ""

    def shown(self, relative: str) -> str:
        """The path of a file as people see it; empty when there is no such file."""
        found = self._shelf.read(relative)
        return "" if found is None else found[0]

    def fixture(self, path: str) -> bytes | None:
        """A message that a mapping's test names: beside a folder of mappings, from here, or among the built-in ones."""
        fixtures = built_in("fixtures")
        places = [*self._shelf.beside(path), Path(path), fixtures / path.removeprefix("fixtures/")]
        return next((place.read_bytes() for place in places if place.is_file()), None)

    def text(self, relative: str) -> tuple[str, bytes] | None:
        """The path as people see it and the bytes of any other file."""
        return self._shelf.read(relative)

    def table(self, relative: str) -> tuple[str, str | None] | None:
        """
        The path as people see it and the text of a CSV file; `None` when there is no such file. One that is not UTF-8
        is reported, and its text is `None`.
        """
        found = self._shelf.read(relative)
        if found is None:
            return None
        file = decoded(*found, "save the file as UTF-8; Excel calls it 'CSV UTF-8'")
        self.reported.extend(file.diagnostics)
        return file.path, None if file.diagnostics else file.raw

    def folders(self, relative: str) -> list[str]:
        """Names of the folders below `relative` in any root, sorted."""
        return sorted({name for name, is_file in self._listed(relative) if not is_file})

    def names(self, relative: str, suffix: str) -> list[str]:
        """Names (without suffix) of the files below `relative` in any root, sorted."""
        found = self._names.get((relative, suffix))
        if found is None:
            names = {name for name, is_file in self._listed(relative) if is_file}
            ends = len(suffix)
            found = sorted([name[:-ends] for name in names if name.endswith(suffix) and len(name) > ends])
            self._names[relative, suffix] = found
        return found

    def _listed(self, relative: str) -> list[tuple[str, bool]]:
        if relative not in self._entries:
            self._entries[relative] = list(self._shelf.entries(relative))
        return self._entries[relative]

    def diagnostics(self) -> list[Diagnostic]:
        """What reading, and everything that reported to the trees since, had to say."""
        trees = (tree for tree in self._trees.values() if tree is not None)
        return [*self.reported, *(found for tree in trees for found in tree.diagnostics)]


def shown(path: Path) -> str:
    """A path as a person wants to see it: relative to where they stand when it lies below, with forward slashes."""
    absolute = path.resolve()
    here = Path(os.curdir).resolve()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()
