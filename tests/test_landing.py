"""The README's first picture is drawn from two models, as its script says."""

import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from swae import SWAE

ROOT = Path(__file__).parents[1]


def test_the_script_draws_a_row_for_each_model(tmp_path, monkeypatch, mnist_like):
    x = np.random.default_rng(0).random((32, 1, 28, 28), dtype=np.float32)
    priors = {"heart": f"image:{ROOT / 'docs' / 'priors' / 'heart.png'}", "ring": "ring"}
    for name, prior in priors.items():
        SWAE(prior=prior, max_epochs=1).fit(x).save(tmp_path / name)

    target = tmp_path / "landing.png"
    words = ("landing.py", tmp_path / "heart", tmp_path / "ring", mnist_like, target)
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    runpy.run_path(str(ROOT / "docs" / "figures" / "landing.py"), run_name="__main__")

    with Image.open(target) as image:
        width, height = image.size
        assert (1900 < width < 2000, 1350 < height < 1450) == (True, True)
        inks = np.asarray(image.convert("L"))
    # Three panels a row, and none is left empty: each has its own share that is not paper.
    panels = [
        inks[76 + 636 * i :][:600, 24 + 636 * j :][:, :600] for i in (0, 1) for j in range(3)
    ]
    assert all((panel < 200).any() for panel in panels)
