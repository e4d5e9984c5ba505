"""What the presets reach on MNIST: the figures that `docs/results.md` promises.

Hours on two cores, so they are marked slow: ``pytest -m slow tests/test_results.py``.
"""

import json
from pathlib import Path

import pytest

from swae.cli import main

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
@pytest.mark.parametrize(
    ("preset", "bounds"),
    [
        ("paper", {"bce": 0.203, "sw2": 0.005}),
        ("best", {"bce": 0.187, "l1": 0.096, "mse": 0.0430, "sw2": 0.0008}),
    ],
)
def test_mnist(tmp_path, capsys, preset, bounds):
    run = str(tmp_path / preset)
    assert main(["fit", "mnist", "--data-dir", str(DATA), "--preset", preset, "--out", run]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 10_000
    assert {name: figures[name] for name in bounds if figures[name] > bounds[name]} == {}
