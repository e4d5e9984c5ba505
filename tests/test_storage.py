"""What is kept of a model, and what is not believed of what was kept."""

import json
import time

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swae import SWAE
from swae.checkpoint import CorruptError, read_folder, write_folder
from swae.storage import plain

X = np.random.default_rng(0).random((60, 4), dtype=np.float32)
C = np.arange(60) % 3


def small(**params):
    given = {"n_projections": 5, "max_epochs": 1, "batch_size": 20, "network": "mlp"} | params
    return SWAE(**given)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The files of stored models by name, made once."""
    kinds = {
        "plain": small(),
        "mixture": small(prior="mixture:components=3"),
        "conditional": small(conditional=True, prior="mixture:components=3"),
        "likelihood": small(prior="mixture:components=3", penalty="log-likelihood"),
        "principal": small(slices="principal", standardize=True, output="linear"),
    }
    folder = tmp_path_factory.mktemp("models")
    for name, model in kinds.items():
        model.fit(X, C if model.conditional else None).save(folder / name)
    return {name: read_folder(folder / name) for name in kinds}


def edited(files, folder, **changes):
    """Writes a model whose configuration was changed, with the sums that belong to it."""
    config = json.loads(files["config.json"])
    for name, value in changes.items():
        (config["params"] if name in config["params"] else config)[name] = value
    write_folder(folder, {**files, "config.json": json.dumps(config).encode()})
    return folder


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor) and not t.is_meta]
        self.bytes = max([self.bytes, *(t.nbytes for t in made)])
        return out


# ----- a configuration is not believed


MANY = "mixture:components=20000000"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("plain", {"latent_dim": 15_000, "slices": "principal"}),
        ("plain", {"prior": MANY}),
        ("plain", {"prior": MANY, "linear": True, "output": "linear", "reconstruction": "mse"}),
        ("plain", {"slices": "principal"}),
        ("plain", {"conditional": True, "prior": "mixture:components=3"}),
        ("plain", {"standardize": True, "output": "linear", "reconstruction": "mse"}),
        ("mixture", {"prior": MANY}),
        ("mixture", {"prior": MANY, "conditional": True}),
        ("mixture", {"prior": MANY, "penalty": "log-likelihood"}),
        ("mixture", {"prior": "mixture"}),
        ("mixture", {"conditional": True}),
        ("likelihood", {"prior": MANY}),
        ("conditional", {"prior": MANY}),
        ("principal", {"latent_dim": 15_000}),
    ],
)
def test_nothing_is_made_larger_than_the_weights(models, tmp_path, kind, changes):
    folder = edited(models[kind], tmp_path, **changes)
    began = time.perf_counter()
    with Largest() as largest, pytest.raises(CorruptError, match="do not fit its configuration"):
        SWAE.load(folder)
    assert time.perf_counter() - began < 1
    assert largest.bytes < 2**20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoder": "x", "decoder": "y"}, "names a network"),
        ({"encoder": {"given": 3}}, "names a network"),
        ({"encoder": 3, "decoder": 3}, "names a network"),
        ({"device": [1]}, "no model's configuration"),
        ({"device": None}, "no model's configuration"),
        ({"classes": ["a"]}, "classes, but the prior is no mixture"),
        ({"typical": [0.0, 0.0, 0.0, 0.0]}, "no model's configuration"),
        ({"typical": [0.0, 1.0, 0.0, -1.0]}, "no model's configuration"),
        ({"typical": [0.0, float("nan"), 0.0, 1.0]}, "no model's configuration"),
        ({"typical": [0.0, 1.0, 0.0, float("inf")]}, "no model's configuration"),
        ({"typical": [float("nan"), 1.0, 0.0, 1.0]}, "no model's configuration"),
        ({"epochs": -5}, "no model's configuration"),
        ({"steps": -5}, "no model's configuration"),
        ({"steps": 1.5}, "no model's configuration"),
        ({"given": 3}, "no model's configuration"),
        ({"given": {"prior": "image:/etc/passwd"}}, "no model's configuration"),
        ({"given": {"prior": 3}}, "no model's configuration"),
        ({"given": {"latent_dim": 3}}, "no model's configuration"),
        ({"image_shape": {"stored": "samples"}}, "has no numbers of image_shape"),
        ({"p": {"stored": "samples"}}, "has no numbers of p"),
        ({"p": {}}, "has no numbers of p"),
        ({"image_shape": [-2, -2]}, "do not fit"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_refused(models, tmp_path, changes, sentence):
    with pytest.raises(CorruptError, match=sentence):
        SWAE.load(edited(models["plain"], tmp_path, **changes))


STRANGE = [None, True, -1, 10**30, 0.5, float("nan"), "x", "image:x", [], [1], ["x"], [[]], {}]


def complaint(folder):
    """Returns what is said to the user, if it is not that the file is corrupt."""
    try:
        SWAE.load(folder)
    except CorruptError:
        return None
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", SWAE().get_params())
@pytest.mark.usefixtures("unchecked")
def test_whatever_a_parameter_is(models, tmp_path, name):
    for value in [*STRANGE, {"x": 1}, {"given": []}, {"stored": []}]:
        folder = edited(models["plain"], tmp_path, **{name: value})
        said = complaint(folder)
        assert said is None or f"pass {name}= to load" in said or said.startswith("device"), said


@pytest.mark.usefixtures("unchecked")
def test_a_shape_of_numpy_comes_back(tmp_path):
    shape = (np.int64(1), np.int32(2), 2)
    model = small(image_shape=shape).fit(X)
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path)
    assert loaded.image_shape == [1, 2, 2]
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    assert plain([np.int64(2)]) == [2]
    assert type(plain([np.int64(2)])[0]) is int
