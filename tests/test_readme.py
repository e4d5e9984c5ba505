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

import swae
from swae.cli import COMMANDS, main
from swae.flags import Parser, add_data_flags, add_model_flags

README = (Path(__file__).parents[1] / "README.md").read_text()
MODULES = sorted(
    module.name.removeprefix("swae.") for module in pkgutil.walk_packages(swae.__path__, "swae.")
)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


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
    known |= {"--resume", "--out", "--overwrite", "--stop-after", "--log"}
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
