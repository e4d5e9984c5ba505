"""The estimator: the one configuration, and a model that fits, encodes, decodes and is kept."""

import hashlib
import json
import logging
import math
import time

import numpy as np
import pytest
import scipy
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from swae import SWAE, FromFunction, FromPicture, FromSamples, Mixture, Normal, Ring, Uniform
from swae.checkpoint import latest_checkpoint
from swae.data import DataError, Samples
from swae.manifest import CorruptError, read_folder, write_folder
from swae.networks import build
from swae.presets import PAPER, PRESETS, STEPS
from swae.stopping import objective
from swae.storage import FILES
from swae.weights import from_safetensors, to_safetensors

SMALL = {"max_epochs": 2, "batch_size": 16, "n_projections": 10}


def rng():
    return np.random.default_rng(0)


def vectors(n=40, d=6):
    return rng().random((n, d), dtype=np.float32)


def pixels(n=40):
    return rng().integers(0, 256, size=(n, 1, 8, 8), dtype=np.uint8)


def small(**settings):
    return SWAE(**{**SMALL, **settings})


def weights(model):
    return model.autoencoder_.state_dict()


def same(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def huber(x_hat, x):
    return nn.functional.smooth_l1_loss(x_hat, x)


@pytest.fixture(scope="module")
def fitted():
    return small(max_epochs=3).fit(vectors())


# ----- fit and use


@pytest.mark.parametrize("dim", [1, 2, 16])
@pytest.mark.parametrize("data", [vectors, pixels])
def test_shapes(data, dim):
    X = data()
    model = small(latent_dim=dim).fit(X)
    codes = model.transform(X)
    assert codes.shape == (40, dim)
    assert model.inverse_transform(codes).shape == X.shape
    assert model.sample(3).shape == (3, *X.shape[1:])
    assert model.evaluate(X).n == 40
    for result in (codes, model.inverse_transform(codes), model.sample(3)):
        assert isinstance(result, np.ndarray)
        assert result.dtype == np.float32
    assert model.sample(5).min() >= 0
    assert model.sample(5).max() <= 1
    assert model.n_features_in_ == X[0].size
    np.testing.assert_array_equal(
        model.reconstruct(X), model.inverse_transform(model.transform(X))
    )


def test_fit_transform(fitted):
    codes = clone(fitted).fit_transform(vectors())
    np.testing.assert_array_equal(codes, fitted.transform(vectors()))


def test_a_seed_is_a_model(fitted):
    assert same(small(max_epochs=3).fit(vectors()), fitted)
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    assert same(small(max_epochs=3).fit(vectors()), fitted)
    assert not same(small(max_epochs=3, random_state=1).fit(vectors()), fitted)


def test_global_generators_are_untouched(fitted):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    model = clone(fitted).fit(vectors())
    model.sample(3)
    model.evaluate(vectors())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002


def test_samples_repeat_by_their_seed(fitted):
    np.testing.assert_array_equal(fitted.sample(4), fitted.sample(4))
    np.testing.assert_array_equal(fitted.sample(4, seed=0), fitted.sample(4))
    assert not np.array_equal(fitted.sample(4, seed=1), fitted.sample(4))
    assert fitted.evaluate(vectors()) == fitted.evaluate(vectors())


def test_chunks_change_nothing(fitted):
    X = vectors(2500)
    whole = fitted.transform(X)
    parts = np.concatenate([fitted.transform(part) for part in np.split(X, 5)])
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_using_a_model_leaves_its_mode(fitted):
    fitted.autoencoder_.train()
    fitted.transform(vectors())
    fitted.sample(2)
    assert fitted.autoencoder_.training


def test_bytes_are_shares_of_data_and_never_of_codes(fitted):
    codes = np.array([[0, 1], [1, 0]])
    np.testing.assert_array_equal(
        fitted.inverse_transform(codes.astype(np.uint8)), fitted.inverse_transform(codes)
    )
    X = pixels()
    model = small().fit(X)
    np.testing.assert_allclose(model.transform(X), model.transform(X / 255), rtol=1e-5, atol=1e-6)


def test_a_fit_learns():
    X = vectors(100)
    before = small(max_epochs=1, learning_rate=1e-30).fit(X).evaluate(X)
    after = small(max_epochs=20).fit(X).evaluate(X)
    assert after.bce < before.bce
    assert after.match.sw2 < before.match.sw2


@pytest.mark.parametrize("data", [vectors, pixels])
def test_datasets_and_loaders_are_as_arrays(data):
    """The same order, the same draws, the same steps: the same model; labels change nothing."""
    X, y = data(), np.arange(40)
    array = small(validation_size=0).fit(X, y)
    samples = small(validation_size=0).fit(Samples(torch.as_tensor(X), torch.as_tensor(y)))
    dataset = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    assert same(array, samples)
    assert same(array, small(validation_size=0).fit(X))
    assert same(array, small().fit(dataset))

    loader = SWAE(max_epochs=2, n_projections=10).fit(DataLoader(dataset, 16, shuffle=True))
    assert loader.transform(X).shape == (40, 2)
    assert loader.settings_["batch_size"] == 16
    assert loader.settings_["validation_size"] == 0


def test_the_size_of_a_dataset_decides_as_that_of_an_array():
    X = vectors(60)
    models = [
        SWAE(n_projections=10, max_epochs=1, validation_size=None if own else 0).fit(data)
        for own, data in ((False, X), (True, TensorDataset(torch.as_tensor(X))))
    ]
    assert same(*models)
    assert models[0].settings_["batch_size"] == models[1].settings_["batch_size"] == 50
    loader = DataLoader(TensorDataset(torch.as_tensor(X)), 20)
    model = SWAE()
    model.fit_epochs(loader)
    assert model.settings_["max_epochs"] == math.ceil(STEPS / 3)


def test_a_linear_output_takes_any_data():
    X = 100 * vectors() - 50
    model = small(reconstruction="mse", output="linear").fit(X)
    assert model.evaluate(X).bce is None
    assert model.evaluate(X).mse > 0


def test_own_networks_are_copied():
    encoder, decoder = build((6,), 2)
    model = small(encoder=encoder, decoder=decoder)
    before = [p.clone() for p in encoder.parameters()]
    model.fit(vectors())
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert model.transform(vectors()).shape == (40, 2)


# ----- the configuration


def test_the_paper_s_settings():
    settings = SWAE(preset="paper").resolve(vectors(600))
    assert {name: settings[name] for name in PAPER} == {
        "prior": "uniform", "reg_weight": 10.0, "reg_growth": 1.0, "n_projections": 50,
        "slices": "iid", "quasi": False, "oversampling": 1, "stratified": True,
        "reconstruction": "bce+l1", "output": "sigmoid", "optimizer": "rmsprop",
        "learning_rate": 0.001, "schedule": "constant", "max_epochs": 20, "batch_size": 500,
        "drop_last": True, "validation_size": 0,
    }  # fmt: skip
    assert settings["p"] == 2
    assert settings["patience"] is None


@pytest.mark.parametrize("preset", PRESETS)
def test_resolved_settings_are_whole(preset):
    settings = SWAE(preset=preset).resolve(vectors(600))
    nothing = {name for name, value in settings.items() if value is None}
    assert nothing == {"patience", "micro_batch_size", "encoder", "decoder", "image_shape"}


def test_best_takes_enough_steps_of_small_data():
    settings = SWAE().resolve(vectors(1200))
    assert settings["validation_size"] == 1 / 12
    assert settings["batch_size"] == 1100 // 16
    assert settings["max_epochs"] == math.ceil(STEPS / math.ceil(1100 / 68))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, [10.0] * 11 + [10 * 1.1**k for k in range(1, 20)]),
        ({"reg_growth": 1.0}, [10.0] * 30),
        ({"reg_weight": 2.0}, [2.0] * 11 + [2 * 1.1**k for k in range(1, 20)]),
    ],
)
def test_the_authors_lambda(given, wanted):
    """Multiplied by 1.1 at the start of each epoch with index 11 to 29: from 10 to 61.2."""
    model = SWAE(preset="authors", batch_size=40, n_projections=1, **given)
    weight = []
    for epoch in model.fit_epochs(vectors()):
        weight.append(model.autoencoder_.reg_weight)
        assert len(weight) == epoch.number
    assert weight == pytest.approx(wanted)
    if not given:
        assert weight[-1] == pytest.approx(61.2, abs=0.05)


