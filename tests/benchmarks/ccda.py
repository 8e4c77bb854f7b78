"""
A C-CDA discharge summary → FHIR R4, by mhbridge and by python-fhir-converter, in turns in one run.

    python tests/benchmarks/ccda.py [--document FILE] [--rounds 5]

The document is HL7's example of 70 kB where TEST_CORPUS has it, else our own fixture with its sections repeated to that
size. What is compared is not equal work. The converter makes resources of the coded entries by general templates, and
passes over the text of the sections, which is what a clinician wrote and signed. mhbridge binds what a mapping says,
carries every section's text, accounts for each leaf in the field ledger and validates what it made.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from peers import environment, rate, say

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
PACKAGE = "python-fhir-converter==0.3.0"


def document(given: str) -> bytes:
    if given:
        return Path(given).read_bytes()
    corpus = os.environ.get("TEST_CORPUS", "")
    found = sorted(Path(corpus).glob("ccda/**/Discharge_Summary.xml")) if corpus else []
    if found:
        return found[0].read_bytes()
    body = (ROOT / "fixtures/international-ccda/discharge/plain.xml").read_bytes()
    at = body.index(b"    </structuredBody>")
    section = body[body.index(b"      <component>\n        <section>") : at]
    return body[:at] + section * (65_000 // len(section)) + body[at:]


def by_converter() -> Callable[[str], str]:
    from fhir_converter.renderers import CcdaRenderer

    renderer = CcdaRenderer()
    return lambda text: renderer.render_fhir_string("DischargeSummary", text)


def by_mhbridge() -> Callable[[str], str]:
    from mhbridge import pipeline
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, built_in
    from mhbridge.model import Envelope
    from mhbridge.testing.replaying import RECEIVED_AT, feed_of

    feed = feed_of(Catalogue(Library([built_in("mappings")])), "international-ccda")

    def work(text: str) -> str:
        envelope = Envelope(text.encode(), feed.supplier, feed.name, RECEIVED_AT, "file")
        (taken,) = pipeline.intake(envelope, feed).messages
        outcome = pipeline.step(taken, {}, RECEIVED_AT, feed)
        return outcome.documents[0].body.decode() if outcome.documents else f'"{outcome.code}"'

    return work


MAKES = {"mhbridge": by_mhbridge, "python-fhir-converter": by_converter}


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]{2,}", text)


def missing(document_: str, made: str) -> str:
    """How many words of its sections' text are nowhere in the FHIR; a copy of the whole document does not count."""
    bundle = json.loads(made)
    kept = [
        one for one in bundle.get("entry", []) if one.get("resource", {}).get("resourceType") != "DocumentReference"
    ]
    shown = set(words(html.unescape(re.sub("<[^>]+>", " ", json.dumps(kept, ensure_ascii=False)))))
    texts = re.findall(r"<text[ >].*?</text>", re.sub("<!--.*?-->", "", document_, flags=re.DOTALL), re.DOTALL)
    said = [word for text in texts for word in words(html.unescape(re.sub("<[^>]+>", " ", text)))]
    return f"{sum(word not in shown for word in said)} of {len(said)}"


def serve(name: str) -> None:
    """Be one of the two: JSON objects per line in, one out."""
    work = MAKES[name]()
    for line in sys.stdin:
        asked = json.loads(line)
        text = asked["text"]
        if asked["do"] == "rate":
            answer: Any = rate(work, text, asked["for"])
        elif asked["do"] == "once":
            answer = missing(text, work(text))
        say(json.dumps(answer))


def main() -> None:
    """Print the two medians, their ratio, and what each leaves out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--document", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--be", default="")
    options = parser.parse_args()
    if options.be:
        serve(options.be)
        return
    body = document(options.document)
    text = body.decode().removeprefix("\ufeff")
    with tempfile.TemporaryDirectory() as folder:
        python = {"mhbridge": sys.executable, "python-fhir-converter": environment(Path(folder, "peer"), PACKAGE)}
        peers = {}
        for name, where in python.items():
            if where:
                command = [where, str(HERE), "--be", name]
                peers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(name: str, **what: Any) -> Any:
            peer = peers[name]
            assert peer.stdin
            assert peer.stdout
            peer.stdin.write(json.dumps({"text": text, **what}) + "\n")
            peer.stdin.flush()
            return json.loads(peer.stdout.readline())

        made = {name: ask(name, do="once") for name in peers}
        seconds: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(options.rounds):
            for name in peers:
                seconds[name] += ask(name, do="rate", **{"for": 1.0})
        say(f"{len(body):,} bytes of C-CDA")
        medians = {name: statistics.median(found) for name, found in seconds.items()}
        for name, median in medians.items():
            say(f"  {name:<24} {median * 1e3:8.1f} ms   words of the text that are missing: {made[name]}")
        if len(medians) == 2:
            ours, theirs = medians["mhbridge"], medians["python-fhir-converter"]
            say(f"  ratio {theirs / ours:.1f} (the bar is 10)")
        for peer in peers.values():
            peer.communicate()


if __name__ == "__main__":
    main()
