"""The pictures: what lies where, what is written beside it, and what a file holds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from swae.canvas import BLUE, DPI, ORANGE
from swae.plotting import (
    codes,
    curves,
    edges_around,
    latent_grid,
    reconstructions,
    samples,
    save,
    triptych,
)

ROOT = Path(__file__).parents[1]
EXTENT = (-2.0, 2.0, -1.0, 3.0)
ROW = {
    "epoch": 1,
    "seconds": 2.5,
    "loss": 0.9,
    "bce": 0.6,
    "val_bce": 0.7,
    "penalty": 0.02,
    "val_sw2": 0.03,
    "val_sw2_null": 0.001,
}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(figure, tmp_path):
    """The pixels of the saved file; a Figure has no Agg canvas of its own."""

    with Image.open(save(figure, tmp_path / "figure.png")) as image:
        return np.asarray(image.convert("L"))


def bright_grid(k, i, j, size=6):
    grid = torch.zeros(k * k, 1, size, size)
    grid[i * k + j] = 1
    return grid


# The triptych


@pytest.mark.parametrize("labels", [None, torch.arange(40) % 10], ids=["alone", "labelled"])
def test_triptych_shows_one_window_three_times(labels):
    figure = triptych(randn(50, 2), randn(40, 2), labels, rand(9, 1, 6, 6), extent=EXTENT)
    panels = figure.axes[:3]
    assert [ax.get_title(loc="left") for ax in panels] == ["prior", "codes", "decoded"]
    for ax in panels:
        assert (*ax.get_xlim(), *ax.get_ylim()) == EXTENT
        assert ax.get_aspect() == 1
    widths = {tuple(np.round(ax.get_window_extent().size)) for ax in panels}
    assert len(widths) == 1
    assert len(figure.axes) == (3 if labels is None else 4)


@pytest.mark.parametrize(("i", "j", "size"), [(1, 4, 3), (0, 0, 128), (4, 0, 260)])
def test_a_decoded_picture_lies_at_its_code(i, j, size, tmp_path):
    k = 5
    figure = triptych(randn(9, 2), randn(9, 2), None, bright_grid(k, i, j, size), extent=EXTENT)
    seen = drawn(figure, tmp_path)

    for n, z in enumerate(latent_grid(EXTENT, k).numpy()):
        x, y = figure.axes[2].transData.transform(z)
        value = seen[len(seen) - 1 - int(y), int(x)]
        assert value == (255 if n == i * k + j else 0)


def test_triptych_counts_the_codes_outside():
    z = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, -9.0]])
    figure = triptych(torch.zeros(2, 2), z, None, rand(4, 3, 6, 6), extent=EXTENT)
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["", "2 not shown", ""]


def test_triptych_prints_its_caption():
    figure = triptych(
        randn(5, 2), randn(5, 2), None, rand(4, 1, 6, 6), extent=EXTENT, caption="After a day."
    )
    assert [text.get_text() for text in figure.texts] == ["After a day."]


def test_triptych_wants_a_square_number_of_pictures():
    with pytest.raises(ValueError, match="square number, got 6"):
        triptych(randn(5, 2), randn(5, 2), None, rand(6, 1, 6, 6), extent=EXTENT)


def test_triptych_wants_codes_in_the_plane():
    with pytest.raises(ValueError, match=r"codes wants the shape \(n, 2\), got \(5, 3\)"):
        triptych(randn(5, 2), randn(5, 3), None, rand(4, 1, 6, 6), extent=EXTENT)


# Codes and their labels


def test_labels_keep_their_colour_when_a_class_is_missing():
    z, prior = randn(60, 2), randn(60, 2)
    figure = codes(z, torch.arange(60) % 2 * 4 + 3, prior)  # the classes 3 and 7
    bar = figure.axes[2]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["3", "7"]
    points = figure.axes[1].collections[0]
    points.update_scalarmappable()
    seen = {tuple(np.round(c[:3], 3)) for c in points.get_facecolors()}
    assert seen == {tuple(np.round(to_rgba(f"C{c}")[:3], 3)) for c in (3, 7)}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["coat", "boot"] * 30), ["boot", "coat"]),
        (np.array([True, False] * 30), ["False", "True"]),
        (torch.arange(60) % 20, [str(i) for i in range(20)]),
        (torch.arange(60.0) % 3 / 2, ["0", "0.5", "1"]),
        (torch.zeros(60, dtype=torch.int64), ["0"]),
    ],
)
def test_labels_are_named(labels, names):
    figure = codes(randn(60, 2), labels, randn(60, 2))
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == names


def test_many_labels_are_a_continuous_scale():
    labels = torch.linspace(-1, 1, 60)
    points = codes(randn(60, 2), labels, randn(60, 2)).axes[1].collections[0]
    assert points.get_cmap().name == "viridis"
    assert points.get_clim() == (-1, 1)


def test_labels_must_fit_the_codes():
    with pytest.raises(ValueError, match=r"labels wants the shape \(60,\), .* got \(59,\)"):
        codes(randn(60, 2), torch.zeros(59), randn(60, 2))


def test_points_and_labels_stay_together():
    z = randn(100, 2)
    points = codes(z, z[:, 0], randn(100, 2)).axes[1].collections[0]
    np.testing.assert_allclose(points.get_offsets()[:, 0], points.get_array())


def test_codes_in_many_dimensions_are_projected_alike():
    scale = torch.tensor([0.1, 5.0, 0.2, 2.0])
    z, prior = randn(400, 4) * scale, randn(300, 4, seed=1)
    figure = codes(z, None, prior)
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert "component 1" in right.get_xlabel()

    # The axes are nearly the second and the fourth coordinate, with a positive sign.
    projected = np.asarray(left.collections[0].get_offsets())
    expected = (prior - z.mean(0))[:, [1, 3]].numpy()
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_allclose(projected, expected[order], atol=0.5)


@pytest.mark.parametrize("labels", [None, torch.arange(500) % 3, torch.arange(500)])
def test_codes_on_a_line_are_densities(labels):
    ax = codes(randn(500, 1), labels, randn(800, 1)).axes[0]
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches[:-1])  # last: the prior
    assert area == pytest.approx(1)


def test_collapsed_codes_are_still_drawn(tmp_path):
    for d in (1, 2, 5):
        save(codes(torch.zeros(20, d), None, randn(20, d)), tmp_path / f"{d}.png")


def test_the_prior_must_have_the_dimension_of_the_codes():
    with pytest.raises(ValueError, match=r"prior_samples wants the shape \(n, 3\), got \(9, 2\)"):
        codes(randn(9, 3), None, randn(9, 2))


# Reconstructions and samples


def test_reconstructions_stand_below_their_inputs(tmp_path):
    x = torch.zeros(20, 1, 8, 8)
    x_hat = torch.zeros(20, 1, 8, 8)
    x[2], x_hat[4] = 1, 1
    figure = reconstructions(x, x_hat, n=5)
    assert [text.get_text() for text in figure.texts] == ["input", "output"]

    box = figure.axes[0].get_window_extent()
    seen = drawn(figure, tmp_path)
    rows = [len(seen) - 1 - int(box.y0 + f * box.height) for f in (0.75, 0.25)]
    columns = [int(box.x0 + (i + 0.5) / 5 * box.width) for i in range(5)]
    expected = np.zeros((2, 5))
    expected[0, 2] = expected[1, 4] = 255
    np.testing.assert_array_equal(seen[np.ix_(rows, columns)], expected)


def test_images_are_enlarged_by_whole_pixels(tmp_path):
    figure = samples(rand(4, 1, 8, 8).round())
    seen = drawn(figure, tmp_path)[12:-12, 12:-12]
    block, gap = 88, 3
    for tile in (seen[:block, :block], seen[block + gap :, block + gap :]):
        blocks = tile.reshape(8, 11, 8, 11)
        assert (blocks == blocks[:, :1, :, :1]).all()
        assert set(np.unique(blocks)) == {0, 255}
    assert (seen[block : block + gap] == 255).all()


def test_vectors_are_overlaid_lines():
    x = rand(30, 16)
    figure = reconstructions(x, x + 0.1, n=6)
    _, solid, dashed = figure.axes[0].collections
    assert len(solid.get_segments()) == len(dashed.get_segments()) == 6
    assert solid.get_linestyle()[0][1] is None or len(solid.get_linestyle()[0][1]) == 0
    assert len(dashed.get_linestyle()[0][1]) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["input", "output"]
    # On one scale the shift is the same everywhere.
    shift = np.array(dashed.get_segments()) - np.array(solid.get_segments())
    assert np.ptp(shift[..., 1]) < 1e-4
    assert shift[..., 1].min() > 0


@pytest.mark.parametrize("d", [1, 3, 4])
def test_vectors_of_any_length_can_be_drawn(d, tmp_path):
    x = randn(40, d)
    save(reconstructions(x, x + 0.1), tmp_path / "reconstructions.png")
    save(samples(x, columns=7), tmp_path / "samples.png")


def test_series_lie_over_their_pale_inputs():
    x = rand(5, 2, 40)
    figure = reconstructions(x, x + 0.1)
    _, *lines = figure.axes[0].collections
    assert len(lines) == 4  # two channels, pale and in full colour
    below, above = (
        np.array([line.get_segments() for line in part]) for part in (lines[:2], lines[2:])
    )
    assert below.shape == (2, 5, 40, 2)
    np.testing.assert_allclose(above[..., 0], below[..., 0])
    assert (above[..., 1] > below[..., 1]).all()
    colours = [tuple(line.get_color()[0]) for line in lines]
    assert len(set(colours)) == 4
    for pale, full in zip(colours[:2], colours[2:], strict=True):
        np.testing.assert_allclose(pale[:3], 0.4 * np.array(full[:3]) + 0.6, atol=1 / 255)
    assert lines[0].get_linewidth()[0] > lines[2].get_linewidth()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["channel 1", "2"]
    assert figure.texts[0].get_text().endswith("output narrow in full colour")


def test_the_input_of_one_channel_is_grey():
    x = rand(5, 1, 40)
    figure = reconstructions(x, x + 0.1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["input", "output"]


def test_samples_of_the_prior_have_the_colours_of_their_labels():
    """Also where the codes lack a label that the prior has."""
    prior, z = randn(30, 2), randn(20, 2)
    figure = codes(z, torch.arange(20) % 2, prior, prior_labels=torch.arange(30) % 3)
    left, right = (ax.collections[0] for ax in figure.axes[:2])
    for part in (left, right):
        part.update_scalarmappable()
    colours = [{tuple(c[:3]) for c in part.get_facecolors()} for part in (left, right)]
    assert len(colours[0]) == 3
    assert len(colours[1]) == 2
    assert colours[1] < colours[0]


def test_samples_of_series_are_a_grid_of_lines(tmp_path):
    figure = samples(rand(9, 7, 20))
    assert len(figure.axes[0].collections) == 6  # the cells, and five channels of seven
    note = figure.texts[0].get_text().replace("\n", " ")
    assert note.endswith("the first 5 of 7 channels")
    save(figure, tmp_path / "samples.png")


def test_a_triptych_of_series_has_a_line_in_each_cell():
    figure = triptych(randn(50, 2), randn(40, 2), None, rand(9, 1, 30), extent=EXTENT)
    _, lines = figure.axes[2].collections
    middle = [(line.min(0)[0] + line.max(0)[0]) / 2 for line in np.array(lines.get_segments())]
    np.testing.assert_allclose(middle, latent_grid(EXTENT, 3)[:, 0], atol=1e-6)


def test_long_images_stand_in_several_rows():
    """Each above its output and named, on a page that is read without scrolling."""
    x = rand(12, 1, 8, 200)
    figure = reconstructions(x, x)
    names = [text.get_text() for text in figure.texts]
    assert names == ["input", "output"] * 12
    heights = [text.get_position()[1] for text in figure.texts]
    assert heights == sorted(heights, reverse=True)
    for shape in ((8, 200), (200, 8)):
        w, h = samples(rand(64, 1, *shape)).get_size_inches()
        assert 0.5 < w / h < 2


def test_constant_vectors_and_bytes_can_be_drawn(tmp_path):
    save(samples(torch.ones(3, 5)), tmp_path / "vectors.png")
    x = (rand(3, 3, 9, 7) * 255).to(torch.uint8)
    save(reconstructions(x, (x / 255).requires_grad_(), n=12), tmp_path / "images.png")


def test_reconstructions_refuse_another_shape():
    with pytest.raises(ValueError, match=r"x_hat wants the shape of x, \(3, 8\), got \(3, 9\)"):
        reconstructions(torch.zeros(3, 8), torch.zeros(3, 9))


# Curves


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def test_train_and_held_out_share_a_panel():
    rows = [{**ROW, "epoch": i, "bce": 1 / i} for i in range(1, 30)]
    figure = curves(rows)
    assert titles(figure) == ["loss", "cross-entropy", "penalty", "SW2 along random directions"]
    assert [line.get_color() for line in figure.axes[1].lines] == [BLUE, ORANGE]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [1 / i for i in range(1, 30)])
    assert all(tick == int(tick) for ax in figure.axes for tick in ax.get_xticks())


def test_distances_are_logarithmic_with_their_null():
    ax = curves([ROW, {**ROW, "epoch": 2, "val_sw2_null": 0.003}]).axes[-1]
    assert ax.get_yscale() == "log"
    _, null = ax.lines
    np.testing.assert_allclose(null.get_ydata(), 0.002)
    low, high = ax.get_ylim()
    assert low < 0.002 < 0.03 < high


def test_missing_quantities_are_passed_over():
    rows = [
        {"loss": 3.0, "val_bce": None, "note": "warm-up", "l1": None},
        {"loss": float("nan"), "val_bce": 0.5},
        {"loss": 1.0, "l1": None, "val_bce": 0.4},
    ]
    figure = curves(rows)
    assert titles(figure) == ["loss", "cross-entropy"]
    loss, held_out = figure.axes[0].lines[0], figure.axes[1].lines[0]
    np.testing.assert_array_equal(loss.get_xydata(), [[1, 3], [3, 1]])
    np.testing.assert_array_equal(held_out.get_xydata(), [[2, 0.5], [3, 0.4]])


def test_one_epoch_is_a_marked_point(tmp_path):
    figure = curves([ROW])
    for ax in figure.axes:
        assert ax.lines[0].get_marker() == "o"
        assert [tick for tick in ax.get_xticks() if 0.5 <= tick <= 1.5] == [1]
    save(figure, tmp_path / "curves.png")


@pytest.mark.parametrize("value", [0.0, -0.001])
def test_a_distance_that_has_no_logarithm_is_drawn_plainly(value, tmp_path):
    figure = curves([{"val_sw2": value, "val_sw2_null": 0.001}, {"val_sw2": 0.1}])
    assert figure.axes[0].get_yscale() == "linear"
    save(figure, tmp_path / "curves.png")


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "seconds": 2.0}], [{"loss": None}]])
def test_curves_want_a_number(rows):
    with pytest.raises(ValueError, match="at least one number to draw"):
        curves(rows)


# Files


def test_save_writes_a_picture_and_makes_its_folder(tmp_path):
    path = save(curves([ROW]), tmp_path / "new" / "curves.png")
    with Image.open(path) as image:
        image.verify()
        assert image.format == "PNG"
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_save_follows_the_suffix(suffix, start, tmp_path):
    path = save(reconstructions(rand(2, 9), rand(2, 9)), tmp_path / f"figure{suffix}")
    assert path.read_bytes().startswith(start)


def test_save_keeps_the_old_file_when_drawing_fails(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    class Broken(Figure):
        def savefig(self, fname, **options):
            fname.write(b"half a pict")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        save(Broken(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["figure", "figure.docx"])
def test_save_refuses_an_unknown_suffix(name, tmp_path):
    with pytest.raises(ValueError, match=r"suffix among .*\.png.*, got"):
        save(Figure(), tmp_path / name)


def test_pyplot_is_never_imported(tmp_path):
    script = """
import sys, torch
from swae.plotting import curves, samples, save
save(samples(torch.rand(4, 1, 8, 8)), sys.argv[1] + "/a.png")
save(curves([{"loss": 1.0}]), sys.argv[1] + "/b.png")
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True)


@pytest.mark.parametrize("z", [[-1.0, 1.0], [-3.7, 0.2], [0.1, 0.2], [5.0, 900.0]])
def test_bins_begin_and_end_where_the_prior_does(z):
    prior = np.linspace(-1, 1, 200)
    edges = np.array(edges_around(prior, np.array(z)))
    assert np.abs(edges[:, None] - [-1, 1]).min(axis=0).max() < 1e-9
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    assert edges[0] <= min(-1, *z) + 1e-9
    assert edges[-1] >= max(1, *z) - 1e-9
    assert len(edges) < 1000
    assert len(edges_around(prior, 1e9 * prior)) < 100
    assert len(edges_around(np.zeros(5), np.array(z))) >= 2