def test_a_parameter_beats_its_preset():
    for name, value in {"batch_size": 20, "prior": "ring", "drop_last": False}.items():
        settings = SWAE(preset="paper", **{name: value}).resolve(vectors(600))
        assert settings[name] == value
        assert settings["optimizer"] == "rmsprop"


def test_get_params_and_clone():
    given = {"latent_dim": 3, "prior": "normal", "batch_size": 5, "preset": "authors"}
    model = SWAE(**given)
    params = model.get_params()
    assert params.items() >= given.items()
    assert params["optimizer"] is None
    assert clone(model).get_params() == params
    assert SWAE().set_params(**params).get_params() == params


def test_a_fit_changes_no_parameter():
    model = small()
    params = model.get_params()
    model.fit(vectors())
    assert model.get_params() == params


@pytest.mark.parametrize(("preset", "stratified"), [("paper", True), ("best", False)])
def test_a_ring_is_stratified_as_its_preset_says_and_never_when_measured(preset, stratified):
    model = small(preset=preset, prior="ring").fit(vectors())
    assert model.autoencoder_.penalty.prior.stratified == stratified
    assert model.prior_.stratified is False
    angles = np.arctan2(*model.sample_codes(100).T[::-1])
    gaps = np.diff(np.sort(angles))
    assert gaps.max() > 2 * gaps.mean()

    own = small(prior=Ring(stratified=True)).fit(vectors())
    assert own.autoencoder_.penalty.prior.stratified
    assert own.prior_.stratified is False


