"""
How many instructions this thread has executed in user mode, where Linux lets a process count its own.

Unlike time, it hardly depends on what else the machine does.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from platform import machine

__all__ = ["instructions"]

#: `perf_event_open` (linux/perf_event.h): type hardware, event instructions, without the kernel and a hypervisor.
_CALL = {"x86_64": 298, "aarch64": 241}
_SIZE = 128
_EXCLUDED = 1 << 5 | 1 << 6


def instructions() -> Callable[[], int] | None:
    """What gives the count so far; `None` where it cannot be had."""
    number = _CALL.get(machine()) if sys.platform == "linux" else None
    if number is None:
        return None
    asked = bytearray(_SIZE)
    struct.pack_into("=IIQ", asked, 0, 0, _SIZE, 1)
    struct.pack_into("=Q", asked, 40, _EXCLUDED)
    counter = ctypes.CDLL(None).syscall(number, (ctypes.c_char * _SIZE).from_buffer(asked), 0, -1, -1, 0)
    if counter < 0:
        return None
    return lambda: int.from_bytes(os.read(counter, 8), sys.byteorder)
