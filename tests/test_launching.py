"""What the processes that a launcher starts hold open, and what it leaves behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from swae.cli import main
from swae.commands.fit import check_rows
from swae.distributed import is_lost_rank
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


# ----- who has gone, and what is ignored

WAITING = """
import os, signal, sys, time
from swae.launching import launch
{before}
exit(launch([sys.executable, "-c", {code!r}], 2))
"""


def launched(code, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", WAITING.format(code=code, before=before)],
        env=ENV,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_launcher_that_is_killed_leaves_nothing(tmp_path):
    code = f"""
import os, time
from swae.launching import watch_launcher
watch_launcher()
open(os.environ["SWAE_MEETING"], "w").close()
open({str(tmp_path)!r} + "/" + os.environ["RANK"], "w").write(os.environ["SWAE_MEETING"])
time.sleep(120)
"""
    launcher = launched(code)
    paths = [tmp_path / "0", tmp_path / "1"]
    until(lambda: all(path.exists() and path.read_text() for path in paths))
    folder = Path(paths[0].read_text()).parent
    assert folder.exists()
    launcher.kill()
    launcher.communicate(timeout=60)  # ranks have its stderr, so that it ends with the last
    assert not folder.exists()


def test_a_launcher_that_has_gone_before_it_is_watched():
    ended = subprocess.run(
        [sys.executable, "-c", "from swae.launching import watch_launcher as w; w(); print(1)"],
        env={**ENV, "SWAE_LAUNCHER": "999999999"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (143, "")
    assert ended.stderr == "swae: the process that started this rank has ended, so it ends.\n"


def test_what_was_ignored_stays_so(tmp_path):
    """As SIGINT under nohup, or of a shell's background."""
    code = f"""
import os, signal, time
open({str(tmp_path)!r} + "/" + os.environ["RANK"], "w").write(repr(signal.getsignal(2)))
while not os.path.exists({str(tmp_path / "go")!r}):
    time.sleep(0.05)
"""
    launcher = launched(code, "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    paths = [tmp_path / "0", tmp_path / "1"]
    until(lambda: all(path.exists() and path.read_text() for path in paths))
    launcher.send_signal(signal.SIGINT)
    time.sleep(0.3)
    (tmp_path / "go").touch()
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, said
    assert all("SIG_IGN" in path.read_text() for path in paths)


# ----- ranks that can't be, refused before one is started


@pytest.fixture
def unlaunched(monkeypatch):
    monkeypatch.setattr("swae.commands.fit.launch", lambda *_: pytest.fail("launched"))


@pytest.mark.parametrize("device", ["cuda", "auto"])
@pytest.mark.usefixtures("unlaunched")
def test_more_devices_than_there_are(monkeypatch, capsys, tmp_path, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    words = ["fit", "digits", "--out", str(tmp_path / "run"), "--device", device]
    assert main([*words, "--devices", "9"]) == 2
    assert "--devices asks for 9 processes" in (said := capsys.readouterr().err)
    assert "there are 2; ask for fewer, or for --device cpu." in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("local", [0, 1])
def test_more_ranks_than_devices(monkeypatch, capsys, tmp_path, local):
    """A launcher has started them; of a node's ranks one says it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    place = {"RANK": local, "LOCAL_RANK": local, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    assert main(["fit", "digits", "--out", str(tmp_path / "run"), "--device", "cuda"]) == 2
    assert ("there is 1" in capsys.readouterr().err) == (local == 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--devices", "21", "--batch-size", "20"],
            "for 21 processes, but a batch has 20 samples",
        ),
        (["--devices", "100000"], "for 100000 processes, but a batch has 125 samples"),
        (["--devices", "-3"], "--devices has to be at least 1, but is -3"),
        (["--num-nodes", "0"], "--num-nodes has to be at least 1, but is 0"),
        (["--devices", "1.5"], "1.5"),
    ],
)
@pytest.mark.usefixtures("unlaunched")
def test_no_such_number_of_processes(capsys, tmp_path, words, sentence):
    out = ["--out", str(tmp_path / "run")]
    assert main(["fit", "digits", "--device", "cpu", *out, *words]) == 2
    assert sentence in (said := capsys.readouterr().err)
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_rows_are_counted_once_the_data_are_there():
    check_rows(50, 50)
    with pytest.raises(ValueError, match="ask for 60 processes, but a batch has 50 samples"):
        check_rows(60, 50)


# ----- what backends say of a rank that is lost; of gloo's, tests/ranks.py has the real one


def message_of(make):
    with pytest.raises(RuntimeError) as caught:
        make()
    return caught.value


def test_a_store_that_nobody_comes_to_tells_of_a_lost_rank(tmp_path):
    soon = timedelta(milliseconds=50)
    for store in (
        dist.FileStore(str(tmp_path / "meeting"), 2),
        dist.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False),
    ):
        assert is_lost_rank(message_of(lambda store=store: store.wait(["other"], soon)))
    assert not is_lost_rank(message_of(lambda: torch.zeros(2) @ torch.zeros(3)))
