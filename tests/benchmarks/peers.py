"""
mhbridge beside other Python packages: the same messages, the same run, the same machine, one core.

    python tests/benchmarks/peers.py                             what pip can install
    python tests/benchmarks/peers.py --fork PATH --loss          also the HL7 v2 fork, and what each loses

Each peer has a virtual environment of its own, made for the run; what pip cannot install is named and left out. Peers
take turns, round by round, so that whatever else the machine does meets all of them. Only text in and text out is
timed, after a first call.

Translating, HL7 v2 → FHIR R4:
    python-fhir-converter   0.3.0, the one on the package index: C-CDA and STU3 only, no HL7 v2, which it is asked for
    fork                    grongierisc/fhir-converter 0.6.0, which adds HL7 v2 by Microsoft's templates. It is not on
                            the package index: `--fork` takes a checkout or a wheel
    mhbridge                with its validation, and without: the peers do not validate
Parsing, every populated leaf read and unescaped:
    hl7                     0.4.5 (python-hl7)
    hl7apy                  1.3.5, tolerant, without groups
    mhbridge

What is compared is not equal work. The fork knows every message type by general templates; mhbridge translates what a
supplier's mapping says, and writes the narrative that GP systems show. Nearest to the fork is `mhbridge, anybody's`:
the mappings for HL7 v2 from anywhere, which know as little of the sender as it does. Read the times with what `--loss`
adds: it changes each populated leaf to several other values, one at a time, and looks at the FHIR (generated ids put
aside).
    lost        leaves whose change changes nothing
    content     the same without the header (MSH) and running numbers, which a receiver seldom has a use for
    stops       leaves for which some other value makes the whole message fail (in mhbridge: parked, or refused)
What is lost is not always missed: the name that a sender's code has, or the second of two equal times, changes nothing.
A peer is silent about it. mhbridge draws up a ledger of every leaf, which the last line of each table sums up.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
#: What is translated, and the fork's template for it. Those of `international` have no supplier mapping of their own.
MESSAGES = {
    "ADT^A01": ("example-mental-health/adt/a01-admission.hl7", "ADT_A01"),
    "ADT^A03": ("example-mental-health/adt/a03-discharge.hl7", "ADT_A03"),
    "MDM^T02": ("example-mental-health/discharge-letter/unsigned-draft.hl7", "MDM_T02"),
    "MDM^T02 long": ("example-mental-health/discharge-letter/plain.hl7", "MDM_T02"),
    "ADT^A01 anybody's": ("international/v2-adt/a01-admission.hl7", "ADT_A01"),
    "ORU^R01 anybody's": ("international/v2-oru/r01-two-orders-two-specimens.hl7", "ORU_R01"),
    "MDM^T02 anybody's": ("international/v2-mdm/t02-text.hl7", "MDM_T02"),
    "REF^I12 anybody's": ("international/v2-ref/i12-referral.hl7", "REF_I12"),
}
PACKAGES = {
    "python-fhir-converter": "python-fhir-converter==0.3.0",
    "fork": "",
    "hl7": "hl7==0.4.5",
    "hl7apy": "hl7apy==1.3.5",
}
Work = Callable[[str], Any]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# --- the peers; each of these functions runs in the peer's own environment ---


def translating_by_converter() -> Callable[[str], Work]:
    from fhir_converter.renderers import Hl7v2Renderer

    renderer = Hl7v2Renderer()
    return lambda template: lambda text: renderer.render_fhir_string(template, text.replace("\r", "\n").strip("\n"))


def translating_by_mhbridge(supplier: str = "example-mental-health", *, validated: bool) -> Callable[[str], Work]:
    from mhbridge import pipeline
    from mhbridge.fhir.validate import default_validator
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, built_in
    from mhbridge.model import Envelope
    from mhbridge.testing.replaying import RECEIVED_AT, feed_of

    feed = feed_of(Catalogue(Library([built_in("mappings")])), supplier)
    validator = default_validator() if validated else lambda _: ()

    def work(text: str) -> str:
        envelope = Envelope(text.encode(), feed.supplier, feed.name, RECEIVED_AT, "file")
        (taken,) = pipeline.intake(envelope, feed).messages
        outcome = pipeline.step(taken, {}, RECEIVED_AT, feed, validator=validator)
        if outcome.code:
            raise ValueError(outcome.code)
        return outcome.documents[0].body.decode()

    return lambda _: work


def ledger_by_mhbridge(text: str, supplier: str) -> dict[str, int]:
    from mhbridge import pipeline
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, built_in
    from mhbridge.model import Envelope
    from mhbridge.testing.replaying import RECEIVED_AT, feed_of

    feed = feed_of(Catalogue(Library([built_in("mappings")])), supplier)
    envelope = Envelope(text.encode(), feed.supplier, feed.name, RECEIVED_AT, "file")
    (taken,) = pipeline.intake(envelope, feed).messages
    return {str(state): count for state, count in taken.ledger.counts.items()}


def parsing_by_hl7() -> Callable[[str], Work]:
    import hl7

    def work(text: str) -> int:
        parsed = hl7.parse(text)
        found = 0
        for segment in parsed:
            for field in segment[1:]:
                for repetition in field:
                    for component in repetition if isinstance(repetition, hl7.Repetition) else [repetition]:
                        for leaf in component if isinstance(component, hl7.Component) else [component]:
                            found += bool(parsed.unescape(str(leaf)))
        return found

    return lambda _: work


def parsing_by_hl7apy() -> Callable[[str], Work]:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_message

    def work(text: str) -> int:
        parsed = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        found = 0
        for segment in parsed.children:
            for field in segment.children:
                for component in field.children or [field]:
                    for leaf in component.children or [component]:
                        found += bool(leaf.to_er7())
        return found

    return lambda _: work


def parsing_by_mhbridge() -> Callable[[str], Work]:
    from mhbridge.formats.hl7v2 import Value
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, built_in

    catalogue = Catalogue(Library([built_in("mappings")]))
    mappings = [catalogue.mapping(name) for name in catalogue.feeds("example-mental-health")]
    sources = [mapping.source for mapping in mappings]

    def work(text: str) -> int:
        ((message, _),) = mappings[0].format.messages(text.encode(), sources)
        found = 0
        for name in dict.fromkeys(message.names):
            for segment in message.named(name):
                for number in range(1, len(segment.fields)):
                    for repetition in segment.repetitions(number):
                        value = Value(repetition, segment, segment.level(number))
                        for component in range(1, value.components + 1):
                            found += sum(map(bool, value.subcomponents(component)))
        return found

    return lambda _: work


#: name → (what it does, whose environment, how it is made)
PEERS: dict[str, tuple[str, str, Callable[[], Callable[[str], Work]]]] = {
    "python-fhir-converter": ("translate", "python-fhir-converter", translating_by_converter),
    "fork": ("translate", "fork", translating_by_converter),
    "mhbridge": ("translate", "", lambda: translating_by_mhbridge(validated=True)),
    "mhbridge, not validated": ("translate", "", lambda: translating_by_mhbridge(validated=False)),
    "mhbridge, anybody's": ("translate", "", lambda: translating_by_mhbridge("international", validated=True)),
    "hl7": ("parse", "hl7", parsing_by_hl7),
    "hl7apy": ("parse", "hl7apy", parsing_by_hl7apy),
    "mhbridge, parse": ("parse", "", parsing_by_mhbridge),
}


# --- what is measured ---


def rate(work: Work, text: str, seconds: float) -> list[float]:
    """The seconds of each call, for so long; at least three."""
    found: list[float] = []
    ends = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < ends:
        begun = time.perf_counter()
        work(text)
        found.append(time.perf_counter() - begun)
    return found


_IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32,64}\b", re.IGNORECASE)


def normalised(text: str) -> str:
    """The FHIR with generated ids replaced by their order, so that only what they stand for is compared."""
    seen: dict[str, str] = {}
    said = json.dumps(json.loads(text), sort_keys=True)
    return _IDS.sub(lambda found: seen.setdefault(found[0].lower(), f"id{len(seen)}"), said)


def leaves(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """Where each populated subcomponent begins and ends, what it says, and whether it is the message's own business."""
    start = 0
    for line in text.split("\r"):
        header = line.startswith("MSH")
        for place in re.finditer(r"[^|^~&]+", line):
            # The name of the segment, the delimiters, and an explicit delete are no values.
            if place.start() > (8 if header else 3) and place[0].strip() and place[0] != '""':
                number = line.count("|", 0, place.start()) == 1 and place[0].isdigit()
                yield start + place.start(), start + place.end(), place[0], header or number
        start += len(line) + 1


