"""The configuration of a gateway for trying: one supplier by HTTP, its letters and events into a folder."""

from __future__ import annotations

__all__ = ["configuration"]


def configuration(*, store: str = "store.db", mappings: str = "", port: int = 0, access: str = "") -> str:
    """
    As `mhbridge.toml` has it.

    Args:
        mappings: a folder of them; empty: the built-in ones.
        access: who may do what, `[[access]]` tables.
    """
    own = f'mappings = ["{mappings}"]' if mappings else ""
    return f"""
[gateway]
name = "test"
store = "sqlite:{store}"
{own}
mode = "test"

[http]
listen = "127.0.0.1:{port}"

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[[destination]]
name = "out"
kind = "folder"
path = "out"

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["out"]
{access}"""
