"""Data of any range, shape and number: standardised, flat, in parts, normal or not."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy
import torch
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from swae import SWAE, Autoencoder, SlicedWassersteinLoss, Uniform
from swae.anomaly import Typical, distances, nearest_to, normality, row_errors
from swae.data import DataError, Samples
from swae.metrics import evaluate
from swae.networks import build
from swae.scaling import Scaling
from swae.settings import check_range
from swae.training import DivergedError

UNITS = np.array([1e-3, 1.0, 1e4])


def table(n=200, seed=0):
    """Rows whose columns have units of their own and one direction in common."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    return (UNITS * (common + 0.1 * rng.normal(size=(n, 3)) + 5)).astype(np.float32)


def quick(**settings):
    return SWAE(**{"max_epochs": 3, "n_projections": 10, **settings})


# ----- standardisation


@pytest.mark.parametrize("shape", [(3,), (2, 9), (2, 4, 4), (2, 4, 4, 4), (3, 12)])
def test_scaling_gives_mean_0_and_deviation_1_of_each_channel(shape, generator):
    x = 5 + 3 * torch.randn(50, *shape, generator=generator)
    scaling = Scaling(shape).fit_(x.split(7))
    assert scaling.mean.shape == (shape[0], *[1] * (len(shape) - 1))
    y = scaling(x).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(shape[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=0, correction=0), torch.ones(shape[0]))
    torch.testing.assert_close(scaling.inverse(scaling(x)), x)


def test_a_gray_picture_has_one_mean(generator):
    x = 5 + 3 * torch.randn(50, 12, 10, generator=generator)
    scaling, channel = Scaling((12, 10)).fit_(x.split(7)), Scaling((1, 12, 10)).fit_([x[:, None]])
    assert scaling.mean.shape == scaling.deviation.shape == (1, 1)
    torch.testing.assert_close(scaling(x), channel(x[:, None])[:, 0])
    torch.testing.assert_close(scaling.inverse(scaling(x)), x)


def test_what_is_constant_is_centred():
    scaling = Scaling((2,)).fit_([torch.tensor([[7.0, 0.0], [7.0, 2.0]])])
    assert scaling(torch.tensor([[7.0, 2.0]])).tolist() == [[0.0, 1.0]]


def test_the_loss_is_that_of_standardised_values(generator):
    x = torch.tensor(table())
    scaling = Scaling((3,)).fit_([x])
    networks, penalty = build((3,), 2), SlicedWassersteinLoss(Uniform(2))
    raw = Autoencoder(*networks, penalty, "mse", "linear", scaling=scaling)
    plain = Autoencoder(*networks, penalty, "mse", "linear")
    pairs = ((raw, x), (plain, scaling(x)))
    losses = [model.loss(v, generator=generator.manual_seed(0)).total for model, v in pairs]
    assert losses[0] == losses[1]
    torch.testing.assert_close(raw.reconstruct(x), scaling.inverse(plain.reconstruct(scaling(x))))
    errors = [evaluate(model, v, Uniform(2)) for model, v in pairs]
    assert errors[0].mse == pytest.approx(errors[1].mse)
    assert errors[0].psnr is None


@pytest.mark.parametrize(
    ("settings", "X", "expected"),
    [
        ({}, np.linspace(0, 1, 60), ("bce+l1", "sigmoid", False)),
        ({}, np.linspace(0, 2, 60), ("mse", "linear", True)),
        ({}, np.linspace(-1e-3, 1, 60), ("mse", "linear", True)),
        ({}, np.arange(60, dtype=np.uint8), ("bce+l1", "sigmoid", False)),
        ({"standardize": False}, np.linspace(0, 2, 60), ("mse", "linear", False)),
        ({"standardize": True}, np.linspace(0, 1, 60), ("mse", "linear", True)),
        ({"output": "linear"}, np.linspace(0, 1, 60), ("mse", "linear", False)),
        ({"reconstruction": "l1"}, np.linspace(0, 2, 60), ("l1", "linear", True)),
        ({"reconstruction": "mse"}, np.linspace(0, 1, 60), ("mse", "sigmoid", False)),
        ({"preset": "paper", "batch_size": 9}, np.linspace(0, 9, 60), ("mse", "linear", True)),
    ],
)
def test_the_range_of_data_decides_how_they_are_given_back(settings, X, expected):
    resolved = quick(**settings).resolve(X.reshape(20, 3))
    assert tuple(resolved[n] for n in ("reconstruction", "output", "standardize")) == expected


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"output": "sigmoid"}, r"want data in \[0, 1\].* from 0.00\d* to "),
        ({"reconstruction": "bce"}, r"want data in \[0, 1\]"),
        ({"output": "sigmoid", "standardize": True}, "standardize wants output='linear'"),
        ({"standardize": "yes"}, "standardize has to be True or False, but is 'yes'"),
    ],
)
def test_what_a_sigmoid_can_not_give_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        quick(**settings).fit(table())


