"""Memory that is freed stays with the process that asked for it."""

import resource
import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from swae.allocator import keep_freed_memory

kept = {keep} and keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def step(size=2**26):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, keep):
    command = [sys.executable, "-c", FAULTS.format(keep=keep)]
    kept, count = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    if keep and kept != "True":
        pytest.skip("another C library than glibc has no such setting")
    return int(count)


def test_the_second_step_takes_no_new_pages():
    pages = 2**26 // resource.getpagesize()
    assert faults(keep=True) < pages / 100
    assert faults(keep=False) > pages / 100  # so there is something to mend
