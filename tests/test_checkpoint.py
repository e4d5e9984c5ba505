"""Files that are whole or not there, and what is done about those that are neither."""

import errno
import io
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from swae.checkpoint import (
    CorruptError,
    from_safetensors,
    latest_checkpoint,
    read_folder,
    restore_optimizer,
    save_checkpoint,
    to_safetensors,
    write_file,
    write_folder,
)
from swae.training import make_optimizer

FULL = OSError(errno.ENOSPC, "No space left on device")


def fail(*args, **kwargs):
    raise FULL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ----- files


def test_write_file_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_file(path, b"first")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.bin"]


class Full:
    """A file on a full disk: half of what is written arrives."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        raise FULL


FAULTS = {
    "open": lambda patch: patch.setattr(Path, "open", fail),
    "write": lambda patch: patch.setattr(Path, "open", lambda p, mode: Full(io.FileIO(p, mode))),
    "fsync": lambda patch: patch.setattr(os, "fsync", fail),
    "replace": lambda patch: patch.setattr(Path, "replace", fail),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_write_file_leaves_the_old_file(tmp_path, monkeypatch, fault):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        with pytest.raises(OSError, match="No space left"):
            write_file(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


# ----- folders and their manifest


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "f", {"a.txt": b"one", "b.txt": b"two"})
    return tmp_path / "f"


def test_folders_come_back(folder):
    assert read_folder(folder) == {"a.txt": b"one", "b.txt": b"two"}
    (folder / "other.txt").write_bytes(b"of someone else")
    assert "other.txt" not in read_folder(folder)


def damage_flip(folder):
    content = bytearray((folder / "b.txt").read_bytes())
    content[1] ^= 1
    (folder / "b.txt").write_bytes(content)


def damage_fifo(folder):
    (folder / "b.txt").unlink()
    os.mkfifo(folder / "b.txt")


DAMAGE = {
    "flipped": (damage_flip, r"b\.txt is not what was written: its sha256 differs"),
    "truncated": (lambda f: (f / "b.txt").write_bytes(b"tw"), r"b\.txt is not what was written"),
    "missing": (lambda f: (f / "b.txt").unlink(), r"b\.txt is missing or unreadable"),
    "fifo": (damage_fifo, r"b\.txt is missing or unreadable"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), r"manifest\.json is missing"),
    "no folder": (shutil.rmtree, r"manifest\.json is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(folder, kind):
    damage, sentence = DAMAGE[kind]
    damage(folder)
    with pytest.raises(CorruptError, match=sentence):
        read_folder(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"b.txt": 5}',
        b'{"nothing.txt": "00"}',
        b'{"a\\u0000b": "00"}',
        b'{"\\ud800": "00"}',
        *(
            json.dumps({name: "00"}).encode()
            for name in (
                "",
                ".",
                "..",
                "../a.txt",
                "/etc/passwd",
                "x/../../a.txt",
                "a/b",
                "a" * 999,
            )
        ),
    ],
)
def test_hostile_manifests(folder, manifest):
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(CorruptError, match=str(folder)):
        read_folder(folder)


def test_an_interrupted_write_is_no_folder(folder, monkeypatch):
    """The manifest goes first and comes last: old and new files together are no folder."""
    write = write_file

    def die_at_the_second(path, content):
        if path.name == "b.txt":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr("swae.checkpoint.write_file", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"a.txt": b"1", "b.txt": b"2"})
    with pytest.raises(CorruptError, match=r"manifest\.json is missing"):
        read_folder(folder)
    monkeypatch.undo()
    write_folder(folder, {"a.txt": b"1", "b.txt": b"2"})
    assert read_folder(folder) == {"a.txt": b"1", "b.txt": b"2"}


# ----- tensors


def test_tensors_come_back_in_plain_order():
    lying = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors = {"lying": lying, "view": torch.arange(10)[::2], "scalar": torch.tensor(3.0)}
    read = from_safetensors(to_safetensors(tensors), Path("x"))
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor)
        assert read[name].is_contiguous()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"pickle",
        b"\xff" * 8,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (100).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'.ljust(
            100
        ),
    ],
)
def test_what_is_no_safetensors_file(content):
    with pytest.raises(CorruptError, match=r"weights\.safetensors is no safetensors file"):
        from_safetensors(content, Path("weights.safetensors"))


# ----- checkpoints


@pytest.fixture
def trained():
    """A small network on pixels whose channels lie together, and Adam after two steps."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 1))
    model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer("adam", model, 0.1)
    for _ in range(2):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    x = torch.linspace(-1, 1, 5 * 48).reshape(5, 3, 4, 4)
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def test_a_checkpoint_holds_all(tmp_path, trained):
    model, optimizer = trained
    best = {"weight": torch.ones(2)}
    path = save_checkpoint(tmp_path, 7, model, optimizer, best, {"best": 0.5})
    assert path == tmp_path / "epoch-0007"
    checkpoint = latest_checkpoint(tmp_path)
    assert (checkpoint.epoch, checkpoint.info) == (7, {"best": 0.5})
    assert torch.equal(checkpoint.extra["weight"], torch.ones(2))
    assert all(torch.equal(checkpoint.model[name], t) for name, t in model.state_dict().items())
    assert set(checkpoint.optimizer) == {
        f"{i}.{key}" for i in range(4) for key in ("step", "exp_avg", "exp_avg_sq")
    }


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_restored_optimizers_go_on(tmp_path, trained, name):
    """As if they had not been stored: a fused step walks memory, so moments keep their layout."""
    model, _ = trained
    optimizer = make_optimizer(name, model, 0.1)
    for _ in range(2):
        step(model, optimizer)
    save_checkpoint(tmp_path, 2, model, optimizer)
    checkpoint = latest_checkpoint(tmp_path)

    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 1))
    other.to(memory_format=torch.channels_last).load_state_dict(checkpoint.model)
    restored = make_optimizer(name, other, 0.1)
    restore_optimizer(restored, checkpoint.optimizer)
    for parameter, state in restored.state.items():
        moments = [t for t in state.values() if t.shape == parameter.shape and t.ndim > 0]
        assert moments
        assert all(t.stride() == parameter.stride() for t in moments)

    step(model, optimizer)
    step(other, restored)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))  # noqa: B905


