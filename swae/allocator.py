r"""Keeping the memory of a training step for the next one.

A step frees all that it allocated, and glibc hands what is free at the top of its heap back to
the system, as it does with every block above 32 MiB. The next step asks for the same again, and
the system gives it page by page, each cleared: 40,000 page faults, a tenth of the time of a step
of the paper's network on two cores. A process that does nothing but train had better keep it.

The setting is the whole process's, so it belongs to who owns the process: the command line sets
it, and nothing that is imported does. With a program of your own, the environment variables
``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_THRESHOLD_`` do the same.
"""

__all__ = ["keep_freed_memory"]

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
r"""The numbers that glibc's ``malloc.h`` gives to the two settings."""

LARGEST = (2**30, 2**25)
r"""The sizes of a block to keep, the larger if it is taken: 2^25 is the documented limit."""


def keep_freed_memory() -> bool:
    r"""Lets the C library keep freed memory for this process, where it is glibc.

    Returns:
        Whether it does.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library than glibc
        return False
    kept = mallopt(TRIM_THRESHOLD, 2**31 - 1)
    large = any(mallopt(MMAP_THRESHOLD, size) for size in LARGEST)
    return bool(kept and large)
