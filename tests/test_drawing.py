"""What samples of each shape are drawn as, and that every picture of them can be made."""

import numpy as np
import pytest

from swae.drawing import (
    VIEWS,
    a_side,
    draw_lattice,
    draw_pairs,
    draw_samples,
    draw_strips,
    drawable,
    pictures,
)
from swae.plotting import save
from swae.tabular import Columns, agreements, histograms

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


def columns(d):
    names = [f"column {j}" for j in range(d)]
    return Columns(names, np.linspace(0, 1000, d), np.geomspace(1e-3, 1e3, d))


@pytest.mark.parametrize("d", [1, 2, 3, 13, 30, 40])
def test_tables_of_any_width_can_be_drawn(d, tmp_path):
    known = columns(d)
    x = known.mean + known.deviation * np.random.default_rng(0).normal(size=(24, d))
    save(draw_samples(x, known), tmp_path / "samples.png")
    save(draw_samples(x, known, x[:9]), tmp_path / "before-data.png")
    save(draw_pairs(x, x + 1, known), tmp_path / "pairs.png")
    save(draw_strips(x.reshape(4, 6, d), (x[:4], x[4:8]), known), tmp_path / "strips.png")
    save(draw_lattice(x[:9], (-1, 1, -1, 1), known), tmp_path / "lattice.png")


def test_each_column_has_its_own_units():
    x = np.random.default_rng(0).normal(size=(50, 4)) * (1e-3, 1, 30, 1000)
    figure = histograms(x, Columns("abcd"), 1.1 * x)
    widths = [np.ptp(ax.get_xlim()) for ax in figure.axes[:4]]
    np.testing.assert_allclose(np.array(widths) / (1e-3, 1, 30, 1000), 5, rtol=0.3)


def test_the_pairs_are_the_most_correlated():
    x = np.random.default_rng(0).normal(size=(200, 5))
    x[:, 3] = -100 * x[:, 1] + x[:, 3]
    pair = histograms(x, Columns("abcde")).axes[5]
    assert (pair.get_xlabel(), pair.get_ylabel()) == ("b", "d")


def test_the_share_of_the_variance_that_is_kept_is_told():
    x = np.array([[0.0, 1.0, 7.0], [2.0, 3.0, 7.0]])
    x_hat = np.array([[1.0, 1.0, 7.0], [1.0, 3.0, 8.0]])
    told = [ax.texts[0].get_text() for ax in agreements(x, x_hat, Columns("abc")).axes]
    assert told == ["R² 0.00", "R² 1.00", "constant"]


def test_tables_refuse_another_number_of_names():
    with pytest.raises(ValueError, match=r"x has to have 2 columns, .*, but has 3"):
        histograms(rand(4, 3), Columns("ab"))
    with pytest.raises(
        ValueError, match=r"x_hat has to have the shape \(4, 2\), but has \(3, 2\)"
    ):
        agreements(rand(4, 2), rand(3, 2), Columns("ab"))


def test_walks_of_tables_are_standardised_and_named():
    known = columns(5)
    figure = draw_strips(
        (known.mean + 2 * known.deviation * rand(6, 5)).reshape(2, 3, 5), None, known
    )
    (note,) = (text.get_text().replace("\n", " ") for text in figure.texts)
    assert "columns from the left: column 0, column 1," in note
    assert 1 < float(note.split()[-1]) <= 2


def test_volumes_say_what_their_slices_are():
    x = rand(4, *SHAPES["volumes"])
    for figure in (draw_samples(x), draw_pairs(x, x), draw_strips(x[None])):
        assert VIEWS in [text.get_text().replace("\n", " ") for text in figure.texts]


@pytest.mark.parametrize(
    ("shape", "k"), [((1, 8, 8), 15), ((1, 28, 28), 25), ((1, 40), 15), ((1, 30, 32, 32), 25)]
)
def test_small_images_have_larger_cells(shape, k):
    assert a_side(rand(1, *shape)) == k
