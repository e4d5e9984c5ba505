r"""Tests for the swae.data module."""

import doctest
import hashlib
import random
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import swae.data
from swae.data import (
    ArrayBatches,
    Batches,
    DataError,
    LoaderBatches,
    Samples,
    as_samples,
    check_finite,
    holdout,
    to_float,
)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int64", "float16", "float32", "float64", ">f4", ">i2"]
)
def test_as_samples_of_every_type(dtype):
    X = rng().integers(0, 100, size=(5, 3)).astype(dtype)
    samples = as_samples(X)
    assert samples.x.dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
    np.testing.assert_array_equal(samples.x.numpy(), X.astype("float64"))
    assert samples.shape == (3,)
    assert len(samples) == 5
    assert samples.labels is None


SECONDS = 1_700_000_000


@pytest.mark.parametrize("at", [SECONDS, SECONDS + 64, -SECONDS])  # float32 jumps at the second
@pytest.mark.parametrize("dtype", ["float64", "int64", "uint32", ">f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 9, 9)])
def test_what_float32_can_not_tell_apart_is_refused(at, dtype, shape):
    if at < 0 and dtype == "uint32":
        at = 2**31
    X = rng().integers(0, 1000, size=(500, *shape)).astype(dtype)
    X[(..., *(size - 1 for size in shape))] = at
    assert len(as_samples(X)) == 500  # constant is no fault
    X[-1, ..., -1] = at + 1
    with pytest.raises(
        DataError, match=rf"[Cc]olumn .*varies only from {at} to {at + 1}.* offset"
    ):
        as_samples(X)
    with pytest.raises(DataError, match="of codes varies"):
        as_samples(X, name="codes")
    assert len(as_samples(X, fitting=False)) == 500
    assert len(as_samples(X[-10:])) == 10


@pytest.mark.parametrize(
    "column",
    [
        0.1 + 0.2 * (np.arange(500) % 2 == 0) + 0.2 * (np.arange(500) % 2),  # rounding alone
        np.where(np.arange(500) % 2, 1, np.nextafter(np.float32(1), np.float32(0))),
        np.where(np.arange(500) % 2, 1, np.nextafter(np.float32(1), np.float32(2))),
        1e-60 * np.arange(500),  # next to nothing
        1e-17 * np.arange(-250, 250),
        SECONDS + 10.0 * np.arange(500),
        np.where(np.arange(500) < 499, SECONDS, 0.0),
    ],
)
def test_what_float32_can_tell_apart_or_is_constant_is_taken(column):
    X = np.column_stack([column.astype(np.float64), np.ones(500)])
    assert len(as_samples(X)) == 500


def test_fingerprints_copy_nothing_and_stay():
    x = torch.arange(24.0).reshape(4, 6)
    wanted = hashlib.sha256(b"(4, 6)" + x.numpy().tobytes()).hexdigest()
    assert Samples(x).fingerprint() == wanted
    assert Samples(x.T.contiguous().T).fingerprint() == wanted
    x = torch.zeros(2**22)[:, None]
    tracemalloc.start()
    Samples(x).fingerprint()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("view", [lambda X: X[::-1], lambda X: X.T, lambda X: X[:, ::2]])
def test_as_samples_of_any_strides(view):
    X = rng().random((4, 6), dtype=np.float32)
    np.testing.assert_array_equal(as_samples(view(X)).x.numpy(), view(X))


def test_as_samples_shares_memory_but_not_read_only():
    X = rng().random((4, 6), dtype=np.float32)
    assert np.shares_memory(as_samples(X).x.numpy(), X)
    X.flags.writeable = False
    assert not np.shares_memory(as_samples(X).x.numpy(), X)


def test_as_samples_of_tensors():
    x = torch.rand(3, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    samples = as_samples(x, torch.tensor([2, 0, 1], dtype=torch.int32))
    assert not samples.x.requires_grad
    assert samples.x.dtype == torch.float32
    assert samples.labels.dtype == torch.int64
    assert as_samples(x.to(torch.bfloat16)).x.dtype == torch.float32


class Sparse:
    def toarray(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((2, 2), dtype=complex), TypeError, "real numbers.*got complex128.*astype"),
        (
            torch.ones(2, 2, dtype=torch.complex64),
            TypeError,
            r"real numbers.*torch\.complex64",
        ),
        (np.ones((2, 2), dtype=bool), TypeError, "real numbers.*got bool"),
        (torch.ones(2, 2, dtype=torch.bool), TypeError, r"real numbers.*got torch\.bool"),
        (np.array([["a"]]), TypeError, "real numbers.*got <U1"),
        (np.array([[None]]), TypeError, "real numbers.*got object"),
        (torch.eye(2).to_sparse(), TypeError, r"dense, got a sparse tensor.*X\.to_dense"),
        (Sparse(), TypeError, r"dense NumPy array or tensor, got Sparse.*X\.toarray"),
        ([[1.0]], TypeError, r"NumPy array or tensor, got list.*np\.asarray"),
        (np.float32(1), ValueError, r"row per sample.*got shape \(\)"),
        (np.ones(3), ValueError, r"row per sample.*got shape \(3,\).*reshape"),
        (np.ones((0, 3)), ValueError, r"at least one value, got shape \(0, 3\)"),
        (np.ones((3, 0)), ValueError, r"at least one value, got shape \(3, 0\)"),
    ],
)
def test_as_samples_refuses(X, error, message):
    with pytest.raises(error, match=message):
        as_samples(X)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_refused_with_its_row(value):
    X = np.ones((9, 2, 3))
    X[[4, 7], 1, 2] = value
    with pytest.raises(DataError, match=r"2 of its 9 rows.*first of them row 4"):
        as_samples(X)


def test_check_finite_passes_large_values_and_bytes():
    check_finite(torch.full((3, 4), 3e38))
    check_finite(torch.full((3, 4), -3e38))
    check_finite(torch.full((3, 4), 255, dtype=torch.uint8))
    check_finite(torch.empty(0, 4))


@pytest.mark.parametrize("labels", [[1, 0, 2], (1.0, 0.0, 2.0), torch.tensor([1, 0, 2])])
def test_labels_are_whole_numbers(labels):
    samples = as_samples(np.ones((3, 2)), labels)
    assert samples.labels.tolist() == [1, 0, 2]
    assert samples.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"shape \(3,\).*got shape \(2,\)"),
        ([[0], [1], [2]], r"shape \(3,\).*got shape \(3, 1\)"),
        ([0.5, 1, 2], "integers, got float64"),
        ([np.nan, 1, 2], "integers, got float64"),
        ([np.inf, 1, 2], "integers, got float64"),
        (["a", "b", "c"], "integers, got <U1: np.unique"),
    ],
)
def test_labels_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        as_samples(np.ones((3, 2)), labels)


