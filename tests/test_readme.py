"""The README is run: its Python, its commands, and the docstrings' examples."""

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import swae
from swae.cli import COMMANDS, main
from swae.flags import Parser, add_data_flags, add_model_flags
from swae.penalties.conditional import ConditionalSlicedWasserstein

README = (Path(__file__).parents[1] / "README.md").read_text()
MODULES = sorted(
    module.name.removeprefix("swae.") for module in pkgutil.walk_packages(swae.__path__, "swae.")
)


DOCS = Path(__file__).parents[1] / "docs"
WITH_CODE = sorted(page for page in DOCS.glob("*.md") if "```python" in page.read_text())


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands():
    lines = "\n".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("swae ")]


def test_python_examples_run():
    namespace = {}
    for block in blocks("python"):
        exec(block, namespace)
    assert namespace["Z"].shape == (1797, 2)
    assert namespace["X_new"].shape == (16, 64)
    assert namespace["X_hat"].shape == namespace["X"].shape
    assert ((namespace["X_hat"] - namespace["X"]) ** 2).mean() < 0.05
    assert abs(np.linalg.norm(namespace["Z"], axis=1) - 1).mean() < 0.15  # on the ring


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_pages_examples_run(page, tmp_path, monkeypatch, mnist_like):
    """With small data in the place of the reader's, and a run where they have one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("swae.settings.STEPS", 20)
    digits = load_digits()
    X, y = digits.images[:200, None] / 16, digits.target[:200]
    if "runs/001-digits" in page.read_text():
        words = ["mnist", "--data-dir", str(mnist_like), "--max-epochs", "1"]
        assert main(["fit", *words, "--out", "runs/001-digits"]) == 0
    namespace = {name: getattr(swae, name) for name in swae.__all__} | {"X": X, "y": y}
    namespace |= {"ConditionalSlicedWasserstein": ConditionalSlicedWasserstein}
    namespace |= {"z": torch.rand(20, 2), "labels": torch.arange(20) % 10}
    for block in blocks("python", page.read_text()):
        exec(block, namespace)


def test_commands_run(tmp_path, monkeypatch, mnist_like):
    """As they stand, on a small data set in the place of MNIST and for two epochs."""
    monkeypatch.chdir(tmp_path)
    for words in commands():
        words = [str(mnist_like) if word == "DIR" else word for word in words]
        if words[0] == "fit":
            words += ["--max-epochs", "2"]
        assert main(words) == 0, words
    assert np.load("decoded.npz")["x"].shape == (40, 1, 28, 28)


def test_first_commands_are_the_issue_of_the_house():
    """The lines that a newcomer types."""
    assert "pip install -c constraints.txt . && swae fit digits\n" in blocks("sh")
    assert "pip install -c constraints.txt -e '.[dev]' && pytest\n" in blocks("sh")


def test_every_option_and_command_that_is_named_exists():
    parser = Parser("swae fit", "")
    add_data_flags(parser)
    add_model_flags(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    known |= {"--resume", "--out", "--overwrite", "--stop-after", "--log", "--devices"}
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= known
    assert {words[0] for words in commands()} <= set(COMMANDS)


def test_it_stays_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    module = importlib.import_module(f"swae.{name}")
    result = doctest.testmod(
        module,
        extraglobs={"torch": torch, "np": np},
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0
