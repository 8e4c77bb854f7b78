"""How a webhook receiver checks what it gets, against Standard Webhooks' own example and against what is forged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from mhbridge.adapters.signing import require_strong, sign
from mhbridge.errors import ConfigurationError
from mhbridge.testing.hooks import ReceivingHook, verify

#: The example that the libraries of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(1614265330, UTC)
HEADERS = {"Webhook-Id": KEY, "Webhook-Timestamp": TIMESTAMP, "Webhook-Signature": SIGNED}


def test_what_is_signed_is_what_standard_webhooks_signs():
    assert sign(SECRET, KEY, int(TIMESTAMP), BODY) == SIGNED
    assert verify(SECRET, HEADERS, BODY, NOW)


FORGED = {
    "another body": (HEADERS, BODY + b" ", NOW),
    "another id": (HEADERS | {"Webhook-Id": "msg_x"}, BODY, NOW),
    "another time": (HEADERS | {"Webhook-Timestamp": "1614265331"}, BODY, NOW),
    "no signature": (HEADERS | {"Webhook-Signature": ""}, BODY, NOW),
    "a signature of another kind": (HEADERS | {"Webhook-Signature": SIGNED.replace("v1,", "v2,")}, BODY, NOW),
    "a time that is none": (HEADERS | {"Webhook-Timestamp": "soon"}, BODY, NOW),
    "recorded and sent again": (HEADERS, BODY, NOW + timedelta(minutes=6)),
    "no id": (HEADERS | {"Webhook-Id": ""}, BODY, NOW),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_forged_is_not_believed(name):
    headers, body, now = FORGED[name]
    assert not verify(SECRET, headers, body, now)


def test_while_a_secret_is_changed_one_of_several_signatures_is_enough():
    assert verify(SECRET, HEADERS | {"Webhook-Signature": f"v1,bm90aGluZw== {SIGNED}"}, BODY, NOW)
    assert not verify("another secret of 24 bytes", HEADERS, BODY, NOW)


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64 at all but long enough"])
def test_a_secret_that_could_be_guessed_signs_nothing(secret):
    with pytest.raises(ConfigurationError) as raised:
        require_strong(secret)
    assert raised.value.code == "C826"
    assert secret not in str(raised.value) or not secret


async def test_a_receiver_takes_a_key_once_and_nothing_that_is_not_signed():
    async with ReceivingHook(secret=SECRET, clock=lambda: NOW) as hook, aiohttp.ClientSession() as session:
        for headers, status in (
            (HEADERS | {"Idempotency-Key": KEY}, 204),
            (HEADERS | {"Idempotency-Key": KEY}, 204),
            (HEADERS, 400),
            (HEADERS | {"Idempotency-Key": KEY, "Webhook-Signature": "v1,"}, 401),
        ):
            async with session.post(hook.url, data=BODY, headers=headers) as response:
                assert response.status == status
        assert hook.effects == {KEY: 1}
        assert hook.order == [BODY]