@pytest.mark.parametrize("settings", [{}, {"reconstruction": "bce"}, {"output": "sigmoid"}])
@pytest.mark.parametrize("value", [50.0, -0.01])
def test_each_batch_of_a_sigmoid_is_asked(settings, value):
    x = torch.linspace(0, 1, 60).reshape(20, 3)
    x[12, 1] = value
    model = quick(max_epochs=1, **settings)
    with pytest.raises(DataError, match=r"\[0, 1\].*batch 1 of epoch 0 reaches from"):
        model.fit(DataLoader(TensorDataset(x), 10))


@pytest.mark.parametrize("settings", [{"output": "linear"}, {"reconstruction": "mse"}])
def test_other_outputs_take_what_comes(settings):
    x = torch.linspace(-1, 1, 60).reshape(20, 3)
    model = quick(max_epochs=1, **settings).fit(DataLoader(TensorDataset(x), 10))
    assert model.settings_["output"] == "linear"


def test_the_range_of_a_part_is_held_against_the_output():
    unit, wide = Samples(torch.rand(5, 3)), Samples(50 * torch.ones(5, 3))
    check_range(unit, {"output": "sigmoid"})
    check_range(wide, {"output": "linear"})
    check_range(Samples(torch.full((5, 3), 255, dtype=torch.uint8)), {"output": "sigmoid"})
    with pytest.raises(DataError, match=r"want data in \[0, 1\].* the data reaches from 50 to 50"):
        check_range(wide, {"output": "sigmoid"})


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"encoder": len, "decoder": nn.Linear(2, 3)}, TypeError, "encoder .*nn.Module, but is"),
        ({"encoder": nn.Linear(3, 2), "decoder": "mlp"}, TypeError, "decoder .* but is 'mlp'"),
        ({"encoder": nn.Linear}, TypeError, "encoder has to be a torch.nn.Module"),
        ({"encoder": nn.Linear(3, 2)}, ValueError, "given together"),
        (
            {"encoder": nn.Linear(3, 2), "decoder": nn.Linear(2, 3), "linear": True},
            ValueError,
            "linear .* leave out encoder and decoder",
        ),
    ],
)
def test_own_networks_that_can_not_be_are_refused(settings, kind, sentence):
    with pytest.raises(kind, match=sentence):
        quick(**settings).fit(table())


def test_own_networks_with_dropout_have_a_seed():
    X, weights = table(), []
    for seed in (0, 1):  # of torch, of which fit knows nothing
        torch.manual_seed(7)
        encoder = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Linear(16, 2))
        model = quick(encoder=encoder, decoder=nn.Linear(2, 3))
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        weights.append(model.fit(X).partial_fit(X).autoencoder_.encoder[0].weight)
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*weights)


def test_columns_of_any_unit_are_learned_alike():
    X = table(600)
    model = SWAE(latent_dim=1, max_epochs=60).fit(X)
    X_hat = model.reconstruct(X)
    lost = ((X - X_hat) ** 2).mean(axis=0) / X.var(axis=0)
    assert (lost < 0.1).all()
    assert model.score(X) == pytest.approx(-lost.mean(), rel=0.05)  # a part was held back
    generated = model.sample(2000)
    np.testing.assert_allclose(generated.mean(axis=0) / UNITS, 5, atol=0.3)


def test_the_scale_lies_with_the_model(tmp_path):
    X = table()
    model = quick().fit(X)
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path)
    np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))


def test_a_loader_is_standardised_too():
    X = table()
    loader = DataLoader(TensorDataset(torch.tensor(X)), 50)
    model = quick().fit(loader)
    mean = model.autoencoder_.scaling.mean
    np.testing.assert_allclose(mean.numpy(), X.mean(axis=0), rtol=1e-5)


def test_the_linear_path_starts_at_the_pca_of_standardised_values():
    X = table()
    model = quick(linear=True, prior="normal", max_epochs=1, learning_rate=1e-6).fit(X)
    spread = X.std(axis=0)
    lost = (((X - model.reconstruct(X)) / spread) ** 2).mean()
    values = np.linalg.eigvalsh(np.corrcoef(X.T))
    assert lost == pytest.approx(values[0] / 3, rel=0.2)