def test_the_last_two_are_kept(tmp_path, trained):
    for epoch in (1, 2, 9998, 10001):
        save_checkpoint(tmp_path, epoch, *trained)
    assert names(tmp_path) == ["epoch-10001", "epoch-9998"]
    assert latest_checkpoint(tmp_path).epoch == 10001


def test_there_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nothing") is None
    (tmp_path / "epoch-of-someone").mkdir()
    assert latest_checkpoint(tmp_path) is None


CUTS = {
    "model": lambda path: cut(path / "model.safetensors"),
    "optimizer": lambda path: cut(path / "optimizer.safetensors"),
    "info": lambda path: cut(path / "info.json"),
    "manifest": lambda path: cut(path / "manifest.json"),
    "empty": lambda path: write_folder(path, {}),
    "other": lambda path: write_folder(path, {**read_folder(path), "info.json": b"[]"}),
    "no epoch": lambda path: write_folder(path, {**read_folder(path), "info.json": b"{}"}),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("kind", CUTS)
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, trained, caplog, kind):
    save_checkpoint(tmp_path, 3, *trained)
    CUTS[kind](save_checkpoint(tmp_path, 4, *trained))
    with caplog.at_level(logging.WARNING, "swae"):
        assert latest_checkpoint(tmp_path).epoch == 3
    assert "Passed over the checkpoint epoch-0004: " in caplog.text


def test_damaged_checkpoints_alone_are_no_beginning(tmp_path, trained):
    CUTS["model"](save_checkpoint(tmp_path, 3, *trained))
    with pytest.raises(CorruptError, match=r"No checkpoint in .* is whole; --overwrite begins"):
        latest_checkpoint(tmp_path)


def test_damaged_checkpoints_make_room_for_whole_ones(tmp_path, trained):
    """What goes on below damaged ones keeps what it writes."""
    for epoch in (20, 21):
        CUTS["model"](save_checkpoint(tmp_path, epoch, *trained))
    save_checkpoint(tmp_path, 1, *trained)
    assert latest_checkpoint(tmp_path).epoch == 1
    save_checkpoint(tmp_path, 2, *trained)
    assert names(tmp_path) == ["epoch-0001", "epoch-0002"]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, trained, monkeypatch):
    save_checkpoint(tmp_path, 3, *trained)
    with monkeypatch.context() as patch:
        FAULTS["write"](patch)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path, 4, *trained)
    assert latest_checkpoint(tmp_path).epoch == 3
