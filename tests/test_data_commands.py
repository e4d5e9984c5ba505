"""The command line on data that is neither an image nor in [0, 1]."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from swae.cli import main
from swae.commands import fit as commands

SMALL = ("--batch-size", "16", "--n-projections", "10", "--max-epochs", "2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with flat images and a table in units of its own; nothing is drawn."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "flat.npy", rng.random((60, 64), dtype=np.float32))
    np.save(tmp_path / "table.npy", rng.normal([1e3, 1.0], [1e2, 1e-2], (60, 2)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "draw_figures", lambda *_: None)
    return tmp_path


def fit(data, *words):
    return main(["fit", data, *SMALL, "--out", "run", *words])


def config():
    return yaml.safe_load(Path("run/config.yaml").read_text())


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("shape", ["1,8,8", "1x8x8", "[1, 8, 8]"])
def test_flat_rows_become_images(shape, capsys):
    assert fit("flat.npy", "--image-shape", shape) == 0
    assert config()["image_shape"] == [1, 8, 8]
    assert "samples of shape 1x8x8" in capsys.readouterr().err
    assert main(["sample", "run", "-n", "3", "--out", "x.npy"]) == 0
    assert np.load("x.npy").shape == (3, 1, 8, 8)
    for words in (["reconstruct", "run"], ["encode", "run"], ["interpolate", "run"]):
        assert main(words) == 0
    assert main(["fit", "--config", "run/config.yaml", "--out", "run", "--resume"]) == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("shape", "code", "sentence"),
    [
        ("1,a", 2, "--image-shape has to be sizes as 1,28,28, but is '1,a'"),
        ("1,9,9", 3, "have shape (64,), but the model wants (1, 9, 9), or flat rows of 81"),
        ("1,0,8", 2, "image_shape has to be up to four whole numbers >= 1"),
    ],
)
def test_other_shapes_are_refused(capsys, shape, code, sentence):
    assert fit("flat.npy", "--image-shape", shape) == code
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_other_data_are_taken_whole(capsys, caplog):
    caplog.set_level("INFO", logger="swae")
    assert fit("table.npy") == 0
    np.save("other.npy", np.load("table.npy")[:35])
    np.savez("own.npz", x=np.load("table.npy")[:30], x_test=np.load("table.npy")[30:34])
    for words, n, split in (
        ([], 12, "test"),
        (["./table.npy"], 12, "test"),
        (["--split", "all"], 60, "all"),
        (["other.npy"], 35, "all"),
        (["other.npy", "--split", "test"], 7, "test"),
        (["own.npz"], 4, "test"),
    ):
        caplog.clear()
        assert main(["encode", "run", *words, "--out", "z.npy", "--overwrite"]) == 0
        assert np.load("z.npy").shape == (n, 2)
        assert re.search(rf"\b{n} samples of \S+, split {split}\b", caplog.text)
    capsys.readouterr()
    assert main(["evaluate", "run", "other.npy"]) == 0
    assert "35 samples of other.npy, split all" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_table_keeps_its_units(capsys):
    assert fit("table.npy") == 0
    assert config()["standardize"] is True
    assert config()["reconstruction"] == "mse"
    capsys.readouterr()
    assert main(["sample", "run", "-n", "50", "--out", "x.npy"]) == 0
    assert abs(np.load("x.npy")[:, 0].mean() - 1e3) < 1e2
    capsys.readouterr()
    assert main(["evaluate", "run", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["psnr"] is None
    assert figures["mse"] < 10  # of standardised values, which a deviation of 100 is not