# ----- flat rows


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 16), (1, 4, 4, 4)])
def test_flat_rows_are_read_in_their_shape(shape):
    X = np.random.default_rng(0).random((40, *shape), dtype=np.float32)
    flat = X.reshape(40, -1)
    model, whole = (quick(image_shape=shape).fit(data) for data in (flat, X))
    np.testing.assert_array_equal(model.transform(flat), whole.transform(X))
    np.testing.assert_array_equal(model.transform(X), whole.transform(flat))
    assert model.sample_shape_ == shape
    assert model.sample(3).shape == model.reconstruct(X)[:3].shape == (3, flat.shape[1])
    assert whole.sample(3).shape == whole.reconstruct(flat)[:3].shape == (3, *shape)


def test_flat_rows_stay_flat_on_disk(tmp_path):
    X = np.random.default_rng(0).random((40, 64), dtype=np.float32)
    model = quick(image_shape=(1, 8, 8)).fit(X)
    model.save(tmp_path)
    np.testing.assert_array_equal(SWAE.load(tmp_path).reconstruct(X), model.reconstruct(X))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 8, 9), r"have shape \(64,\), but the model wants \(1, 8, 9\), or flat rows of 72"),
        ((1, 0, 8), "image_shape has to be up to four whole numbers >= 1"),
        ((1.0, 8, 8), "image_shape has to be"),
        ((), "image_shape has to be"),
        ("1x8x8", "image_shape has to be .* but is '1x8x8'"),
        ((1, 2, 2, 4, 4), "image_shape has to be up to four"),
    ],
)
def test_a_shape_that_rows_do_not_have_is_refused(shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        quick(image_shape=shape).fit(np.ones((40, 64)))


def test_a_shape_that_items_do_not_have_is_refused():
    with pytest.raises(DataError, match=r"have shape \(64,\), but image_shape is \(1, 8, 8\)"):
        quick(image_shape=(1, 8, 8)).fit(TensorDataset(torch.rand(40, 64)))


# ----- in parts


def test_parts_train_as_epochs_do():
    X = np.random.default_rng(0).random((100, 5), dtype=np.float32)
    settings = {"schedule": "constant", "validation_size": 0, "batch_size": 30}
    whole = quick(max_epochs=3, **settings).fit(X)
    parts = quick(**settings)
    for _ in range(3):
        parts.partial_fit(X)
    np.testing.assert_array_equal(parts.transform(X), whole.transform(X))
    assert (parts.n_epochs_, parts.n_steps_) == (3, 12)


def test_parts_of_any_size_go_on():
    X = table()
    model = quick().partial_fit(X[:50])
    scale = model.autoencoder_.scaling.mean.clone()
    for part in (X[50:], X[:1], X[:7]):
        model.partial_fit(part)
    assert torch.equal(model.autoencoder_.scaling.mean, scale)
    assert model.n_epochs_ == 4
    assert np.isfinite(model.score_samples(X)).all()
    with pytest.raises(ValueError, match="expecting 3 features"):
        model.partial_fit(X[:, :2])
    with pytest.raises(TypeError, match="partial_fit wants an array"):
        model.partial_fit(TensorDataset(torch.tensor(X)))


def test_a_stored_model_goes_on(tmp_path):
    X = table()
    model = quick().fit(X)
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path)
    before = loaded.transform(X)
    assert loaded.partial_fit(X).n_epochs_ == 4
    assert not np.array_equal(loaded.transform(X), before)


# ----- normal or not


def test_errors_and_distances_are_those_of_the_definition(generator):
    x = torch.rand(6, 3, generator=generator)
    model = Autoencoder(*build((3,), 2), SlicedWassersteinLoss(Uniform(2)), "mse", "linear")
    with torch.no_grad():
        z = model.encode(x)
        expected = ((x - model.decode(z)) ** 2).mean(dim=1)
        torch.testing.assert_close(row_errors(model, x, z), expected)
    z, samples = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(distances(z, nearest_to(samples)), torch.tensor([0.0, 18**0.5]))


def test_normality_counts_deviations(generator):
    x = torch.rand(6, 3, generator=generator)
    model = Autoencoder(*build((3,), 2), SlicedWassersteinLoss(Uniform(2)), "mse", "linear")
    samples = Uniform(2).sample(50, generator)
    with torch.no_grad():
        z = model.encode(x)
        prior = nearest_to(samples)
        e, delta = row_errors(model, x, z), distances(z, prior)
        s = normality(model, x, prior, Typical(1.0, 2.0, 3.0, 4.0))
    torch.testing.assert_close(s, -((e - 1) / 2 + (delta - 3) / 4))


