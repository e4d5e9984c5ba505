"""What is kept of a model, and what is not believed of what was kept."""

import copy
import json
import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swae import SWAE, Mixture
from swae.checkpoint import latest_checkpoint
from swae.data import DataError
from swae.manifest import CorruptError, read_folder, write_folder
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
        ("conditional", {"given": {"prior": MANY}}),
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
        assert said is None or f"pass {name}= to load" in said or "device has to be" in said, said


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


# ----- what is kept


@pytest.mark.parametrize("kind", ["image", "samples"])
@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
@pytest.mark.usefixtures("unchecked")
def test_a_pickle_wants_no_file(tmp_path, kind, copied):
    path = tmp_path / ("a.png" if kind == "image" else "a.npy")
    Image.fromarray(np.eye(3) > 0).save(path) if kind == "image" else np.save(path, np.eye(2))
    model = small(prior=f"{kind}:{path}").fit(X)
    path.unlink()
    other = copied(copied(model))
    np.testing.assert_array_equal(other.sample(20), model.sample(20))
    assert other.prior == model.prior
    other.save(tmp_path / "model")
    np.testing.assert_array_equal(SWAE.load(tmp_path / "model").sample(20), model.sample(20))


def begun(folder, **params):
    """Trains one epoch of two, and returns the checkpoint."""
    model = small(max_epochs=2, **params)
    next(model.fit_epochs(X, C if model.conditional else None))
    model.save_checkpoint(folder)
    return latest_checkpoint(folder)


def mixture(scale=0.1, **params):
    return Mixture.on_circle(3, scale=scale, **params)


@pytest.mark.parametrize("params", [{}, {"conditional": True}, {"penalty": "log-likelihood"}])
def test_training_does_not_go_on_with_another_mixture(tmp_path, params):
    y = C if "conditional" in params else None
    checkpoint = begun(tmp_path, prior=mixture(), **params)
    same = small(max_epochs=2, prior=mixture(), **params)
    assert len(list(same.fit_epochs(X, y, checkpoint=checkpoint))) == 1
    weighted = Mixture(mixture().means, 0.1, [1.0, 2.0, 3.0])
    for other in (mixture(scale=0.2), mixture(radius=2.0), weighted):
        with pytest.raises(DataError, match="prior is not what the checkpoint was trained with"):
            small(max_epochs=2, prior=other, **params).fit_epochs(X, y, checkpoint=checkpoint)


def test_training_goes_on_with_a_mixture_of_class_shares(tmp_path):
    y = np.array([0] * 31 + [1] * 17 + [-1] * 12)
    model = small(max_epochs=2, conditional=True)
    next(model.fit_epochs(X, y))
    model.save_checkpoint(tmp_path)
    assert len(set(model.prior_.weights.tolist())) == 2
    again = small(max_epochs=2, conditional=True)
    assert len(list(again.fit_epochs(X, y, checkpoint=latest_checkpoint(tmp_path)))) == 1


@pytest.mark.usefixtures("unchecked")
def test_steps_are_kept(models, tmp_path):
    model = small().fit(X)
    model.save(tmp_path)
    assert model.n_steps_ == 3
    assert SWAE.load(tmp_path).n_steps_ == 3
    assert pickle.loads(pickle.dumps(model)).n_steps_ == 3
    config = json.loads(models["plain"]["config.json"])
    del config["steps"], config["given"]  # as they were written before
    old = {**models["plain"], "config.json": json.dumps(config).encode()}
    write_folder(tmp_path / "old", old)
    loaded = SWAE.load(tmp_path / "old")
    assert (loaded.n_epochs_, loaded.n_steps_) == (1, 0)


@pytest.mark.parametrize("prior", [None, "mixture", "mixture:radius=2"])
def test_a_loaded_model_learns_other_classes(tmp_path, prior):
    model = small(conditional=True, prior=prior).fit(X, C % 2)
    model.save(tmp_path / "a")
    loaded = SWAE.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for other in (loaded, SWAE.load(tmp_path / "b")):
        assert other.prior == prior
        np.testing.assert_array_equal(other.sample(5, label=1), model.sample(5, label=1))
        assert clone(other).fit(X, C).classes_ == [0, 1, 2]


def test_what_overflowed_is_not_typical(models, tmp_path):
    write_folder(tmp_path, models["plain"])
    model = SWAE.load(tmp_path)
    assert model.typical_ is not None
    model.typical_ = model.typical_._replace(error=float("inf"))
    model.save(tmp_path)
    assert SWAE.load(tmp_path).typical_ is None
