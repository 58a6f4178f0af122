"""Python's garbage collector, where it would only be in the way."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Make many values that are no garbage: the collector would go through all of them again and again, and
    take a tenth of a large scan. For the whole process, so only for what is soon over.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
