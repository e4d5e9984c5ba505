"""Every kind of batches: an epoch may be entered anywhere, and shared out among ranks."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from swae.data import ArrayBatches, Batches, LoaderBatches, PartBatches, as_samples
from swae.feeding import UnitBatches
from swae.images import DataError
from swae.shards import ShardBatches, Shards

N, SIZE = 23, 5
X = np.linspace(0, 1, 3 * N, dtype=np.float32).reshape(N, 3)


def arrays(folder):
    return ArrayBatches(as_samples(X, np.arange(N)), SIZE)


def dataset(folder):
    return LoaderBatches(TensorDataset(torch.from_numpy(X), torch.arange(N)), SIZE)


def loader(folder):
    data = TensorDataset(torch.from_numpy(X), torch.arange(N))
    return LoaderBatches(DataLoader(data, SIZE, shuffle=True))


def shards(folder):
    pytest.importorskip("datasets")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for i, rows in enumerate(np.array_split(np.arange(N), 4)):
        columns = {f"c{j}": X[rows, j] for j in range(3)} | {"label": rows}
        parquet.write_table(pa.table(columns), folder / f"{i}.parquet", row_group_size=4)
    return ShardBatches(Shards.open(folder, label_column="label"), SIZE, block=7)


def unit(folder):
    return UnitBatches(arrays(folder))


def part(folder):
    return PartBatches(dataset(folder), 1, 2)


KINDS = [arrays, dataset, loader, shards, unit, part]


def same(a, b):
    return torch.equal(a.x, b.x) and torch.equal(a.labels, b.labels)


def test_each_class_is_here(tmp_path):
    found = {type(kind(tmp_path)) for kind in KINDS}
    assert found == {kind for kind in Batches.__subclasses__() if kind.__module__[:5] == "swae."}


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_may_be_entered_anywhere(tmp_path, kind):
    batches = kind(tmp_path)
    whole = list(batches.epoch(2))
    assert len(whole) == len(batches) == 5
    for start in (1, 4, 5):
        rest = list(batches.epoch(2, start))
        assert len(rest) == 5 - start
        assert all(map(same, rest, whole[start:]))


@pytest.mark.parametrize("kind", [arrays, dataset, loader, shards, unit])
@pytest.mark.parametrize("ranks", [2, 7])
def test_ranks_share_out_each_batch(tmp_path, kind, ranks):
    batches = kind(tmp_path)
    parts = [batches.of_rank(rank, ranks) for rank in range(ranks)]
    assert all((len(part), part.n, part.shape) == (5, N, (3,)) for part in parts)
    labels = []
    for i, together in enumerate(zip(*(part.epoch(1) for part in parts), strict=True)):
        assert sum(len(batch.x) for batch in together) == min(SIZE, N - i * SIZE)
        labels += [label for batch in together for label in batch.labels.tolist()]
    assert sorted(labels) == list(range(N))
    for part in parts:
        assert all(map(same, part.epoch(1, 3), list(part.epoch(1))[3:]))


def test_a_value_out_of_range_is_refused_by_the_rank_that_has_it():
    x = X.copy()
    x[-1, -1] = 2
    batches, last = ArrayBatches(as_samples(x, np.arange(N)), SIZE), N - 1
    (at,) = [i for i, batch in enumerate(batches.epoch(0)) if last in batch.labels]
    refused = []
    for rank in range(7):
        try:
            list(UnitBatches(batches).of_rank(rank, 7).epoch(0, start=at))
        except DataError as error:
            refused.append(str(error))
    (said,) = refused
    assert f"batch {at} of epoch 0 reaches from" in said
