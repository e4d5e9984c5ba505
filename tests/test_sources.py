r"""Tests for the swae.sources module."""

import doctest
import functools
import gzip
import itertools
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import swae.sources
from swae.data import DataError, holdout
from swae.sources import has_test, load

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No test reaches the hub, or what the machine happens to hold."""
    monkeypatch.delenv("SWAE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)


def rng():
    return np.random.default_rng(0)


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
    debian = swae.sources.Mnist("fashion-mnist", "FashionMNIST", "hub", listing)
    assert len(debian.read("train", None, 0)) == 3


IMAGES = np.zeros((5, 28, 28), dtype=np.uint8)
gzipped = functools.partial(gzip.compress, mtime=0)  # the same bytes at each run
ZIPPED = gzipped(idx(rng().integers(0, 256, size=(5, 28, 28), dtype=np.uint8)))
FLIPPED = bytearray(ZIPPED)
FLIPPED[len(FLIPPED) // 2] ^= 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (gzipped(idx(IMAGES)[:-1]), "announces 5 x 28 x 28 values, got 3919"),
        (gzipped(idx(IMAGES) + b"!"), "announces 5 x 28 x 28 values, got more"),
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
        (gzipped(bytes((0, 0, 8, 3)) + b"\x7f" * 12 + bytes(99)), "values, got 99"),
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


def test_all_of_a_source_is_in_its_order(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10.0)[:, None])
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 1)), x_test=np.ones((2, 1)))
    assert load(tmp_path / "x.npy", "all").x.flatten().tolist() == list(range(10))
    assert (has_test(tmp_path / "x.npy"), has_test(tmp_path / "x.npz")) == (False, True)
    with pytest.raises(ValueError, match=r"'train' or 'test' where a source has both.*x\.npz"):
        load(tmp_path / "x.npz", "all")


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
    (tmp_path / "x.txt").write_text("1,2")
    for source, message in (
        (
            "mnits",
            "mnits does not exist: .*'digits', 'mnist', 'fash.* Did you mean 'mnist'",
        ),
        ("Digits", "Did you mean 'digits'"),
        (tmp_path / "x.npy", r"x\.npy does not exist"),
        (tmp_path / "x.txt", r"x\.txt is no data that is known"),
        (tmp_path / "x.csv", r"x\.csv does not exist.*\.csv, \.tsv or \.parquet file"),
        ("a\0b", "does not exist"),
        ("a" * 5000, "does not exist"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load(source)
        assert not isinstance(error.value, DataError)


def test_no_such_option():
    with pytest.raises(ValueError, match="split must be 'train', 'test' or 'all', got 'valid'"):
        load("digits", "valid")
    for source, option in (
        ("digits", {"image_size": 8}),
        ("x.csv", {"crop": 8}),
        ("digits", {"label_column": "y"}),
        ("x.npy", {"columns": ["a"]}),
    ):
        (name,) = option
        with pytest.raises(ValueError, match=rf"{name} must be left out.*'{source}'"):
            load(source, **option)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the shared data are not here")
def test_mnist_itself():
    test = load("mnist", "test", data_dir=SHARED)
    assert test.x.shape == (10_000, 1, 28, 28)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert test.x.double().mean() / 255 == pytest.approx(0.1325, abs=1e-4)


def test_examples():
    assert doctest.testmod(swae.sources).failed == 0
