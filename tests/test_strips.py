"""The strips and the map: what lies where, and what is written beside it."""

import numpy as np
import pytest
import torch
from PIL import Image

from swae.montage import latent_grid
from swae.plotting import save
from swae.strips import APART, in_sigmas, lattice, strips

EXTENT = (-2.0, 2.0, -1.0, 3.0)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def texts(figure):
    return [text.get_text() for text in figure.texts]


def drawn(figure, tmp_path, mode="L"):
    with Image.open(save(figure, tmp_path / "figure.png")) as image:
        return np.asarray(image.convert(mode))


# Strips


@pytest.mark.parametrize("c", [1, 3])
def test_each_picture_lies_at_its_row_and_step(c, tmp_path):
    x = torch.zeros(2, 5, c, 8, 8)
    x[1, 3, -1] = 1  # white, or blue
    figure = strips(x, ["a", "b"], list("01234"))
    seen = drawn(figure, tmp_path, "RGB")
    box = figure.axes[0].get_window_extent()
    tile, gap = 88, 3
    assert box.size.tolist() == [5 * tile + 4 * gap, 2 * tile + gap]

    top, left = len(seen) - round(box.y1), round(box.x0)
    for i, j in np.ndindex(2, 5):
        part = seen[top + i * (tile + gap) :, left + j * (tile + gap) :][:tile, :tile]
        expected = [255] * 3 if c == 1 else [0, 0, 255]
        assert (part == (expected if (i, j) == (1, 3) else [0, 0, 0])).all()


def test_the_originals_stand_apart(tmp_path):
    x, ends = torch.zeros(1, 3, 1, 8, 8), (torch.ones(1, 1, 8, 8) / 2, torch.zeros(1, 1, 8, 8))
    figure = strips(x, columns=["0", "", "1"], ends=ends)
    assert texts(figure) == ["0", "", "1", "input", "input"]
    seen = drawn(figure, tmp_path)
    row = seen[len(seen) - round(figure.axes[0].get_window_extent().y0) - 44]
    starts = 12 + np.cumsum([0, 88 + 3 + APART, 91, 91, 91 + APART])
    assert row[starts].tolist() == [128, 0, 0, 0, 0]
    assert row[starts - 1].tolist() == [255] * 5
    assert row[starts[1] - APART] == 255


def test_names_stand_beside_their_rows_and_above_their_steps():
    figure = strips(rand(3, 4, 1, 8, 8), list("abc"), list("0123"), caption="Some words.")
    assert texts(figure) == [*"abc", *"0123", "Some words."]
    w, h = figure.get_size_inches() * figure.dpi
    box = figure.axes[0].get_window_extent()
    x, y = zip(*[text.get_position() for text in figure.texts], strict=True)
    pitch = 91
    np.testing.assert_allclose(np.array(y[:3]) * h, box.y1 - 44 - pitch * np.arange(3))
    np.testing.assert_allclose(np.array(x[3:7]) * w, box.x0 + 44 + pitch * np.arange(4))
    assert max(x[:3]) * w < box.x0
    assert min(y[3:7]) * h > box.y1
    assert y[7] * h < box.y0


def test_names_without_room_are_left_out():
    figure = strips(rand(9, 10, 1, 2, 88), list("abcdefghi"), [f"{i}.25" for i in range(10)])
    names = texts(figure)
    assert names[:2] == ["a", "h"]
    assert names[2:] == [f"{i}.25" for i in range(10)]
    assert texts(strips(rand(1, 30, 4), columns=[f"{i:.2f}" for i in range(30)]))[1] == "2.00"


def test_images_of_another_scale_are_spread(tmp_path):
    x = torch.full((1, 2, 1, 8, 8), -3.0)
    x[0, 1] = 5
    figure = strips(x, caption="Words.")
    assert texts(figure) == ["Words.\nblack is \N{MINUS SIGN}3, white is 5"]
    assert {0, 255} <= set(np.unique(drawn(figure, tmp_path)))


def test_bytes_are_images_and_mix_with_floats():
    ends = (np.full((1, 1, 8, 8), 255, dtype=np.uint8), np.zeros((1, 1, 8, 8), dtype=np.uint8))
    figure = strips(torch.ones(1, 2, 1, 8, 8), ends=ends)
    picture = figure.axes[0].images[0].get_array()
    assert picture[:, -88:].max() == 0
    assert picture[:, :88].min() == 1