# ----- errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"preset": "papre"}, "preset has to be one of .*'paper'.* but is 'papre'"),
        ({"prior": "unifrom"}, "no prior 'unifrom'.* Did you mean 'uniform'"),
        ({"prior": "ring", "latent_dim": 3}, "'ring' lives in 2 dimensions, but latent_dim is 3"),
        ({"prior": "ring:sgma=1"}, "'ring' takes .*'sgma=1'.*Did you mean 'sigma'"),
        ({"prior": Normal(3)}, "prior has 3 dimensions, but latent_dim is 2"),
        ({"prior": np.ones((4, 3))}, "prior has 3 dimensions, but latent_dim is 2"),
        ({"latent_dim": 0}, "has to be a whole number >= 1, but is 0"),
        ({"latent_dim": "2"}, "has to be a whole number >= 1, but is '2'"),
        ({"reg_weight": -1}, "reg_weight has to be a finite number >= 0, but is -1"),
        ({"reg_weight": "ten"}, "reg_weight has to be a finite number >= 0, but is 'ten'"),
        ({"reg_growth": math.nan}, "reg_growth has to be a finite number >= 0, but is nan"),
        ({"n_projections": 2.5}, "n_projections has to be a whole number >= 1, but is 2.5"),
        ({"p": 0.5}, "p has to be .*>= 1.*but is 0.5"),
        ({"slices": "othogonal"}, "slices has to be one of .*'orthogonal'.* is 'othogonal'"),
        ({"slices": "equispaced", "latent_dim": 3}, "'equispaced' exist for d = 2 alone"),
        ({"quasi": "no"}, "quasi has to be True or False, but is 'no'"),
        ({"oversampling": 0}, "oversampling has to be a whole number >= 1, but is 0"),
        ({"stratified": 1}, "stratified has to be True or False, but is 1"),
        ({"network": "conv"}, "network has to be one of .*'convolutional'.* but is 'conv'"),
        ({"network": 3}, "network has to be one of .* but is 3"),
        ({"reconstruction": "bec"}, "reconstruction has to be one of .*'bce'.* but is 'bec'"),
        (
            {"output": "linear", "reconstruction": "bce"},
            "cross-entropy, which wants output='sigmoid'",
        ),
        ({"optimizer": "adm"}, "optimizer has to be one of .*'adam'.* but is 'adm'"),
        ({"learning_rate": 0}, "learning_rate has to be a finite number > 0, but is 0"),
        ({"learning_rate": "fast"}, "learning_rate has to be a finite number > 0, but is 'fast'"),
        ({"schedule": "cosin"}, "schedule has to be one of .*'cosine'.* but is 'cosin'"),
        ({"schedule": 3}, "schedule has to be one of .* but is 3"),
        ({"max_epochs": 0}, "max_epochs has to be a whole number >= 1, but is 0"),
        ({"batch_size": 2.0}, "batch_size has to be a whole number >= 1, but is 2.0"),
        ({"drop_last": "yes"}, "drop_last has to be True or False, but is 'yes'"),
        ({"drop_last": True, "batch_size": 99}, "batch_size must be at most.*got 99"),
        ({"validation_size": 40}, "validation_size has to leave samples .* but is 40 of 40"),
        ({"validation_size": 0.999}, "validation_size has to leave samples .* but is 0.999 of 40"),
        ({"validation_size": -0.1}, "validation_size has to be a finite number >= 0"),
        ({"validation_size": 2.5}, "validation_size has to be whole above 1, but is 2.5"),
        ({"validation_size": math.inf}, "validation_size has to be a finite number"),
        ({"patience": 0}, "patience has to be a whole number >= 1, but is 0"),
        ({"patience": 2, "validation_size": 0}, "patience wants validation_size > 0"),
        ({"precision": "float"}, "precision has to be one of .*'bf16'.* but is 'float'"),
        ({"precision": 32}, "precision has to be one of .*'32'.* but is 32"),
        ({"device": "gpu"}, "device has to be auto, cpu, cuda or mps, but is 'gpu'"),
        ({"random_state": None}, "random_state has to be a whole number, but is None"),
        ({"random_state": 1.5}, "random_state has to be a whole number, but is 1.5"),
        ({"encoder": nn.Linear(6, 2)}, "encoder and decoder have to be given together"),
        (
            {"encoder": nn.Linear(6, 2), "decoder": nn.Sequential(nn.Linear(2, 6), nn.Sigmoid())},
            "decoder ends in its own Sigmoid",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_are_refused_before_training(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**settings).fit_epochs(vectors())


def test_a_misspelt_parameter():
    with pytest.raises(TypeError, match="unexpected keyword argument 'latent_dims'"):
        SWAE(latent_dims=2)


@pytest.mark.parametrize(
    ("X", "error", "sentence"),
    [
        (
            2 * vectors(),
            DataError,
            r"want data in \[0, 1\].*output='linear'",
        ),
        (vectors() - 1, DataError, "data reaches from -0"),
        (TensorDataset(torch.as_tensor(2 * vectors())), DataError, "want data in"),
        (np.where(vectors() > 0.99, np.nan, vectors()), DataError, "first of them row"),
        (np.ones(5), ValueError, "Reshape your data"),
        (torch.ones(5), ValueError, "row per sample"),
        ([[1.0, 2.0]], ValueError, "1 sample"),
        (torch.ones(1, 2), ValueError, "at least 2 samples to train on, but holds 1 sample"),
        (np.ones((0, 3)), ValueError, "0 sample"),
        (np.ones((3, 0)), ValueError, "0 feature"),
        (vectors() + 1j, ValueError, "Complex data not supported"),
        (scipy.sparse.csr_array(vectors()), TypeError, "[Ss]parse"),
        (np.array([["a", "b"]] * 9, dtype=object), ValueError, "could not convert string"),
        (np.array([[{}, {}]] * 9, dtype=object), TypeError, "argument must be"),
        (np.full((30, 1, 3, 3), -1.0), DataError, "reaches from -1 to -1"),
        (DataLoader(TensorDataset(torch.ones(5, 2)), 5), ValueError, "left out with a data load"),
    ],
)
def test_data_are_refused_before_training(X, error, sentence):
    with pytest.raises(error, match=sentence):
        small(reconstruction="bce").fit_epochs(X)


@pytest.mark.parametrize("settings", [{"validation_size": 5}, {"patience": 2}])
def test_nothing_is_held_back_of_a_dataset(settings):
    with pytest.raises(ValueError, match=r"validation_size and patience hold back .* of arrays"):
        small(**settings).fit_epochs(TensorDataset(torch.as_tensor(vectors())))


def test_use_before_fit():
    for use in (
        lambda model: model.transform(vectors()),
        lambda model: model.inverse_transform(vectors(d=2)),
        lambda model: model.sample(2),
        lambda model: model.evaluate(vectors()),
        lambda model: model.save("nowhere"),
        lambda model: model.prior_,
    ):
        with pytest.raises(NotFittedError, match="not fitted yet; call fit, or"):
            use(SWAE())


def test_other_shapes_are_refused(fitted):
    for use in (fitted.transform, fitted.evaluate, fitted.score, fitted.score_samples):
        with pytest.raises(ValueError, match="has 5 features, but SWAE is expecting 6 features"):
            use(vectors(d=5))
        with pytest.raises(DataError, match=r"samples of X have shape \(5,\).*wants \(6,\)"):
            use(torch.ones(3, 5))
        with pytest.raises(DataError, match=r"have shape \(6, 1\), but the model wants \(6,\)"):
            use(np.ones((3, 6, 1)))
    with pytest.raises(DataError, match=r"Z has to have 2 columns, .* have shape \(3,\)"):
        fitted.inverse_transform(np.ones((4, 3)))
    with pytest.raises(DataError, match="row 1"):
        fitted.inverse_transform(np.array([[0.0, 0.0], [np.nan, 0.0]]))
    for n in (0, -1, 2.0):
        with pytest.raises(ValueError, match=f"n has to be a whole number >= 1, but is {n}"):
            fitted.sample(n)


# ----- early stop and continuation


def noise():
    """A few targets that can only be learnt by heart: the held-back loss soon rises."""
    return rng().integers(0, 2, size=(24, 12)).astype(np.float32)


def stopping(**settings):
    given = {"patience": 2, "validation_size": 0.25, "learning_rate": 0.01, "reg_weight": 0.0}
    return small(max_epochs=60, schedule="constant", **given, **settings)


def test_patience_stops_and_keeps_the_best(caplog):
    model, losses, states = stopping(), [], []
    with caplog.at_level(logging.INFO, "swae"):
        for _ in model.fit_epochs(noise()):
            size = model.settings_["batch_size"]
            losses.append(objective(model.autoencoder_, model.validation_, size, 0))
            states.append({k: t.clone() for k, t in weights(model).items()})
    best = losses.index(min(losses))
    assert best > 0
    assert len(losses) == best + 1 + 2 < 60
    assert all(torch.equal(t, states[best][name]) for name, t in weights(model).items())
    assert f"the best epoch was {best + 1}" in caplog.text


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("dim", [2, 16])
def test_checkpoints_go_on_bit_for_bit(tmp_path, optimizer, dim):
    """At every epoch a new process, as it were: last batches are partial, slices principal."""
    given = {"max_epochs": 4, "optimizer": optimizer, "latent_dim": dim}
    whole = small(**given).fit(pixels())
    for stop in range(1, 5):
        part = small(**given)
        checkpoint = latest_checkpoint(tmp_path)
        assert (0 if checkpoint is None else checkpoint.epoch) == stop - 1
        for epoch in part.fit_epochs(pixels(), checkpoint=checkpoint):
            if epoch.number == stop:
                part.save_checkpoint(tmp_path)
                break
    assert same(whole, part)


def test_patience_goes_on_bit_for_bit(tmp_path):
    """A checkpoint of any epoch, the one that ends the training included."""
    whole = stopping().fit(noise())
    epochs = whole.n_epochs_
    for stop in (1, whole.best_.epoch, epochs - 1, epochs):
        part = stopping()
        for epoch in part.fit_epochs(noise()):
            if epoch.number == stop:
                part.save_checkpoint(tmp_path / str(stop))
                break
        part = stopping()
        rest = list(part.fit_epochs(noise(), checkpoint=latest_checkpoint(tmp_path / str(stop))))
        assert len(rest) == epochs - stop
        assert same(whole, part)


def test_a_checkpoint_of_another_model(tmp_path):
    model = small()
    for _ in model.fit_epochs(vectors()):
        model.save_checkpoint(tmp_path)
    checkpoint = latest_checkpoint(tmp_path)
    for X in (vectors(d=7), 1 - vectors(), vectors(41)):
        with pytest.raises(DataError, match="data is not what the checkpoint was trained on"):
            small().fit_epochs(X, checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"checkpoint does not fit: .* other settings, or of"):
        small(latent_dim=3).fit_epochs(vectors(), checkpoint=checkpoint)


# ----- on disk


@pytest.mark.parametrize("data", [vectors, pixels])
@pytest.mark.parametrize("settings", [{}, {"latent_dim": 16}, {"prior": "mixture:components=3"}])
def test_a_model_comes_back(tmp_path, data, settings):
    model = small(**settings).fit(data())
    model.save(tmp_path / "model")
    loaded = SWAE.load(tmp_path / "model")
    assert same(model, loaded)
    np.testing.assert_array_equal(model.transform(data()), loaded.transform(data()))
    np.testing.assert_array_equal(model.sample(5), loaded.sample(5))
    assert model.evaluate(data()) == loaded.evaluate(data())
    assert loaded.n_epochs_ == 2
    assert loaded.settings_ == model.settings_ == loaded.get_params()
    assert same(clone(loaded).fit(data()), model)


def test_what_is_written(tmp_path, fitted):
    fitted.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    config = json.loads((tmp_path / "config.json").read_text())
    params = config["params"]
    assert {name for name, value in params.items() if value is None} == {
        "patience", "micro_batch_size", "encoder", "decoder", "image_shape"
    }  # fmt: skip
    assert params.keys() == fitted.get_params().keys()
    assert config["shape"] == [6]
    sums = json.loads((tmp_path / "manifest.json").read_text())
    for name, expected in sums.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == expected


def test_saving_again_replaces(tmp_path, fitted):
    small().fit(pixels()).save(tmp_path)
    fitted.save(tmp_path)
    assert same(SWAE.load(tmp_path), fitted)


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_numbers(tmp_path):
    given = {"reg_weight": np.float64(5), "random_state": np.int64(3)}
    small(**given).fit(vectors()).save(tmp_path)
    params = SWAE.load(tmp_path).get_params()
    assert {name: params[name] for name in given} == given


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor, lambda z: z.tolist()])
def test_an_array_as_prior_is_stored(tmp_path, wrap):
    z = rng().normal(size=(30, 2)).astype(np.float32)
    model = small(prior=wrap(z)).fit(vectors())
    assert set(map(tuple, model.sample_codes(50))) <= set(map(tuple, z))
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path)
    np.testing.assert_array_equal(loaded.sample(20), model.sample(20))
    assert loaded.evaluate(vectors()) == model.evaluate(vectors())
    loaded.save(tmp_path / "again")
    assert same(SWAE.load(tmp_path / "again"), model)


