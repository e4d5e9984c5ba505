"""What the processes that a launcher starts hold open, and what it leaves behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from swae.launching import MEETING, environments, loopback

ROOT = Path(__file__).parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
FIT = "fit digits --batch-size 400 --precision 32 --device cpu --max-epochs 2 --devices 2"


def until(condition, seconds=120):
    """Waits for what another process does, and not for ever."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def children(pid):
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def variable(pid, name):
    """Returns a variable of a process's environment."""
    pairs = (line.partition("=") for line in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return next(value for key, _, value in pairs if key == name)


def listening(pid):
    """Returns the addresses at which a process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(descriptor))
        except FileNotFoundError:
            continue
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                addresses.append(address(words[1].partition(":")[0]))
    return addresses


def address(text):
    """Reads an address as the kernel prints it, in words of the processor's byte order."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    found = b"".join(words)
    return IPv4Address(found) if len(found) == 4 else IPv6Address(found)


def test_addresses_are_read():
    with socket.socket() as loop, socket.socket() as everywhere:
        for one, host in ((loop, "127.0.0.1"), (everywhere, "")):
            one.bind((host, 0))
            one.listen()
        found = sorted(map(str, listening(os.getpid())))
    assert {"0.0.0.0", "127.0.0.1"} <= set(found)


def test_ranks_meet_where_nobody_else_can(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "swae.cli", *FIT.split(), "--out", str(out)],
        env={**ENV, "SWAE_FAULT": "train.epoch:2:hang", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until(lambda: (out / "metrics.jsonl").exists() or process.poll() is not None)
        ranks = children(process.pid)
        assert len(ranks) == 2
        for rank in ranks:
            assert (found := listening(rank))  # gloo's own
            assert all(one.is_loopback for one in found)
        meeting = Path(variable(ranks[0], MEETING))
        assert meeting.is_relative_to(tmp_path)
        assert stat.S_IMODE(meeting.parent.stat().st_mode) == 0o700
        assert listening(process.pid) == []
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert process.returncode == 143
        assert not meeting.parent.exists()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_nodes_meet_where_they_are_told(monkeypatch):
    for name, value in {"NODE_RANK": "0", "MASTER_ADDR": "far", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    assert all(MEETING not in one for one in environments(2, 2, "folder"))
    assert all("GLOO_SOCKET_IFNAME" not in one for one in environments(2, 2, "folder"))


@pytest.mark.parametrize("chosen", [None, "eth7"])
def test_gloo_listens_on_loopback_unless_told_otherwise(monkeypatch, chosen):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    if chosen:
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", chosen)
    for one in environments(2, 1, "folder"):
        assert one.get("GLOO_SOCKET_IFNAME") == (None if chosen else loopback())
