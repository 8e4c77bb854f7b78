"""Lets the tests of the store share their cases and the suite that every store must pass."""

import sys
from pathlib import Path

import pytest

# Tests are not a package; what they share is found beside them, and its asserts explain themselves too.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite(
    "store_contract",
    "backlog_contract",
    "merge_contract",
    "repairing_contract",
    "search_contract",
    "series_contract",
    "clock_contract",
    "task_contract",
    "keeping_contract",
)
