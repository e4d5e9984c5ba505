r"""Starting the ranks of a training, and ending all of them with the first that fails.

``swae fit --devices 2`` starts the same command once for each device, as torchrun would, each
told its place by the environment (``RANK``, ``WORLD_SIZE``, ...). The process that was called is
none of the ranks. It waits, and knows within a moment when one has ended: in a collective of NCCL
the others would notice after many minutes, or never.

- A rank that fails ends all: the others are terminated, and killed after some seconds. The exit
  code is its own, or 128 and the signal.
- SIGTERM, SIGINT and SIGHUP go to the first rank, the one that writes, while the others are there
  for the step that it may be in; they are ended after it.
- Where this process is killed the ranks notice, and end.

The ranks of one node meet in a file of a folder that no other user can enter, and gloo listens on
the loopback interface, where no other machine can reach it. Those of several nodes meet where
``MASTER_ADDR`` says.
"""

__all__ = ["MEETING", "launch", "place_of", "watch_launcher"]

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

from .postponing import ENDING

GRACE = 5.0
r"""The seconds that ranks have to end by themselves."""

EXPLAINED = (2, 3, 4, 5, 6, 129, 130, 143)
r"""Exit codes before which a rank has said what was wrong."""

LAUNCHER = "SWAE_LAUNCHER"
r"""The variable that tells a rank which process started it."""

MEETING = "SWAE_MEETING"
r"""The variable that tells the ranks of one node in which file they meet."""


class Place(NamedTuple):
    r"""Where a process stands among those that a launcher has started.

    Arguments:
        rank: Its number, from 0.
        local: Its number on its node.
        world: How many there are.
    """

    rank: int
    local: int
    world: int


def place_of(environment: Mapping[str, str]) -> Place | None:
    r"""Returns the place that an environment tells of; None for a process by itself.

    Example:
        >>> place_of({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
        Place(rank=3, local=1, world=4)
    """

    if not {"RANK", "WORLD_SIZE"} <= environment.keys():
        return None
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    return Place(rank, int(environment.get("LOCAL_RANK", rank)), world) if world > 1 else None


SAVING = 60.0
r"""The seconds that rank 0 has to write what it kept, when it is asked to end."""


def launch(command: Sequence[str], devices: int, nodes: int = 1) -> int:
    r"""Runs a command once for each device of this node, and waits for all.

    Arguments:
        command: The command.
        devices: The number of ranks on this node.
        nodes: The number of nodes, on each of which this is to be called, with ``NODE_RANK``,
            ``MASTER_ADDR`` and ``MASTER_PORT`` in its environment.

    Returns:
        The exit code: 0, or that of the rank that failed first.

    Raises:
        ValueError: If the environment does not say where the nodes meet.
    """

    ranks: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def ask(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)

    # What the caller has chosen to be ignored, as nohup or a shell in the background, stays so.
    asking = [n for n in ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in asking}
    try:
        with TemporaryDirectory(prefix="swae-", ignore_cleanup_errors=True) as folder:
            try:
                for environment in environments(devices, nodes, folder):
                    # A group of its own each: a terminal's Ctrl-C is for the launcher to pass
                    # on, once.
                    one = {**os.environ, **environment}
                    ranks.append(subprocess.Popen(command, env=one, process_group=0))
                return wait_for(ranks, asked)
            finally:
                end(ranks, 0.0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def environments(devices: int, nodes: int, folder: str = "") -> list[dict[str, str]]:
    r"""Returns what tells each rank of this node its place, and where all meet.

    Arguments:
        devices: The number of ranks on this node.
        nodes: The number of nodes.
        folder: Where the ranks meet that are all on this node.
    """

    if nodes > 1:
        missing = {"NODE_RANK", "MASTER_ADDR", "MASTER_PORT"} - os.environ.keys()
        if missing:
            raise ValueError(
                "--num-nodes > 1 wants the command on each node, with NODE_RANK, MASTER_ADDR and "
                f"MASTER_PORT in its environment, but {', '.join(sorted(missing))} is not there; "
                "or use torchrun."
            )
        meeting = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")}
    else:
        meeting = {MEETING: str(Path(folder, "meeting"))}
        if (interface := loopback()) and "GLOO_SOCKET_IFNAME" not in os.environ:
            meeting["GLOO_SOCKET_IFNAME"] = interface
    node = int(os.environ["NODE_RANK"]) if nodes > 1 else 0
    shared = meeting | {
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        LAUNCHER: str(os.getpid()),
        # Each rank would take all cores for itself.
        "OMP_NUM_THREADS": os.environ.get(
            "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices))
        ),
    }
    return [
        shared | {"RANK": str(node * devices + local), "LOCAL_RANK": str(local)}
        for local in range(devices)
    ]


def loopback() -> str | None:
    r"""Returns the name of the interface that only this machine can reach, if it has one."""

    names = {name for _, name in socket.if_nameindex()}
    return next((name for name in ("lo", "lo0") if name in names), None)


def wait_for(ranks: Sequence[subprocess.Popen[bytes]], asked: list[int]) -> int:
    r"""Waits until all have ended well, or one has failed, or an end is asked for."""

    while any(rank.poll() is None for rank in ranks):
        if any(rank.poll() for rank in ranks):
            time.sleep(0.3)  # others may end for its sake, or it for theirs
            codes = [rank.poll() for rank in ranks]
            end(ranks, GRACE)
            return code_of(codes)
        if asked:
            # The first one writes, and may need the others to come to an end.
            ranks[0].send_signal(asked[0])
            until = time.monotonic() + SAVING
            while ranks[0].poll() is None and len(asked) == 1 and time.monotonic() < until:
                time.sleep(0.05)
            code = ranks[0].poll()
            end(ranks, 1.0 if len(asked) == 1 else 0.0)  # at once, if somebody asks again
            return code if code in EXPLAINED else 128 + asked[0]
        time.sleep(0.05)
    return code_of([rank.poll() for rank in ranks])


def code_of(codes: Sequence[int | None]) -> int:
    r"""Returns the exit code of what failed first, and names a rank that could not say why.

    Example:
        >>> code_of([0, 0]), code_of([5, None])
        (0, 5)
    """

    silent = [(r, code) for r, code in enumerate(codes) if code and code not in EXPLAINED]
    if not silent:
        return next((code for code in codes if code), 0)
    rank, code = silent[0]
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    print(f"swae: rank {rank} {how}, so all ranks end.", file=sys.stderr)
    return 128 - code if code < 0 else code


def end(ranks: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    r"""Terminates ranks, and kills those that are there after some seconds."""

    for rank in ranks:
        if rank.poll() is None and grace > 0:
            rank.terminate()
    until = time.monotonic() + grace
    for rank in ranks:
        try:
            rank.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.wait()


def watch_launcher() -> None:
    r"""Ends this process when the one that started it has gone, in whatever call it waits.

    It may have gone already. What it can't clear up any more is done here.
    """

    launcher = os.environ.get(LAUNCHER)
    if launcher is None:
        return

    def watch() -> None:
        while os.getppid() == int(launcher):
            time.sleep(0.5)
        remove_meeting()
        os._exit(143)

    if os.getppid() == int(launcher):
        threading.Thread(target=watch, daemon=True, name="swae-launcher").start()
    else:
        print("swae: the process that started this rank has ended, so it ends.", file=sys.stderr)
        watch()


def remove_meeting() -> None:
    r"""Removes where ranks met: the file, and its folder if nothing else is there."""

    if meeting := os.environ.get(MEETING):
        with suppress(OSError):
            Path(meeting).unlink(missing_ok=True)
            Path(meeting).parent.rmdir()
