# SPDX-License-Identifier: BSD-2-Clause
"""Wait for a condition, never for a time."""
import time


def until(condition, timeout=8.0, step=0.005, what=None):
    """Poll until the condition holds; return what it gave."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError("did not happen in %.1f s: %s"
                                 % (timeout, what or condition))
        time.sleep(step)
        step = min(step * 1.5, 0.05)
