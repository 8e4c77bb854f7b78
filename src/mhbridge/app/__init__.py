"""
The composition root: from a configuration to a running gateway. The one package that knows every other.

    building       everything that a configuration asks for, made and not started     (`build`)
    faults         all that keeps one from being served, at once                      (`faults_of`)
    feeds          mappings and routes → the feeds that envelopes name                (`feeds_of`)
    mappings       those in force, and how others take their place                    (`Mappings`, `Reloading`)
    destinations   senders and their outlets
    outward        who is told of alarms, and hears the heartbeat
    listening      receivers, the API and its pages
    running        what was built, opened and closed in order                         (`App`)
    serving        one gateway in one process, until it is told to stop               (`run`)

This package must never decide anything about a message.
"""

from mhbridge.app.building import build
from mhbridge.app.faults import faults_of
from mhbridge.app.feeds import feeds_of, without_secrets
from mhbridge.app.running import App
from mhbridge.app.serving import loop_factory, run, steady

__all__ = ["App", "build", "faults_of", "feeds_of", "loop_factory", "run", "steady", "without_secrets"]
