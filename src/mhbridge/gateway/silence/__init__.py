"""
Noticing silence, which is how messages are really lost.

    arrivals   what a feed usually sends, and whether chance still explains that nothing comes    (`arrivals.Arrivals`)
    floors     the least that an operator expects of a feed                                       (`floors.Expected`)
    numbers    which numbers of a sender's counting have not come                                 (`numbers.Numbers`)
    feeds      all of that for every feed, with its tasks, alarms and memory                      (`feeds.Silence`)

This package must never mend anything: it looks, and it says.
"""

from mhbridge.gateway.silence.feeds import Silence
from mhbridge.gateway.silence.floors import Expected

__all__ = ["Expected", "Silence"]
