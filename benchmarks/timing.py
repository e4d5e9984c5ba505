r"""Timing on a machine that others use too.

Two figures that were not taken side by side can't be compared here. So all ways of doing a thing
take turns, each round with fresh inputs whose making is not timed, and the medians over rounds are
what counts; their ratios more than themselves.
"""

import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from swae.training import cpu_flags

Way = Callable[..., object]
r"""Something to time, called with what the inputs' maker returns."""


def interleaved(
    ways: Mapping[str, Way], inputs: Callable[[], tuple[Any, ...]], seconds: float = 20.0
) -> dict[str, float]:
    r"""Times ways in turns.

    Arguments:
        ways: What to time, by name.
        inputs: Makes the arguments, anew for each call.
        seconds: About how long all rounds may take; there are 3 to 200.

    Returns:
        The median seconds of each.
    """

    for _ in range(2):  # the first call sets up what is set up once
        first = {name: once(way, inputs()) for name, way in ways.items()}
    rounds = min(200, max(3, round(seconds / sum(first.values()))))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(once(way, inputs()))
    return {name: statistics.median(values) for name, values in times.items()}


def median_seconds(way: Way, inputs: Callable[[], tuple[Any, ...]], seconds: float = 3) -> float:
    r"""Times one thing alone."""

    return interleaved({"": way}, inputs, seconds)[""]


def once(way: Way, arguments: tuple[Any, ...]) -> float:
    began = time.perf_counter()
    way(*arguments)
    return time.perf_counter() - began


def peak(*command: str) -> tuple[float, float]:
    r"""Runs a command in a process of its own.

    Returns:
        Its seconds, and the most memory that it held, in MiB.
    """

    began, most = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:  # not rusage, whose peak counts this process before the exec
        with suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            most = max(most, int(found[1]) / 1024) if found else most
        time.sleep(0.005)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}.")
    return time.perf_counter() - began, most


def machine() -> str:
    r"""Says what was measured on, in a line."""

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    units = [u for u in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if u in cpu_flags()]
    return (
        f"{' '.join(names) or platform.processor()}, {torch.get_num_threads()} threads, "
        f"{' '.join(units)}, torch {torch.__version__}"
    )
