"""What every test gets: shapes that are checked, a seed, one thread, and no window.

The import hook has to be there before the first ``import swae``, so it is installed here. It
holds each call in the layers 0 to 2 against its jaxtyping annotation; nothing does so for users.
"""

import time
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import matplotlib as mpl
import numpy as np
import pytest
import torch

CHECKED = """
    accumulation autoencoder chunked distributed kernels linear networks penalties priors
    projections resolution scaling seeding sliced spelling steering univariate
"""

jaxtyping.install_import_hook(
    [f"swae.{module}" for module in CHECKED.split()],
    # An int is a float here, as PEP 484 has it.
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)
mpl.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """Keeps what tests decode out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Lets a test that draws from torch's global generator draw the same at each run."""
    torch.manual_seed(0)


@pytest.fixture
def generator():
    """A seeded generator, of which torch's global one knows nothing."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def unchecked():
    """Switches the shape checks off, so that a wrong call arrives at our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def write_idx(path, values):
    sizes = b"".join(size.to_bytes(4) for size in values.shape)
    path.write_bytes(bytes((0, 0, 8, values.ndim)) + sizes + values.tobytes())


@pytest.fixture
def mnist_like(tmp_path):
    """A folder of IDX files with the names of MNIST's and few, random images."""
    folder, rng = tmp_path / "idx", np.random.default_rng(0)
    folder.mkdir()
    for name, n in (("train", 200), ("t10k", 40)):
        images, labels = (rng.integers(256, size=(n, 28, 28)), rng.integers(10, size=n))
        write_idx(folder / f"{name}-images-idx3-ubyte", images.astype(np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels.astype(np.uint8))
    return folder


@pytest.fixture
def cheap():
    """A context that takes less than a second, and less than 50 MB more than before."""

    @contextmanager
    def measured():
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, began = memory("VmRSS"), time.perf_counter()
        yield
        seconds, taken = time.perf_counter() - began, memory("VmHWM") - before
        assert seconds < 1
        assert taken < 50e6

    return measured


def memory(name):
    """Returns the bytes that the system counts for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024
