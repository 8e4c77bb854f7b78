"""
A month as one page that stands alone: for a screen, a reader of screens, and paper.

Nothing of it comes from elsewhere, and nothing runs in it. This module must never show a number of its own counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from mhbridge.insights.groups import ACKNOWLEDGED, KEPT, NAMELESS, Group, Names
from mhbridge.insights.months import Month
from mhbridge.insights.plots import COLOURS, Bar, comparison, stack

__all__ = ["page"]

_LONDON: Final = ZoneInfo("Europe/London")
_SUMMARY, _FOLLOW_UP = "summary-24h", "follow-up-72h"
_DEADLINES: Final = {
    _SUMMARY: "Discharge summary within 24 hours",
    _FOLLOW_UP: "Follow-up within 72 hours of discharge from a mental health ward",
}
_KEPT: Final = {
    "met": "in time", "within 72 h": "late, within 72 hours", "later": "later than 72 hours",
    "missed": "overdue, still not there",
}  # fmt: skip
_REACHED: Final = {
    "business": "answered by a person or their system", "infrastructure": "answered by the system behind",
    "collected": "collected", "accepted": "taken by the recipient's system", "sent": "sent", "under way": "under way",
    "waits for a person": "waits for a person", "ended by a person": "ended by a person",
    "withdrawn": "not sent any more",
}  # fmt: skip
_SAID: Final = {
    "present": "said", "text only": "in words, without codes", "withheld": "withheld", "unreadable": "unreadable",
    "absent": "not said",
}  # fmt: skip
_LEFT_OUT: Final = '<abbr title="left out, as numbers are small">*</abbr>'
_IS_SAID: Final = ("present", "text only", "withheld")
_NEEDS: Final = {"mandatory": "must be said", "required": "should be said", "optional": "may be said"}


def page(month: Month, groups: Sequence[Group], names: Names, *, gateway: str, small: int, made_at: datetime) -> str:
    """The whole page, in HTML."""
    sections = "".join(_sections(groups, names, small))
    return (
        files(__package__)
        .joinpath("page.html")
        .read_text("utf-8")
        .replace("{{month}}", escape(month.title))
        .replace("{{gateway}}", escape(gateway))
        .replace("{{made}}", f"{made_at.astimezone(_LONDON):%-d %B %Y at %H:%M}")
        .replace("{{small}}", str(small - 1))
        .replace("{{sections}}", sections)
    )


def _sections(groups: Sequence[Group], names: Names, small: int) -> Iterator[str]:
    by_measure: dict[str, list[Group]] = {}
    for group in groups:
        by_measure.setdefault(group.measure, []).append(group)
    if not groups:
        yield "<p>Nothing was counted in this month.</p>"
        return
    deadlines: dict[str, list[Group]] = {}
    for group in by_measure.get("deadline", ()):
        deadlines.setdefault(group.name, []).append(group)
    for name in sorted(
        deadlines,
        key=lambda name: (name not in _DEADLINES, list(_DEADLINES).index(name) if name in _DEADLINES else 0, name),
    ):
        yield _deadline(name, deadlines[name], names, small)
    if letters := by_measure.get("heading"):
        yield _completeness(letters, by_measure.get("letters", ()), names, small)
    if sent := by_measure.get("acknowledgement"):
        refusals = {_pair(one): one for one in by_measure.get("refusal", ())}
        yield _acknowledged(sent, refusals, names, small)
    if unmapped := [*by_measure.get("code", ()), *by_measure.get("field", ())]:
        yield _unmapped(unmapped, names, small)


def _pair(group: Group) -> tuple[str, str, str]:
    return group.sender, group.recipient, group.document


def _whose(group: Group, names: Names) -> str:
    """`Example Trust → gp`."""
    sender = names.suppliers.get(group.sender, group.sender)
    return f"{sender} → {group.recipient}" if group.recipient else sender


def _few(small: int) -> str:
    return f"fewer than {small}"


def _number(group: Group, part: str) -> str:
    count = group.shown.parts.get(part, 0)
    if count is not None:
        percent = f" <small>{group.shown.percent(part)}%</small>" if count else ""
        return f"{count:,}{percent}"
    over = group.shown.over(part)
    return f"over {over}%" if over else _LEFT_OUT


def _percent(group: Group, *parts: str) -> str:
    percent = group.shown.percent(*parts)
    if percent is not None:
        return f"{percent}%"
    over = group.shown.over(*parts)
    return f"over {over}%" if over else _LEFT_OUT


def _legend(words: Mapping[str, str], shown: Iterable[Group]) -> str:
    there = {name for group in shown for name, count in group.shown.parts.items() if count}
    found = "".join(
        f'<li><span class="key" style="background:{COLOURS[name]}"></span>{escape(text)}</li>'
        for name, text in words.items()
        if name in there
    )
    if any(group.shown.left_out for group in shown):
        found += '<li><span class="key hatched"></span>left out, as numbers are small</li>'
    return f'<ul class="legend" aria-hidden="true">{found}</ul>'


def _section(title: str, lead: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(lead)}</p>{body}</section>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _counts(
    caption: str,
    of: str,
    groups: Sequence[Group],
    order: Sequence[str],
    words: Mapping[str, str],
    names: Names,
    small: int,
) -> str:
    """A table of groups: whose, how many, the bar, and each part as a number."""
    there = [name for name in order if any(name in one.shown.parts and one.shown.parts[name] != 0 for one in groups)]
    with_documents = len({one.document for one in groups}) > 1
    rows = []
    for one in groups:
        label = escape(_whose(one, names))
        if with_documents:
            label += f"<br><small>{escape(names.documents.get(one.document, one.document))}</small>"
        total = _few(small) if one.shown.total is None else f"{one.shown.total:,}"
        parts = [_number(one, name) if one.shown.parts else "–" for name in there]
        rows.append([label, total, stack(one.shown, words), *parts])
    return _legend(words, groups) + _table(caption, ["", of, "", *(escape(words[name]) for name in there)], rows)


def _deadline(name: str, groups: Sequence[Group], names: Names, small: int) -> str:
    title = _DEADLINES.get(name, name)
    lead = {
        _SUMMARY: "Of the discharges of this month, when each recipient had the summary. One that was not there in time"
        " was somebody's task from the eighteenth hour on. Those whose 24 hours are not over are left out.",
        _FOLLOW_UP: "Of the discharges of this month that the national measure counts, when a contact reached the"
        " patient. Those whose 72 hours are not over are left out.",
    }.get(name, "Of what began in this month, when it was done.")
    groups = sorted(groups, key=lambda one: (-(one.shown.percent("met") or one.shown.over("met")), _whose(one, names)))
    bars = [
        Bar(
            _whose(one, names),
            one.shown.percent("met"),
            one.shown.over("met"),
            _few(small) if one.shown.total is None else str(one.shown.total),
        )
        for one in groups
    ]
    plot = f"<figure>{comparison(f'{title}: in time', bars)}</figure>" if len(bars) > 1 else ""
    return _section(
        title,
        lead,
        plot
        + _counts(
            f"{title}: how it was kept",
            "discharges" if name in _DEADLINES else "all",
            groups,
            KEPT,
            _KEPT,
            names,
            small,
        ),
    )


def _completeness(headings: Sequence[Group], letters: Sequence[Group], names: Names, small: int) -> str:
    how_many = {(one.sender, one.document): one.shown.total for one in letters}
    order = {heading: number for number, heading in enumerate(names.headings)}
    needs, several = list(_NEEDS), len({one.document for one in headings}) > 1
    body, bars = [], []
    for sender, document in dict.fromkeys((one.sender, one.document) for one in headings):
        mine = [one for one in headings if (one.sender, one.document) == (sender, document)]
        total = how_many.get((sender, document))
        title = f"{names.suppliers.get(sender, sender)}: {names.documents.get(document, document)}"
        short = title if several else names.suppliers.get(sender, sender)
        if total is None or not any(one.shown.parts for one in mine):
            many = _few(small) if total is None else str(total)
            body.append(f"<h3>{escape(title)}</h3><p>There were {many} letters: too few to show what they say.</p>")
            bars.append(Bar(short, None, 0, many))
            continue
        bars.append(Bar(short, *_must(mine, names), f"{total:,} letters"))
        found = []
        for one in mine:
            label, need = names.headings.get(one.name, (one.name, ""))
            place = needs.index(need) if need in needs else len(needs)
            row = [
                escape(label),
                f'<span class="need">{_NEEDS.get(need, "")}</span>',
                _percent(one, *_IS_SAID),
                stack(one.shown, _SAID),
                _percent(one, "absent"),
            ]
            found.append((place, order.get(one.name, len(order)), row))
        rows = [row for *_, row in sorted(found)]
        table = _table(f"{title}: letters by heading", ["Heading", "", "said", "", "not said"], rows)
        body.append(f"<h3>{escape(title)}, {total:,} letters</h3>{_legend(_SAID, mine)}{table}")
    bars.sort(key=lambda one: (-(one.percent or one.at_least), one.label))
    if len(bars) > 1:
        title = "Of the headings that must be said, those that are"
        body.insert(0, f"<h3>{title}</h3><figure>{comparison(title, bars)}</figure>")
    return _section(
        "What the letters say",
        "By heading of the record standard: whether something is said under it, be it that there is none. Not said"
        " means that the sender's system sent nothing there, not that there is nothing.",
        "".join(body),
    )


def _must(headings: Sequence[Group], names: Names) -> tuple[int | None, int]:
    """Of a hundred mandatory headings of letters, how many are said; or at least, where one of them is left out."""
    asked = [one.shown for one in headings if names.headings.get(one.name, ("", ""))[1] == "mandatory"]
    percents = [one.percent(*_IS_SAID) for one in asked]
    if not asked:
        return None, 0
    least = sum(one.over(*_IS_SAID) if share is None else share for one, share in zip(asked, percents, strict=True))
    return (None, least // len(asked)) if None in percents else (round(least / len(asked)), 0)


def _acknowledged(
    sent: Sequence[Group], refusals: Mapping[tuple[str, str, str], Group], names: Names, small: int
) -> str:
    body = _counts("Letters by how far they got", "letters", sent, ACKNOWLEDGED, _REACHED, names, small)
    rows = []
    for one in sent:
        refusal = refusals.get(_pair(one))
        if refusal is None or refusal.shown.total is None or not refusal.shown.parts:
            continue
        refused = refusal.shown.parts.get("refused", 0)
        if refused != 0:
            document = names.documents.get(one.document, one.document)
            rows.append(
                [
                    escape(_whose(one, names)),
                    escape(document),
                    _number(refusal, "refused"),
                    _percent(refusal, "refused"),
                ]
            )
    if rows:
        body += _table(
            "Letters that were refused, or that a person had to look at",
            ["", "letter", "so many", "of a hundred"],
            rows,
        )
    return _section(
        "How far letters got",
        "Each letter and version of a letter, for each recipient, as it stands now: taken is not read.",
        body,
    )


def _unmapped(groups: Sequence[Group], names: Names, small: int) -> str:
    words = {"code": "a code that the table does not have", "field": "a field that nothing reads"}
    rows = [
        [
            escape(names.suppliers.get(one.sender, one.sender)),
            words[one.measure],
            "others" if one.name == NAMELESS else f"<code>{escape(one.name)}</code>",
            _few(small) + " each" if one.shown.total is None else f"{one.shown.total:,}",
        ]
        for one in groups
    ]
    return _section(
        "What was not understood",
        "Codes and fields that senders send and the mappings do not know, by how many messages had them. A code is kept"
        " as it came; a field that nothing reads does not reach the recipient.",
        _table("Codes and fields that are not mapped", ["Sender", "what", "where", "messages"], rows),
    )