def test_training_data_are_normal_and_others_are_not():
    X = table(600)
    model = SWAE(max_epochs=30).fit(X)
    scores = model.score_samples(X)
    assert scores.shape == (600,)
    assert abs(scores.mean()) < 0.3
    odd = X.copy()
    odd[:, 0] = X[::-1, 0]  # each column as before, but not what they have in common
    assert model.score_samples(odd).mean() < scores.mean() - 1
    far = X + 8 * X.std(axis=0) * [1, 1, 1]
    assert (model.score_samples(far) < np.quantile(scores, 0.01)).all()


def test_scores_do_not_depend_on_the_other_rows():
    X = table(2500)
    model = quick().fit(X)
    scores = model.score_samples(X)  # in three parts
    np.testing.assert_allclose(model.score_samples(X[1990:2010]), scores[1990:2010], rtol=1e-4)


def test_an_interrupted_training_has_scores_too():
    X = table()
    model = quick()
    next(model.fit_epochs(X))
    assert np.isfinite(model.score_samples(X)).all()


def test_weights_alone_know_nothing_typical():
    encoder, decoder = (network.state_dict() for network in build((3,), 2))
    model = SWAE.from_weights(encoder, decoder, (3,))
    with pytest.raises(ValueError, match="score_samples wants a model that was trained here"):
        model.score_samples(table())


# ----- what no call takes

LOADER = (TypeError, ValueError)
BAD = {
    "complex": (np.ones((4, 3)) + 1j, ValueError, "Complex data not supported"),
    "sparse": (scipy.sparse.csr_array(np.ones((4, 3))), TypeError, "[Ss]parse"),
    "objects": (np.array([[{}] * 3] * 4, dtype=object), TypeError, "must be a string or a real"),
    "words": (np.array([["a"] * 3] * 4), ValueError, "could not convert|strings"),
    "no rows": (np.ones((0, 3)), ValueError, "0 sample"),
    "no columns": (np.ones((4, 0)), ValueError, "0 feature"),
    "NaN": (np.full((4, 3), np.nan), DataError, "4 of its 4 rows hold NaN .* row 0"),
    "infinity": (np.where(np.eye(4, 3) > 0, np.inf, 0), DataError, "first of them row 0"),
    "too large for float32": (np.full((4, 3), 1e300), DataError, "finite in float32"),
    "one axis": (np.ones(3), ValueError, "Reshape your data"),
    "nothing": (None, ValueError, "array"),
    "a number": (3.0, ValueError, "scalar"),
    "a word": ("digits", ValueError, "scalar|string"),
    "a list of unequal rows": ([[1.0, 2.0, 3.0], [1.0]], ValueError, "inhomogeneous"),
    "a complex tensor": (torch.ones(4, 3) + 1j, TypeError, "must hold real numbers"),
    "a sparse tensor": (torch.ones(4, 3).to_sparse(), TypeError, "must be dense"),
    "truth": (torch.ones(4, 3) > 0, TypeError, "must hold real numbers"),
    "an empty tensor": (torch.ones(0, 3), ValueError, "at least one value|at least 2 samples"),
    "a loader": (
        DataLoader(TensorDataset(torch.ones(4, 3))),
        (TypeError, ValueError),
        "DataLoader",
    ),
}
CALLS = (
    "transform", "inverse_transform", "score", "score_samples", "reconstruct", "evaluate",
    "partial_fit", "fit", "fit_transform",
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return quick(latent_dim=3).fit(table())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_data_is_refused(fitted, call, kind):
    X, error, sentence = BAD[kind]
    if kind == "a loader" and call.startswith("fit"):
        pytest.skip("which fit takes")
    before = fitted.transform(table(5)), fitted.n_epochs_, sorted(vars(fitted))
    with pytest.raises(error, match=sentence):
        getattr(fitted, call)(X)
    np.testing.assert_array_equal(fitted.transform(table(5)), before[0])
    assert (fitted.n_epochs_, sorted(vars(fitted))) == before[1:]


@pytest.mark.parametrize("data", [lambda: table(9)[:, :2], lambda: torch.ones(9, 2)])
def test_what_is_asked_or_refused_leaves_the_model_as_it_was(fitted, data):
    before = fitted.transform(table(5))
    fitted.resolve(data())
    with pytest.raises(ValueError, match="reg_weight"):
        copy.copy(fitted).set_params(reg_weight=-1.0).fit(data())
    with pytest.raises(ValueError, match="batch_size"):
        copy.copy(fitted).set_params(drop_last=True, batch_size=99).fit(data())
    np.testing.assert_array_equal(fitted.transform(table(5)), before)


def test_a_refused_fit_leaves_the_model_as_it_was():
    model = quick().fit(pd.DataFrame(table(), columns=["a", "b", "c"]))
    codes = model.transform(pd.DataFrame(table(5), columns=["a", "b", "c"]))
    model.set_params(drop_last=True, batch_size=999)
    with pytest.raises(ValueError, match="batch_size"):
        model.fit(table()[:, :2])
    with pytest.raises(ValueError, match="column 'b' of X has to hold numbers"):
        model.fit(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}))
    again = model.transform(pd.DataFrame(table(5), columns=["a", "b", "c"]))
    np.testing.assert_array_equal(again, codes)
    assert list(model.feature_names_in_) == ["a", "b", "c"]


