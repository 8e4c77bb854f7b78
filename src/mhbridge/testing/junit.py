"""Writes what became of tests as JUnit XML, which every CI server shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Outcome", "junit"]

#: Characters that XML 1.0 cannot hold (§2.2).
_NEVER: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One test.

    Args:
        suite: what it belongs to: `supplier/feed`.
        failures: what is wrong; empty when nothing is.
    """

    suite: str
    name: str
    seconds: float = 0.0
    failures: tuple[str, ...] = ()


def junit(outcomes: Iterable[Outcome]) -> str:
    """The outcomes as a document with a suite for each feed."""
    suites: dict[str, list[Outcome]] = {}
    for one in outcomes:
        suites.setdefault(one.suite, []).append(one)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for suite, tests in suites.items():
        failed = sum(bool(test.failures) for test in tests)
        lines.append(f'  <testsuite name="{_text(suite)}" tests="{len(tests)}" failures="{failed}" errors="0">')
        for test in tests:
            head = f'    <testcase classname="{_text(suite)}" name="{_text(test.name)}" time="{test.seconds:.3f}"'
            if not test.failures:
                lines.append(f"{head}/>")
                continue
            lines.append(f"{head}>")
            lines.append(f'      <failure message="{_text(test.failures[0])}">')
            lines += [_text(failure) for failure in test.failures]
            lines += ["      </failure>", "    </testcase>"]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _text(text: str) -> str:
    return escape(_NEVER.sub("\ufffd", text))
