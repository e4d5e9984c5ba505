"""Every example runs, in a small form and in a process of its own, and is in the index.

A process of its own, as other people's libraries warn, keep state and compile. A new script has to
be added to SMALL, with what its `main` is called with and what has to be true of the result.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
LOOPS = ("plain_loop", "lightning_module", "accelerate_loop")

RUN = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
result = importlib.import_module(sys.argv[2]).main(**json.loads(sys.argv[3]))
print("\\n" + json.dumps(result, default=lambda array: array.tolist()))
"""


class Small(NamedTuple):
    arguments: dict
    check: object  # of what main returned
    files: tuple = ()
    warns: str = ""  # why warnings are no errors


def generates(result):
    """A loop's model reconstructs better than the mean image, whose MSE is 0.075, and matches."""
    assert result["mse"] < 0.065
    assert result["sw2_ratio"] < 15  # codes at a point have 150 and more
    samples = np.array(result["samples"])
    assert samples.shape == (16, 8, 8)
    assert samples.std(axis=0).mean() > 0.05  # they differ


def embeds(result):
    assert list(result) == ["swae, square", "swae, ring", "PCA"]
    assert all(numbers["trustworthiness"] > 0.7 for numbers in result.values())
    assert result["swae, square"]["SW2 / null"] < 15


def finds(result):
    for areas in result.values():
        assert len(areas) == 2
        assert min(areas) > 0.85  # 0.5 is chance


def encodes(result):
    codes = np.array(result)
    assert codes.shape == (40, 2)
    assert np.isfinite(codes).all()
    assert len(np.unique(codes, axis=0)) == len(codes)


def opens(result):
    """onnxruntime alone says what torch says, and generates digits that differ."""
    assert result["codes differ by"] < 1e-5
    assert result["data differ by"] < 1e-5
    new = np.array(result["generated"])
    assert new.shape == (16, 64)
    assert (new.min() >= 0, new.max() <= 1) == (True, True)
    assert new.std(axis=0).max() > 1e-2


SMALL = {
    "plain_loop": Small({"epochs": 20}, generates),
    "lightning_module": Small(
        {"epochs": 20, "accelerator": "cpu"},
        generates,
        warns="Lightning warns of loaders without workers, and of its own summary in bfloat16",
    ),
    "accelerate_loop": Small({"epochs": 10, "cpu": True}, generates),
    "digits_shapes": Small(
        {"epochs": 5, "umap": False, "out": "digits.png"},  # which compiles for long
        embeds,
        files=("digits.png",),
    ),
    "anomalies": Small(
        {"epochs": 50, "seeds": 2, "out": "anomalies.png"}, finds, files=("anomalies.png",)
    ),
    "series": Small({"epochs": 1, "n": 40, "out": "series.png"}, encodes, files=("series.png",)),
    "volumes": Small(
        {"epochs": 1, "n": 40, "out": "volumes.png"}, encodes, files=("volumes.png",)
    ),
    "onnx_only": Small({"epochs": 5}, opens),
}


def environment():
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run(name, tmp_path):
    assert name in SMALL, f"examples/{name}.py is new: say in SMALL how it runs in a test"
    small = SMALL[name]
    strict = [] if small.warns else ["-W", "error"]
    done = subprocess.run(
        [sys.executable, *strict, "-c", RUN, FOLDER, name, json.dumps(small.arguments)],
        cwd=tmp_path,
        env=environment() | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    small.check(json.loads(done.stdout.splitlines()[-1]))
    for file in small.files:
        assert (tmp_path / file).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == set(small.files)


def test_nothing_is_listed_that_is_not_there():
    assert set(SMALL) == set(SCRIPTS)


@pytest.mark.parametrize(
    ("name", "create", "shape"),
    [("series", "waves", (1, 128)), ("volumes", "blobs", (1, 10, 10, 10))],
)
def test_the_generated_data_are_what_the_estimator_takes(name, create, shape):
    x, truth = getattr(imported_example(name), create)(9)
    assert (x.shape, x.dtype, len(truth)) == ((9, *shape), np.float32, 9)
    assert x.min() >= 0
    assert 0.8 < x.max() <= 1


def imported_example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ten_lines_open_a_model_without_torch_and_swae():
    example = imported_example("onnx_only")
    assert len(example.OPEN.splitlines()) == 10
    for name in ("torch", "swae", "swae.export"):  # the check checks
        words = [sys.executable, "-c", f"{example.ALONE}import {name}"]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True)
        assert done.returncode == 1
        assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_short(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 80


def test_the_index_lists_each_with_its_command():
    index = (FOLDER / "README.md").read_text()
    linked = re.findall(r"\]\(([\w.]+)\)", index)
    assert sorted(linked) == sorted(path.name for path in FOLDER.glob("*.[pi][yp]*"))
    assert all(f"python examples/{name}.py" in index for name in SCRIPTS)


def notebooks():
    return sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", notebooks())
def test_notebooks_run_and_show_pictures(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel draws inline
    notebook = nbformat.read(FOLDER / name, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.output_type == "stream"] == []
    assert sum("image/png" in output.data for output in outputs) >= 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", notebooks())
def test_notebooks_are_stored_without_outputs(name):
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
