"""Labels that steer what the estimator generates, from fitting to the command line."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from swae import SWAE, Mixture
from swae.checkpoint import latest_checkpoint
from swae.classes import classes_of, component_named, components_for, known
from swae.cli import main
from swae.data import DataError, Samples, to_float
from swae.manifest import CorruptError, read_folder, write_folder
from swae.metrics import evaluating
from swae.seeding import stream

NAMES = np.array(["ant", "bee", "cat"])


def blobs(n=240):
    """Three clusters in four dimensions, within [0, 1], and which each is of."""
    rng = np.random.default_rng(0)
    c = rng.integers(3, size=n)
    centres = np.array([[0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])
    return np.clip(centres[c] + 0.03 * rng.normal(size=(n, 4)), 0, 1).astype(np.float32), c


X, C = blobs()


def estimator(**params):
    return SWAE(**{"conditional": True, "max_epochs": 20, "learning_rate": 1e-2} | params)


@pytest.fixture(scope="module")
def model():
    return estimator().fit(X, NAMES[C])


def nearest(x):
    centres = np.stack([X[c == C].mean(axis=0) for c in range(3)])
    return ((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)


def test_a_label_is_generated(model):
    assert model.classes_ == ["ant", "bee", "cat"]
    for c, name in enumerate(NAMES):
        assert (nearest(model.sample(50, label=name)) == c).mean() > 0.95
        codes = torch.from_numpy(model.sample_codes(50, label=name))
        assert (codes - prior(model).means[c]).norm(dim=1).max() < 0.6
    assert set(nearest(model.sample(50))) == {0, 1, 2}


def prior(model):
    return model.autoencoder_.penalty.prior


def test_a_few_labels_do():
    y = np.where(np.arange(len(X)) < 24, C, -1)
    model = estimator().fit(X, y)
    assert model.classes_ == [0, 1, 2]
    agreement = [(nearest(model.sample(50, label=c)) == c).mean() for c in range(3)]
    assert np.mean(agreement) > 0.9


def test_the_weights_are_the_shares(model):
    torch.testing.assert_close(
        prior(model).weights, torch.from_numpy(np.bincount(C) / len(C)).float(), rtol=0, atol=0.02
    )
    mine = Mixture.on_circle(3)
    given = estimator(prior=mine, max_epochs=1).fit(X, C)
    assert torch.equal(prior(given).weights, mine.weights)


def test_draws_repeat(model):
    draws = [model.sample(4, label="bee", seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("label", ["dog", 0, -1, math.nan])
def test_labels_that_are_not_there(model, label):
    with pytest.raises(ValueError, match=r"There is no label .*; known are ant, bee, cat\."):
        model.sample(1, label=label)


def test_a_model_without_labels_can_not_be_asked():
    model = SWAE(max_epochs=1).fit(X)
    with pytest.raises(ValueError, match="label wants a model that was fitted with conditional"):
        model.sample(1, label=0)


@pytest.mark.parametrize(
    ("params", "y", "sentence"),
    [
        ({}, None, "conditional wants labels, but there are none: give y"),
        ({}, np.full(len(X), -1), "y has to hold a label at least"),
        ({}, C[:-1], "a label for each of the 240 samples, but holds 239"),
        ({"prior": "uniform"}, C, "prior has to be a mixture, but is a Uniform"),
        ({"prior": "mixture:components=2"}, C, "has 2 components, but there are 3 classes"),
        ({"prior": Mixture.on_circle(2)}, C, "has 2 components, but there are 3 classes"),
        ({"prior": "mixture:components=4"}, C, "4 components, but all samples are of 3 classes"),
        ({"penalty": "log-likelihood"}, C, "conditional wants penalty='sliced-wasserstein'"),
        ({"conditional": 1}, C, "conditional has to be"),
    ],
)
def test_what_can_not_work(params, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        estimator(**params).fit(X, y)


def test_a_component_without_labels_is_for_samples_without():
    y = np.where(C < 2, C, -1)
    model = estimator(prior="mixture:components=3").fit(X, y)
    torch.testing.assert_close(prior(model).weights, torch.full((3,), 1 / 3))
    codes = torch.from_numpy(model.transform(X[C == 2]))
    assert (torch.cdist(codes, prior(model).means).argmin(dim=1) == 2).float().mean() > 0.5


def test_parts_are_refused():
    with pytest.raises(ValueError, match="partial_fit can't know which labels are to come"):
        estimator().partial_fit(X, C)


def test_samples_and_datasets_bring_their_labels():
    samples = estimator(max_epochs=1).fit(Samples(torch.from_numpy(X), torch.from_numpy(C) + 5))
    assert samples.classes_ == [5, 6, 7]
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(C))
    loaded = estimator(max_epochs=1, prior="mixture:components=3").fit(data)
    assert loaded.classes_ == [0, 1, 2]
    with pytest.raises(ValueError, match="conditional wants labels, but the items have none"):
        estimator().fit(TensorDataset(torch.from_numpy(X)))
    with pytest.raises(ValueError, match="0 to 1, or -1 for none, but holds 2"):
        estimator(prior="mixture:components=2").fit(data)


def test_a_stored_model_knows_its_labels(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = SWAE.load(tmp_path / "model")
    copied = pickle.loads(pickle.dumps(model))
    for other in (loaded, copied):
        assert other.classes_ == model.classes_
        assert np.array_equal(other.sample(3, label="cat"), model.sample(3, label="cat"))
    loaded.save(tmp_path / "again")
    assert SWAE.load(tmp_path / "again").classes_ == model.classes_


@pytest.mark.parametrize(
    "classes", [[1, "a"], ["a", "a"], [], "abc", [[1]], [True, False], [None], [1, 2, 3, 4]]
)
def test_stored_labels_are_not_believed(model, tmp_path, classes):
    model.save(tmp_path / "model")
    files = read_folder(tmp_path / "model")
    config = json.dumps(json.loads(files["config.json"]) | {"classes": classes})
    write_folder(tmp_path / "model", {**files, "config.json": config.encode()})
    with pytest.raises(CorruptError):
        SWAE.load(tmp_path / "model")


def test_a_run_goes_on_with_its_labels_alone(tmp_path):
    whole = estimator(max_epochs=4).fit(X, C)
    part = estimator(max_epochs=4)
    for epoch in part.fit_epochs(X, C):
        if epoch.number == 2:
            part.save_checkpoint(tmp_path)
            break
    checkpoint = latest_checkpoint(tmp_path)
    rest = estimator(max_epochs=4)
    list(rest.fit_epochs(X, C, checkpoint=checkpoint))
    for name, value in whole.autoencoder_.state_dict().items():
        assert torch.equal(rest.autoencoder_.state_dict()[name], value), name
    with pytest.raises(DataError, match="The data is not what the checkpoint was trained on"):
        estimator(max_epochs=4).fit_epochs(X, (C + 1) % 3, checkpoint=checkpoint)


def test_the_command_line(tmp_path, capsys):
    data = tmp_path / "data.npz"
    images = (255 * X.reshape(-1, 1, 2, 2)).astype(np.uint8)
    np.savez(data, x=images, y=C + 3)
    run = str(tmp_path / "run")
    fit = ["fit", str(data), "--out", run, "--conditional", "true", "--network", "mlp"]
    fit += ["--max-epochs", "2"]
    assert main(fit) == 0
    out = tmp_path / "fours.npy"
    assert main(["sample", run, "--label", "4", "-n", "5", "--out", str(out)]) == 0
    assert np.load(out).shape == (5, 1, 2, 2)
    capsys.readouterr()
    assert main(["sample", run, "--label", "seven", "--out", str(out), "--overwrite"]) != 0
    assert "There is no label 'seven'; known are 3, 4, 5." in capsys.readouterr().err
    config = json.loads(next((tmp_path / "run").rglob("config.json")).read_text())
    assert config["classes"] == [3, 4, 5]


def table(folder, words):
    pytest.importorskip("polars")
    rows = "".join(f"{a},{b},{word}\n" for (a, b), word in zip(X[:60, :2], words, strict=True))
    (folder / "data.csv").write_text("a,b,kind\n" + rows)
    return [str(folder / "data.csv"), "--label-column", "kind"]


def test_a_table_keeps_its_names(tmp_path, capsys):
    check_names_last(table(tmp_path, [*NAMES[C[:58]], "", ""]), tmp_path, capsys, "cat")


def test_a_table_of_numbers_too(tmp_path, capsys):
    words = [*(C[:58] + 5), "", ""]
    check_names_last(table(tmp_path, words), tmp_path, capsys, "7", "5, 6, 7")


def test_a_folder_of_images_keeps_its_names(tmp_path, capsys):
    for i, c in enumerate(C[:40]):
        folder = tmp_path / "photos" / NAMES[c]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), int(80 * c + i)).save(folder / f"{i}.png")
    check_names_last([str(tmp_path / "photos")], tmp_path, capsys, "cat")


def check_names_last(data, folder, capsys, label, known="ant, bee, cat"):
    """From the data to the command line's answer."""
    run, out = str(folder / "run"), str(folder / "cats.npy")
    fit = ["--out", run, "--conditional", "true", "--network", "mlp", "--max-epochs", "1"]
    assert main(["fit", *data, *fit]) == 0
    assert main(["sample", run, "--label", label, "-n", "5", "--out", out]) == 0
    assert len(np.load(out)) == 5
    capsys.readouterr()
    assert main(["info", run]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{'labels':<18} {known}" in lines
    assert f"{'prior':<18} Mixture(dim=2, components=3)" in lines
    assert main(["sample", run, "--label", "0", "--out", out, "--overwrite"]) != 0
    assert f"There is no label '0'; known are {known}." in capsys.readouterr().err


def test_many_names_are_cut():
    assert known(["ant", "bee"]) == "ant, bee"
    assert known(range(30)).endswith(", 18, 19, ...")


# ----- what is held back


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("others", [0, -1])
def test_each_class_is_trained_on(others, seed):
    """Though nearly all is held back, and one sample alone has the label."""
    y = np.full(len(X), others)
    y[7] = 1
    params = {"validation_size": 230, "max_epochs": 1, "random_state": seed}
    model = estimator(**params).fit(X, y)
    assert model.classes_ == ([0, 1] if others == 0 else [1])
    assert (prior(model).weights > 0).all()
    assert not (model.validation_.x == torch.from_numpy(X[7])).all(dim=1).any()
    assert len(model.validation_) in (229, 230)
    assert model.samples_per_epoch_ + len(model.validation_) == len(X)


def test_too_little_is_left_to_judge_by():
    with pytest.raises(ValueError, match="validation_size has to leave samples to judge by"):
        estimator(validation_size=1).fit(X[:3], ["a", "b", "c"])


def test_without_classes_labels_do_not_change_what_is_held_back():
    samples = Samples(torch.from_numpy(X), torch.arange(len(X)))
    held = [
        SWAE(max_epochs=1, validation_size=0.1).fit(data).validation_.x
        for data in (samples, torch.from_numpy(X))
    ]
    assert torch.equal(*held)


def test_epochs_are_judged_with_labels():
    model = estimator(patience=5, max_epochs=1, validation_size=40, batch_size=30)
    model.fit(X, np.where(np.arange(len(X)) % 3, C, -1))
    net, held, total = model.autoencoder_, model.validation_, 0.0
    with evaluating(net), torch.no_grad():
        for i, rows in enumerate(torch.arange(40).split(30)):
            x, labels = to_float(held.x[rows]), held.labels[rows]
            z = net.encode(x)
            costs = net.reconstruction_loss(x, net.logits(z))
            penalty = net.penalty(z, labels, stream(0, "validation", i))
            total += len(rows) * float(sum(costs.values()) + net.reg_weight * penalty)
    assert model.best_.value == pytest.approx(total / 40, rel=1e-5)


# ----- a model that is fitted again


@pytest.mark.parametrize("data", [X, TensorDataset(torch.from_numpy(X))])
def test_a_model_that_is_fitted_again_without_labels_has_none(data):
    model = estimator(max_epochs=1).fit(X, C)
    model.set_params(conditional=False).fit(data)
    assert not hasattr(model, "classes_")
    with pytest.raises(ValueError, match="label wants a model that was fitted with conditional"):
        model.sample(1, label=1)


def test_components_and_their_names():
    assert component_named([3, 5], np.int64(5)) == 1
    named = {**estimator(prior="mixture:radius=2").get_params(), "latent_dim": 2}
    means = components_for(named, classes_of([0, 1, 2, 3])).means
    assert len(means) == 4
    assert means.norm(dim=1).tolist() == pytest.approx([2] * 4)
