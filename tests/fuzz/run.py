"""
The fuzzer: inputs invented by what they reach in our code (Atheris, which is libFuzzer for Python), until a law breaks.

    python tests/fuzz/run.py hl7v2                        # a bounded run, always the same
    python tests/fuzz/run.py hl7v2 -max_total_time=600    # the options after the target are libFuzzer's own
    python tests/fuzz/run.py hl7v2 crash-0123456789abcdef # once more, with an input that was found

See `README.md` beside this file. What breaks a law is written to `crash-…` where the command is given.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

#: An input that is longer finds nothing that a shorter one does not, and is slower.
LONGEST = 2048
#: Inputs of a bounded run: about twenty seconds.
RUNS = {
    "hl7v2": 20_000,
    "csv": 30_000,
    "json": 20_000,
    "fhir": 10_000,
    "xml": 20_000,
    "mllp": 5_000,
    "yaml": 15_000,
    "expression": 100_000,
    "flow": 6_000,
    "zip": 30_000,
    "tables": 15_000,
    "document": 100_000,
}


def main(arguments: list[str]) -> int:
    """Write the seeds to a folder, and let libFuzzer have it in a process of its own, which it ends as it likes."""
    if not find_spec("atheris"):
        sys.stderr.write("atheris is not installed: pip install -e '.[fuzz]' (not every system has a wheel of it)\n")
        return 3
    if not arguments or arguments[0] not in RUNS:
        sys.stderr.write(f"{__doc__}\nTargets: {', '.join(RUNS)}\n")
        return 2
    name, *options = arguments
    sys.path.insert(0, str(Path(__file__).parent))
    import seeds

    with tempfile.TemporaryDirectory() as corpus:
        if any(Path(option).exists() for option in options):
            again = options
        else:
            for number, seed in enumerate(seeds.of(name)):
                Path(corpus, f"seed-{number:04}").write_bytes(seed[:LONGEST])
            again = [*(options or [f"-runs={RUNS[name]}", "-seed=1"]), corpus]
        command = [sys.executable, __file__, "--inside", name, f"-max_len={LONGEST}", "-timeout=25", *again]
        return subprocess.run(command, check=False).returncode


def fuzz(name: str, options: list[str]) -> None:
    import atheris

    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["mhbridge"]):
        # What a target imports when it is first called is followed, too.
        import seeds
        import targets

        for seed in seeds.of(name)[:3]:
            targets.TARGETS[name](seed)
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
