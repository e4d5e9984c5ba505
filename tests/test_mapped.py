"""Arrays in files are mapped: what they hold may be more than the memory."""

import re
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from swae import SWAE, sources
from swae.data import ArrayBatches, as_samples
from swae.sources import load

MIB = 2**20


def stored(folder, n=300, shape=(8,), dtype=np.float32, order="C"):
    rng = np.random.default_rng(0)
    scale = 255 if dtype == np.uint8 else 1
    np.save(folder / "x.npy", (scale * rng.random((n, *shape))).astype(dtype, order=order))
    return folder / "x.npy"


@pytest.fixture
def all_mapped(monkeypatch):
    monkeypatch.setattr(sources, "MAPPED_FROM", 0)


@contextmanager
def room(size):
    """Lets the process have so many bytes more of its own, which mapped files are not."""
    text = Path("/proc/self/status").read_text()
    now = 1024 * int(re.search(r"VmData:\s+(\d+)", text)[1])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_large_array_is_mapped(tmp_path, all_mapped, dtype):
    path = stored(tmp_path, dtype=dtype)
    samples = load(path, "all")
    assert samples.mapped
    assert torch.equal(samples.x, torch.from_numpy(np.load(path)))
    assert load(path, "train").array.data_ptr() != load(path, "train").x.data_ptr()


def test_a_small_one_is_read(tmp_path):
    assert not load(stored(tmp_path)).mapped


@pytest.mark.parametrize(
    "how", [{"dtype": np.float64}, {"order": "F", "shape": (8, 8)}, {"dtype": ">f4"}]
)
def test_what_has_to_be_cast_is_read(tmp_path, all_mapped, how):
    path = stored(tmp_path, **how)
    samples = load(path, "all")
    assert not samples.mapped
    np.testing.assert_array_equal(samples.x.numpy(), np.load(path).astype(np.float32))


@pytest.mark.parametrize("mode", ["r", "c"])
@pytest.mark.parametrize("shape", [(8,), (1, 4, 4)])
def test_mapped_in_python_it_is_as_in_memory(tmp_path, mode, shape):
    path = stored(tmp_path, shape=shape)
    settings = {"max_epochs": 2, "batch_size": 50, "validation_size": 40}
    mapped, read = np.load(path, mmap_mode=mode), np.load(path)
    assert as_samples(mapped).mapped
    a, b = (SWAE(**settings).fit(X) for X in (mapped, read))
    assert a.validation_.mapped
    assert a.fingerprint_ == b.fingerprint_
    assert a.evaluate(mapped) == b.evaluate(read)
    for method in (SWAE.transform, SWAE.score, SWAE.score_samples):
        np.testing.assert_array_equal(method(a, mapped), method(b, read))
    np.testing.assert_array_equal(np.load(path), read)


def test_values_in_own_units_are_standardised_alike(tmp_path):
    path = stored(tmp_path)
    np.save(path, 100 * np.load(path) - 3)
    models = [SWAE(max_epochs=1).fit(np.load(path, mmap_mode=mode)) for mode in ("r", None)]
    a, b = (model.autoencoder_.scaling.mean for model in models)
    assert torch.equal(a, b)


def test_nobody_is_given_what_lies_in_the_file(tmp_path, all_mapped):
    """To write to it would end the process, or change the data of others."""
    path = stored(tmp_path)
    samples = load(path, "all")
    before = np.load(path)
    for x in (samples.x, *samples.chunks(100), *samples.blocks()):
        x.zero_()
    for batch in ArrayBatches(samples, 50).epoch(0):
        batch.x.zero_()
    np.testing.assert_array_equal(np.load(path), before)
    assert torch.equal(samples.x, torch.from_numpy(before))


def test_blocks_are_all_the_samples_in_their_order(monkeypatch):
    samples = as_samples(np.random.default_rng(0).random((100, 4), dtype=np.float32))
    monkeypatch.setattr("swae.data.BLOCK", 4 * 16)
    sizes = [len(part) for part in samples.blocks()]
    assert sizes == [4] * 25
    assert torch.equal(torch.cat(list(samples.blocks(3))), samples.x)


def test_a_run_has_less_memory_than_its_data(tmp_path):
    """192 MiB of images, and 128 MiB for all that is made of them."""
    n = 3 * 2**16
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 1, 32, 32))
    array[::64] = np.arange(n)[::64, None, None, None] % 256  # the rest is holes of the file
    array.flush()
    del array
    with pytest.raises(MemoryError), room(128 * MIB):
        bytearray(192 * MIB)
    with room(128 * MIB):
        samples = load(path)
        model = SWAE(network="mlp", max_epochs=1, batch_size=1024, validation_size=512)
        model.fit(samples)
        assert len(model.transform(samples)) == len(samples)
        model.score(samples)
