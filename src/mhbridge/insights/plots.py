"""
Plots as SVG that stands in a page: bars of counts that add up, and bars to compare.

Each says in words what it shows, for whoever does not see it, and keeps its colours in print. This module must never
draw what is not shown as a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from mhbridge.insights.suppressing import Shown

__all__ = ["COLOURS", "comparison", "stack"]

#: Of Okabe and Ito, which everybody can tell apart; from what is well to what is not.
COLOURS: Final[Mapping[str, str]] = {
    "met": "#0072b2", "within 72 h": "#56b4e9", "later": "#e69f00", "missed": "#d55e00",
    "business": "#004f7c", "infrastructure": "#0072b2", "collected": "#0072b2", "accepted": "#56b4e9",
    "sent": "#b9def5", "under way": "#c8c8c8", "waits for a person": "#e69f00", "ended by a person": "#d55e00",
    "withdrawn": "#8a8a8a",
    "present": "#0072b2", "text only": "#56b4e9", "withheld": "#8a8a8a", "unreadable": "#e69f00", "absent": "#f3dcd0",
}  # fmt: skip
_WIDTH: Final = 300
_HEIGHT: Final = 18
_LONGEST: Final = 52


def stack(shown: Shown, words: Mapping[str, str]) -> str:
    """
    One bar of the whole, in its parts. What is left out is one hatched part at its end.

    Args:
        words: part → what it is called.
    """
    if not shown.total or not shown.parts:
        return ""
    at, drawn, said = 0.0, [], []
    for name, count in shown.parts.items():
        share = shown.at_least.get(name, 0) / 100 if count is None else count / shown.total
        if not share:
            continue
        wide = _WIDTH * share
        drawn.append(f'<rect x="{at:.1f}" width="{wide:.1f}" height="{_HEIGHT}" fill="{COLOURS[name]}"/>')
        said.append(f"{words.get(name, name)} {'over ' if count is None else ''}{100 * share:.0f}%")
        at += wide
    if shown.left_out:
        wide = _WIDTH - at
        drawn.append(
            f'<rect x="{at:.1f}" width="{wide:.1f}" height="{_HEIGHT}" fill="url(#left-out)" stroke="#777"'
            ' stroke-width="0.5"/>'
        )
        said.append("the rest left out, as numbers are small")
    text = escape(", ".join(said), quote=True)
    return (
        f'<svg class="bar" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{text}"><title>{text}</title>{"".join(drawn)}</svg>'
    )


class Bar(NamedTuple):
    """
    A bar to be compared with others.

    Args:
        percent: `None` where it cannot be shown.
        at_least: so many in a hundred it is at least, where more cannot be shown.
        of: of how many.
    """

    label: str
    percent: int | None
    at_least: int
    of: str

    @property
    def figure(self) -> str:
        """As it is written."""
        if self.percent is not None:
            return f"{self.percent}%"
        return f"over {self.at_least}%" if self.at_least else "too few to show"


def comparison(title: str, bars: Sequence[Bar]) -> str:
    """Bars of a hundred below each other, with their numbers."""
    left, right, row, top = 430, 90, 30, 26
    wide = 900 - left - right
    high = top + row * len(bars) + 8
    said = "; ".join(f"{one.label}: {one.figure} of {one.of}" for one in bars)
    drawn = []
    for mark in range(0, 101, 25):
        x = left + wide * mark / 100
        drawn.append(f'<line x1="{x}" x2="{x}" y1="{top - 4}" y2="{high - 4}" stroke="#ccc"/>')
        drawn.append(f'<text x="{x}" y="{top - 9}" text-anchor="middle" class="tick">{mark}%</text>')
    for number, one in enumerate(bars):
        y = top + row * number
        drawn.append(f'<text x="{left - 10}" y="{y + 19}" text-anchor="end">{escape(_short(one.label))}</text>')
        percent = one.at_least if one.percent is None else one.percent
        if one.percent is None and not percent:
            drawn.append(f'<text x="{left + 6}" y="{y + 19}" class="tick">{one.figure}</text>')
            continue
        end = left + wide * percent / 100
        drawn.append(f'<rect x="{left}" y="{y + 5}" width="{end - left:.1f}" height="{row - 10}" fill="#0072b2"/>')
        if one.percent is None:
            rest = f'x="{end:.1f}" y="{y + 5}" width="{left + wide - end:.1f}" height="{row - 10}"'
            drawn.append(f'<rect {rest} fill="url(#left-out)" stroke="#777" stroke-width="0.5"/>')
        drawn.append(f'<text x="{left + wide + 10}" y="{y + 19}"><tspan class="figure">{one.figure}</tspan></text>')
    return (
        f'<svg viewBox="0 0 900 {high}" role="img" aria-label="{escape(f"{title}. {said}", quote=True)}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )


def _short(label: str) -> str:
    """What has room beside a bar. Its end says more than its middle: to whom, or what."""
    if len(label) <= _LONGEST:
        return label
    start, _, end = label.rpartition(" → " if " → " in label else ": ")
    room = max(_LONGEST - len(end) - 4, 12)
    return f"{start[:room].rstrip()}… {label[len(start) :].strip(': ')}" if start else f"{label[:_LONGEST]}…"
