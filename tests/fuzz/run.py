"""
The fuzzer: inputs invented by what they reach in our code (Atheris, which is libFuzzer for Python), until a law breaks.

    python tests/fuzz/run.py hl7v2 -runs=200000            # one target; the options after it are libFuzzer's own
    python tests/fuzz/run.py hl7v2 crash-0123456789abcdef  # once more, with an input that was found

See `README.md` beside this file. What breaks a law is written to `crash-…` where the command is given.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

#: An input longer than this finds nothing that a shorter one does not, and is slower.
LONGEST = 2048


def main(arguments: list[str]) -> int:
    try:
        import atheris
    except ImportError:
        sys.stderr.write("atheris is not installed: pip install -e '.[fuzz]' (not every system has a wheel of it)\n")
        return 3
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    name, *options = arguments
    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["mhbridge"]):
        import targets
    import seeds

    target = targets.TARGETS[name]
    # Atheris follows only what is imported above; what a target imports when it is first called comes now.
    with atheris.instrument_imports(include=["mhbridge"]):
        for seed in seeds.of(name)[:3]:
            target(seed)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds.of(name)):
            Path(corpus, f"seed-{number:04}").write_bytes(seed[:LONGEST])
        given = [corpus] if not any(Path(option).exists() for option in options) else []
        atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", "-timeout=25", *options, *given], target)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
