"""
A C-CDA discharge summary → FHIR R4, by mhbridge and by python-fhir-converter, in turns in one run.

    python tests/benchmarks/ccda.py [--document FILE] [--rounds 5] [--loss 40]

The document is HL7's example of 70 kB where TEST_CORPUS has it, else our own fixture with its sections repeated to that
size. `--loss N` changes every N-th populated leaf to other values, one at a time, and looks whether anything changes in
the FHIR (generated ids put aside): the converter reads the coded entries by general templates, and mhbridge what a
mapping says, with the text of every section. So the times are of unequal work; the loss says how unequal.
"""

from __future__ import annotations

import argparse
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
from peers import environment, normalised, rate, say

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
PACKAGE = "python-fhir-converter==0.3.0"


def document(given: str) -> Path | bytes:
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


def changed(text: str, every: int) -> list[str]:
    """The document with each so-many-th text or attribute changed, three times each."""
    places = [m.span(1) for m in re.finditer(r'="([^"<>]+)"', text)] + [
        m.span(1) for m in re.finditer(r">([^<>]*\S[^<>]*)<", text)
    ]
    begin = text.index("<recordTarget")
    kept = sorted(span for span in places if span[0] > begin)[::every]
    return [text[:a] + other + text[b:] for a, b in kept for other in ("ZQXJ7", "20190304", "1")]


def serve(name: str) -> None:
    """Be one of the two: JSON objects per line in, one out."""
    work = MAKES[name]()
    for line in sys.stdin:
        asked = json.loads(line)
        text = asked["text"]
        if asked["do"] == "rate":
            answer: Any = rate(work, text, asked["for"])
        elif asked["do"] == "once":
            answer = len(work(text))
        else:
            before, lost, stops = normalised(work(text)), 0, 0
            variants = changed(text, asked["every"])
            for at in range(0, len(variants), 3):
                seen = False
                for variant in variants[at : at + 3]:
                    try:
                        seen = seen or normalised(work(variant)) != before
                    except Exception:  # noqa: BLE001  (whatever a peer raises)
                        stops += 1
                        seen = True
                lost += not seen
            answer = {"leaves": len(variants) // 3, "lost": lost, "stops": stops}
        say(json.dumps(answer))


def main() -> None:
    """Print the two medians, their ratio, and what each loses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--document", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", type=int, default=0)
    parser.add_argument("--be", default="")
    options = parser.parse_args()
    if options.be:
        serve(options.be)
        return
    body = document(options.document)
    assert isinstance(body, bytes)
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
            found = f"; lost {ask(name, do='loss', every=options.loss)}" if options.loss else ""
            say(f"  {name:<24} {median * 1e3:8.1f} ms   {made[name]:,} characters of FHIR{found}")
        if len(medians) == 2:
            ours, theirs = medians["mhbridge"], medians["python-fhir-converter"]
            say(f"  ratio {theirs / ours:.1f} (the bar is 10)")
        for peer in peers.values():
            peer.communicate()


if __name__ == "__main__":
    main()
