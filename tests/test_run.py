"""The folder of a run, and what it tells while it is written."""

import fcntl
import io
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from swae.checkpoint import save_checkpoint
from swae.progress import Reporter
from swae.run import Run, RunError, model_folder
from swae.training import make_optimizer

SETTINGS = {"data": "digits", "data_dir": None, "latent_dim": 2, "device": "auto", "seed": 0}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def old(run):
    """A run that is there already, and a file of someone else in it."""
    with run.claimed():
        run.write_config(SETTINGS)
        run.record({"epoch": 1})
        run.reject([("a.png", "no image")])
        for folder in (run.model, run.checkpoints, run.figures):
            folder.mkdir()
            (folder / "file").write_text("x")
    (run.path / "notes.txt").write_text("mine")
    return run


def claim(run, **flags):
    with run.claimed(**flags):
        pass


# ----- claiming


def test_a_new_folder(run):
    with run.claimed():
        run.write_config(SETTINGS)
        assert (run.path / ".lock").exists()
    assert names(run.path) == ["config.yaml"]
    assert run.read_config() == SETTINGS


def test_an_empty_folder_will_do(run):
    run.path.mkdir()
    claim(run)
    assert run.path.exists()


def test_a_start_that_fails_leaves_nothing(run):
    with pytest.raises(KeyboardInterrupt), run.claimed():
        raise KeyboardInterrupt
    assert not run.path.exists()


@pytest.mark.parametrize("relic", [".lock", ".config.yaml.17.part"])
@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_relics_of_a_killed_start_are_no_run(run, relic, flags):
    run.path.mkdir()
    (run.path / relic).write_text("17")
    claim(run, **flags)


def test_a_run_is_not_written_over(old):
    with pytest.raises(RunError, match=r"not empty; .*--out, or give --overwrite .* or --resume"):
        claim(old)
    claim(old, overwrite=True)
    claim(old, resume=True)
    assert old.rows() == [{"epoch": 1}]


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("config", [None, "name: of something else\n", ""])
def test_a_folder_of_someone_else(run, flags, config):
    run.path.mkdir()
    (run.path / "model").write_text("mine")
    if config is not None:
        (run.path / "config.yaml").write_text(config)
    with pytest.raises(RunError, match=r"not empty|it is none|does not hold settings"):
        claim(run, **flags)
    assert (run.path / "model").read_text() == "mine"


@pytest.mark.parametrize("config", ["a: [", "- a", b"\xff\xfe\x00"])
def test_a_config_that_is_none(old, config):
    old.config.write_bytes(config if isinstance(config, bytes) else config.encode())
    with pytest.raises(RunError, match=r"config\.yaml (is no YAML|does not hold settings)"):
        claim(old, resume=True)


def test_a_file(run):
    run.path.write_text("mine")
    with pytest.raises(RunError, match="is a file; --out wants a folder"):
        claim(run, overwrite=True)
    assert run.path.read_text() == "mine"


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}])
def test_a_run_in_use(old, flags):
    with old.claimed(resume=True):
        with pytest.raises(RunError, match="is in use by another run"):
            claim(Run(old.path), **flags)
        assert (old.path / ".lock").exists()
    claim(old, **flags)


