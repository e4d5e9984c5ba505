"""The examples of other shapes than images: each runs, draws its figure, and returns codes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["series", "volumes"])
def test_an_example_draws_its_figure(name, tmp_path):
    out = tmp_path / "figure.png"
    codes = example(name).main(epochs=1, n=40, out=str(out))
    assert codes.shape == (40, 2)
    assert np.isfinite(codes).all()
    with Image.open(out) as image:
        assert min(image.size) > 300


@pytest.mark.parametrize(
    ("name", "create", "shape"),
    [("series", "waves", (1, 128)), ("volumes", "blobs", (1, 10, 10, 10))],
)
def test_the_data_are_what_the_estimator_takes(name, create, shape):
    x, truth = getattr(example(name), create)(9)
    assert (x.shape, x.dtype, len(truth)) == ((9, *shape), np.float32, 9)
    assert x.min() >= 0
    assert 0.8 < x.max() <= 1
