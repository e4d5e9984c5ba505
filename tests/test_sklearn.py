"""The estimator as scikit-learn's own checks want it, and in its machinery."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from swae import SWAE

QUICK = {"max_epochs": 2, "n_projections": 10}


@parametrize_with_checks([SWAE(**QUICK)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def rows(n=60, d=5, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, (n, d)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return SWAE(**QUICK).fit(rows())


def test_a_pipeline_transforms_and_goes_back():
    pipe = make_pipeline(MinMaxScaler(), SWAE(**QUICK)).fit(rows())
    Z = pipe.transform(rows())
    assert Z.shape == (60, 2)
    assert pipe.inverse_transform(Z).shape == (60, 5)


def test_a_grid_search_runs_in_two_processes():
    search = GridSearchCV(SWAE(**QUICK), {"latent_dim": [1, 2]}, cv=2, n_jobs=2)
    search.fit(rows())
    assert search.best_score_ < 0
    assert search.best_estimator_.transform(rows()).shape[1] == search.best_params_["latent_dim"]


def test_scores_are_those_of_cross_validation():
    assert (cross_val_score(SWAE(**QUICK), rows(), cv=2) < 0).all()


def test_a_clone_has_the_parameters_and_no_model(fitted):
    other = clone(fitted)
    assert not hasattr(other, "autoencoder_")
    assert other.get_params() == fitted.get_params()


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize("way", [through_pickle, through_joblib, copy.deepcopy])
def test_a_copy_does_the_same(fitted, way):
    other = way(fitted)
    X = rows(seed=1)
    for name in ("transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(other, name)(X), getattr(fitted, name)(X))
    np.testing.assert_array_equal(other.sample(3), fitted.sample(3))


@pytest.mark.parametrize("way", [through_pickle, through_joblib])
def test_a_copy_goes_on_as_the_original_does(way):
    model = SWAE(**QUICK).fit(rows())
    other = way(model)
    for one in (model, other):
        one.partial_fit(rows(seed=1))
    np.testing.assert_array_equal(other.transform(rows()), model.transform(rows()))


def test_a_pickle_holds_arrays_and_no_data():
    X = rows(3000, 50)
    state = SWAE(latent_dim=2, **QUICK).fit(X).__getstate__()
    assert all(isinstance(value, np.ndarray) for value in state["autoencoder_"].values())
    assert all(isinstance(value, np.ndarray) for value in state["optimizer_"].values())
    assert not any(isinstance(value, torch.Tensor) for value in state.values())
    weights = sum(
        a.nbytes for part in ("autoencoder_", "optimizer_") for a in state[part].values()
    )
    assert len(pickle.dumps(state)) < weights + 20_000 < weights + X.nbytes


def test_joblib_maps_the_weights_read_only(tmp_path, fitted):
    joblib.dump(fitted, tmp_path / "model.joblib")
    other = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    other.partial_fit(rows())  # writes to its weights
    assert other.n_epochs_ == fitted.n_epochs_ + 1


def test_a_data_frame_gives_its_names_and_takes_them_back():
    frame = pd.DataFrame(rows(), columns=list("abcde"))
    model = SWAE(**QUICK).set_output(transform="pandas").fit(frame)
    codes = model.transform(frame)
    assert list(codes.columns) == ["swae0", "swae1"] == list(model.get_feature_names_out())
    assert codes.index.equals(frame.index)
    assert list(model.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(model.reconstruct(frame), model.inverse_transform(codes))
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[list("edcba")])


def test_other_data_frees_the_names():
    model = SWAE(**QUICK).fit(pd.DataFrame(rows(), columns=list("abcde")))
    model.fit(np.random.default_rng(0).random((30, 1, 4, 4)))
    assert not hasattr(model, "feature_names_in_")


def test_neither_global_randomness_nor_threads_are_touched():
    np.random.seed(3)  # noqa: NPY002 - the global generator is what is looked at
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002 - likewise
    threads = torch.get_num_threads(), torch.get_num_interop_threads()
    model = SWAE(**QUICK).fit(rows()).partial_fit(rows())
    model.sample(3), model.score_samples(rows()), model.score(rows())
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002 - likewise
    assert torch.equal(torch.get_rng_state(), before[1])
    assert (torch.get_num_threads(), torch.get_num_interop_threads()) == threads
