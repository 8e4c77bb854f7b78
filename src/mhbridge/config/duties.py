"""
Whose each task is: the duties that come with mhbridge, and what the configuration says instead.

This module must never leave a task without an owner: there is always a duty for every other cause.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from mhbridge.config.watch import (
    DutySection,
    QueueSection,
)
from mhbridge.ports import Duties, Duty, Queue

if TYPE_CHECKING:
    from mhbridge.config.sections import (
        Config,
    )

__all__ = ["EVERY_OTHER", "duties_of", "queue_sections"]

#: Stands among the causes of a duty for all that have none.
EVERY_OTHER: Final = "*"


@cache
def _given() -> tuple[tuple[QueueSection, ...], tuple[DutySection, ...]]:
    """What comes with mhbridge."""
    tables: dict[str, Any] = tomllib.loads(files("mhbridge.config").joinpath("duties.toml").read_text("utf-8"))
    queues = tuple(QueueSection.model_validate(table) for table in tables["queue"])
    return queues, tuple(DutySection.model_validate(table) for table in tables["duty"])


def queue_sections(configured: Sequence[QueueSection]) -> list[QueueSection]:
    """The queues that there are, each as it is described last."""
    return list({queue.name: queue for queue in (*_given()[0], *configured)}.values())


def duties_of(config: Config) -> Duties:
    """The duties of a configuration."""
    queues, duties = _given()
    causes = {
        cause: Duty(duty.queue, duty.severity, timedelta(seconds=duty.within))
        for duty in (*duties, *config.duties)
        for cause in duty.causes
    }
    return Duties(
        queues={
            queue.name: Queue(queue.name, queue.role, queue.next, timedelta(seconds=queue.unclaimed_after))
            for queue in (*queues, *config.queues)
        },
        otherwise=causes.pop(EVERY_OTHER),
        causes=causes,
    )
