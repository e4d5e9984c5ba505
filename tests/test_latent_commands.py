"""The commands that walk through codes: pictures, arrays, tables, and their refusals."""

import functools
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from swae import SWAE
from swae.cli import main
from swae.commands import fit as commands
from swae.commands import latent as walks
from swae.latent import interpolate, modes
from swae.progress import Reporter

SMALL = ("--batch-size", "16", "--n-projections", "10", "--max-epochs", "1")
SHAPES = {
    "images": (1, 8, 8),
    "matrices": (6, 4),
    "vectors": (5,),
    "series": (1, 16),
    "volumes": (1, 4, 4, 4),
}
DIMS = {"images": "2", "matrices": "3", "vectors": "2", "series": "2", "volumes": "2"}
WORDS = {
    "interpolate": ["--pairs", "3", "--steps", "4"],
    "modes": ["-k", "2", "--steps", "5"],
    "grid": ["-n", "3"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data of each kind, and a run of each, that are never written to."""
    folder, rng = tmp_path_factory.mktemp("latent"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "draw_figures", lambda *_: None)
        for name, shape in SHAPES.items():
            np.save(folder / f"{name}.npy", rng.random((60, *shape), dtype=np.float32))
            data, run = str(folder / f"{name}.npy"), str(folder / f"run-{name}")
            assert main(["fit", data, *SMALL, "--latent-dim", DIMS[name], "--out", run]) == 0
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A fresh working folder with the runs."""
    for name in SHAPES:
        shutil.copytree(place / f"run-{name}", tmp_path / f"run-{name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *words):
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys, words, code, sentence):
    assert main(words) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert sentence in error


def load(path):
    with np.load(path) as content:
        return dict(content)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("command", WORDS)
def test_pictures_and_arrays(here, capsys, command, name):
    """Of samples of each kind; a file is written once."""
    words = [command, f"run-{name}", *WORDS[command], "--out"]
    if command == "grid" and DIMS[name] != "2":
        refused(capsys, [*words, "a.png"], 2, "latent_dim has to be 2 for a grid, but is 3; 'sw")
        return

    assert said(capsys, *words, "a.png")[-1] == "a.png"
    with Image.open("a.png") as image:
        assert min(image.size) > 100
    refused(capsys, [*words, "a.png"], 2, "a.png exists; choose another --out, or give --overwr")

    assert said(capsys, *words, "a.npz")[-1] == "a.npz"
    arrays, d = load("a.npz"), int(DIMS[name])
    walks = {"interpolate": (3, 4), "modes": (2, 5), "grid": (9,)}[command]
    assert arrays["z"].shape == (*walks, d)
    assert arrays["x"].shape == (*walks, *SHAPES[name])
    assert said(capsys, *words, "a.npy")[-1] == "a.npy"
    np.testing.assert_array_equal(np.load("a.npy"), arrays["x"])
    model = SWAE.load(f"run-{name}/model")
    x = model.inverse_transform(arrays["z"].reshape(-1, d))
    np.testing.assert_allclose(x.reshape(arrays["x"].shape), arrays["x"], atol=1e-6)


def test_as_many_pairs_as_there_are(here, capsys):
    assert said(capsys, "interpolate", "run-images", "--out", "a.npy")[-1] == "a.npy"
    assert np.load("a.npy").shape == (6, 9, 1, 8, 8)
    np.save("few.npy", np.zeros((2, 1, 8, 8)))
    words = ["interpolate", "run-images", "few.npy"]
    few = "The test split has to hold 2 samples for 1 pairs, but holds 1"
    refused(capsys, [*words, "--split", "test"], 2, few)
    # Data that the run never saw are taken whole.
    more = "The data has to hold 4 samples for 2 pairs, but holds 2"
    refused(capsys, [*words, "--pairs", "2"], 2, more)


def test_vector_graphics(here, capsys):
    assert said(capsys, "interpolate", "run-vectors", "--out", "a.svg")[-1] == "a.svg"
    assert (here / "a.svg").read_bytes().startswith(b"<?xml")


# ----- between two


def test_two_samples_can_be_chosen(here, place, capsys):
    words = ["interpolate", "run-images", str(place / "images.npy"), "--index", "3", "7"]
    said(capsys, *words, "--kind", "spherical", "--out", "a.npz")
    codes = ["encode", "run-images", "--out", "codes.npy"]
    said(capsys, *codes)
    a, b = np.load("codes.npy")[[3, 7]]
    z = load("a.npz")["z"]
    np.testing.assert_allclose(z, interpolate(a, b, 9, "spherical"), atol=1e-6)


@pytest.mark.parametrize("command", WORDS)
def test_the_columns_of_a_table_have_names(tmp_path, monkeypatch, capfd, command):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).random((60, 3))
    np.savetxt("a.csv", rows, delimiter=",", header="a,b,c", comments="")
    monkeypatch.setattr(commands, "draw_figures", lambda *_: None)
    assert main(["fit", "a.csv", *SMALL, "--latent-dim", "2", "--out", "run"]) == 0
    capfd.readouterr()
    assert main([command, "run", *WORDS[command], "--out", "a.npz"]) == 0
    out, err = capfd.readouterr()
    assert "feature names" not in out + err


def test_pairs_have_a_seed_and_no_sample_twice(here, capsys):
    words = ["interpolate", "run-images", "--steps", "2", "--out"]
    for file, more in {
        "a": [],
        "b": ["--seed", "0", "--pairs", "6"],
        "c": ["--seed", "1"],
    }.items():
        pairs = [] if "--pairs" in more else ["--pairs", "4"]
        said(capsys, *words, f"{file}.npz", *more, *pairs)
    a, b, c = (load(f"{file}.npz")["z"] for file in "abc")
    np.testing.assert_allclose(a, b[:4], atol=1e-6)  # fewer are the first of more
    assert not np.allclose(a, c)
    assert len(np.unique(b.reshape(12, 2).round(6), axis=0)) == 12  # the whole test split


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_codes_come_from_a_file(here, capsys, suffix):
    z = np.array([[0, 0], [1, 1], [0.5, 0], [0, 3]], dtype=np.float32)
    path = f"codes{suffix}"
    if suffix == ".csv":
        np.savetxt(path, z, delimiter=",")
    else:
        np.save(path, z) if suffix == ".npy" else np.savez(path, x=z)
    words = ["interpolate", "run-images", "--from", path, "--steps", "3", "--out"]
    lines = said(capsys, *words, "a.npz")
    assert lines[0] == "66.7% of the 6 codes are inside the prior"
    np.testing.assert_allclose(load("a.npz")["z"], interpolate(z[::2], z[1::2], 3))
    said(capsys, *words, "a.png")


def test_an_unknown_support_is_passed_over(here, capsys, monkeypatch):
    monkeypatch.setattr("swae.priors.Uniform.contains", lambda self, z: None)
    assert said(capsys, "interpolate", "run-images", "--out", "a.npy") == ["a.npy"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--pairs", "0"], 2, "--pairs has to be at least 1, but is 0"),
        (["--pairs", "7"], 2, "The test split has to hold 14 samples for 7 pairs, but holds 12"),
        (["--steps", "1"], 2, "--steps has to be at least 2, but is 1"),
        (["--kind", "sphericl"], 2, "--kind has to be one of linear, spherical, but is 'sphericl"),
        (["--index", "0", "12"], 2, "--index has to be from 0 to 11 twice, but is 0 12"),
        (["--index", "-1", "3"], 2, "--index has to be from 0 to 11 twice, but is -1 3"),
        (["--index", "1", "x"], 2, "--index has to be a whole number, but is 'x'"),
        (["--index", "1"], 2, "--index"),
        (["--index", "1", "2", "--pairs", "3"], 2, "--pairs and --index exclude each other"),
        (["--from", "three.npy", "--index", "1", "2"], 2, "--index and --from exclude each other"),
        (["data.npy", "--from", "three.npy"], 2, "data has to be left out with --from, but is da"),
        (["--from", "three.npy"], 2, "--from has to hold an even number of codes, but holds 3"),
        (["--from", "none.npy"], 2, "There is no file none.npy"),
        (
            ["--from", "wide.npy"],
            3,
            "Z has to have 2 columns, as latent_dim is, but",
        ),
        (["--from", "nan.npy"], 3, "row 1"),
        (["--out", "a.csv"], 2, "--out has to end in .png, .svg, .npy, .npz, but is 'a.csv'"),
    ],
)
def test_interpolation_is_refused(here, capsys, words, code, sentence):
    np.save("three.npy", np.zeros((3, 2)))
    np.save("wide.npy", np.zeros((2, 5)))
    np.save("nan.npy", np.array([[0, 0], [0, np.nan]]))
    refused(capsys, ["interpolate", "run-images", *words], code, sentence)
    assert not (here / "interpolation.png").exists()


