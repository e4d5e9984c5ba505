"""What samples of each shape are drawn as, and that every picture of them can be made."""

import numpy as np
import pytest

from swae.commands.drawing import (
    draw_lattice,
    draw_pairs,
    draw_samples,
    draw_strips,
    drawable,
    pictures,
)
from swae.plotting import save

SHAPES = {
    "vectors": (30,),
    "series": (1, 40),
    "channels": (12, 100),
    "short": (6, 4),
    "matrices": (9, 12),
    "images": (1, 8, 8),
    "long images": (3, 5, 60),
    "volumes": (1, 4, 5, 6),
    "coloured volumes": (3, 4, 5, 6),
    "five sides": (1, 2, 3, 4, 5),
}


def rand(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vectors", (30,)),
        ("series", (1, 40)),
        ("channels", (12, 100)),
        ("short", (6, 4)),
        ("matrices", (1, 9, 12)),
        ("images", (1, 8, 8)),
        ("volumes", (1, 5, 6 + 1 + 6 + 1 + 4)),
        ("five sides", (120,)),
    ],
)
def test_samples_are_drawn_as_what_they_look_like(name, shape):
    assert drawable(rand(3, *SHAPES[name])).shape == (3, *shape)


@pytest.mark.parametrize("scale", [1, 30])
def test_three_views_are_the_middle_slices(scale):
    x = (rand(2, 3, 4, 5, 6) - 0.5) * scale
    image = drawable(x)
    np.testing.assert_array_equal(image[..., :5, :6], x[:, :, 2])
    np.testing.assert_array_equal(image[..., :4, 7:13], x[:, :, :, 2])
    np.testing.assert_array_equal(image[..., 14:], x[..., 3].swapaxes(2, 3))
    assert (pictures(x)[..., 4:, 7:13] == 1).all()  # white
    np.testing.assert_array_equal(drawable(x, views=False), x[:, :, 2])


@pytest.mark.parametrize("name", SHAPES)
def test_every_picture_can_be_made(name, tmp_path):
    x = rand(24, *SHAPES[name])
    save(draw_pairs(x[:5], x[5:10]), tmp_path / "pairs.png")
    save(draw_samples(40 * x), tmp_path / "samples.png")
    save(draw_lattice(x[:4], (-1, 1, -1, 1)), tmp_path / "lattice.png")
    paths = x.reshape(4, 6, *SHAPES[name])
    save(draw_strips(paths, (x[:4], x[4:8]), left=list("abcd")), tmp_path / "strips.png")
