"""What is frozen for the type checker alone behaves otherwise as what Python freezes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from mhbridge.model import DeliveryState, Issue, Ledger, MessageFacts, Severity, Withdrawal

VALUES = [
    Issue("I601", Severity.ERROR, "no date"),
    Ledger(bound=3, passed_over=("PID-3.1",)),
    MessageFacts("hl7v2", "ADT^A01", control_id="1"),
    Withdrawal(1, DeliveryState.CANCELLED),
]


@pytest.mark.parametrize("value", VALUES, ids=[type(one).__name__ for one in VALUES])
def test_a_value_is_what_it_says(value) -> None:
    for again in (replace(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert again == value
        assert hash(again) == hash(value)
    assert not hasattr(value, "__dict__")
    with pytest.raises(AttributeError):
        value.another = 1
