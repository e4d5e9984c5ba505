"""Ranks that were given different things say so, each of them, before they train."""

import importlib.util
import json
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from swae import SWAE, FromSamples, Normal, Uniform
from swae.checkpoint import latest_checkpoint, write_checkpoint
from swae.joining import all_alike


def rows(n=40, high=1.0, seed=0):
    return high * np.random.default_rng(seed).random((n, 3), dtype=np.float32)


def bad_rows():
    x = rows()
    x[3, 1] = np.nan
    return x


FITS = {
    "other rows": ({}, lambda rank: rows(seed=rank), "the data of rank 1 differs"),
    "fewer rows": ({}, lambda rank: rows(40 - 10 * rank), "the data of rank 1 differs"),
    "another range": ({}, lambda rank: rows(high=1 + rank), "the data of rank 1 differs"),
    "a row that is none": ({}, lambda rank: bad_rows() if rank else rows(), "rank 1 has refused"),
    "another rate": ({"learning_rate": (1e-3, 2e-3)}, lambda rank: rows(), "learning_rate of"),
    "another weight": ({"reg_weight": (1.0, 2.0)}, lambda rank: rows(), "reg_weight of rank 1"),
    "another prior": ({"prior": ("uniform", "normal")}, lambda rank: rows(), "prior of rank 1"),
    "another size": ({"batch_size": (10, 12)}, lambda rank: rows(), "batch_size of rank 1"),
    "more epochs": ({"max_epochs": (1, 2)}, lambda rank: rows(), "max_epochs of rank 1"),
    "a wrong setting": ({"latent_dim": (2, 0)}, lambda rank: rows(), "rank 1 has refused"),
    "another seed": ({"random_state": (0, 1)}, lambda rank: rows(), "random_state of rank 1"),
    "another law": ({"prior": (Uniform(2), Normal(2))}, lambda rank: rows(), "prior of rank 1"),
    "other points": (
        {"prior": tuple(FromSamples(rows(seed=i)[:, :2]) for i in range(2))},
        lambda rank: rows(),
        "prior of rank 1",
    ),
    "the same": ({}, lambda rank: rows(), None),
}


def main(folder, rank, port):
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    said = {}
    for name, (settings, data, _) in FITS.items():
        given = {key: values[rank] for key, values in settings.items()}
        try:
            SWAE(**{"max_epochs": 1, "batch_size": 10, "device": "cpu", **given}).fit(data(rank))
            said[name] = None
        except ValueError as error:
            said[name] = str(error)
    trained = shards(Path(folder) / "shards")
    cut = within_an_epoch(Path(folder) / "run")
    dist.barrier()
    dist.destroy_process_group()
    (Path(folder) / f"{rank}.json").write_text(
        json.dumps({"said": said, "shards": trained, "cut": cut})
    )


class CutError(Exception):
    pass


def within_an_epoch(folder):
    """Trains whole, and cut within an epoch and resumed, and returns the weights of both."""
    settings = {"max_epochs": 3, "batch_size": 9, "device": "cpu"}
    x = rows(47)
    whole = SWAE(**settings)
    uncut = list(whole.fit_epochs(x))
    seen = iter(range(7))

    def keep(standing):
        if next(seen, None) is None:
            if dist.get_rank() == 0:
                write_checkpoint(folder, standing())
            raise CutError

    with pytest.raises(CutError):
        list(SWAE(**settings).fit_epochs(x, keep=keep))
    dist.barrier()
    checkpoint = latest_checkpoint(folder)
    resumed = SWAE(**settings)
    records = list(resumed.fit_epochs(x, checkpoint=checkpoint))
    models = [whole, resumed]
    return {
        "batch": checkpoint.info["under_way"]["batch"],
        "losses": [records[0].loss, uncut[1].loss],
        "weights": [
            [float(p.double().sum()) for p in model.autoencoder_.parameters()] for model in models
        ],
    }


def write_shards(folder):
    from pyarrow import parquet, table

    folder.mkdir()
    for i, part in enumerate(np.array_split(rows(47), 3)):
        columns = {f"c{j}": part[:, j] for j in range(3)}
        parquet.write_table(table(columns), folder / f"{i}.parquet")


def shards(folder):
    """Fits shards, and returns what came of it and which rows this rank has read."""
    if not folder.exists():
        return None
    from swae.shards import Shards
    from swae.training import train_epochs

    seen = []

    def noted(model, batches, *args, **kwargs):
        epoch = batches.of_rank(dist.get_rank(), 2).epoch(0)
        seen.extend(float(x) for batch in epoch for x in batch.x[:, 0])
        return train_epochs(model, batches, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("swae.estimator.train_epochs", noted)
        settings = {"max_epochs": 2, "batch_size": 10, "validation_size": 0, "device": "cpu"}
        model = SWAE(**settings).fit(Shards.open(folder))
    weights = [float(p.double().sum()) for p in model.autoencoder_.parameters()]
    return {"weights": weights, "seen": seen, "steps": model.n_steps_}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    from test_distributed import ended, start

    folder = tmp_path_factory.mktemp("joining")
    if importlib.util.find_spec("datasets") and importlib.util.find_spec("pyarrow"):
        write_shards(folder / "shards")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = [start([sys.executable, __file__, folder, rank, port]) for rank in range(2)]
    for process in processes:
        code, output = ended(process)
        assert code == 0, output
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def said(told):
    return [rank["said"] for rank in told]


def test_shards_train_one_model(told):
    first, second = (rank["shards"] for rank in told)
    if first is None:
        pytest.skip("the library is not installed")
    assert first["steps"] == second["steps"] == 10
    assert first["weights"] == second["weights"]
    assert not set(first["seen"]) & set(second["seen"])
    assert sorted(first["seen"] + second["seen"]) == sorted(map(float, rows(47)[:, 0]))


def test_ranks_go_on_within_an_epoch(told):
    first, second = (rank["cut"] for rank in told)
    assert first == second
    assert first["batch"] > 0
    assert first["weights"][0] == first["weights"][1]
    assert first["losses"][0] == first["losses"][1]


@pytest.mark.parametrize("name", FITS)
def test_what_differs_is_refused_by_all(said, name):
    expected = FITS[name][2]
    if expected is None:
        assert [rank[name] for rank in said] == [None, None]
        return
    first, second = (rank[name] for rank in said)
    assert expected in first
    if "refused" in expected:
        assert "refused" not in second  # it says what was wrong
    else:
        assert second == first


def test_a_process_by_itself_is_like_itself():
    with all_alike() as facts:
        facts["x"] = torch.zeros(1)
    with pytest.raises(KeyError), all_alike():
        raise KeyError("x")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