def instead(value: str) -> list[str]:
    """What could stand there: of the same form where it has one, text, and the codes that are usual."""
    found = []
    if re.fullmatch(r"\d{8}(\d{2,6})?([.+-]\d+)*", value):
        found.append("19770304" + "0506" * (len(value) > 8))
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        found.append(str(int(float(value)) + 7) if len(value) < 9 else "7" * len(value))
    found.append("ZQXJ7")
    return found + [code for code in ("F", "M", "Y", "N", "A", "I", "1") if code != value] * (len(value) <= 4)


def loss(work: Work, text: str) -> dict[str, int]:
    """Populated leaves; those that no other value makes a difference for; those that some other value stops all for."""
    before = normalised(work(text))
    counts = {"leaves": 0, "lost": 0, "content": 0, "content lost": 0, "stops": 0}
    for start, end, value, own in leaves(text):
        seen = stops = False
        for other in instead(value):
            try:
                seen = normalised(work(text[:start] + other + text[end:])) != before or seen
            except Exception:  # noqa: BLE001  (whatever a peer raises)
                stops = True
            if seen and (stops or other == "ZQXJ7"):
                break
        counts["leaves"] += 1
        counts["lost"] += not seen and not stops
        counts["stops"] += stops
        counts["content"] += not own
        counts["content lost"] += not own and not seen and not stops
    return counts


