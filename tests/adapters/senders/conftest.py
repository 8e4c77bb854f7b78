"""Lets the tests of the senders share the contract that every sender must keep."""

import sys
from pathlib import Path

import pytest

# Tests are not a package; what they share is found beside them, and its asserts explain themselves too.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("sender_contract")
