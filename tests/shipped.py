"""The mappings that come with mhbridge, loaded once for all tests of a process: they never change."""

from __future__ import annotations

from functools import cache

from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import Library, built_in

__all__ = ["catalogue"]


def catalogue(engine: type[Compiler | Interpreter] = Compiler) -> Catalogue:
    return _made(engine)


@cache
def _made(engine: type[Compiler | Interpreter]) -> Catalogue:
    return Catalogue(Library([built_in("mappings")]), engine=engine)
