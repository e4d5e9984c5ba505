"""The paper's figures: their numbers, their files, their training, and their interruption."""

import gzip
import json
import math
import struct
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from swae.cli import main
from swae.commands import fit as fit_module
from swae.commands.publishing import flattened
from swae.paper import FIGURES, mnist, quantiles, shift, slicing, unrolling
from swae.paper.studio import Studio, mean_and_deviation


def untrained(words):
    raise AssertionError(f"nothing has to be trained, but {words} was asked for")


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path, untrained)


def write_idx(path, array):
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small MNIST and a small CelebA, in the layout of the real ones."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    faces = folder / "celeba" / "img_align_celeba"
    faces.mkdir(parents=True)
    for split, n in (("train", 60), ("t10k", 40)):
        x, y = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", x)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", y)
    for i in range(180):
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).resize((89, 109)).save(faces / f"{i + 1:06d}.jpg")
    return str(folder)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder, in which a run draws no figures of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit_module, "draw_figures", lambda *_: None)
    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY", -1.0)
    return tmp_path


# ----- numbers


def test_slices_are_those_of_the_density(studio):
    for slice_ in slicing.draw(studio).numbers.values():
        assert slice_["mean_of_samples"] == pytest.approx(slice_["mean"], abs=0.04)
        assert slice_["deviation_of_samples"] == pytest.approx(slice_["deviation"], rel=0.03)


def test_a_marginal_is_a_density():
    density = slicing.Mixture([[1.0, 0.0], [-1.0, 1.0]], scales=[0.5, 0.2])
    t = torch.linspace(-5, 5, 2001)
    values = slicing.marginal(density, torch.tensor([0.6, 0.8]), t)
    assert float(values.sum() * 10 / 2000) == pytest.approx(1, abs=1e-3)


def test_quantile_functions_and_sorted_samples_agree(studio):
    numbers = quantiles.draw(studio).numbers
    ours = numbers["squared_W2_sorted"]
    assert numbers["squared_W2_at_midpoints"] == pytest.approx(ours, rel=1e-12)
    assert numbers["squared_W2_integral"] == pytest.approx(ours, rel=1e-12)
    assert numbers["squared_W2_of_the_laws"] == pytest.approx(ours, rel=0.1)


def test_shifted_uniform_laws(studio):
    numbers = shift.draw(studio).numbers
    assert numbers["W1_error"] < 1e-12
    assert numbers["JS_error"] < 1e-12
    assert numbers["JS_at_2.0"] == pytest.approx(math.log(2))


def test_the_sheet_is_a_sheet():
    """The S is a curve of constant speed, so that its points are uniform on the sheet."""
    x, t = unrolling.sheet(100, seed=0)
    order = np.argsort(t)
    step = np.linalg.norm(np.diff(x[order, :2], axis=0), axis=1)
    assert x.shape == (100, 3)
    assert (step <= np.diff(t[order]) + 1e-6).all()
    assert step.sum() == pytest.approx(np.ptp(t), rel=0.01)


def test_the_mean_over_seeds():
    assert mean_and_deviation([{"a": 1.0}]) == {"a": 1.0}
    assert mean_and_deviation([{"a": 1.0}, {"a": 3.0}]) == {
        "a": 2.0,
        "a_deviation": pytest.approx(math.sqrt(2)),
    }


# ----- files


@pytest.mark.parametrize("name", ["fig1", "fig2", "fig6"])
def test_a_figure_is_written_with_its_numbers_and_its_command(here, capsys, name):
    assert main(["paper", name]) == 0
    record = json.loads((here / "paper" / f"{name}.json").read_text())
    assert record["command"] == f"swae paper {name}"
    assert record["trainings"] == []
    printed = capsys.readouterr().out
    for key, value in flattened(record["numbers"]).items():
        assert f"{key:<32} {value if isinstance(value, int) else format(value, '.6g')}" in printed
    with Image.open(here / "paper" / f"{name}.png") as picture:
        assert picture.width > 1000
    assert (here / "paper" / f"{name}.svg").read_text().startswith("<?xml")


def test_an_unknown_figure(here, capsys):
    assert main(["paper", "fig8"]) == 2
    assert "A figure has to be one of fig1, fig2" in capsys.readouterr().err
    assert not (here / "paper").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(here, capsys, monkeypatch):
    (here / "file").write_text("")
    monkeypatch.setattr(fit_module, "fit_in", untrained)
    for out in ("file", "file/below"):
        assert main(["paper", "fig7", "--out", out]) == 5
        assert f"{out} can't be written" in capsys.readouterr().err