@pytest.mark.parametrize(
    "prior",
    [
        Uniform(2),
        Normal(2),
        Ring(radius=2.0, sigma=0.5),
        Ring(stratified=True),
        Mixture([[0.0, 1.0], [2.0, 3.0]], [0.1, 0.2], [0.3, 0.7]),
        FromSamples(np.ones((3, 2))),
        FromPicture(np.arange(12.0).reshape(3, 4)),
        Image.fromarray(np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)),
    ],
)
def test_a_prior_of_ours_is_stored(tmp_path, prior):
    model = small(prior=prior).fit(vectors())
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path)
    np.testing.assert_array_equal(loaded.sample(20), model.sample(20))
    assert loaded.evaluate(vectors()) == model.evaluate(vectors())


@pytest.mark.parametrize("kind", ["image", "samples"])
def test_a_prior_from_a_file_lies_with_the_weights(tmp_path, kind):
    path = tmp_path / ("a.png" if kind == "image" else "a.npy")
    Image.fromarray(np.eye(3) > 0).save(path) if kind == "image" else np.save(path, np.eye(2))
    model = small(prior=f"{kind}:{path}").fit(vectors())
    path.unlink()
    model.save(tmp_path / "model")
    loaded = SWAE.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.sample(20), model.sample(20))
    assert loaded.evaluate(vectors()) == model.evaluate(vectors())
    assert str(path) not in (tmp_path / "model" / "config.json").read_text()