def test_select_by_positions_and_by_mask():
    samples = Samples(torch.arange(8).reshape(4, 2).float(), torch.arange(4), (("x.png", "bad"),))
    for index in (torch.tensor([1, 3]), torch.tensor([False, True, False, True])):
        chosen = samples.select(index)
        assert chosen.x.tolist() == [[2, 3], [6, 7]]
        assert chosen.labels.tolist() == [1, 3]
        assert chosen.rejected == samples.rejected


def test_to_float():
    x = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(x), torch.arange(256) / 255)
    assert to_float(torch.ones(2, dtype=torch.float64)).dtype == torch.float32
    with pytest.raises(TypeError, match=r"uint8.*got torch\.int64"):
        to_float(torch.arange(3))


@pytest.mark.parametrize(("n", "part", "count"), [(10, 0.2, 2), (2, 0.1, 1), (7, 3, 3), (9, 8, 8)])
@pytest.mark.parametrize("seed", range(3))
def test_holdout_parts(n, part, count, seed):
    kept, held_out = holdout(n, part, seed=seed)
    assert len(held_out) == count
    assert sorted(kept.tolist() + held_out.tolist()) == list(range(n))
    assert torch.equal(kept, kept.sort().values)
    assert torch.equal(held_out, held_out.sort().values)


