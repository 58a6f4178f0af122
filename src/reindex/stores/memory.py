"""Keeping the process small while LanceDB's threads allocate: glibc's allocator, asked to."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS = 2
_SMALL_BYTES = 64 << 10
_LARGE_BYTES = 32 << 20  # the most that glibc takes, and where its own adjustment ends up


def bound_arenas() -> None:
    """Let all threads share two arenas. By default each gets its own and keeps what it once held."""
    allocator = _glibc()
    if allocator is not None:
        allocator.mallopt(_M_ARENA_MAX, _ARENAS)


@contextmanager
def lean() -> Iterator[None]:
    """Inside, what is freed goes back to the system at once. For upkeep, which allocates much and seldom:
    with it a first load of 70,000 chunks peaked at 257 MB above its start, without at 363. An encoder would
    pay for it with page faults, so it is left again.
    """
    allocator = _glibc()
    if allocator is None:
        yield
        return
    allocator.malloc_trim(0)
    allocator.mallopt(_M_MMAP_THRESHOLD, _SMALL_BYTES)
    allocator.mallopt(_M_TRIM_THRESHOLD, _SMALL_BYTES)
    try:
        yield
    finally:
        allocator.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        allocator.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        allocator.malloc_trim(0)


def give_back() -> None:
    """What is free goes back to the system. After work that allocates much and is seldom, for a process that
    lives on.
    """
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
