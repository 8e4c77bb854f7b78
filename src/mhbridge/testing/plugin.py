"""
The pytest plugin: fixture folders become tests, for people who keep mappings in a repository of their own.

It does nothing until the repository asks for it, in `pyproject.toml`::

    [tool.pytest.ini_options]
    testpaths = ["fixtures"]
    mhbridge_fixtures = ["fixtures"]     # folders of SUPPLIER/FEED/CASE.EXT
    mhbridge_mappings = ["mappings"]     # beside installed packages and the built-in ones
    mhbridge_coverage = "99.5"           # percent of the values of a feed's fixtures that must be accounted for

Then every fixture is a test, and so are what `mhbridge check` says of the mappings and the coverage of each feed.
`pytest --mhbridge-update` writes the golden files instead. Nothing heavy is loaded before a fixture is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.pipeline import Feed
    from mhbridge.testing.replaying import Case

__all__ = ["CheckItem", "CoverageItem", "FeedFile", "FixtureItem", "Problem"]

#: Differences of one fixture that are shown.
_SHOWN: Final = 20
_CATALOGUE: Final = pytest.StashKey["Catalogue"]()
_FEEDS: Final = pytest.StashKey["dict[str, Feed]"]()


class Problem(Exception):
    """What a test of this plugin has to say: no traceback, only the lines."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The keys of the configuration, and `--mhbridge-update`."""
    parser.addini("mhbridge_fixtures", "folders of SUPPLIER/FEED/CASE.EXT that are tests", "paths", default=[])
    parser.addini("mhbridge_mappings", "folders of mappings to look in first", "paths", default=[])
    parser.addini("mhbridge_coverage", "percent of the values that must be accounted for", default="")
    group = parser.getgroup("mhbridge")
    group.addoption("--mhbridge-update", action="store_true", help="write the golden files as they come out now")


def pytest_configure(config: pytest.Config) -> None:
    """What is asked for and cannot be is said before anything runs; a folder that is not there would hold no test."""
    for key in ("mhbridge_fixtures", "mhbridge_mappings"):
        for folder in config.getini(key):
            if not Path(folder).is_dir():
                raise pytest.UsageError(f"{key}: there is no folder {folder}")
    wanted = config.getini("mhbridge_coverage")
    if wanted and not re.fullmatch(r"\d{1,2}(\.\d+)?|100(\.0+)?", wanted):
        raise pytest.UsageError(f"mhbridge_coverage: {wanted!r} is no share between 0 and 100, for example 99.5")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A message below one of the folders is a test, with others for its feed before the first of them."""
    for folder in parent.config.getini("mhbridge_fixtures"):
        root = Path(folder)
        if file_path.is_relative_to(root) and len(file_path.relative_to(root).parts) == 3:
            from mhbridge.testing.replaying import cases

            if file_path in (case.path for case in cases(root)):
                collected: pytest.Collector = FeedFile.from_parent(parent, path=file_path)
                return collected
    return None


class FeedFile(pytest.File):
    """A message."""

    def collect(self) -> Iterator[pytest.Item]:
        """The test of the message; of the first one of a feed also those of the mapping, and of the first of all."""
        from mhbridge.testing.replaying import Case, cases

        case = Case(self.path.parent.parent.name, self.path.parent.name, self.path)
        every = list(cases(self.path.parent.parent.parent))
        if every[0].path == self.path:
            yield CheckItem.from_parent(self, name="check")
        first = next(one.path for one in every if (one.supplier, one.feed) == (case.supplier, case.feed))
        if first == self.path and self.config.getini("mhbridge_coverage"):
            yield CoverageItem.from_parent(self, name="coverage", case=case)
        yield FixtureItem.from_parent(self, name="golden", case=case)


class _Item(pytest.Item):
    @property
    def catalogue(self) -> Catalogue:
        """All mappings, loaded once for all tests."""
        if _CATALOGUE not in self.config.stash:
            from mhbridge.mapping.catalogue import load

            self.config.stash[_CATALOGUE] = load(self.config.getini("mhbridge_mappings"))
            self.config.stash[_FEEDS] = {}
        return self.config.stash[_CATALOGUE]

    def feed(self, supplier: str) -> Feed:
        """All mappings of a supplier."""
        from mhbridge.errors import MappingError
        from mhbridge.testing.replaying import feed_of

        catalogue, feeds = self.catalogue, self.config.stash[_FEEDS]
        if supplier not in catalogue.suppliers():
            raise Problem(f"there is no supplier {supplier!r} in the mappings")
        try:
            if supplier not in feeds:
                feeds[supplier] = feed_of(catalogue, supplier)
        except MappingError as error:
            raise Problem("\n".join(one.render() for one in error.diagnostics)) from None
        return feeds[supplier]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, in lines; a fault of the plugin itself as usual."""
        return str(excinfo.value) if isinstance(excinfo.value, Problem) else super().repr_failure(excinfo, style)


class CheckItem(_Item):
    """What `mhbridge check` says of the repository's own mappings."""

    def runtest(self) -> None:
        """Fails for an error."""
        from mhbridge.model import Severity

        own = [Path(folder).resolve() for folder in self.config.getini("mhbridge_mappings")]
        found = [one for one in self.catalogue.check() if one.severity is Severity.ERROR]
        mine = [one for one in found if any(Path(one.span.file).resolve().is_relative_to(root) for root in own)]
        if mine:
            raise Problem("\n".join(one.render() for one in mine))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Named after what is checked."""
        return self.path, None, "mappings"


class CoverageItem(_Item):
    """That enough of what a feed's fixtures say is accounted for."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        """Fails under the share that the configuration asks for, with the paths that no line mentions."""
        from mhbridge.errors import MessageError
        from mhbridge.model import LeafState
        from mhbridge.testing.covering import Coverage
        from mhbridge.testing.replaying import cases

        name = f"{self.case.supplier}/{self.case.feed}"
        feed = self.feed(self.case.supplier)
        if name not in self.catalogue.names():
            raise Problem(f"there is no mapping {name!r}")
        found = Coverage(self.catalogue.mapping(name), feed.mappings)
        for case in cases(self.path.parent.parent.parent):
            if f"{case.supplier}/{case.feed}" == name:
                try:
                    found.add(case.path.read_bytes())
                except MessageError:
                    continue
        wanted = float(self.config.getini("mhbridge_coverage"))
        if found.percent < wanted:
            lines = [f"{name}: {found.shown}% of the values are accounted for, and {wanted:g}% are asked; open are"]
            lines += [f"  {row.path}" for row in found.rows if row.state is LeafState.UNMAPPED]
            raise Problem("\n".join(lines))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Named after the feed."""
        return self.path, None, f"coverage of {self.case.supplier}/{self.case.feed}"


class FixtureItem(_Item):
    """That a message gives what its golden files say."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        """Fails with every difference; with `--mhbridge-update` writes the golden files."""
        from mhbridge.testing.replaying import compare, golden_files, replay

        made = replay(self.case, self.catalogue, self.feed(self.case.supplier))
        if self.config.getoption("--mhbridge-update"):
            golden_files(self.path, made)
            return
        found = compare(self.case, made)
        if found:
            lines = [self.case.name]
            for one in found[:_SHOWN]:
                lines += [f"{one.file} {one.path}", f"  expected  {one.expected}", f"  got       {one.got}"]
            if len(found) > _SHOWN:
                lines.append(f"and {len(found) - _SHOWN} more")
            raise Problem("\n".join([*lines, "pytest --mhbridge-update writes them as they come out now"]))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Named after the fixture."""
        return self.path, None, self.case.name