# ----- modes and grid


def test_modes_are_told(here, capsys):
    lines = said(capsys, "modes", "run-matrices", "--out", "a.npz")
    assert lines[0].startswith("12 samples of ")
    assert lines[1].split() == ["mode", "sigma", "share", "together"]
    said(capsys, "encode", "run-matrices", "--out", "codes.npy")
    found, arrays = modes(np.load("codes.npy")), load("a.npz")
    for name, value in found._asdict().items():
        np.testing.assert_allclose(arrays[name], value, atol=1e-5)
    assert arrays["z"].shape == (3, 7, 3)
    assert len(lines) == 3 + 3
    for line, sigma, share in zip(lines[2:], found.sigma, found.share, strict=False):
        assert line.split()[1:3] == [f"{sigma:.4f}", f"{share:.1%}"]
    assert lines[4].split()[3] == "100.0%"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["modes", "run-images", "-k", "3"],
            "k has to be from 1 to 2 for 12 codes of 2 dimension",
        ),
        (["modes", "run-images", "-k", "0"], "k has to be from 1 to 2"),
        (["modes", "run-images", "--steps", "1"], "--steps has to be at least 2, but is 1"),
        (
            ["modes", "run-images", "--sigma", "0"],
            "--sigma has to be a number above 0, but is 0.0",
        ),
        (["modes", "run-images", "--sigma", "inf"], "--sigma has to be a number"),
        (["grid", "run-images", "-n", "0"], "--number has to be at least 1, but is 0"),
        (
            ["grid", "run-images", "-n", "2000"],
            "--number has to ask for at most 100,000 codes in all",
        ),
        (
            ["interpolate", "run-images", "--steps", "100000"],
            "but 100000 asks for 600,000.",
        ),
        (["modes", "run-images", "--steps", "100000"], "but 100000 asks for 200,000."),
    ],
)
def test_walks_are_refused(here, capsys, words, sentence):
    refused(capsys, words, 2, sentence)
    assert not list(here.glob("*.png"))


def test_a_grid_covers_the_prior(here, capsys):
    said(capsys, "grid", "run-images", "-n", "5", "--out", "a.npz")
    z = load("a.npz")["z"]
    np.testing.assert_allclose(
        np.unique(z[:, 0].round(5)), [-0.84, -0.42, 0, 0.42, 0.84], atol=0.01
    )


def test_many_codes_are_reported_and_few_are_not(here, capsys, monkeypatch):
    monkeypatch.setattr(walks, "Reporter", functools.partial(Reporter, every=0))
    for n, lines in ((31, 0), (33, 2)):
        words = ["grid", "run-images", "-n", f"{n}", "--out", f"{n}.npz"]
        capsys.readouterr()
        assert main(words) == 0
        said = capsys.readouterr().err.splitlines()
        assert len(said) == lines
        arrays = load(f"{n}.npz")
        expected = SWAE.load("run-images/model").inverse_transform(arrays["z"])
        np.testing.assert_array_equal(arrays["x"], expected)
    assert re.fullmatch(r" 92%  [\d,]+ codes/s  00:00 left", said[0])
    assert said[1].startswith("100%")