def test_a_lock_is_its_process_s(old):
    """Held while the process lives, and taken over once it was killed."""
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(old.path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(RunError, match="is in use by another run"):
            claim(old, resume=True)
        other.kill()
    assert (old.path / ".lock").exists()
    claim(old, resume=True)


def test_a_lock_without_a_name_holds_nobody_off(old, monkeypatch):
    """Between opening and locking it, the run that held it may have ended."""
    lock = fcntl.flock

    def late(file, how):
        os.unlink(old.path / ".lock")
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(RunError, match="is in use by another run"):
        claim(old, resume=True)


def test_clear_removes_what_a_run_writes(old):
    old.clear()
    assert names(old.path) == ["notes.txt"]
    old.clear()


# ----- names


def test_numbers_go_on(tmp_path):
    runs = tmp_path / "runs"
    assert Run.numbered("digits", runs).path == runs / "001-digits"
    for name in ("001-digits", "007-x", "notes", "12"):
        (runs / name).mkdir(parents=True)
    assert Run.numbered("my data/v1.2", runs).path == runs / "013-my-data-v1-2"


def test_where_the_model_is(tmp_path):
    with pytest.raises(RunError, match=r"holds no model: neither model/config\.json nor"):
        model_folder(tmp_path)
    (tmp_path / "config.json").touch()
    assert model_folder(tmp_path) == tmp_path
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    assert model_folder(tmp_path) == tmp_path / "model"


# ----- resuming


def test_settings_are_those_of_the_start(run):
    run.path.mkdir()
    run.write_config(SETTINGS)
    for name in ("data", "latent_dim", "seed"):
        sentence = f"has {name}={SETTINGS[name]!r}, but {name}='other' is asked for"
        with pytest.raises(RunError, match=sentence):
            run.resume_point(SETTINGS | {name: "other"})
    assert run.resume_point(SETTINGS | {"data_dir": "/elsewhere", "device": "cuda"}) is None


def test_the_data_of_the_start_may_be_spelt_otherwise(run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "link").symlink_to("photos")
    run.path.mkdir()
    run.write_config(SETTINGS | {"data": str(tmp_path / "photos")})
    for name in ("photos", "link", "others/../photos"):
        assert run.resume_point(SETTINGS | {"data": str(tmp_path / name)}) is None
    for data in (str(tmp_path / "others"), "photos", "mnist", None):
        with pytest.raises(RunError, match="has data="):
            run.resume_point(SETTINGS | {"data": data})


def test_a_name_is_no_file_of_that_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.path.mkdir()
    run.write_config(SETTINGS | {"data": "digits"})
    with pytest.raises(RunError, match="has data='digits'"):
        run.resume_point(SETTINGS | {"data": str(tmp_path / "digits")})


def test_numbers_come_back_as_they_were(run):
    run.path.mkdir()
    numbers = {"a": 1 / 12, "b": 1e-05, "c": 1e20, "d": 0.1 + 0.2, "e": None, "f": True}
    run.write_config(numbers)
    assert run.read_config() == numbers
    assert run.resume_point(numbers) is None


def test_rows_are_cut_at_the_checkpoint(run):
    run.path.mkdir()
    layer = nn.Linear(1, 1)
    save_checkpoint(run.checkpoints, 2, layer, make_optimizer("adam", layer, 0.1))
    for epoch in (1, 2, 3):
        run.record({"epoch": epoch, "loss": 0.5})
    with run.metrics.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert [row["epoch"] for row in run.rows()] == [1, 2, 3]
    assert run.resume_point({}).epoch == 2
    assert run.metrics.read_text().endswith("\n")
    assert run.rows() == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.5}]
    run.record({"epoch": 3})
    assert [row["epoch"] for row in run.rows()] == [1, 2, 3]


def test_without_a_checkpoint_there_are_no_rows(run):
    run.path.mkdir()
    assert run.resume_point({}) is None
    assert run.rows() == []
    run.record({"epoch": 1})
    assert run.resume_point({}) is None
    assert run.rows() == []


def test_rejected_files_are_listed(run):
    run.path.mkdir()
    run.reject([])
    assert not run.rejected.exists()
    run.reject([("ä.png", "cut short"), ("b.png", 'a "reason"')])
    lines = [json.loads(line) for line in run.rejected.read_text().splitlines()]
    assert lines == [
        {"file": "ä.png", "reason": "cut short"},
        {"file": "b.png", "reason": 'a "reason"'},
    ]


# ----- progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_lines_with_rate_and_what_is_left():
    file = io.StringIO()
    report = Reporter(file, every=0)
    report.start("hello", total=400, done=200)
    report(3, 100, {"bce": 0.25, "l1": torch.tensor(0.125).item()})
    first, second = file.getvalue().splitlines()
    assert first == "hello"
    assert second.startswith(" 75%  step 3  ")
    assert "samples/s" in second
    assert "left  bce 0.25  l1 0.125" in second


def test_a_pipe_is_not_flooded():
    file = io.StringIO()
    report = Reporter(file, every=3600)
    report.start("", total=1000)
    for step in range(100):
        report(step, 10, {"bce": 0.5})
    report.close()
    assert file.getvalue() == ""


def test_a_line_counts_from_where_it_began():
    report = Reporter(io.StringIO())
    report.start("", total=1000, done=400)
    report.done = 600
    line = report.line(7, report.began + 2, {"mse": 0.5})
    assert line == " 60%  step 7  100 samples/s  00:04 left  mse 0.5"


def test_a_terminal_gets_a_bar():
    file = Terminal()
    report = Reporter(file)
    report.start("hello", total=100)
    report(1, 50, {"bce": 0.25})
    report.bar.refresh()
    report.say("epoch 1")
    report.close()
    text = file.getvalue()
    assert "hello\n" in text
    assert "epoch 1\n" in text
    assert "50.0/100" in text
    assert "bce 0.25" in text