def serve(name: str) -> None:
    """Be a peer: one JSON object per line in, one out."""
    make: Callable[[str], Work] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            make = make or PEERS[name][2]()
            work = make(asked["template"])
            if asked["do"] == "ledger":
                supplier = "international" if "anybody" in name else "example-mental-health"
                answer: dict[str, Any] = {"made": ledger_by_mhbridge(asked["text"], supplier)}
            elif asked["do"] == "loss":
                answer = loss(work, asked["text"])
            elif asked["do"] == "rate":
                answer = {"seconds": rate(work, asked["text"], asked["for"])}
            else:
                answer = {"made": work(asked["text"])}
        except Exception as error:  # noqa: BLE001  (whatever a peer raises is an answer)
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0].partition(" (")[0]}
        say(json.dumps(answer))


class Peer:
    """A peer in its own process and environment."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, __file__, "--be", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, do: str, message: str, **more: Any) -> dict[str, Any]:
        file, template = MESSAGES[message]
        text = (FIXTURES / file).read_bytes().decode()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, "text": text, "template": template, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


def environment(folder: Path, package: str) -> str:
    """A Python that has the package; empty when pip does not install it."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    ran = subprocess.run([python, "-m", "pip", "install", "-q", package], capture_output=True, text=True, check=False)
    if ran.returncode:
        say(f"left out: {package}: {(ran.stderr.strip().splitlines() or ['pip failed'])[-1]}")
        return ""
    return python


def show(peers: list[Peer], message: str, rounds: int, *, with_loss: bool) -> None:
    """One table: a message, and what each peer does with it."""
    file, _ = MESSAGES[message]
    losses = f"{'lost':>8}{'content':>9}{'stops':>8}" if with_loss else ""
    say(f"\n{message}, {file}, {(FIXTURES / file).stat().st_size} bytes")
    say(f"  {'':<26}{'msg/s':>9}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'made':>22}{losses}")
    seconds: dict[str, list[float]] = {}
    made: dict[str, Any] = {}
    for peer in peers:
        answer = peer("once", message)
        if "error" in answer:
            say(f"  {peer.name:<26}{'–':>9}  {answer['error']}")
        else:
            made[peer.name] = answer["made"]
            seconds[peer.name] = []
    running = [peer for peer in peers if peer.name in made]
    for _ in range(rounds):
        for peer in running:
            seconds[peer.name] += peer("rate", message, **{"for": 1.0})["seconds"]
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    slowest = max(medians.values(), default=1.0)
    for peer in running:
        times = sorted(seconds[peer.name])
        row = f"  {peer.name:<26}{1 / medians[peer.name]:>9,.1f}{slowest / medians[peer.name]:>7,.1f}×"
        row += f"{medians[peer.name] * 1e3:>9.2f}{times[int(len(times) * 0.99)] * 1e3:>9.2f}"
        if isinstance(made[peer.name], int):
            row += f"{made[peer.name]:>15} leaves"
        else:
            count = len(json.loads(made[peer.name])["entry"])
            row += f"{count:>5} res {len(made[peer.name]):>10,} B"
            if with_loss and "not validated" not in peer.name:
                found = peer("loss", message)
                row += f"{found['lost'] / found['leaves']:>8.1%}{found['content lost'] / found['content']:>9.1%}"
                row += f"{found['stops'] / found['leaves']:>8.1%}"
        say(row)
    for peer in running:
        if peer.name in ("mhbridge", "mhbridge, anybody's"):
            counts = peer("ledger", message)["made"]
            say(f"  the ledger of {peer.name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))


def main() -> None:
    """Make the environments, start the peers, and show a table for each message."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--fork", metavar="PATH", help="a checkout or wheel of grongierisc/fhir-converter")
    options.add_argument(
        "--loss", action="store_true", help="also change every leaf and see what comes of it (minutes)"
    )
    options.add_argument("--rounds", type=int, default=5, help="of one second for each peer")
    options.add_argument("--only", choices=MESSAGES, action="append", help="this message, which may be said again")
    options.add_argument("--be", choices=PEERS, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.be:
        serve(asked.be)
        return
    with tempfile.TemporaryDirectory() as folder:
        pythons = {"": sys.executable}
        for name, package in PACKAGES.items():
            wanted = package or asked.fork
            pythons[name] = environment(Path(folder, name), wanted) if wanted else ""
            if not wanted:
                say(f"left out: {name}: not on the package index; give --fork PATH")
        peers = [Peer(name, pythons[whose]) for name, (_, whose, _) in PEERS.items() if pythons[whose]]
        try:
            for kind in ("translate", "parse"):
                say(f"\n== {kind}")
                for message in asked.only or MESSAGES:
                    show([p for p in peers if PEERS[p.name][0] == kind], message, asked.rounds, with_loss=asked.loss)
        finally:
            for peer in peers:
                peer.close()


if __name__ == "__main__":
    main()
