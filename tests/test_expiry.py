"""Certificates that end: what is said how long before."""

import io
import json
from datetime import UTC, datetime, timedelta

from mhbridge import log as logs
from mhbridge.gateway.alarms import Alarms
from mhbridge.gateway.expiry import Expiry

NOW = datetime(2026, 3, 3, 9, tzinfo=UTC)
DAY = timedelta(days=1)


class Tasks:
    def __init__(self):
        self.open = {}

    async def raise_task(self, what, cause, _now, *, name, severity, deadline):
        self.open[what, name] = (cause, severity, deadline)

    async def close_task(self, what, _as_what, _now, *, name):
        return self.open.pop((what, name), None) is not None


async def test_the_end_is_said_a_month_a_week_and_a_moment_before_once_each():
    until, stream, tasks, alarms, now = NOW + 40 * DAY, io.BytesIO(), Tasks(), [], NOW
    log = Alarms(log=logs.make(stream), tell=[alarms.append], clock=lambda: now).log
    tasks.open["certificate", "http"] = "from before the start"
    expiry = Expiry(store=tasks, certificates={"http": until}, log=log)
    said = []
    for day in range(45):
        now = NOW + day * DAY
        for _ in range(3):
            await expiry.look(now)
        said += [(day, json.loads(line)["severity"]) for line in stream.getvalue().splitlines()[len(said) :]]
        assert bool(tasks.open) is (day >= 10)
    assert said == [(10, "normal"), (33, "high"), (40, "critical")]
    assert tasks.open == {("certificate", "http"): ("D978", "critical", until)}
    assert [alarm.severity for alarm in alarms] == ["normal", "high", "critical"]
    assert alarms[1].says == "The certificate of http is good for another 7 days, and nobody connects without it."