def test_missing_data(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["paper", "fig3", "--data-dir", "nowhere"]) == 3
    assert "mnist was not found" in capsys.readouterr().err


# ----- training


def test_everything_from_one_command(here, data, monkeypatch, capsys):
    """All figures with tiny data; a second call trains nothing and draws the same numbers."""
    monkeypatch.setattr(mnist, "PRIORS", ("ring", "uniform"))
    monkeypatch.setattr(unrolling, "SEEDS", 1)
    words = ["paper", "all", "--quick", "--data-dir", data]
    assert main(words) == 0
    out = here / "paper-quick"
    written = {path.name for path in out.iterdir() if path.is_file()}
    parts = {"fig3": ["-ring", "-uniform"], "fig5": ["-interpolations", "-modes", "-samples"]}
    for name in FIGURES:
        files = [f"{name}{part}{s}" for part in parts.get(name, [""]) for s in (".png", ".svg")]
        assert {*files, f"{name}.json"} <= written

    first = {name: json.loads((out / f"{name}.json").read_text()) for name in FIGURES}
    assert first["fig3"]["trainings"][1].startswith("swae fit paper-quick/data/mnist-4000-")
    assert first["fig5"]["numbers"]["half_way_sw2_ratio"] > 1
    rows = {path: path.read_text() for path in out.glob("runs/*/metrics.jsonl")}
    capsys.readouterr()
    assert main(words) == 0
    assert rows == {path: path.read_text() for path in out.glob("runs/*/metrics.jsonl")}
    for name in FIGURES:
        again = json.loads((out / f"{name}.json").read_text())
        assert again["numbers"] == first[name]["numbers"]


def epochs_of(run):
    return [json.loads(row)["epoch"] for row in (run / "metrics.jsonl").read_text().splitlines()]


def test_an_interrupted_figure_goes_on(here, data, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "PRIORS", ("uniform",))
    record = fit_module.row_of

    def interrupt(epoch, *rest):
        if epoch.number == 2:
            raise KeyboardInterrupt
        return record(epoch, *rest)

    words = ["paper", "fig3", "--quick", "--data-dir", data]
    monkeypatch.setattr(fit_module, "row_of", interrupt)
    assert main(words) == 130
    assert "the same command goes on" in capsys.readouterr().err
    run = here / "paper-quick" / "runs" / "mnist-uniform"
    assert epochs_of(run) == [1]

    monkeypatch.setattr(fit_module, "row_of", record)
    assert main(words) == 0
    assert epochs_of(run) == [1, 2, 3]


def test_other_settings_in_the_same_folder_are_refused(here, data, monkeypatch, capsys):
    """Neither is a run of other settings drawn as what was asked for, nor is it lost."""
    monkeypatch.setattr(unrolling, "SEEDS", 1)
    assert main(["paper", "fig7", "--quick", "--out", "p"]) == 0
    assert json.loads((here / "p" / "fig7.json").read_text())["command"].endswith(
        "--out p --quick"
    )
    capsys.readouterr()
    assert main(["paper", "fig7", "--out", "p"]) == 2
    assert "--quick among them, or choose another --out." in capsys.readouterr().err
    assert (here / "p" / "runs" / "sheet-0" / "model").is_dir()


def test_a_renamed_folder_is_drawn_again(here, monkeypatch):
    monkeypatch.setattr(unrolling, "SEEDS", 1)
    assert main(["paper", "fig7", "--quick"]) == 0
    (here / "paper-quick").rename(here / "elsewhere")
    monkeypatch.setattr(fit_module, "fit_in", untrained)
    assert main(["paper", "fig7", "--quick", "--out", "elsewhere"]) == 0


def test_other_data_is_another_file(studio):
    files = {studio.store("x", x=np.full(3, i)) for i in (0, 1, 1)}
    assert len(files) == 2


def test_seeds_have_a_mean_and_a_deviation(here, data, monkeypatch):
    monkeypatch.setattr(mnist, "PRIORS", ("uniform",))
    assert main(["paper", "fig3", "--quick", "--seeds", "2", "--data-dir", data]) == 0
    record = json.loads((here / "paper-quick" / "fig3.json").read_text())
    assert record["numbers"]["uniform"]["bce_deviation"] > 0
    assert (here / "paper-quick" / "runs" / "mnist-uniform-seed1").is_dir()
    assert record["command"].endswith("--quick --seeds 2")