def moon(n, generator):
    return torch.rand(n, 2, generator=generator).cumsum(dim=1)


def test_a_function_is_a_prior(tmp_path):
    model = small(prior=moon).fit(vectors())
    assert isinstance(model.prior_, FromFunction)
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path, prior=moon)
    np.testing.assert_array_equal(loaded.sample(20), model.sample(20))


@pytest.mark.parametrize("prior", [np.eye(3), np.arange(9.0).reshape(3, 3)])
@pytest.mark.parametrize("law", [FromPicture, lambda a: FromSamples(a[:, :2])])
def test_training_does_not_go_on_with_another_law(tmp_path, prior, law):
    first = small(prior=law(prior))
    next(first.fit_epochs(vectors()))
    first.save_checkpoint(tmp_path)
    checkpoint = latest_checkpoint(tmp_path)
    assert len(list(small(prior=law(prior)).fit_epochs(vectors(), checkpoint=checkpoint))) == 1
    for other in (law(prior + np.eye(3)[::-1]), law(np.ones((2, 3)))):
        with pytest.raises(DataError, match="prior is not what the checkpoint was trained with"):
            small(prior=other).fit_epochs(vectors(), checkpoint=checkpoint)


def laplace():
    law = torch.distributions.Laplace(torch.zeros(2), torch.ones(2))
    return torch.distributions.Independent(law, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prior", laplace()),
        ("prior", FromFunction(lambda n, g: torch.rand(n, 2, generator=g), 2)),
        ("reconstruction", huber),
        ("p", torch.abs),
    ],
)
def test_what_a_file_can_not_hold_is_passed_again(tmp_path, name, value):
    model = small(**{name: value}).fit(vectors())
    model.save(tmp_path)
    with pytest.raises(
        ValueError, match=rf"your own {name} \(a .*no file can hold: .* {name}=\.\.\."
    ):
        SWAE.load(tmp_path)
    loaded = SWAE.load(tmp_path, **{name: value})
    np.testing.assert_array_equal(loaded.sample(5), model.sample(5))
    np.testing.assert_array_equal(loaded.transform(vectors()), model.transform(vectors()))


