"""The command line: folders, files, precedence, exact resume, exit codes and their sentences."""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

import swae
from swae import SWAE, tables
from swae.cli import COMMANDS, main
from swae.commands import HOME, files
from swae.commands import fit as commands
from swae.flags import config_first
from swae.progress import Reporter
from swae.run import RunError
from swae.storage import FILES
from swae.training import DivergedError

SMALL = ("--batch-size", "16", "--n-projections", "10", "--max-epochs", "2")
DRAW = commands.draw_figures
ENV = {**os.environ, "PYTHONPATH": str(Path(swae.__file__).parents[1])}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and runs of two and of four epochs that are never written to."""
    folder, rng = tmp_path_factory.mktemp("cli"), np.random.default_rng(0)
    X = rng.integers(0, 256, size=(60, 1, 8, 8), dtype=np.uint8)
    np.savez(folder / "data.npz", x=X, y=rng.integers(0, 10, size=60))
    np.save(folder / "vectors.npy", rng.random((60, 5), dtype=np.float32))
    words = ["fit", str(folder / "data.npz"), *SMALL, "--out"]
    assert main([*words, str(folder / "run")]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "draw_figures", lambda *_: None)
        assert main([*words, str(folder / "whole"), "--max-epochs", "4"]) == 0
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A fresh working folder with the same data and run; figures are drawn by one test alone."""
    for name in ("data.npz", "vectors.npy"):
        shutil.copy(place / name, tmp_path)
    for name in ("run", "whole"):
        shutil.copytree(place / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "draw_figures", lambda *_: None)
    monkeypatch.setattr(commands, "CHECKPOINT_EVERY", -1.0)
    return tmp_path


def fit(*words, small=SMALL, data="data.npz"):
    return main(["fit", data, *small, *words])


def sha(run):
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def config(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def refused(capsys, words, code, *sentences):
    """Runs words, and looks for an exit code and one line of error that holds sentences."""
    assert main(words) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for sentence in sentences:
        assert sentence in error
    return error


# ----- without a command


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from swae.cli import main; code = main(sys.argv[1:]);"
        "slow = {'torch', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'{slow} imported' if slow else code)"
    )
    for words in (["--help"], ["--version"], ["fti"]):
        result = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=ENV
        )
        assert result.returncode == (2 if words == ["fti"] else 0), result.stderr
    assert "Did you mean 'swae fit'?" in result.stderr


def test_every_command_has_a_home():
    assert HOME.keys() == COMMANDS.keys()


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert main([]) == 2
    assert capsys.readouterr().out == text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"swae {swae.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"usage: swae {command}" in capsys.readouterr().out


# ----- a run


def test_a_run_folder_holds_what_the_readme_says(place):
    run = place / "run"
    assert tree(run) == sorted(
        [
            "config.yaml",
            "made.jsonl",
            "metrics.jsonl",
            "report.html",
            *(f"model/{name}" for name in FILES),
            *(
                f"checkpoints/epoch-0002/{name}"
                for name in (
                    "extra.safetensors",
                    "info.json",
                    "manifest.json",
                    "model.safetensors",
                    "optimizer.safetensors",
                )
            ),
            *(
                f"figures/{name}.png"
                for name in (
                    "curves",
                    "interpolations",
                    "reconstructions",
                    "samples",
                    "triptych",
                )
            ),
        ]
    )
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    for row in rows(run):
        assert row["seconds"] > 0
        assert {"step", "loss", "bce", "l1", "penalty", "learning_rate", "val_sw2"} <= row.keys()
    for figure in (run / "figures").iterdir():
        with Image.open(figure) as image:
            assert min(image.size) > 100


def test_a_config_is_resolved(place):
    settings = config(place / "run")
    assert settings["data"] == str(place / "data.npz")
    assert (settings["batch_size"], settings["n_projections"], settings["seed"]) == (16, 10, 0)
    nothing = {name for name, value in settings.items() if value is None}
    assert nothing == {
        "data_dir", "image_size", "crop", "label_column", "columns", "image_shape",
        "patience", "micro_batch_size", "log"
    }  # fmt: skip


def test_vectors_have_their_pictures(here, monkeypatch):
    monkeypatch.setattr(commands, "draw_figures", DRAW)
    assert fit("--latent-dim", "3", "--out", "v", data="vectors.npy") == 0
    figures = [name for name in tree(here / "v") if name.startswith("figures")]
    assert figures == [
        f"figures/{name}.png"
        for name in ("codes", "curves", "interpolations", "modes", "reconstructions", "samples")
    ]


def test_runs_are_numbered(here, capsys):
    for _ in range(2):
        assert fit("--max-epochs", "1") == 0
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["001-data", "002-data"]
    assert "runs/002-data" in capsys.readouterr().out
    assert sha(here / "runs" / "001-data") == sha(here / "runs" / "002-data")


def test_a_config_runs_again(here):
    assert main(["fit", "--config", "run/config.yaml", "--out", "again"]) == 0
    assert sha(here / "again") == sha(here / "run")
    assert config(here / "again") == config(here / "run")


def test_a_printed_config_runs(here, capsys):
    assert fit("--print_config") == 0
    (here / "printed.yaml").write_text(capsys.readouterr().out)
    assert main(["fit", "--config", "printed.yaml", "--out", "again"]) == 0
    assert sha(here / "again") == sha(here / "run")


