"""Lets the tests of the backlog share what they work with: here, in workers, and in gateways that are killed."""

import sys
from pathlib import Path

HERE = Path(__file__).parent

# Tests are not a package; what they share is found beside them.
sys.path.insert(0, str(HERE))
