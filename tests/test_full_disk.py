"""Fault 3: the disk is full at whichever write. What is old loads, and nothing is half there."""

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from swae import SWAE
from swae.checkpoint import checkpoints, latest_checkpoint
from swae.cli import main
from swae.manifest import read_folder

SMALL = ("--batch-size", "20", "--n-projections", "5", "--network", "mlp", "--max-epochs", "2")
SENTENCE = re.compile(
    r"swae: (\S+) can't be written \(No space left on device\): it needs ([\d,]+) bytes, and "
    r"([\d,]+) are free; make room, and try again\."
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, a run of one of two epochs, and the same to its end, without figures."""
    folder = tmp_path_factory.mktemp("full")
    np.save(folder / "data.npy", np.random.default_rng(0).random((60, 4), dtype=np.float32))
    words = ["fit", str(folder / "data.npy"), *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("swae.commands.fit.CHECKPOINT_EVERY", -1.0)
        patch.setattr("swae.commands.fit.draw_figures", lambda *_: None)
        assert main([*words, "--out", str(folder / "run"), "--stop-after", "1"]) == 0
        shutil.copytree(folder / "run", folder / "whole")
        resume = ["--config", str(folder / "whole" / "config.yaml"), "--resume"]
        assert main(["fit", *resume, "--out", str(folder / "whole")]) == 0
    return folder


@pytest.fixture
def run(place, tmp_path, monkeypatch):
    monkeypatch.setattr("swae.commands.fit.CHECKPOINT_EVERY", -1.0)
    monkeypatch.setattr("swae.commands.fit.draw_figures", lambda *_: None)
    return shutil.copytree(place / "run", tmp_path / "run")


def resume(run):
    return main(["fit", "--config", str(run / "config.yaml"), "--out", str(run), "--resume"])


class Disk:
    """A disk that is full at the k-th write."""

    def __init__(self, k):
        self.k, self.writes, self.flush = k, 0, os.fsync

    def fsync(self, descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            return  # names take no room
        self.writes += 1
        if self.writes == self.k:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.flush(descriptor)


def told(capsys):
    """Returns the path and the bytes that it needs, of one sentence that says what is free."""
    output = capsys.readouterr()
    said = output.err.splitlines()[-1]
    found = SENTENCE.fullmatch(said)
    assert found, said
    assert "Traceback" not in output.err
    needed, free = (int(number.replace(",", "")) for number in found.groups()[1:])
    assert free == pytest.approx(shutil.disk_usage(Path(found[1]).parents[3]).free, rel=0.2)
    return found[1], needed


def half_there(run):
    """Returns what was begun and not ended, but for the lock."""
    return [path for path in run.rglob(".*") if path.name != ".lock"]


def sum_of(run):
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def writes_of_a_resume(place, tmp_path, monkeypatch):
    disk = Disk(None)
    run = shutil.copytree(place / "run", tmp_path / "counted")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        assert resume(run) == 0
    return disk.writes


def test_a_full_disk_at_whichever_write(place, run, tmp_path, monkeypatch, capsys):
    writes = writes_of_a_resume(place, tmp_path, monkeypatch)
    assert writes > 10
    for k in range(1, writes + 1):
        copy = shutil.copytree(run, tmp_path / f"run-{k}")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", Disk(k).fsync)
            assert resume(copy) == 5
        path, _ = told(capsys)
        assert path.startswith(str(copy))
        assert half_there(copy) == []
        assert latest_checkpoint(copy / "checkpoints").epoch >= 1
        assert all(map(read_folder, checkpoints(copy / "checkpoints")))
        SWAE.load(copy)  # the old model, or the new one
        assert resume(copy) == 0
        assert sum_of(copy) == sum_of(place / "whole")
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--out", "x.npy"],
        ["sample", "--out", "x.png"],
        ["sample", "--out", "x.csv"],
        ["encode", "--out", "x.npz"],
        ["decode", "codes.npy", "--out", "x.npy"],
        ["reconstruct", "--out", "x.svg"],
        ["grid", "--out", "x.png"],
        ["export", "--codes", "x.parquet"],
        ["report", "--out", "x.html"],
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_a_full_disk_at_a_result(run, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    np.save("codes.npy", np.zeros((3, 2)))
    command, *data, option, name = words
    target = tmp_path / name
    words = [command, str(run), *data, option, str(target), "--overwrite"]
    assert main(words) == 0
    size = target.stat().st_size
    target.write_bytes(b"old")
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Disk(1).fsync)
        assert main(words) == 5
    path, needed = told(capsys)
    assert path == str(target)
    assert needed == pytest.approx(size, rel=0.05)
    assert target.read_bytes() == b"old"
    assert half_there(tmp_path) == []