def test_own_networks_are_passed_again(tmp_path):
    networks = dict(zip(("encoder", "decoder"), (nn.Linear(6, 2), nn.Linear(2, 6)), strict=True))
    model = small(**networks).fit(vectors())
    model.save(tmp_path)
    with pytest.raises(ValueError, match=r"your own (en|de)coder \(a Linear\)"):
        SWAE.load(tmp_path)
    loaded = SWAE.load(tmp_path, **networks)
    np.testing.assert_array_equal(loaded.transform(vectors()), model.transform(vectors()))
    other = {"encoder": nn.Linear(6, 2, bias=False), "decoder": nn.Linear(2, 6)}
    with pytest.raises(ValueError, match=r"no part of the model is called 'encoder\.bias'"):
        SWAE.load(tmp_path, **other)


def test_weights_from_elsewhere_make_a_model(tmp_path):
    own = [network.state_dict() for network in build((6,), 2)]
    model = SWAE.from_weights(*own, (6,), preset="authors")
    assert model.n_epochs_ == 0
    assert model.settings_["max_epochs"] == 30
    model.save(tmp_path)
    assert same(model, SWAE.load(tmp_path))
    assert torch.equal(weights(model)["encoder.1.weight"], own[0]["1.weight"])
    with pytest.raises(ValueError, match="have to be of the networks that the parameters"):
        SWAE.from_weights(*reversed(own), (6,))


