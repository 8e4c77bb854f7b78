"""
The narrative of a section, generated from the items: the part of a document that people read.

Systems of general practice show the narrative and ignore the coded entries, and the Transfer of Care specifications
make it the legally significant copy. So it alone must be safe to read: every present item is in it under its label, in
order, and one that could not be read says so. It must never hold a style, a script, or markup that this module did not
write or sanitise.

What the fields of a heading decide is decided once: each becomes a function of its value. A value may have another
shape than its field's type, because it was kept as the text received; it is said all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from mhbridge.fhir.plaintext import plain
from mhbridge.fhir.wording import Wording
from mhbridge.fhir.xhtml import NAMESPACE, div, flow, paragraph, sanitise
from mhbridge.model import ABSENT, State, Unknown
from mhbridge.model.frozen import frozen

__all__ = ["Field", "Narrative", "Telling", "div", "paragraph", "plain", "sanitise", "section", "telling"]

#: A value → what is said of it: XHTML, or in one line text. Nothing is said of what is absent.
Telling = Callable[[Any], str]


@frozen(frozen=True, slots=True)
class Field:
    """
    An item under a heading, or a field of a record: what the narrative calls it and how its value is said.

    Args:
        name: key in the items or in the record.
        label: its words in the narrative; a field of a record without a label is not shown.
        type: name of its type in the mapping language: a FHIR type, `text`, `nhs_number`, `person`, `organisation`,
            `place`, a declared record, or `any` where it is one of several.
        many: it is a list.
        fields: what a declared record consists of, in order.
    """

    name: str
    label: str
    type: str
    many: bool = False
    fields: tuple[Field, ...] = ()


def section(
    fields: Sequence[Field],
    items: Mapping[str, Any],
    titles: Callable[[str], str],
    local: Callable[[str], bool] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """
    The narrative of one heading, without its `div`; `""` when none of its items is present.

    Args:
        fields: the items of the heading, in order.
        items: item name → value; an item that is absent or deleted is not shown, one that is unknown says why.
        titles: a code system's human title, for its name or URI.
        local: whether a code system is the sender's own; see `Wording`.
        notes: item name → what is said behind its value, in brackets.

    Returns:
        Well-formed XHTML of the elements that FHIR allows (R4 `txt-1`), without styles.
    """
    return telling(fields, Wording(titles, local))(items, notes)


class Narrative(Protocol):
    """Tells one heading."""

    def __call__(self, items: Mapping[str, Any], notes: Mapping[str, str] | None = None, /) -> str:
        """Items, and what is said behind the values of some → the narrative; see `section`."""


def telling(fields: Sequence[Field], words: Wording) -> Narrative:
    """What tells one heading. It is made ready when it is first asked."""
    tellings: list[tuple[str, Telling]] = []

    def tell(items: Mapping[str, Any], notes: Mapping[str, str] | None = None, /) -> str:
        if not tellings:
            tellings[:] = [(field.name, _item(field, words)) for field in fields]
        if notes:
            return "".join([_noted(told(items[name]), notes.get(name, "")) for name, told in tellings if name in items])
        return "".join([told(items[name]) for name, told in tellings if name in items])

    return tell


def _noted(shown: str, note: str) -> str:
    """A value with what is to be said of it: on its line where it has but one, or else below."""
    if not shown or not note:
        return shown
    said = flow(f"({note})")
    return f"{shown[:-4]} {said}</p>" if shown.count("<p>") == 1 and shown.endswith("</p>") else f"{shown}<p>{said}</p>"


# --- items -------------------------------------------------------------------------------------------------


def _item(field: Field, words: Wording) -> Telling:
    """One item: a line, a list, a table, or lines under its label."""
    label, line, teller = _label(field.label), _line(field.label), words.teller(field.type)
    lines = _lines(field.fields, words) if field.fields else None
    formatted = field.type == "xhtml"

    def tell(value: Any) -> str:
        kind = type(value)
        if kind is list or kind is tuple:
            return several(value)
        if kind is dict and lines is not None:
            inner = lines(value)
            return label + inner if inner else ""
        if formatted and value is not None and not isinstance(value, State):
            inner = _formatted(value, words)
            return label + inner if inner else ""
        return line(teller(value))

    several = _several(field, words, tell)
    return tell


def _label(label: str) -> str:
    return f"<p><b>{flow(label)}:</b></p>" if label else ""


def _line(label: str) -> Telling:
    """A label and a value: on one line if there is but one, otherwise the text in paragraphs below the label."""
    above, before = _label(label), f"<p><b>{flow(label)}:</b> " if label else "<p>"

    def line(text: str) -> str:
        if not text or text.isspace():
            return ""
        if "\n" in text or "\r" in text:
            return above + paragraph(text)
        return f"{before}{flow(text)}</p>"

    return line


def _several(field: Field, words: Wording, one: Telling) -> Telling:
    """
    A list: as a list or, of records with several parts, as a table. One alone is shown like a single value.

    Args:
        one: tells a single value.
    """
    label, line, brief = _label(field.label), _line(field.label), _brief(field, words)

    def listed(values: Sequence[Any]) -> str:
        said = [text for value in values if (text := brief(value)) and not text.isspace()]
        if len(said) < 2:
            return line(said[0]) if said else ""
        return label + _bullets(said)

    def blocks(values: Sequence[Any]) -> str:
        found = [inner for value in values if (inner := _formatted(value, words))]
        return label + "".join(found) if found else ""

    if not field.fields:
        return blocks if field.type == "xhtml" else listed
    rows = _table(field.fields, words) if len(field.fields) > 1 else None

    def records(values: Sequence[Any]) -> str:
        shown = [value for value in values if not isinstance(value, State) or isinstance(value, Unknown)]
        if len(shown) == 1:
            return one(shown[0])
        if rows is None or not shown:
            return listed(shown)
        table = rows(shown)
        return label + table if table else ""

    return records


def _bullets(texts: Sequence[str]) -> str:
    return "<ul>" + "".join([f"<li>{flow(text)}</li>" for text in texts]) + "</ul>"


def _formatted(value: Any, words: Wording) -> str:
    """Text with its own markup, made safe."""
    if not isinstance(value, str):
        text = words.say("text", value)
        return paragraph(text) if text else ""
    safe = sanitise(value)
    # Within the section's own div the namespace is inherited.
    return safe.replace(f' xmlns="{NAMESPACE}"', "", 1)


#: How many columns fit on a page that is printed, and what the last is called when it holds several.
_WIDEST: Final = 6
_FURTHER: Final = "Further"

# --- records -----------------------------------------------------------------------------------------------


def _lines(fields: Sequence[Field], words: Wording) -> Telling:
    """A record as label and value, one below the other."""
    tellings = [
        (field.name, f"<li><b>{flow(field.label)}:</b> ", _cell(field, words)) for field in fields if field.label
    ]

    def lines(record: Mapping[str, Any]) -> str:
        found = [
            f"{before}{cell}</li>" for name, before, told in tellings if name in record and (cell := told(record[name]))
        ]
        return "<ul>" + "".join(found) + "</ul>" if found else ""

    return lines


def _table(fields: Sequence[Field], words: Wording) -> Telling:
    """Records as a table, with a column for each labelled field that any of them has."""
    columns = [(field.name, _cell(field, words)) for field in fields if field.label]
    labels = [flow(field.label) for field in fields if field.label]

    def table(records: Sequence[Any]) -> str:
        rows: list[list[str] | str] = []
        for record in records:
            if isinstance(record, dict):
                cells = [told(record[name]) if name in record else "" for name, told in columns]
                if any(cells):
                    rows.append(cells)
            elif text := words.say("text", record):
                # Kept whole as the text received, or withheld: it has no parts.
                rows.append(flow(text))
        if not rows:
            return ""
        used = [n for n in range(len(columns)) if any(row[n] for row in rows if type(row) is list)]
        if not used:
            return "<ul>" + "".join([f"<li>{row}</li>" for row in rows if isinstance(row, str)]) + "</ul>"
        # What does not fit beside the rest stands in one cell, under its labels: nothing is cut off at a page's edge.
        used, further = (used, []) if len(used) <= _WIDEST else (used[: _WIDEST - 1], used[_WIDEST - 1 :])
        width = len(used) + bool(further)
        body = []
        for row in rows:
            if isinstance(row, str):
                span = f' colspan="{width}"' if width > 1 else ""
                body.append(f"<tr><td{span}>{row}</td></tr>")
                continue
            cells = [row[n] for n in used]
            if further:
                lines = [f"<li><b>{labels[n]}:</b> {row[n]}</li>" for n in further if row[n]]
                cells.append("<ul>" + "".join(lines) + "</ul>" if lines else "")
            body.append(f"<tr><td>{'</td><td>'.join(cells)}</td></tr>")
        head = "".join([f"<th>{labels[n]}</th>" for n in used])
        head += f"<th>{_FURTHER}</th>" if further else ""
        # Without lines between them a reader's eye slips from one medicine's dose to the next; txt-1 allows `border`.
        return f'<table border="1"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'

    return table


def _cell(field: Field, words: Wording) -> Telling:
    """A field of a record, as what a table cell or a list item may hold."""
    brief, formatted = _brief(field, words), field.type == "xhtml"
    kept = words.keeps(field.type) and not formatted

    def cell(value: Any) -> str:
        kind = type(value)
        if kept and kind is str:
            return flow(value) if value and not value.isspace() else ""
        if kind is list or kind is tuple:
            said = [text for one in value if (text := brief(one))]
            return flow(said[0]) if len(said) == 1 else _bullets(said) if said else ""
        if formatted:
            return "" if value is ABSENT else _formatted(value, words)
        text = brief(value)
        return "" if not text or text.isspace() else flow(text)

    return cell


def _brief(field: Field, words: Wording) -> Telling:
    """A value within a record, as text: a record in it is its labelled fields in one line."""
    tell = words.teller(field.type)
    if field.type == "xhtml":
        return lambda value: plain(value) if isinstance(value, str) else tell(value)
    if not field.fields:
        return tell
    tellings = [(inner.name, inner.label, _brief(inner, words)) for inner in field.fields if inner.label]

    def brief(value: Any) -> str:
        if not isinstance(value, dict):
            return tell(value)
        parts = []
        for name, label, told in tellings:
            found = value.get(name, ABSENT)
            several = found if type(found) is list or type(found) is tuple else (found,)
            if said := ", ".join([text for one in several if (text := told(one))]):
                parts.append(f"{label}: {said}")
        return "; ".join(parts)

    return brief