def test_another_seed_is_another_model(here):
    assert fit("--seed", "1", "--out", "other") == 0
    assert sha(here / "other") != sha(here / "run")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--preset", "paper"], {"optimizer": "rmsprop", "n_projections": 50, "quasi": False}),
        (["--config", "a.yaml"], {"optimizer": "rmsprop", "n_projections": 7, "prior": "ring"}),
        (["--n-projections", "5", "--config", "a.yaml"], {"n_projections": 5, "prior": "ring"}),
        (["--config=a.yaml", "--n-projections=5"], {"n_projections": 5, "prior": "ring"}),
        (["--config", "a.yaml", "--preset", "best"], {"optimizer": "adam", "n_projections": 7}),
        (["--config", "a.yaml", "--config", "b.yaml"], {"n_projections": 7, "prior": "bowl"}),
        (
            ["--prior", "circle", "--config", "a.yaml", "--config", "b.yaml"],
            {"n_projections": 7, "prior": "circle"},
        ),
    ],
)
def test_a_flag_beats_a_file_beats_a_preset(here, words, wanted):
    (here / "a.yaml").write_text("preset: paper\nn_projections: 7\nprior: ring\n")
    (here / "b.yaml").write_text("prior: bowl\n")
    small = ("--max-epochs", "2", "--stop-after", "1", "--batch-size", "16")
    assert fit(*words, "--out", "new", small=small) == 0
    assert config(here / "new").items() >= wanted.items()


def test_config_files_come_first():
    words = ["d", "--seed", "1", "--config", "a", "--p=2", "--config=b", "-n", "3"]
    assert config_first(words) == [
        "--config",
        "a",
        "--config=b",
        "d",
        "--seed",
        "1",
        "--p=2",
        "-n",
        "3",
    ]
    assert config_first(["d", "--config"]) == ["d", "--config"]


def test_flags_are_the_estimator_s(here):
    words = ["--p", "1.5", "--slices", "iid", "--quasi", "false", "--oversampling", "2"]
    words += [
        "--validation-size",
        "5",
        "--patience",
        "3",
        "--network",
        "mlp",
        "--output",
        "linear",
    ]
    words += ["--reconstruction", "mse", "--reg-weight", "3", "--schedule", "cosine"]
    assert fit(*words, "--stop-after", "1", "--out", "new") == 0
    assert config(here / "new").items() >= {
        "p": 1.5, "slices": "iid", "quasi": False, "oversampling": 2, "validation_size": 5.0,
        "patience": 3, "network": "mlp", "output": "linear", "reconstruction": "mse",
        "reg_weight": 3.0, "schedule": "cosine",
    }.items()  # fmt: skip


def test_a_pipe_gets_lines(here, monkeypatch, capsys):
    monkeypatch.setattr(commands, "Reporter", partial(Reporter, every=0))
    monkeypatch.setattr(commands, "TALK_EVERY", -1.0)
    assert fit("--out", "new") == 0
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert lines[0].startswith("48 samples of shape 1x8x8; judged on 4 held-back")
    steps = [line for line in lines if "samples/s" in line]
    assert len(steps) == 6
    assert all(" left  bce 0." in line and "penalty" in line for line in steps)
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert "mean of the last 2 evaluations on held-back training samples: bce" in output.out
    assert "model     new/model" in output.out


def test_without_held_back_samples_epochs_are_judged_on_the_test_split(here, capsys):
    assert fit("--preset", "paper", "--stop-after", "1", "--out", "new") == 0
    assert "judged on 12 test samples" in capsys.readouterr().err
    assert rows(here / "new")[0]["val_n"] == 12
    assert rows(here / "new")[0]["step"] == 3


# ----- going on


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_stop_and_resume_end_with_the_same_weights(here, preset, capsys):
    words = ["--max-epochs", "4", "--preset", preset, "--out"]
    assert fit(*words, "whole", "--overwrite") == 0
    assert fit(*words, "parts", "--stop-after", "2") == 0
    assert SWAE.load(here / "parts" / "model").n_epochs_ == len(rows(here / "parts")) == 2
    out = capsys.readouterr().out
    (advice,) = re.findall("stopped after 2 of 4 epochs; go on with: swae (.*)", out)
    assert main(shlex.split(advice)) == 0
    assert sha(here / "parts") == sha(here / "whole")
    assert config(here / "parts") == config(here / "whole")
    wall = {"seconds"}
    for a, b in zip(rows(here / "parts"), rows(here / "whole"), strict=True):
        assert {k: v for k, v in a.items() if k not in wall} == {
            k: v for k, v in b.items() if k not in wall
        }


class Interrupted:
    """Does something in the middle of the run: after an epoch, before it is stored."""

    def __init__(self, monkeypatch, epoch, what):
        self.epoch, self.what, self.row_of = epoch, what, commands.row_of
        monkeypatch.setattr(commands, "row_of", self)

    def __call__(self, epoch, *rest):
        if epoch.number == self.epoch:
            self.what()
        return self.row_of(epoch, *rest)


def interrupt():
    raise KeyboardInterrupt


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("epoch", "what", "code", "word"),
    [(1, interrupt, 130, "interrupted"), (3, terminate, 143, "terminated")],
)
def test_an_interrupted_run_goes_on(here, monkeypatch, capsys, what, code, word, epoch):
    words = ["--max-epochs", "4", "--out"]
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        Interrupted(patch, epoch, what)
        refused(capsys, ["fit", "data.npz", *SMALL, *words, "parts"], code, word, "--resume")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not (here / "parts" / "model").exists()
    assert not (here / "parts" / ".lock").exists()

    assert fit(*words, "parts", "--resume") == 0
    fresh = "parts has no checkpoint to resume; starting fresh."
    assert (fresh in capsys.readouterr().err) == (epoch == 1)
    assert sha(here / "parts") == sha(here / "whole")
    assert [row["epoch"] for row in rows(here / "parts")] == [1, 2, 3, 4]


