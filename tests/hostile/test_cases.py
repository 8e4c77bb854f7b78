"""Our own malformed input through the real doors, with exactly what is said of it (see `cases.py`)."""

from __future__ import annotations

from dataclasses import replace

import cases
import pytest
from doors import LIBRARY, catalogue, feed, listening, sound, take, well_formed

from mhbridge.errors import MalformedMessage
from mhbridge.formats import format_named
from mhbridge.formats.hl7v2 import envelope, message
from mhbridge.formats.hl7v2.delimiters import delimiters
from mhbridge.mapping import leaves
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import Severity

#: What our cases say of patients.
SECRETS = (b"NOBODY", b"NELLIE", b"NORA", b"99977700", b"7770013", b"S77", b"ELM", b"fine", b"19700228")


def said(taken) -> str:
    if not taken.acknowledgement:
        return f"none {taken.codes}"
    acknowledgement = taken.acknowledgement
    if acknowledgement[:2] in (b"\xff\xfe", b"\xfe\xff"):
        acknowledgement = acknowledgement.decode("utf-16").encode()
    (msa,) = [one for one in acknowledgement.split(b"\r") if one.startswith(b"MSA")]
    fields = msa.split(msa[3:4])
    return f"{fields[1].decode()} {fields[2].decode() or '-'} {taken.codes}"


def tells_nothing(taken) -> None:
    told = [taken.acknowledgement, taken.answer.text.encode()]
    told += [f"{i.code} {i.text} {i.path}".encode() for outcome in taken.outcomes for i in outcome.issues]
    assert not [secret for secret in SECRETS for one in told if secret in one]


@pytest.mark.parametrize("name", cases.HL7V2)
def test_hl7v2(name):
    body, expected = cases.HL7V2[name]
    taken = take(body)
    assert said(taken) == expected
    sound(taken)
    tells_nothing(taken)


@pytest.mark.parametrize("name", cases.CSV)
def test_csv(name):
    body, expected = cases.CSV[name]
    taken = take(body, "csv")
    assert taken.codes == expected
    sound(taken)
    tells_nothing(taken)


@pytest.mark.parametrize("name", cases.FRAMES)
async def test_frames(name):
    sent, answers, refused = cases.FRAMES[name]
    async with listening(limit=8_000) as (peer, behind, _receiver, log):
        await peer.send(sent)
        assert [well_formed(answer) for answer in await peer.answers(len(answers))] == answers
        assert behind.refused == refused
        assert len(behind.taken) == len(answers) - len(refused)
        assert not [secret for secret in SECRETS if secret in log.getvalue()]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Each expression and each file as the mapping of a supplier of its own: name → its errors."""
    root = tmp_path_factory.mktemp("own")
    good = (LIBRARY / "suppliers/hostile/discharge.yaml").read_bytes()
    files = {}
    for expression in cases.EXPRESSIONS:
        quoted = b"'= %s'" % expression.replace("'", "''").encode()
        files[expression] = good.replace(b"= NTE-3 | lines", quoted)
    files |= {name: body for name, (body, _) in cases.MAPPINGS.items()}
    folders = {}
    for number, (name, body) in enumerate(files.items()):
        folder = root / "suppliers" / f"s{number}"
        folder.mkdir(parents=True)
        (folder / "supplier.yaml").write_text(f"supplier: s{number}\ntitle: Nobody\n", "utf-8")
        (folder / "discharge.yaml").write_bytes(body.replace(b"hostile/discharge", b"s%d/discharge" % number))
        folders[name] = f"/s{number}/discharge.yaml"
    found = [d for d in Catalogue(Library([root, built_in("mappings")])).check() if d.severity is Severity.ERROR]
    return {name: [d for d in found if d.span.file.endswith(folder)] for name, folder in folders.items()}


@pytest.mark.parametrize("expression", cases.EXPRESSIONS, ids=range(len(cases.EXPRESSIONS)))
def test_expressions(expression, checked):
    here = checked[expression]
    assert {d.code for d in here} == {cases.EXPRESSIONS[expression]}
    assert all(d.text.startswith("  clinical_summary:") for d in here)
    assert all(len(d.render()) < 10_000 for d in here)


@pytest.mark.parametrize("name", cases.MAPPINGS)
def test_mappings(name, checked):
    assert cases.MAPPINGS[name][1] in [d.code for d in checked[name]]


TOO_MUCH = ("2,000 repetitions", "2,000 components", "20,000 subcomponents", "2,000 fields", "300,000 parts")


# --- the controls: without its protection, each of these is let through ------------------------------------


def test_without_limits_too_much_is_let_through(monkeypatch):
    monkeypatch.setattr(message, "MAX_REPETITIONS", 10**9)
    monkeypatch.setattr(message, "MAX_COMPONENTS", 10**9)
    monkeypatch.setattr(message, "MAX_SUBCOMPONENTS", 10**9)
    monkeypatch.setattr(message, "MAX_PARTS", 10**9)
    monkeypatch.setattr(message, "MAX_FIELDS", 10**9)
    limits = delimiters("|", "^~\\&", "utf-8")
    assert limits is not None
    for name in TOO_MUCH:
        message.split(cases.HL7V2[name][0].decode(), limits)
    monkeypatch.undo()
    for name in TOO_MUCH:
        with pytest.raises(MalformedMessage):
            message.split(cases.HL7V2[name][0].decode(), limits)


def test_without_a_limit_of_messages_each_of_them_is_taken(monkeypatch):
    assert take(b"MSH|^~\\&|A\r" * 30).codes == " ".join(["M708"] * 30)
    monkeypatch.setattr(envelope, "MAX_MESSAGES", 29)
    assert take(b"MSH|^~\\&|A\r" * 30).codes == "M707"


def test_without_the_check_of_controls_nul_is_let_through(monkeypatch):
    monkeypatch.setattr(envelope, "refuse_controls", lambda *_, **__: None)
    assert take(cases.HL7V2["NUL"][0]).codes == "done"


def test_of_a_trial_gateway_a_trial_is_done():
    assert take(cases.HL7V2["a trial"][0], own=replace(feed(), live=False)).codes == "done"


def test_without_the_comparison_a_second_nhs_number_is_passed_over(monkeypatch):
    monkeypatch.setattr(
        leaves, "one_number", lambda _all, found, *_, **__: lambda raw, _, run: found.convert(raw, run.context)
    )
    catalogue.cache_clear()
    feed.cache_clear()
    try:
        assert take(cases.HL7V2["two NHS numbers"][0]).codes == "done"
    finally:
        catalogue.cache_clear()
        feed.cache_clear()


def test_an_answer_that_quotes_the_message_would_be_seen():
    taken = take(cases.GOOD)
    with pytest.raises(AssertionError):
        tells_nothing(replace(taken, acknowledgement=taken.acknowledgement + b"NOBODY"))
    hl7v2 = format_named("hl7v2")
    assert hl7v2 is not None
    with pytest.raises(AssertionError):
        well_formed(taken.acknowledgement + b"PID|1\r")
    with pytest.raises(AssertionError):
        well_formed(taken.acknowledgement.replace(b"K1", b"K1\n"))
