"""Training that is cut within an epoch goes on at the next batch, and nothing tells."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from swae import SWAE
from swae.checkpoint import Keeper, latest_checkpoint
from swae.cli import main
from swae.shards import Shards
from swae.training import UnderWay

X = np.random.default_rng(0).random((130, 4), dtype=np.float32)
SETTINGS = {"max_epochs": 3, "batch_size": 20, "device": "cpu"}


class CutError(Exception):
    pass


def cut_at(folder, steps):
    """Keeps a checkpoint after a number of steps, and ends there, as a kill would."""
    seen = iter(range(steps))

    def keep(standing):
        if next(seen, None) is None:
            keeper = Keeper(folder, every=1e-9)
            keeper.written -= 1
            keeper.offer_within(standing)
            raise CutError

    return keep


def weights(model):
    return model.autoencoder_.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def told(epoch):
    return epoch[:2] + epoch[3:]


KINDS = {
    "arrays": (lambda folder: X, {}),
    "patience": (lambda folder: X, {"patience": 5, "validation_size": 0.2}),
    "steered": (lambda folder: X, {"reg_weight": "auto"}),
    "micro batches": (lambda folder: X, {"micro_batch_size": 7}),
    "conditional": (lambda folder: X, {"conditional": True}),
    "dataset": (lambda folder: TensorDataset(torch.from_numpy(X)), {}),
    "shards": (lambda folder: shards(folder), {"validation_size": 0.3}),
}


def shards(folder):
    pytest.importorskip("datasets")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for i, part in enumerate(np.array_split(X, 4)):
        columns = {f"c{j}": part[:, j] for j in range(4)}
        parquet.write_table(pa.table(columns), folder / f"{i}.parquet")
    return Shards.open(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_within_an_epoch(tmp_path, kind):
    make, more = KINDS[kind]
    data, settings = make(tmp_path), SETTINGS | more
    y = np.arange(len(X)) % 3 if kind == "conditional" else None
    whole = SWAE(**settings)
    records = list(whole.fit_epochs(data, y))

    with pytest.raises(CutError):
        list(SWAE(**settings).fit_epochs(data, y, keep=cut_at(tmp_path / "run", steps=6)))
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint.epoch >= 1
    assert checkpoint.info["under_way"]["batch"] > 0
    resumed = SWAE(**settings)
    rest = list(resumed.fit_epochs(data, y, checkpoint=checkpoint))
    assert same(weights(resumed), weights(whole))
    assert list(map(told, rest)) == list(map(told, records[checkpoint.epoch :]))
    assert resumed.n_steps_ == whole.n_steps_


def test_only_shards_from_there_on_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("swae.shards.batches.BLOCK_ROWS", 10)
    data, settings = shards(tmp_path), SETTINGS | {"validation_size": 0, "max_epochs": 1}
    with pytest.raises(CutError):
        list(SWAE(**settings).fit_epochs(data, keep=cut_at(tmp_path / "run", steps=4)))
    resumed = SWAE(**settings)
    training = resumed.fit_epochs(data, checkpoint=latest_checkpoint(tmp_path / "run"))
    opened, before = [], Shards.check_unchanged
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Shards,
            "check_unchanged",
            lambda self, which: opened.extend(which) or before(self, which),
        )
        list(training)
    assert 0 < len(set(opened)) < 4


def test_checkpoints_within_an_epoch_are_after_its_beginning(tmp_path):
    model, keeper = SWAE(**SETTINGS), Keeper(tmp_path, every=1e-9)

    def keep(standing):
        keeper.written, keeper.took = -1e9, 0.0  # it is always time
        keeper.offer_within(standing)

    for epoch in model.fit_epochs(X, keep=keep):
        keeper.offer(model.keep_checkpoint, last=epoch.number == 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0002-000005", "epoch-0003"]


def test_none_is_written_within_an_epoch_before_it_is_time(tmp_path):
    for every in (1e9, 0):
        keeper = Keeper(tmp_path, every=every)
        next(iter(SWAE(**SETTINGS).fit_epochs(X, keep=keeper.offer_within)))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "told",
    [
        {"batch": 70, "samples": 9, "seconds": 1.0, "sums": {}, "ranks": 1},
        {"batch": -1, "samples": 9, "seconds": 1.0, "sums": {}, "ranks": 1},
        {"batch": 2, "samples": 0, "seconds": 1.0, "sums": {}, "ranks": 1},
        {"batch": 2, "seconds": 1.0, "sums": {}, "ranks": 1},
        {"batch": 2, "samples": 9, "seconds": 1.0, "sums": {"loss": "x"}, "ranks": 1},
        [1, 2],
    ],
)
def test_where_no_epoch_can_stand_is_refused(tmp_path, told):
    model = SWAE(**SETTINGS)
    next(iter(model.fit_epochs(X)))
    model.save_checkpoint(tmp_path)
    checkpoint = latest_checkpoint(tmp_path)
    checkpoint.info["under_way"] = told
    with pytest.raises(ValueError, match="The checkpoint "):
        SWAE(**SETTINGS).fit_epochs(X, checkpoint=checkpoint)


def test_a_command_goes_on_within_its_first_epoch(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("swae.commands.fit.CHECKPOINT_EVERY", 1e-9)
    words = ["fit", str(tmp_path / "x.npy"), "--max-epochs", "2", "--batch-size", "20"]

    def full(self, epoch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("swae.run.JsonLines.record", full)
        assert main([*words, "--out", str(tmp_path / "cut")]) == 130
    (name,) = [path.name for path in (tmp_path / "cut" / "checkpoints").glob("epoch-0000-*")][-1:]
    assert name.startswith("epoch-0000-0000")
    assert main([*words, "--out", str(tmp_path / "cut"), "--resume"]) == 0
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("cut", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [
        list(map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines()))
        for name in ("cut", "whole")
    ]
    for pair in zip(*rows, strict=True):
        one, other = ({k: v for k, v in row.items() if k != "seconds"} for row in pair)
        assert one == other


def test_an_epoch_begins_at_nothing():
    assert UnderWay() == (0, 0, 0.0, {}, 1)


def test_what_is_restored_within_an_epoch_is_stored_as_that(tmp_path):
    with pytest.raises(CutError):
        list(SWAE(**SETTINGS).fit_epochs(X, keep=cut_at(tmp_path / "run", steps=6)))
    restored = SWAE(**SETTINGS)
    restored.fit_epochs(X, checkpoint=latest_checkpoint(tmp_path / "run"))
    restored.save_checkpoint(tmp_path / "again")
    checkpoint, again = (latest_checkpoint(tmp_path / name) for name in ("run", "again"))
    assert again.info["under_way"] == checkpoint.info["under_way"]
    assert same(again.model, checkpoint.model)


def test_a_part_is_trained_on_from_its_beginning(tmp_path):
    with pytest.raises(CutError):
        list(SWAE(**SETTINGS).fit_epochs(X, keep=cut_at(tmp_path / "run", steps=6)))
    restored = SWAE(**SETTINGS)
    restored.fit_epochs(X, checkpoint=latest_checkpoint(tmp_path / "run"))
    before = restored.n_steps_
    restored.partial_fit(X[:80])
    assert restored.n_steps_ == before + 4


def test_shards_go_on_with_as_many_ranks(tmp_path):
    data, settings = shards(tmp_path), SETTINGS | {"validation_size": 0}
    with pytest.raises(CutError):
        list(SWAE(**settings).fit_epochs(data, keep=cut_at(tmp_path / "run", steps=4)))
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint.info["under_way"]["ranks"] == 1
    checkpoint.info["under_way"]["ranks"] = 2
    with pytest.raises(ValueError, match=r"each of 2 ranks .* there are 1 now"):
        SWAE(**settings).fit_epochs(data, checkpoint=checkpoint)
