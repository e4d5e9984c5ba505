"""Images as one picture, and the lattice of codes: what lies where."""

import numpy as np
import pytest
import torch

from swae.montage import extent_of, latent_grid, montage

EXTENT = (-2.0, 2.0, -1.0, 3.0)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("columns", "pad"), [(None, 1), (2, 0), (7, 3)])
def test_montage_puts_each_image_in_its_place(channels, columns, pad):
    images = rand(7, channels, 4, 5)
    picture = montage(images, columns, pad=pad)
    columns = columns or 3

    for i, image in enumerate(images):
        top, left = i // columns * (4 + pad), i % columns * (5 + pad)
        tile = picture[top : top + 4, left : left + 5]
        expected = image.permute(1, 2, 0).numpy() if channels == 3 else image[0].numpy()
        np.testing.assert_array_equal(tile, expected)
        picture[top : top + 4, left : left + 5] = 1

    assert (picture == 1).all()  # gaps and empty cells are white
    rows = -(-7 // columns)
    assert picture.shape[:2] == (rows * (4 + pad) - pad, columns * (5 + pad) - pad)


def test_montage_of_bytes_is_that_of_floats():
    images = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(torch.uint8)
    np.testing.assert_allclose(montage(images), montage(images / 255), atol=1e-7)
    np.testing.assert_array_equal(montage(images), montage(images.numpy()))


def test_montage_shows_the_first_of_other_channels_and_clips():
    images = rand(3, 2, 4, 4) * 1.4 - 0.2
    np.testing.assert_array_equal(montage(images), montage(images[:, :1].clamp(0, 1)))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.zeros(3, 8), {}, r"images wants the shape \(n, c, h, w\), .* got \(3, 8\)"),
        (torch.zeros(0, 1, 8, 8), {}, "not empty"),
        (torch.full((1, 1, 2, 2), 255.0), {}, "values in .0, 1., got float32 from 255 to 255"),
        (torch.full((1, 1, 2, 2), torch.nan), {}, "finite"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.complex64), {}, "real numbers, got .* complex64"),
        (torch.zeros(1, 1, 2, 2), {"columns": 0}, "columns wants .* got 0"),
        (torch.zeros(1, 1, 2, 2), {"pad": -1}, "pad wants .* got -1"),
    ],
)
def test_montage_refuses_in_a_sentence(images, options, message):
    with pytest.raises(ValueError, match=message):
        montage(images, **options)


@pytest.mark.parametrize("k", [1, 2, 25])
def test_latent_grid_ascends_and_its_cells_tile_the_extent(k):
    z = latent_grid(EXTENT, k).reshape(k, k, 2)
    x0, x1, y0, y1 = EXTENT
    x = x0 + (torch.arange(k) + 0.5) * (x1 - x0) / k
    y = y0 + (torch.arange(k) + 0.5) * (y1 - y0) / k
    torch.testing.assert_close(z[..., 0], x.expand(k, k))
    torch.testing.assert_close(z[..., 1], y[:, None].expand(k, k))
    assert z.dtype == torch.get_default_dtype()


@pytest.mark.parametrize("extent", [(1, -1, -1, 1), (-1, 1, 0, 0), (0, 1)])
def test_latent_grid_refuses_limits_that_do_not_ascend(extent):
    with pytest.raises(ValueError, match="extent wants"):
        latent_grid(extent)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_extent_holds_a_bounded_law_with_a_margin(shift):
    z = 2 * rand(5000, 2) - 1 + shift
    x0, x1, y0, y1 = extent_of(z)
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert (z[:, 0] > x0).all()
    assert (z[:, 0] < x1).all()
    assert (z[:, 1] > y0).all()
    assert (z[:, 1] < y1).all()
    assert x1 - x0 == pytest.approx(2.1, rel=0.02)
    assert (x0 + x1) / 2 == pytest.approx(shift, abs=0.02)


def test_extent_of_a_normal_ignores_its_outliers():
    z = randn(20_000, 2)
    z[0] = 1000
    x0, x1, y0, y1 = extent_of(z)
    assert (x0, y0) == (-x1, -y1)
    assert 3 < x1 < 4


def test_extent_of_a_point_is_a_square():
    x0, x1, y0, y1 = extent_of(torch.zeros(4, 2))
    assert x0 < 0 < x1
    assert y0 < 0 < y1
