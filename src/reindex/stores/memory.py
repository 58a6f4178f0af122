"""Keeping the process small while LanceDB's threads allocate: glibc's allocator, asked to."""

import ctypes
import sys
from functools import cache
from typing import Any

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def bound_arenas() -> None:
    """Let all threads share two arenas. By default each gets its own and keeps what it once held: a first
    load of 40 MB peaked at 550 MB above its start, and with this at 390.
    """
    allocator = _glibc()
    if allocator is not None:
        allocator.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return freed memory to the system, before a step that needs much of another kind."""
    allocator = _glibc()
    if allocator is not None:
        allocator.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library, if it is glibc; None elsewhere, where there is nothing to ask."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
