"""Where training stands, on disk."""

import errno
import logging
import os

import pytest
import torch
from torch import nn

from swae.checkpoint import latest_checkpoint, restore_optimizer, save_checkpoint
from swae.manifest import CorruptError, read_folder, write_folder
from swae.training import make_optimizer


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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
    assert (checkpoint.epoch, checkpoint.info) == (7, {"best": 0.5, "threads": 1})
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
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"epoch-0004/model\.safetensors can't be .* bytes, "):
            save_checkpoint(tmp_path, 4, *trained)
    assert names(tmp_path) == ["epoch-0003"]
    assert latest_checkpoint(tmp_path).epoch == 3