def test_a_run_killed_before_its_model_was_stored_is_finished(here, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(SWAE, "save", lambda *_, **__: interrupt())
        assert fit("--out", "parts") == 130
    assert fit("--out", "parts", "--resume") == 0
    assert sha(here / "parts") == sha(here / "run")
    assert len(rows(here / "parts")) == 2


def test_a_model_without_a_checkpoint_is_not_trained_over(here, capsys):
    """As an imported one is."""
    assert fit("--out", "own") == 0
    shutil.rmtree(here / "own" / "checkpoints")
    before, lines = sha(here / "own"), rows(here / "own")
    words = ["fit", "data.npz", *SMALL, "--out", "own", "--resume"]
    refused(capsys, words, 2, "holds a model and no checkpoint", "--overwrite")
    assert (sha(here / "own"), rows(here / "own")) == (before, lines)


def test_a_run_that_stopped_early_has_a_checkpoint(here, monkeypatch):
    """Also where it stopped before one was due; so it is whole, and goes on to where it is."""
    monkeypatch.setattr(commands, "CHECKPOINT_EVERY", 1e9)
    words = ("--max-epochs", "50", "--patience", "1", "--learning-rate", "0.5", "--out", "own")
    assert fit(*words) == 0
    before, lines = sha(here / "own"), rows(here / "own")
    assert len(lines) < 50
    assert fit(*words, "--resume") == 0
    assert (sha(here / "own"), rows(here / "own")) == (before, lines)


def test_resume_of_nothing_starts_fresh(here, capsys):
    assert fit("--out", "new", "--resume") == 0
    assert "new has no checkpoint to resume; starting fresh." in capsys.readouterr().err
    assert sha(here / "new") == sha(here / "run")


def test_resume_passes_over_a_damaged_checkpoint(here, caplog):
    words = ["--max-epochs", "4", "--out"]
    assert fit(*words, "parts", "--stop-after", "3") == 0
    damaged = here / "parts" / "checkpoints" / "epoch-0003" / "optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    caplog.clear()
    assert fit(*words, "parts", "--resume") == 0
    assert "Passed over the checkpoint epoch-0003: " in caplog.text
    assert sha(here / "parts") == sha(here / "whole")
    assert len(rows(here / "parts")) == 4


def test_resume_wants_the_same_settings(here, capsys):
    before = tree(here / "run")
    for words, field in (
        (["--max-epochs", "3"], "max_epochs=2, but max_epochs=3"),
        (["--prior", "ring"], "prior='uniform', but prior='ring'"),
        (["--seed", "1"], "seed=0, but seed=1"),
    ):
        words = ["fit", str(config(here / "run")["data"]), *SMALL, *words]
        refused(capsys, [*words, "--out", "run", "--resume"], 2, field, "the same settings")
    assert tree(here / "run") == before
    assert len(rows(here / "run")) == 2


def test_resume_wants_each_setting_as_it_was(here):
    """But for those that say where things are."""
    run, settings = commands.Run(here / "run"), config(here / "run")
    for name in settings:
        other = settings | {name: "another"}
        if name in ("data_dir", "device", "micro_batch_size", "log"):
            assert run.resume_point(other).epoch == 2
        else:
            with pytest.raises(RunError, match=rf" has {name}=.*, but {name}='another' is asked"):
                run.resume_point(other)


def test_resume_wants_the_same_data(here, capsys):
    assert fit("--out", "new", "--stop-after", "1") == 0
    np.savez("data.npz", x=np.zeros((60, 1, 9, 9), dtype=np.uint8))
    words = ["fit", "data.npz", *SMALL, "--out", "new", "--resume"]
    refused(capsys, words, 3, "data is not what the checkpoint was trained on")


def test_resume_takes_another_way_to_the_data(here):
    (here / "link").symlink_to(".")
    (here / "below").mkdir()
    words = ["--out", "new", "--max-epochs", "3"]
    assert fit(*words, "--stop-after", "1") == 0
    assert fit(*words, "--resume", "--stop-after", "2", data="link/data.npz") == 0
    assert fit(*words, "--resume", data="below/../data.npz") == 0


def test_a_prior_that_is_a_picture(here, capsys, monkeypatch):
    """It is named from anywhere, goes on only as it was, and is not opened by who uses the run."""
    Image.fromarray(np.eye(8) < 1).save("eye.png")
    words = ["--prior", "image:eye.png", "--out"]
    assert fit(*words, "new", "--stop-after", "1") == 0
    assert config(here / "new")["prior"] == f"image:{here}/eye.png"
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    again = ["fit", "--config", "../new/config.yaml", "--out", "../new", "--resume"]
    Image.fromarray(np.eye(8)[::-1] < 1).save(here / "eye.png")
    refused(capsys, again, 3, "prior is not what the checkpoint was trained with")
    Image.fromarray(np.eye(8) < 1).save(here / "eye.png")
    assert main(again) == 0
    monkeypatch.chdir(here)
    assert fit(*words, "at-once") == 0
    assert sha(here / "new") == sha(here / "at-once")

    (here / "eye.png").unlink()
    for use in (["evaluate"], ["sample", "--out", "a.png"], ["grid", "--out", "b.png"]):
        assert main([use[0], "new", *use[1:]]) == 0
    capsys.readouterr()
    assert main(["info", "new"]) == 0
    assert "FromPicture(8 x 8 pixels)" in capsys.readouterr().out
    refused(capsys, [*again[:2], "new/config.yaml"], 2, "There is no file", "eye.png")


def test_a_prior_that_is_the_codes_of_a_run(here, capsys):
    assert main(["encode", "run", "--out", "codes.csv"]) == 0
    assert fit("--prior", "samples:codes.csv", "--out", "new") == 0
    capsys.readouterr()
    assert main(["info", "new"]) == 0
    assert "FromSamples(dim=2, samples=12)" in capsys.readouterr().out
    words = ["fit", "data.npz", "--prior", "samples:codes.csv", "--latent-dim", "3"]
    refused(capsys, words, 2, "The prior has 2 dimensions, but latent_dim is 3")


def test_stop_after_an_epoch_that_is_behind(here, capsys):
    words = ["fit", "data.npz", *SMALL, "--out", "new", "--stop-after", "1"]
    assert main(words) == 0
    refused(capsys, [*words, "--resume"], 2, "has 1 of 2 epochs: nothing to do")


# ----- using a run


def test_evaluate_prints_one_object(here, capsys):
    assert main(["evaluate", "run", "data.npz", "--split", "test", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"bce", "l1", "mse", "psnr", "sw2", "sw2_null", "n"} <= result.keys()
    assert result["n"] == 12
    assert main(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["evaluate", "run", "data.npz", "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 48


def test_help_speaks_of_no_python(capsys):
    assert main(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Python" not in text
    assert "<" not in text
    assert "samples:FILE (.npy, .npz, .csv). " in " ".join(text.split())
    assert "bce, l1, mse; None" in " ".join(text.split())


@pytest.mark.parametrize("command", ["evaluate", "reconstruct", "encode", "modes"])
def test_help_says_how_other_images_are_framed(command, capsys):
    assert main([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Images of another folder are cut and resized as the run's were, unless --crop" in said


def test_evaluate_prints_a_table(here, capsys):
    assert main(["evaluate", "run"]) == 0
    text = capsys.readouterr().out
    assert "12 samples of" in text
    for name in ("bce", "l1", "mse", "psnr", "sw2", "sw2_axes", "sw2_principal", "outside"):
        assert f"\n{name} " in text


def test_info(here, capsys):
    assert main(["info", "run"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["samples"] == "1x8x8"
    assert lines["epochs"] == "2"
    assert lines["prior"] == "uniform"


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv"])
def test_encode_and_decode_reconstruct(here, suffix):
    assert main(["encode", "run", "--out", f"codes.{suffix}"]) == 0
    assert main(["decode", "run", f"codes.{suffix}", "--out", "decoded.npy"]) == 0
    assert main(["reconstruct", "run", "-n", "12", "--out", "direct.npy"]) == 0
    decoded, direct = np.load("decoded.npy"), np.load("direct.npy")
    assert decoded.shape == (12, 1, 8, 8)
    np.testing.assert_array_equal(decoded, direct)


def test_codes_keep_their_labels(here):
    main(["encode", "run", "--out", "c.npz"])
    main(["encode", "run", "--out", "c.csv"])
    with np.load("c.npz") as codes:
        assert codes["x"].shape == (12, 2)
        assert codes["y"].shape == (12,)
        table = np.genfromtxt("c.csv", delimiter=",", names=True)
        assert table.dtype.names == ("z0", "z1", "label")
        np.testing.assert_array_equal(table["label"], codes["y"])
        np.testing.assert_array_equal(table["z1"].astype(np.float32), codes["x"][:, 1])


@pytest.mark.parametrize(
    "text",
    [
        '"a,b",label,c\n0.5,7,1\n-1,7,0\n',
        "a,b\n0.5,1\n-1,0\n",
        "0.5,1\n-1,0\n",
        "0.5, 1\n-1.0, 0e0",
    ],
)
def test_tables_of_others_are_read(here, text):
    """A first line that holds numbers is no line of names."""
    (here / "codes.csv").write_text(text)
    assert main(["decode", "run", "codes.csv", "--out", "decoded.npy"]) == 0
    codes = np.array([[0.5, 1], [-1, 0]])
    np.testing.assert_array_equal(
        np.load("decoded.npy"), SWAE.load("run/model").inverse_transform(codes)
    )


@pytest.fixture
def table(here):
    """A table of two kinds whose columns have names that CSV puts in quotes, and a run of it."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(rng.random((60, 3)), schema=["a, cm", 'b "c"', "d"])
    frame = frame.with_columns(kind=pl.Series(["u", "v", ""] * 20))
    frame.write_csv(here / "table.csv")
    frame.select("kind", "d", 'b "c"', "a, cm").write_parquet(here / "other.parquet")
    words = ("--label-column", "kind", "--out", "of")
    linear = ("--reconstruction", "mse", "--output", "linear")
    assert fit(*words, *linear, data="table.csv") == 0
    return here


def test_a_table_from_fit_to_samples(table, capsys):
    assert config(table / "of").items() >= {"label_column": "kind", "columns": None}.items()
    assert main(["evaluate", "of", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert (own["n"], len(rows(table / "of"))) == (12, 2)
    # The columns of another table are found by their names.
    assert main(["evaluate", "of", "other.parquet", "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == own

    assert main(["encode", "of", "--out", "codes.csv"]) == 0
    codes = pl.read_csv("codes.csv")
    assert codes.columns == ["z0", "z1", "label"]
    assert set(codes["label"]) == {-1, 0, 1}
    for words in (["sample", "of", "-n", "12"], ["decode", "of", "codes.csv"]):
        assert main([*words, "--out", f"{words[0]}.csv"]) == 0
        assert main([*words, "--out", f"{words[0]}.npy"]) == 0
        written = tables.read(table / f"{words[0]}.csv")
        assert written.columns == ("a, cm", 'b "c"', "d")
        np.testing.assert_array_equal(written.x.numpy(), np.load(f"{words[0]}.npy"))


def test_columns_are_chosen_and_kept(table, capsys):
    words = ["--reconstruction", "mse", "--output", "linear", "--columns", 'd,"a, cm"']
    assert fit(*words, "--out", "two", data="table.csv") == 0
    assert config(table / "two")["columns"] == 'd,"a, cm"'
    assert main(["encode", "two", "--out", "codes.npz"]) == 0
    assert main(["encode", "two", "other.parquet", "--split", "test", "--out", "others.npz"]) == 0
    with np.load("codes.npz") as codes, np.load("others.npz") as others:
        np.testing.assert_array_equal(codes["x"], others["x"])
        assert codes.files == ["x"]


def test_a_table_refused(table, capsys):
    for words, code, sentence in (
        (["--label-column", "Kind"], 2, "Did you mean 'kind'?"),
        (["--columns", "d,,"], 2, "--columns has to be names, as 'age,height'"),
        (["--columns", "kind"], 3, "the column 'kind' has to hold numbers"),
    ):
        refused(capsys, ["fit", "table.csv", *SMALL, *words, "--out", "no"], code, sentence)
    with open("table.csv", "a") as file:
        file.write("1,,3,u\n")
    refused(capsys, ["evaluate", "of"], 3, "table.csv the column 'b \"c\"'", "none in line 62")
    # Unless asked for, the labels of a run's table have to be in another one.
    pl.read_parquet("other.parquet").drop("kind").write_csv("bare.csv")
    refused(capsys, ["evaluate", "of", "bare.csv"], 2, "label_column must be a column of bare.csv")
    assert main(["evaluate", "of", "bare.csv", "--label-column", ""]) == 0


def test_samples_have_a_seed(here):
    for name, words in {"a": [], "b": ["--seed", "0"], "c": ["--seed", "1"]}.items():
        assert main(["sample", "run", "-n", "5", "--out", f"{name}.npy", *words]) == 0
    a, b, c = (np.load(f"{name}.npy") for name in "abc")
    assert a.shape == (5, 1, 8, 8)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


WRITERS = {
    "sample": ["sample", "run", "-n", "4"],
    "reconstruct": ["reconstruct", "run", "-n", "4"],
    "encode": ["encode", "run"],
    "decode": ["decode", "run", "codes.npy"],
}


@pytest.mark.parametrize("command", WRITERS)
def test_files_are_written_once(here, capsys, command):
    """A picture where the command draws one, else an array; another only when asked for."""
    np.save("codes.npy", np.zeros((3, 2)))
    suffixes = [".npz", ".npy", ".csv"] if command == "encode" else [".png", ".npz", ".npy"]
    suffixes += [".csv"] if command in ("sample", "decode") else []
    for suffix in suffixes:
        words = [*WRITERS[command], "--out", f"new{suffix}"]
        capsys.readouterr()
        assert main(words) == 0
        assert capsys.readouterr().out == f"new{suffix}\n"
        written = (here / f"new{suffix}").read_bytes()
        refused(capsys, words, 2, f"new{suffix} exists; choose another --out, or give --overwrite")
        assert (here / f"new{suffix}").read_bytes() == written
        assert main([*words, "--overwrite"]) == 0
    words = [*WRITERS[command], "--out"]
    refused(capsys, [*words, "new.txt"], 2, "--out has to end in", "but is 'new.txt'")
    refused(capsys, [*words, "no/new.npy"], 2, "There is no folder no to write new.npy into")


def test_the_images_of_another_folder_are_resized_as_the_run_s_were(here):
    for name, size in (("a", 8), ("b", 12)):
        (here / name).mkdir()
        for i in range(20):
            Image.new("L", (size, size), i).save(here / name / f"{i}.png")
    assert fit("--image-size", "8", "--out", "new", "--max-epochs", "1", data="a") == 0
    assert main(["evaluate", "new"]) == 0
    assert main(["evaluate", "new", "b"]) == 0
    assert main(["evaluate", "new", "data.npz"]) == 0


# ----- usage: 2


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["fti", "data.npz"], ["no command 'fti'", "Did you mean 'swae fit'?"]),
        (["fit"], ["fit wants data: digits"]),
        (["fit", "data.npz", "vectors.npy"], ["unrecognized arguments: vectors.npy"]),
        (["fit", "dgits"], ["swae: dgits does not exist: ", "Did you mean 'digits'?"]),
        (["fit", "data.npz", "--latent-dims", "3"], ["--latent-dims.", "mean --latent-dim?"]),
        (["fit", "data.npz", "--n_projections=3"], ["--n_projections.", "mean --n-projections?"]),
        (["fit", "data.npz", "--latent-dim", "two"], ["--latent-dim has to be a whole number, b"]),
        (["fit", "data.npz", "--latent-dim", "2.5"], ["--latent-dim has to be a whole", "'2.5'"]),
        (
            ["fit", "data.npz", "--reg-weight", "x"],
            ["reg_weight has to be a finite number >= 0", "'x'"],
        ),
        (["fit", "data.npz", "--quasi", "no?"], ["--quasi has to be true or false, but is"]),
        (["fit", "data.npz", "--preset", "papre"], ["--preset has to be", "Did you mean paper?"]),
        (["fit", "data.npz", "--prior", "unifrom"], ["'unifrom'", "Did you mean 'uniform'?"]),
        (["fit", "data.npz", "--prior", "ring:radus=1"], ["'radus=1'", "Did you mean 'radius'?"]),
        (["fit", "data.npz", "--prior", "ring:radius=x"], ["radius of the prior 'ring'", "'x'"]),
        (["fit", "data.npz", "--prior", "ring", "--latent-dim", "3"], ["2 dimensions", "is 3"]),
        (["fit", "data.npz", "--optimizer", "adm"], ["--optimizer has to be", "mean adam?"]),
        (["fit", "data.npz", "--reconstruction", "bec"], ["--reconstruction", "mean bce?"]),
        (["fit", "data.npz", "--precision", "64"], ["--precision has to be one of auto, 32"]),
        (["fit", "data.npz", "--device", "gpu"], ["device has to be auto, cpu, cuda or mps"]),
        (["fit", "data.npz", "--max-epochs", "0"], ["max_epochs has to be a whole number >= 1"]),
        (["fit", "data.npz", "--stop-after", "0"], ["--stop-after has to be at least 1"]),
        (["fit", "data.npz", "--resume"], ["--resume wants --out RUN"]),
        (["fit", "data.npz", "--out", "r", "--resume", "--overwrite"], ["exclude each other"]),
        (["fit", "data.npz", "--out", "run"], ["run is not empty", "--overwrite", "--resume"]),
        (["fit", "data.npz", "--out", "data.npz"], ["data.npz is a file"]),
        (["fit", "data.npz", "--out", ".", "--overwrite"], ["no config.yaml of a run"]),
        (["fit", "data.npz", "--image-size", "8"], ["image_size must be left out"]),
        (["fit", "data.npz", "--config", "none.yaml"], ["There is no file none.yaml"]),
        (["fit", "data.npz", "--config"], ["argument"]),
        (["fit", "data.npz", "--config", "data.npz"], ["--config wants a YAML file"]),
        (["fit", "data.npz", "--config", "misspelt.yaml"], ["latent_dimm", "mean latent_dim?"]),
        (
            ["fit", "data.npz", "--config", "type.yaml"],
            ["--latent-dim has to be a whole", "'two'"],
        ),
        (["fit", "data.npz", "--config", "list.yaml"], ["--config wants a YAML file of settings"]),
        (["fit", "data.npz", "--config", "empty.yaml"], ["--config wants a YAML file of setting"]),
        (["fit", "data.npz", "--config", "broken.yaml"], ["broken.yaml is no YAML"]),
        (["fit", "data.npz", "--config", "module.yaml"], ["no prior 'os.system'"]),
        (["evaluate", "nothing"], ["There is no run folder nothing"]),
        (["evaluate", "."], [". holds no model"]),
        (["evaluate", "run", "--split", "valid"], ["--split has to be one of train, test"]),
        (["evaluate", "run", "--jsn"], ["There is no option --jsn. Did you mean --json?"]),
        (["evaluate", "run", "--device", "gpu"], ["device has to be auto, cpu, cuda or mps"]),
        (["evaluate", "run/model"], ["does not say what data it was trained on; name some"]),
        (["sample", "run", "-n", "0"], ["n has to be a whole number >= 1, but is 0"]),
        (["sample", "run", "--seed", "x"], ["--seed has to be a whole number, but is 'x'"]),
        (["reconstruct", "run", "-n", "-2"], ["--number has to be at least 1, but is -2"]),
        (["decode", "run", "none.npy"], ["There is no file none.npy"]),
        (["decode", "run", "list.yaml"], ["list.yaml has to end in .npy, .npz or .csv"]),
        (["evaluate", "run", "none.csv"], ["swae: none.csv does not exist"]),
        (["fit", "vectros.npy"], ["vectros.npy does not exist", "Did you mean 'vectors.npy'?"]),
        (["decode", "run", "vectros.npy"], ["no file vectros.npy. Did you mean 'vectors.npy'?"]),
        (["evaluate", "rnu"], ["There is no run folder rnu. Did you mean 'run'?"]),
        (["report", "rnu"], ["There is no run folder rnu. Did you mean 'run'?"]),
        (["fit", "--config", "run/confg.yaml"], ["Did you mean 'run/config.yaml'?"]),
        (["fit", "data.npz", "--prior", "samples:vectros.npy"], ["Did you mean 'vectors.npy'?"]),
        (["fit", "data.npz", "--network", "MLP"], ["Did you mean mlp?"]),
    ],
)
def test_usage(here, capsys, words, sentences):
    for name, text in {
        "misspelt": "latent_dimm: 3",
        "type": "latent_dim: two",
        "list": "- a",
        "empty": "",
        "broken": "a: [",
        "module": "prior: os.system",
    }.items():
        (here / f"{name}.yaml").write_text(text)
    before = tree(here)
    refused(capsys, words, 2, *sentences)
    assert tree(here) == before
    assert not (here / "runs").exists() or not any((here / "runs").iterdir())


def test_an_old_run_survives_a_start_that_fails(here, capsys):
    """--overwrite removes it only when the new one is known to be possible."""
    before = tree(here / "run")
    flags = ["--out", "run", "--overwrite"]
    refused(capsys, ["fit", "dgits", *flags], 2, "does not exist")
    refused(capsys, ["fit", "data.npz", "--prior", "rng", *flags], 2, "mean 'ring'")
    refused(capsys, ["fit", "data.npz", "--batch-size", "99", "--drop-last", "true", *flags], 2)
    assert tree(here / "run") == before
    old = sha(here / "run")
    assert fit(*flags, "--seed", "1") == 0
    assert sha(here / "run") != old


def test_a_run_in_use(here, capsys):
    with commands.Run(here / "run").claimed(resume=True):
        words = ["fit", "data.npz", *SMALL, "--out", "run", "--overwrite"]
        refused(capsys, words, 2, "run is in use by another run")


# ----- data: 3


def spoilt():
    X = np.random.default_rng(0).random((60, 5), dtype=np.float32)
    X[7, 2] = np.nan
    return X


BAD = {
    "nan.npy": (lambda path: np.save(path, spoilt()), ["nan.npy", "NaN", "row 7"]),
    "object.npy": (
        lambda path: np.save(path, np.array([[{}]] * 9), allow_pickle=True),
        ["object.npy cannot be read"],
    ),
    "cut.npz": (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), ["cut.npz cannot be"]),
    "names.npz": (lambda path: np.savez(path, a=np.ones((9, 2)), b=[1]), ["must hold an array"]),
    "empty": (lambda path: path.mkdir(), ["There is no image in empty"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data(here, capsys, name):
    make, sentences = BAD[name]
    make(here / name)
    refused(capsys, ["fit", name, *SMALL, "--out", "new"], 3, *sentences)
    assert not (here / "new").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("suffix", "where"),
    [
        ("npy", "row 7"),
        ("npz", "row 7"),
        ("csv", "line 9"),
        ("tsv", "line 9"),
        ("parquet", "row 7"),
    ],
)
def test_what_is_not_finite_is_refused_in_any_file(here, capsys, suffix, where, value):
    X = np.random.default_rng(0).random((60, 5), dtype=np.float32)
    X[7, 2] = value
    frame = pl.DataFrame(X, schema=list("abcde"))
    {
        "npy": lambda path: np.save(path, X),
        "npz": lambda path: np.savez(path, x=X),
        "csv": frame.write_csv,
        "tsv": lambda path: frame.write_csv(path, separator="\t"),
        "parquet": frame.write_parquet,
    }[suffix](here / f"bad.{suffix}")
    words = ["fit", f"bad.{suffix}", *SMALL, "--out", "new"]
    refused(capsys, words, 3, f"In bad.{suffix}", where)
    assert not (here / "new").exists()


def photos(folder, good, broken):
    folder.mkdir()
    for i in range(good):
        Image.new("L", (8, 8), i).save(folder / f"good-{i:03}.png")
    for i in range(broken):
        (folder / f"broken-{i}.png").write_text("no image")


def test_one_broken_image_in_a_hundred_is_skipped(here, capsys):
    photos(here / "photos", good=100, broken=1)
    assert fit("--out", "new", data="photos") == 0
    (line,) = (here / "new" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == "photos/broken-0.png"
    assert "not an image" in json.loads(line)["reason"]
    assert fit("--out", "new", "--overwrite") == 0
    assert not (here / "new" / "rejected.jsonl").exists()


def test_more_broken_images_are_refused(here, capsys):
    photos(here / "photos", good=100, broken=2)
    refused(capsys, ["fit", "photos", *SMALL, "--out", "new"], 3, "2 of 102", "broken-0.png")
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    ("codes", "sentences"),
    [
        (np.zeros((4, 3)), ["Z has to have 2 columns", "have shape (3,)"]),
        (np.zeros(4), ["codes.npy has to hold codes", "(4,)"]),
        (np.array([[0, 0], [0, np.inf]]), ["row 1"]),
        (np.array([[{}]]), ["codes.npy has to hold codes as numbers, but holds objects"]),
    ],
)
def test_bad_codes(here, capsys, codes, sentences):
    np.save("codes.npy", codes, allow_pickle=True)
    refused(capsys, ["decode", "run", "codes.npy", "--out", "new.npy"], 3, *sentences)
    assert not (here / "new.npy").exists()


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_bad_codes_of_another_width(here, capsys, suffix):
    files.write_result(here / f"codes.{suffix}", np.zeros((4, 3)))
    words = ["decode", "run", f"codes.{suffix}", "--out", "new.npy"]
    refused(capsys, words, 3, "Z has to have 2 columns, as latent_dim is, but", "shape (3,)")
    assert not (here / "new.npy").exists()


@pytest.mark.parametrize("text", ["", "z0,z1\n", "z0,z1\n1,a\n", "z0,z1\n1,2\n3\n", "z0\n1\n"])
def test_bad_tables(here, capsys, text):
    (here / "codes.csv").write_text(text)
    refused(capsys, ["decode", "run", "codes.csv", "--out", "new.npy"], 3)
    assert not (here / "new.npy").exists()


def test_another_number_of_features(here, capsys):
    for command in (["evaluate"], ["encode", "--out", "c.npy"], ["reconstruct", "--out", "r.npy"]):
        words = [command[0], "run", "vectors.npy", *command[1:]]
        refused(capsys, words, 3, "samples of X have shape (5,), but the model wants (1, 8, 8)")


# ----- the others


def test_divergence(here, capsys):
    words = ["--optimizer", "rmsprop", "--learning-rate", "1e30", "--precision", "32"]
    error = refused(
        capsys, ["fit", "data.npz", *SMALL, *words, "--out", "new"], 4, "at step 1", "by its term"
    )
    assert "a lower learning_rate may help" in error
    assert tree(here / "new") == ["config.yaml", "made.jsonl"]


def test_divergence_later_leaves_the_last_good_checkpoint(here, monkeypatch, capsys):
    loss = swae.Autoencoder.loss

    def nan_from_step_5(self, x, labels=None, *, generator=None):
        self.steps = getattr(self, "steps", 0) + self.training
        x = x * float("nan") if self.steps > 5 else x
        return loss(self, x, labels, generator=generator)

    monkeypatch.setattr(swae.Autoencoder, "loss", nan_from_step_5)
    words = ["fit", "data.npz", *SMALL, "--out", "new"]
    refused(capsys, words, 4, "at step 5 (epoch 2, batch 3 of 3)", "bce and l1")
    assert not (here / "new" / "model").exists()
    assert [path.name for path in (here / "new" / "checkpoints").iterdir()] == ["epoch-0001"]
    monkeypatch.undo()
    os.chdir(here)
    assert fit("--out", "new", "--resume") == 0
    assert sha(here / "new") == sha(here / "run")


@pytest.mark.parametrize("out", ["data.npz/new", "/proc/new"])
def test_a_place_that_can_not_be_written(here, capsys, out):
    refused(capsys, ["fit", "data.npz", *SMALL, "--out", out], 5, out)


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device", "new")


@pytest.mark.parametrize(
    "what",
    ["run.write_file", "manifest.write_files", "plotting.save", "report.pages.write_file"],
)
def test_a_full_disk(here, monkeypatch, capsys, what):
    monkeypatch.setattr(commands, "draw_figures", DRAW)
    monkeypatch.setattr(f"swae.{what}", full)
    refused(capsys, ["fit", "data.npz", *SMALL, "--out", "new"], 5, "No space left on device")
    assert not [name for name in tree(here) if name.endswith(".part")]


def test_a_full_disk_while_writing_a_result(here, monkeypatch, capsys):
    monkeypatch.setattr(files, "write_file", full)
    refused(capsys, ["sample", "run", "--out", "new.npy"], 5, "No space left on device")
    assert not (here / "new.npy").exists()


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "model.safetensors"])
def test_a_damaged_model(here, capsys, name):
    path = here / "run" / "model" / name
    path.write_bytes(path.read_bytes()[:-2])
    refused(capsys, ["evaluate", "run"], 5, f"run/model/{name}")


DAMAGED = [
    ["evaluate", "run"],
    ["reconstruct", "run", "--out", "x.npy"],
    ["sample", "run", "--out", "x.npy"],
    ["encode", "run", "--out", "x.npz"],
    ["decode", "run", "codes.npy", "--out", "x.npy"],
    ["interpolate", "run", "--out", "x.png"],
    ["modes", "run", "--out", "x.png"],
    ["grid", "run", "--out", "x.png"],
    ["info", "run"],
    ["export", "run", "--codes", "x.parquet"],
    ["export", "run", "--onnx", "x"],
]


@pytest.mark.parametrize("words", DAMAGED, ids=lambda words: words[0] + words[-2])
def test_every_command_refuses_a_damaged_model(here, capsys, words):
    """Of which one bit is another."""
    np.save("codes.npy", np.zeros((3, 2)))
    path = here / "run" / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    refused(capsys, words, 5, "run/model/model.safetensors is not what was written: its sha256")
    assert not list(here.glob("x*"))


def test_a_run_whose_checkpoints_are_damaged_is_not_trained_over(here, capsys, caplog):
    assert fit("--out", "new", "--stop-after", "1") == 0
    damaged = here / "new" / "checkpoints" / "epoch-0001" / "info.json"
    damaged.write_text("{}")
    before, lines, old = tree(here / "new"), rows(here / "new"), sha(here / "new")
    words = ["fit", "data.npz", *SMALL, "--out", "new", "--resume"]
    refused(capsys, words, 5, "No checkpoint in new/checkpoints is whole; --overwrite begins anew")
    assert "epoch-0001/info.json is not what was written: its sha256 differs" in caplog.text
    assert (tree(here / "new"), rows(here / "new"), sha(here / "new")) == (before, lines, old)


@pytest.mark.parametrize(
    ("error", "code", "sentences"),
    [
        (MemoryError("Unable to allocate 9 TiB"), 6, ["out of memory", "smaller --batch-size"]),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 6, ["--batch-size"]),
        (DivergedError("The loss is nan."), 4, ["The loss is nan."]),
        (ValueError(), 2, ["ValueError"]),
    ],
)
def test_errors_have_codes(here, monkeypatch, capsys, error, code, sentences):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(commands, "row_of", fail)
    refused(capsys, ["fit", "data.npz", *SMALL, "--out", "new"], code, *sentences)


def test_debug_shows_the_traceback(here, capsys):
    with pytest.raises(ValueError, match="There is no prior 'rng'"):
        fit("--prior", "rng", "--debug")


def test_a_fault_of_ours_is_not_hidden(here, monkeypatch):
    monkeypatch.setattr(commands, "row_of", lambda *_: {}["key"])
    with pytest.raises(KeyError):
        fit("--out", "new")


def test_as_a_process(here):
    """A whole command: a line first, then a signal, then its exit code and a sentence."""
    words = ["fit", "data.npz", *SMALL, "--out", "new", "--max-epochs", "100000"]
    command = [sys.executable, "-m", "swae.cli", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENV) as process:
        assert "samples of shape 1x8x8" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 143
    assert "swae: terminated; --resume goes on" in rest
    assert "Traceback" not in rest
    assert not (here / "new" / "model").exists()


def test_pictures_of_a_linear_output_are_drawn_at_any_scale(here, monkeypatch, capsys):
    """Also where it strays far from [0, 1], as an untrained one does."""
    monkeypatch.setattr(commands, "draw_figures", DRAW)
    words = ("--output", "linear", "--reconstruction", "mse", "--learning-rate", "0.5")
    assert fit(*words, "--out", "own") == 0
    assert (here / "own" / "figures" / "triptych.png").is_file()
    assert main(["sample", "own", "-n", "4"]) == 0
    assert main(["reconstruct", "own", "-n", "4"]) == 0


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("c.csv", lambda path: path.write_text(""), "c.csv holds no codes"),
        ("c.csv", lambda path: path.write_text("z0,z1\n"), "c.csv holds no codes"),
        ("c.csv", lambda path: path.write_text("z0,z1\n1,2\n3,a\n"), "In c.csv row 1 holds NaN"),
        ("c.npy", lambda path: np.save(path, np.zeros(3)), r"c.npy has to hold codes"),
        ("c.npy", lambda path: np.save(path, np.array([["a"]])), r"c.npy has to hold codes"),
        ("c.npz", lambda path: np.savez(path, a=np.zeros(3)), "an array x, but holds a."),
    ],
)
def test_codes_that_are_none(here, capsys, name, write, sentence):
    write(here / name)
    refused(capsys, ["decode", "run", name, "--out", "d.npy"], 3, sentence)