def test_a_model_that_diverged_is_none():
    model = quick(learning_rate=1e30, precision="32")
    with pytest.raises(DivergedError):
        model.fit(table())
    with pytest.raises(NotFittedError):
        model.transform(table())


def test_polars_frames_have_names_too():
    frame = pl.DataFrame(table(), schema=["a", "b", "c"])
    model = quick().fit(frame)
    np.testing.assert_array_equal(model.transform(frame), model.transform(frame.to_pandas()))
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[["b", "a", "c"]])


def test_parameters_that_were_set_since_are_no_model_s():
    model = quick().fit(table()).set_params(latent_dim=3)
    assert model.inverse_transform(model.transform(table())).shape == (200, 3)
    assert len(model.get_feature_names_out()) == 2
    with pytest.raises(ValueError, match="latent_dim was 2 when the model was made, but is 3"):
        model.partial_fit(table())


def test_a_volume_is_standardised():
    X = np.random.default_rng(0).normal(size=(20, 2, 4, 4, 4))
    assert quick().fit(X).sample(2).shape == (2, 2, 4, 4, 4)


def test_numbers_of_numpy_are_numbers():
    words = {"latent_dim": np.int64(3), "n_projections": np.int32(5), "batch_size": np.int64(8)}
    model = quick(**words, max_epochs=np.int64(1), oversampling=np.int64(2)).fit(table())
    assert model.transform(table()).shape == (200, 3)


@pytest.mark.parametrize(
    ("encoder", "decoder", "sentence"),
    [
        (nn.Linear(4, 2), nn.Linear(2, 3), r"encoder has to take .* \(n, 3\), but: mat1"),
        (nn.Linear(3, 4), nn.Linear(2, 3), r"encoder has to return .* \(n, 2\).* returned \(2, 4"),
        (nn.Linear(3, 2), nn.Linear(4, 3), r"decoder has to take .* \(n, 2\)"),
        (
            nn.Linear(3, 2),
            nn.Linear(2, 4),
            r"decoder has to return .* \(3,\), but returned \(4,\)",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(encoder, decoder, sentence):
    with pytest.raises(ValueError, match=sentence):
        quick(encoder=encoder, decoder=decoder).fit_epochs(table())


def test_later_parts_have_the_range_of_the_first():
    X = np.random.default_rng(0).random((50, 3))
    model = quick().partial_fit(X)
    with pytest.raises(DataError, match=r"want data in \[0, 1\], but the data reaches from"):
        model.partial_fit(50 * X)


@pytest.mark.parametrize(
    "call", ["transform", "score", "score_samples", "reconstruct", "evaluate"]
)
def test_one_row_is_enough_to_use_a_model(fitted, call):
    getattr(fitted, call)(table(1))


def test_a_dataset_is_read_in_order(fitted):
    X = table(1100)
    data = TensorDataset(torch.tensor(X), torch.arange(len(X)))
    np.testing.assert_allclose(fitted.transform(data), fitted.transform(X), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"n": 0}, "n has to be a whole number >= 1, but is 0"),
        ({"n": "3"}, "n has to be a whole number >= 1, but is '3'"),
        ({"n": 3, "seed": 1.5}, "seed has to be a whole number, but is 1.5"),
        ({"n": 3, "seed": "a"}, "seed has to be a whole number, but is 'a'"),
    ],
)
def test_what_can_not_be_drawn_is_refused(fitted, words, sentence):
    for draw in (fitted.sample, fitted.sample_codes):
        with pytest.raises(ValueError, match=sentence):
            draw(**words)


def test_a_misspelt_name_is_told_the_nearest():
    with pytest.raises(
        ValueError, match=r"slices has to be .* is 'orthogonl'\. Did you mean 'ortho"
    ):
        quick(slices="orthogonl").fit(table())
