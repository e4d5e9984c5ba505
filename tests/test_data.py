r"""Tests for the swae.data module."""

import doctest
import gzip
import itertools
import random
import struct
import sys
import types
import zipfile
from pathlib import Path

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
    load,
    to_float,
)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No test reaches the hub, or what the machine happens to hold."""
    monkeypatch.delenv("SWAE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)


def rng():
    return np.random.default_rng(0)


# ----- samples


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


# ----- batches


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


# ----- sources


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_mnist(folder, n=5, prefix="train", dot="-", suffix=".gz", **content):
    """Writes a small MNIST and returns its arrays."""
    x = rng().integers(0, 256, size=(n, 28, 28), dtype=np.uint8)
    y = rng().integers(0, 10, size=n, dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    for kind, array in (("images", x), ("labels", y)):
        path = folder / f"{prefix}-{kind}{dot}idx{array.ndim}-ubyte{suffix}"
        path.write_bytes(content.get(kind, pack(idx(array))))
    return x, y


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", ""),
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", ""),
        ("fashion-mnist", "fashion-mnist/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_round_trip(tmp_path, name, place, suffix, dot, split):
    prefix = {"train": "train", "test": "t10k"}[split]
    x, y = write_mnist(tmp_path / place, prefix=prefix, suffix=suffix, dot=dot)
    samples = load(name, split, data_dir=tmp_path)
    assert samples.x.dtype == torch.uint8
    assert samples.labels.dtype == torch.int64
    np.testing.assert_array_equal(samples.x.numpy(), x[:, None])
    np.testing.assert_array_equal(samples.labels.numpy(), y)


def test_own_folders_win_and_the_environment_names_the_root(tmp_path, monkeypatch):
    write_mnist(tmp_path, n=3)
    write_mnist(tmp_path / "FashionMNIST/raw", n=4)
    monkeypatch.setenv("SWAE_DATA", str(tmp_path))
    assert len(load("mnist")) == 3
    assert len(load("fashion-mnist")) == 4


def test_debian_package_is_asked(tmp_path, monkeypatch):
    write_mnist(tmp_path / "deb", n=3)
    listing = tmp_path / "package.list"
    listing.write_text(f"/.\n{tmp_path}/deb\n{tmp_path}/deb/train-images-idx3-ubyte.gz\n")
    debian = swae.data._Mnist("fashion-mnist", "FashionMNIST", "hub", listing)
    assert len(debian.read("train", None, 0)) == 3


IMAGES = np.zeros((5, 28, 28), dtype=np.uint8)
ZIPPED = gzip.compress(idx(rng().integers(0, 256, size=(5, 28, 28), dtype=np.uint8)))
FLIPPED = bytearray(ZIPPED)
FLIPPED[len(FLIPPED) // 2] ^= 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (gzip.compress(idx(IMAGES)[:-1]), "announces 5 x 28 x 28 values, got 3919"),
        (gzip.compress(idx(IMAGES) + b"!"), "announces 5 x 28 x 28 values, got more"),
        (idx(IMAGES)[:10], "IDX file of bytes with 3 axes"),
        (b"", "got nothing"),
        (ZIPPED[:-100], "cannot be read"),
        (bytes(FLIPPED), "cannot be read"),
        (idx(IMAGES[0]), "00 00 08 03, got 00 00 08 02"),
        (b"\0\0\x0d\x03" + idx(IMAGES)[4:], "00 00 08 03, got 00 00 0d 03"),
        (b"<html>", "IDX file.*got 3c 68 74 6d"),
        (idx(IMAGES[:, :27]), r"28 x 28, got \(27, 28\)"),
        (idx(IMAGES[:4]), "holds 4 images, but .*labels.* 5 labels"),
        (idx(IMAGES[:0]), "announces 0 x 28 x 28 values, got 0"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "announces 4294967295 x .* got 0"),
        (gzip.compress(bytes((0, 0, 8, 3)) + b"\x7f" * 12 + bytes(99)), "values, got 99"),
    ],
)
def test_idx_faults_name_the_file(tmp_path, images, message):
    write_mnist(tmp_path, images=images)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.gz.*{message}"):
        load("mnist", data_dir=tmp_path)


def test_missing_mnist_says_what_to_put_where(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"without its labels")
    with pytest.raises(DataError) as error:
        load("mnist", data_dir=tmp_path)
    for part in (
        "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz",
        str(tmp_path / "MNIST/raw"),
        "--data-dir",
        "$SWAE_DATA",
        "pip install 'swae[hub]'",
    ):
        assert part in str(error.value)
    with pytest.raises(DataError, match="looked in no folder"):
        load("mnist")


def test_hub_is_asked_last(monkeypatch):
    def load_dataset(name, split):
        assert (name, split) == ("ylecun/mnist", "test")
        return {"image": [Image.new("L", (28, 28), 7)] * 2, "label": [3, 1]}

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    samples = load("mnist", "test")
    assert samples.x.shape == (2, 1, 28, 28)
    assert samples.x.unique().tolist() == [7]
    assert samples.labels.tolist() == [3, 1]


def test_hub_without_network(monkeypatch):
    def load_dataset(name, split):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"failed with ConnectionError.*put t10k-images"):
        load("mnist", "test")


def test_digits():
    train, test = load("digits"), load("digits", "test")
    assert (len(train), len(test)) == (1438, 359)
    for samples in (train, test):
        assert samples.shape == (1, 8, 8)
        assert samples.x.dtype == torch.uint8
        assert samples.labels.dtype == torch.int64
        assert (samples.x.min(), samples.x.max()) == (0, 255)
        assert len(samples.x.unique()) == 17
    assert torch.equal(load("digits").x, train.x)
    assert not torch.equal(load("digits", seed=1).x, train.x)


def test_npy(tmp_path):
    X = rng().integers(0, 256, size=(10, 3, 4, 4), dtype=np.uint8)
    path = tmp_path / "x.npy"
    np.save(path, X)
    kept, held_out = holdout(10, 0.2, seed=3)
    for split, index in (("train", kept), ("test", held_out)):
        x = load(path, split, seed=3).x
        assert x.dtype == torch.uint8
        np.testing.assert_array_equal(x.numpy(), X[index.numpy()])


@pytest.mark.parametrize(
    "names",
    [("x", "y"), ("X", "labels"), ("images", "y"), ("x_train", "y_train"), ("codes", None)],
)
def test_npz_without_a_test_split(tmp_path, names):
    X, y = rng().normal(size=(10, 3)), np.arange(10)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **{names[0]: X}, **({names[1]: y} if names[1] else {}))
    train, test = load(str(path)), load(str(path), "test")
    assert (len(train), len(test)) == (8, 2)
    if names[1] is None:
        assert train.labels is None
    else:
        np.testing.assert_array_equal(train.x.numpy(), X[train.labels.numpy()].astype("float32"))


def test_npz_with_a_test_split(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((3, 2)), y=np.zeros(3), x_test=np.ones((2, 2)), y_test=np.ones(2))
    train, test = load(path), load(path, "test")
    assert (len(train), len(test)) == (3, 2)
    assert train.labels.tolist() == [0, 0, 0]
    assert test.labels.tolist() == [1, 1]
    assert test.x.min() == 1


def npy_bytes(shape, body=b""):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00",
        npy_bytes((10, 2), bytes(79)),
        npy_bytes((10**15, 2)),
        npy_bytes((-3, 2), bytes(24)),
        npy_bytes("__import__('os').abort()"),
        npy_bytes("(" * 90),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_hostile_arrays(tmp_path, content, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\{suffix} cannot be read \(.+\): replace"):
        load(path)


def test_truncated_archive(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones((10, 2)))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"x\.npz cannot be read"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([[1.0], [np.nan]])}, r"In .*x\.npz: X must be finite.*row 1"),
        ({"x": np.array([[{}]])}, r"x\.npz cannot be read \(Object arrays"),
        ({"x": np.ones((2, 2), dtype=bool)}, r"In .*x\.npz: X must hold real numbers"),
        ({"x": np.ones((2, 2)), "y": np.ones(3)}, r"In .*x\.npz: labels must be of shape \(2,\)"),
        ({"a": np.ones((2, 2)), "b": np.ones(3)}, r"x\.npz must hold an array 'x'.*got 'a', 'b'"),
        ({"x": np.ones((1, 2))}, "at least 2 samples"),
    ],
)
def test_arrays_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.npz")


def write_images(folder, values):
    folder.mkdir(parents=True)
    for value in values:
        Image.new("L", (4, 4), value).save(folder / f"{value}.png")


def test_folder_with_classes(tmp_path):
    write_images(tmp_path / "photos/cat", range(10))
    write_images(tmp_path / "photos/dog", range(100, 110))
    train, test = (load(tmp_path / "photos", split, seed=2) for split in ("train", "test"))
    assert (len(train), len(test)) == (16, 4)
    for samples in (train, test):
        assert samples.shape == (1, 4, 4)
        assert torch.equal(samples.labels, (samples.x[:, 0, 0, 0] >= 100).long())
    assert load(tmp_path / "photos/cat", image_size=2).shape == (1, 2, 2)
    assert load(tmp_path / "photos/cat").labels is None


def test_folder_with_a_test_split(tmp_path):
    for split, value in itertools.product(("train", "test"), (0, 1)):
        write_images(tmp_path / split / f"class {value}", [value])
    for split in ("train", "test"):
        samples = load(tmp_path, split)
        assert samples.x[:, 0, 0, 0].tolist() == samples.labels.tolist() == [0, 1]


def test_rejected_files_travel_along(tmp_path, caplog):
    write_images(tmp_path / "photos", range(200))
    (tmp_path / "photos/bad.png").write_text("no image")
    for split, n in (("train", 160), ("test", 40)):
        samples = load(tmp_path / "photos", split)
        assert len(samples) == n
        ((path, reason),) = samples.rejected
        assert path == str(tmp_path / "photos/bad.png")
        assert reason.startswith("not an image")
    assert "1 of 201 images" in caplog.text


def test_names_win_over_folders_unless_written_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "digits", range(5))
    assert load("digits").shape == (1, 8, 8)
    assert load("./digits").shape == (1, 4, 4)
    assert load(Path("digits")).shape == (1, 4, 4)


def test_no_such_source(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    for source, message in (
        ("mnits", "'digits', 'mnist', 'fashion-mnist'.*'mnits'.*not exist. Did you mean 'mnist'"),
        ("Digits", "Did you mean 'digits'"),
        (tmp_path / "x.npy", r"x\.npy', which does not exist"),
        (tmp_path / "x.csv", r"x\.csv', which is none of these"),
        ("a\0b", "which does not exist"),
        ("a" * 5000, "which does not exist"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load(source)
        assert not isinstance(error.value, DataError)


def test_no_such_option():
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'valid'"):
        load("digits", "valid")
    with pytest.raises(ValueError, match=r"image_size must be left out.*'digits'"):
        load("digits", image_size=8)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the shared data are not here")
def test_mnist_itself():
    test = load("mnist", "test", data_dir=SHARED)
    assert test.x.shape == (10_000, 1, 28, 28)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert test.x.double().mean() / 255 == pytest.approx(0.1325, abs=1e-4)


def test_examples():
    assert doctest.testmod(swae.data).failed == 0
