"""Where training stands, on disk."""

import errno
import json
import logging
import os
import pickle
import signal
import threading
import time

import pytest
import torch
from torch import nn

from swae.checkpoint import (
    Keeper,
    keep_checkpoint,
    latest_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from swae.manifest import CorruptError, read_folder, write_folder
from swae.postponing import postponed
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


class Harm:
    """What runs, if it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["SWAE_HARM"],)


def put(path, name, content):
    """Writes a file, and makes its sum right."""
    write_folder(path, {**read_folder(path), name: content})


def shaped(shape, size):
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
    content = json.dumps(header).encode()
    return len(content).to_bytes(8, "little") + content


HOSTILE = {
    "pickle": lambda path: put(path, "model.safetensors", pickle.dumps(Harm())),
    "pickle as state": lambda path: put(path, "optimizer.safetensors", pickle.dumps(Harm())),
    "pickle as JSON": lambda path: put(path, "info.json", pickle.dumps(Harm())),
    "header": lambda path: put(path, "extra.safetensors", (2**40).to_bytes(8, "little")),
    "shape": lambda path: put(path, "model.safetensors", shaped([10**6] * 2, 4 * 10**12)),
    "brackets": lambda path: put(path, "info.json", b"[" * 3_000_000),
    "path": lambda path: (path / "manifest.json").write_text('{"../../etc/passwd": "00"}'),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_checkpoint_is_passed_over_at_once(
    tmp_path, trained, monkeypatch, caplog, cheap, kind
):
    monkeypatch.setenv("SWAE_HARM", str(tmp_path / "harm"))
    save_checkpoint(tmp_path, 3, *trained)
    HOSTILE[kind](save_checkpoint(tmp_path, 4, *trained))
    with cheap():
        assert latest_checkpoint(tmp_path).epoch == 3
    assert "Passed over the checkpoint epoch-0004: " in caplog.text
    assert not (tmp_path / "harm").exists()


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


# ----- what is kept in memory until it is worth its writing


def offered(keeper, epoch, trained, *, last=False):
    keeper.offer(lambda: keep_checkpoint(epoch, *trained), last=last)


def test_what_is_kept_is_not_trained_on(tmp_path, trained):
    with Keeper(tmp_path, every=1e9) as keeper:
        step(*trained)
        offered(keeper, 1, trained)
        held = [t for tensors in keeper.kept.tensors.values() for t in tensors.values()]
        step(*trained)
        offered(keeper, 2, trained)
        wanted = {name: t.clone() for name, t in trained[0].state_dict().items()}
        again = [t for tensors in keeper.kept.tensors.values() for t in tensors.values()]
        assert all(a is b for a, b in zip(held, again, strict=True))  # memory is taken once
        step(*trained)
        assert names(tmp_path) == []
    (checkpoint,) = [latest_checkpoint(tmp_path)]
    assert checkpoint.epoch == 2
    assert all(torch.equal(checkpoint.model[name], t) for name, t in wanted.items())
    assert float(checkpoint.optimizer["0.step"]) == 4
    assert not torch.equal(wanted["0.weight"], trained[0].state_dict()["0.weight"])


def test_tensors_that_come_or_change_are_kept(tmp_path, trained):
    """As the state of the best epoch does."""
    with Keeper(tmp_path, every=1e9) as keeper:
        for epoch, extra in enumerate(({}, {"a": torch.ones(2)}, {"a": torch.ones(3)}, {}), 1):
            keeper.offer(lambda e=epoch, x=extra: keep_checkpoint(e, *trained, x), last=False)
            kept = keeper.kept.tensors["extra"]
            assert kept.keys() == extra.keys()
            assert all(torch.equal(kept[name], t) for name, t in extra.items())


@pytest.mark.parametrize(
    ("every", "ago", "took", "is_written"),
    [
        (20, 10, 0, False),
        (20, 30, 0, True),
        (20, 30, 5, False),
        (20, 110, 5, True),
        (0, 1, 5, True),
    ],
)
def test_writing_takes_a_small_share(tmp_path, trained, every, ago, took, is_written):
    keeper = Keeper(tmp_path, every)
    keeper.written, keeper.took = time.monotonic() - ago, took
    offered(keeper, 1, trained)
    assert (names(tmp_path) == ["epoch-0001"]) == is_written == (keeper.kept is None)


def test_tensors_that_share_memory_are_packed(tmp_path):
    layer = nn.Linear(3, 3, bias=False)
    tied = nn.ModuleDict({"a": layer, "b": layer})
    tied.register_buffer("part", torch.arange(6.0)[1:4])
    save_checkpoint(tmp_path, 1, tied, make_optimizer("adam", tied, 0.1))
    read = latest_checkpoint(tmp_path).model
    assert torch.equal(read["a.weight"], read["b.weight"])
    assert read["part"].tolist() == [1, 2, 3]


def test_a_signal_is_waited_with():
    done = []

    def work():
        with postponed():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # for a second
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_another_thread_writes_is_left_to_itself():
    ran = []

    def work():
        with postponed():
            ran.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [signal.default_int_handler]