def test_load_takes_a_device(tmp_path, fitted):
    fitted.save(tmp_path)
    assert next(SWAE.load(tmp_path, device="cpu").autoencoder_.parameters()).device.type == "cpu"
    with pytest.raises(ValueError, match="device has to be auto, cpu, cuda or mps, but is 'gpu'"):
        SWAE.load(tmp_path, device="gpu")


# ----- hostile folders


def edited(**changes):
    """Changes the configuration, and writes the sums that belong to it."""

    def edit(folder):
        files = read_folder(folder)
        config = {**json.loads(files["config.json"]), **changes}
        write_folder(folder, {**files, "config.json": json.dumps(config).encode()})

    return edit


def params(**changes):
    def edit(folder):
        config = json.loads((folder / "config.json").read_text())
        edited(params={**config["params"], **changes})(folder)

    return edit


def replaced(name, content):
    return lambda folder: write_folder(folder, {**read_folder(folder), name: content})


def lacking(name):
    return lambda folder: write_folder(
        folder, {key: value for key, value in read_folder(folder).items() if key != name}
    )


HOSTILE = {
    "flipped": (lambda f: (f / "config.json").write_text("{}"), "sha256 differs"),
    "version": (edited(format=2), "has format 2, but this swae reads 1"),
    "no version": (replaced("config.json", b"{}"), "config.json is no model's configuration"),
    "no JSON": (replaced("config.json", b"\x80\x04cos\nsystem"), "config.json is no JSON"),
    "deep JSON": (replaced("config.json", b"[" * 100_000), "config.json is no JSON"),
    "list": (replaced("config.json", b"[1]"), "config.json is no model's configuration"),
    "no config": (lacking("config.json"), "has to name config.json, model.safetensors and"),
    "no weights": (lacking("model.safetensors"), "has to name config.json, model.safetensors and"),
    "pickle": (replaced("model.safetensors", b"\x80\x04cos\nsystem"), "no safetensors file"),
    "huge header": (replaced("model.safetensors", b"\xff" * 9), "no safetensors file"),
    "no shape": (edited(shape=None), "config.json is no model's configuration"),
    "text as shape": (edited(shape=["a"]), "config.json is no model's configuration"),
    "shape": (edited(shape=[7]), "do not fit its configuration"),
    "empty shape": (edited(shape=[]), "do not fit its configuration"),
    "huge shape": (edited(shape=[10**9, 10**9]), "do not fit its configuration"),
    "huge image": (edited(shape=[1, 10**9, 10**9]), "do not fit its configuration"),
    "endless shape": (edited(shape=[10**30]), "no model's configuration"),
    "no epochs": (edited(epochs="x"), "config.json is no model's configuration"),
    "no params": (edited(params=[]), "config.json is no model's configuration"),
    "unknown": (params(run="rm"), "config.json is no model's configuration"),
    "text": (params(latent_dim="2"), "do not fit its configuration"),
    "dim": (params(latent_dim=3), "do not fit its configuration"),
    "huge dim": (params(latent_dim=10**9), "do not fit its configuration"),
    "module": (params(prior="os.system"), "do not fit its configuration: There is no prior"),
    "picture": (params(prior="image:/etc/passwd"), "names a file as the prior"),
    "samples": (params(prior="samples:/dev/zero"), "names a file as the prior"),
    "stored picture": (params(prior={"stored": "picture"}), "no penalty.prior.pixels"),
    "stored": (params(prior={"stored": "mixture"}), "no penalty.prior.means"),
    "stored what": (params(prior={"stored": "function"}), "lacks .*the prior's"),
    "network": (params(network=3), "do not fit its configuration: network"),
    "weight": (params(reg_weight="x"), "do not fit its configuration: reg_weight"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.usefixtures("unchecked")
def test_hostile_models(tmp_path, fitted, kind):
    damage, sentence = HOSTILE[kind]
    fitted.save(tmp_path)
    damage(tmp_path)
    began = time.perf_counter()
    with pytest.raises(CorruptError, match=sentence):
        SWAE.load(tmp_path)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("prior", [FromSamples, Mixture, FromPicture])
def test_a_stored_prior_that_is_none(tmp_path, prior):
    name = {FromSamples: "samples", Mixture: "means", FromPicture: "pixels"}[prior]
    small(prior=prior(np.ones((3, 2)))).fit(vectors()).save(tmp_path)
    state = from_safetensors((tmp_path / "model.safetensors").read_bytes(), tmp_path)
    state[f"penalty.prior.{name}"][0] = math.nan
    replaced("model.safetensors", to_safetensors(state))(tmp_path)
    with pytest.raises(CorruptError, match="finite"):
        SWAE.load(tmp_path)


def test_traversal(tmp_path, fitted):
    fitted.save(tmp_path / "model")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model" / "manifest.json").write_text(json.dumps({"../secret": "00"}))
    with pytest.raises(CorruptError, match="does not name files of its own folder"):
        SWAE.load(tmp_path / "model")