@pytest.mark.parametrize("d", [1, 2, 3, 16])
def test_vectors_are_lines_on_one_scale(d, tmp_path):
    x = np.arange(2 * 3 * d).reshape(2, 3, d) - 2.0
    figure = strips(x, ["a", "b"], list("012"), ends=(x[:, 0], x[:, 2]))
    assert texts(figure)[-1] == f"every cell from \N{MINUS SIGN}2 to {6 * d - 3}"
    boxes, lines, *points = figure.axes[0].collections
    assert len(points) == (d < 4)
    # Left to right and down: every line is in its own box.
    for box, line in zip(boxes.get_paths(), lines.get_segments(), strict=True):
        low, high = box.get_extents().get_points()
        assert ((line > low) & (line < high)).all()
    corners = np.array([box.get_extents().p0 for box in boxes.get_paths()]).reshape(2, 5, 2)
    assert (np.diff(corners[..., 0], axis=1) > 0).all()
    assert (np.diff(corners[..., 1], axis=0) < 0).all()
    save(figure, tmp_path / "vectors.png")


def test_series_have_a_line_for_each_channel(tmp_path):
    x = np.arange(2 * 3 * 7 * 20).reshape(2, 3, 7, 20) / 100
    figure = strips(x, ends=(x[:, 0], x[:, 2]))
    assert texts(figure) == ["every cell from 0 to 7.99; the first 5 of 7 channels"]
    _, *lines = figure.axes[0].collections
    assert [len(line.get_segments()) for line in lines] == [10] * 5
    assert len({tuple(line.get_color()[0]) for line in lines}) == 5
    save(figure, tmp_path / "series.png")


def test_constant_pictures_can_be_drawn(tmp_path):
    save(strips(np.full((1, 1, 1, 4, 4), 9.0)), tmp_path / "images.png")
    save(strips(np.full((1, 1, 4), 9.0)), tmp_path / "vectors.png")


@pytest.mark.parametrize(
    ("x", "settings", "sentence"),
    [
        (np.ones((2, 8)), {}, r"pictures wants the shape \(n, steps, c, h, w\) or \(n, ste"),
        (np.ones((2, 3, 4)), {"left": ["a"]}, "left has to hold 2 names, but holds 1"),
        (np.ones((2, 3, 4)), {"columns": list("ab")}, "columns has to hold 3 names, but holds 2"),
        (
            np.ones((2, 3, 4)),
            {"ends": (np.ones((2, 4)), np.ones((2, 5)))},
            r"ends has to have the shape \(2, 4\), but has \(2, 5\)",
        ),
    ],
)
def test_strips_are_refused(x, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        strips(x, **settings)


# The map


def test_a_decoded_picture_lies_at_its_code(tmp_path):
    k, i, j = 4, 1, 3
    x = torch.zeros(k * k, 1, 8, 8)
    x[i * k + j] = 1
    figure = lattice(x, EXTENT)
    seen = drawn(figure, tmp_path)
    for n, z in enumerate(latent_grid(EXTENT, k).numpy()):
        column, row = figure.axes[0].transData.transform(z)
        assert seen[len(seen) - 1 - int(row), int(column)] == (255 if n == i * k + j else 0)


def test_a_decoded_vector_lies_around_its_code(tmp_path):
    x = rand(9, 12)
    figure = lattice(x, EXTENT)
    assert texts(figure)[0].startswith("every cell from 0.0")
    _, lines = figure.axes[0].collections
    middle = [(line.min(0)[0] + line.max(0)[0]) / 2 for line in np.array(lines.get_segments())]
    np.testing.assert_allclose(middle, latent_grid(EXTENT, 3)[:, 0], atol=1e-6)
    half = 4 / 3 / 2
    for line, z in zip(lines.get_segments(), latent_grid(EXTENT, 3).numpy(), strict=True):
        assert (np.abs(line - z) < half).all()
    save(figure, tmp_path / "map.png")


def test_a_map_of_series_has_their_channels():
    figure = lattice(rand(9, 2, 30), EXTENT)
    _, first, second = figure.axes[0].collections
    assert len(first.get_segments()) == len(second.get_segments()) == 9


def test_a_map_of_another_scale_is_spread():
    x = torch.zeros(4, 1, 8, 8)
    x[0] = 10
    assert texts(lattice(x, EXTENT)) == ["black is 0, white is 10"]


def test_a_map_wants_a_square_number():
    with pytest.raises(ValueError, match=r"decoded has to hold k \* k samples, .* but has 6"):
        lattice(rand(6, 1, 8, 8), EXTENT)


def test_steps_are_named_in_standard_deviations():
    names = [in_sigmas(t) for t in np.linspace(-3, 3, 9)]
    assert names[:3] == ["−3σ", "−2.25σ", "−1.5σ"]
    assert names[4] == in_sigmas(-1e-16) == "mean"
    assert names[-1] == "+3σ"