def test_holdout_depends_on_the_seed_only():
    torch.manual_seed(1)
    first = holdout(1000, 0.2, seed=5)[1]
    torch.manual_seed(2)
    assert torch.equal(first, holdout(1000, 200, seed=5)[1])
    assert not torch.equal(first, holdout(1000, 0.2, seed=6)[1])


@pytest.mark.parametrize("part", [0, 10, -1, 0.0, 1.0, 1.5, float("nan")])
def test_holdout_leaves_both_sides(part):
    with pytest.raises(ValueError, match="fraction_or_count must"):
        holdout(10, part, seed=0)


class Jittered(Dataset):
    """Augmented by torch's global generator; the first value is the label."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return torch.rand(3) + i, i


def numbered(n=10):
    return as_samples(np.arange(n, dtype=np.float32)[:, None], np.arange(n))


def everything(batches, epoch):
    return torch.cat([batch.x for batch in batches.epoch(epoch)])


def shuffled_loader(**options):
    return DataLoader(Jittered(), batch_size=4, shuffle=True, **options)


BATCHES = {
    "array": lambda seed: ArrayBatches(numbered(), 4, seed=seed),
    "dataset": lambda seed: LoaderBatches(Jittered(), 4, seed=seed),
    "loader": lambda seed: LoaderBatches(shuffled_loader(), seed=seed),
    "loader with a generator": lambda seed: LoaderBatches(
        shuffled_loader(generator=torch.Generator().manual_seed(9)), seed=seed
    ),
}


@pytest.mark.parametrize("kind", BATCHES)
class TestEveryBatches:
    def test_an_epoch_shows_each_sample_once(self, kind):
        batches = BATCHES[kind](0)
        assert isinstance(batches, Batches)
        epoch = list(batches.epoch(0))
        assert [len(batch.x) for batch in epoch] == [4, 4, 2]
        assert len(batches) == 3
        assert batches.n == 10
        labels = torch.cat([batch.labels for batch in epoch])
        assert labels.dtype == torch.int64
        assert sorted(labels.tolist()) == list(range(10))
        for batch in epoch:
            assert batch.x.shape[1:] == batches.shape
            assert batch.x.dtype == torch.float32
            assert torch.equal(batch.x[:, 0].long(), batch.labels)

    def test_an_epoch_is_a_function_of_seed_and_epoch(self, kind):
        torch.manual_seed(1)
        batches = BATCHES[kind](0)
        first, second = everything(batches, 0), everything(batches, 1)
        torch.manual_seed(2)
        assert torch.equal(everything(batches, 0), first)
        assert torch.equal(everything(BATCHES[kind](0), 1), second)
        assert not torch.equal(first, second)
        assert not torch.equal(everything(BATCHES[kind](1), 0), first)

    def test_what_happens_between_batches_does_not_matter(self, kind):
        batches = BATCHES[kind](0)
        expected = everything(batches, 3)
        seen = []
        for batch in batches.epoch(3):
            torch.rand(7)
            next(batches.epoch(4))
            seen.append(batch.x)
        assert torch.equal(torch.cat(seen), expected)

    def test_global_generators_are_untouched(self, kind):
        def states():
            numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
            return torch.get_rng_state().tolist(), numpy, random.getstate()

        before = states()
        for _ in BATCHES[kind](0).epoch(0):
            assert states() == before
        assert states() == before


def test_the_last_batch_is_dropped():
    for batches in (
        ArrayBatches(numbered(), 4, drop_last=True),
        LoaderBatches(Jittered(), 4, drop_last=True),
        LoaderBatches(shuffled_loader(drop_last=True)),
    ):
        assert [len(batch.x) for batch in batches.epoch(0)] == [4, 4]
        assert len(batches) == 2
        assert batches.n == 8


def test_a_dataset_has_the_order_of_an_array():
    samples = numbered(100)
    dataset = TensorDataset(samples.x, samples.labels)
    for epoch in range(2):
        assert torch.equal(
            everything(ArrayBatches(samples, 7, seed=3), epoch),
            everything(LoaderBatches(dataset, 7, seed=3), epoch),
        )


def test_bytes_stay_bytes_in_memory():
    X = rng().integers(0, 256, size=(9, 1, 2, 2), dtype=np.uint8)
    batches = ArrayBatches(as_samples(X), 2, device="cpu")
    assert batches.samples.x.dtype == torch.uint8
    assert np.shares_memory(batches.samples.x.numpy(), X)
    x = everything(batches, 0)
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.sum() == pytest.approx(X.sum() / 255, rel=1e-5)
    assert next(batches.epoch(0)).labels is None


def test_generators_of_a_loader_are_given_back():
    generator = torch.Generator().manual_seed(9)
    batches = LoaderBatches(shuffled_loader(generator=generator))
    before = generator.get_state()
    everything(batches, 0)
    assert torch.equal(generator.get_state(), before)


def test_workers_repeat_too():
    loader = shuffled_loader(num_workers=1)
    batches = LoaderBatches(loader)
    assert torch.equal(everything(batches, 1), everything(batches, 1))


class Items(Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    "item",
    [
        np.full((1, 2, 3), 51, dtype=np.uint8),
        torch.full((1, 2, 3), 51, dtype=torch.uint8),
        Image.new("L", (3, 2), 51),
        torch.full((1, 2, 3), 0.2, dtype=torch.float64),
    ],
)
@pytest.mark.parametrize("label", [None, 4, np.int32(4), torch.tensor(4)])
def test_items_of_a_dataset(item, label):
    items = Items(*[item if label is None else (item, label)] * 3)
    (batch,) = LoaderBatches(items, 3).epoch(0)
    torch.testing.assert_close(batch.x, torch.full((3, 1, 2, 3), 0.2))
    assert batch.labels is None if label is None else batch.labels.tolist() == [4, 4, 4]


def test_items_of_one_element():
    assert next(LoaderBatches(TensorDataset(torch.ones(3, 2)), 3).epoch(0)).labels is None


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([{"image": torch.ones(2)}], TypeError, r"Items must be x or \(x, label\).*got dict"),
        ([torch.arange(3)], TypeError, "x must be uint8"),
        ([torch.tensor(1.0)], ValueError, "at least one axis"),
        ([(torch.ones(2), 0.5)], ValueError, "labels must be integers"),
        ([torch.ones(2), torch.ones(3)], DataError, r"one shape, got \(2,\) and \(3,\)"),
    ],
)
def test_items_refused(items, error, message):
    with pytest.raises(error, match=message):
        LoaderBatches(Items(*items), len(items))


def test_batches_refuse_other_shapes_and_what_is_not_finite():
    several = LoaderBatches(Items(torch.ones(2), torch.ones(2), torch.ones(3)), 1)
    with pytest.raises(DataError, match=r"one shape, got \(\d,\) first and \(\d,\) in batch"):
        everything(several, 1)
    several = LoaderBatches(Items(torch.ones(2), torch.tensor([1.0, torch.nan])), 2)
    with pytest.raises(DataError, match=r"In batch 0 of epoch 5: .*1 of its 2 rows"):
        everything(several, 5)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.ones(4, 2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ArrayBatches(numbered(), 0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: ArrayBatches(numbered(), 11, drop_last=True), ValueError, "at most.*10.*got 11"),
        (lambda: ArrayBatches(Samples(torch.empty(0, 2)), 4), ValueError, "at least one sample"),
        (
            lambda: LoaderBatches(DataLoader(Jittered(), 11, drop_last=True)),
            ValueError,
            "at least one batch, got none",
        ),
        (lambda: LoaderBatches(Jittered()), ValueError, "batch_size must be given"),
        (lambda: LoaderBatches(shuffled_loader(), 4), ValueError, "left out with a data loader"),
        (lambda: LoaderBatches(iter([]), 4), TypeError, "DataLoader or a dataset.*list_iterator"),
        (lambda: LoaderBatches(DataLoader(Stream())), TypeError, "length, got.*Stream"),
    ],
)
def test_batches_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_examples():
    assert doctest.testmod(swae.data).failed == 0
