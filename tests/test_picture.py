"""A prior that is drawn: its law to the pixel, and the pictures and files that it is made of."""

import copy
import importlib.util
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from test_images import png

from swae import FromPicture, FromSamples, Mixture, SlicedWassersteinLoss
from swae.data import DataError
from swae.laws import absolute_law, law_of
from swae.penalties.likelihood import LogLikelihood
from swae.priors.picture import SIDE, darkness

ROOT = Path(__file__).parents[1]
HEART = ROOT / "docs" / "priors" / "heart.png"
RNG = np.random.default_rng(0)
FRAYED = RNG.random((7, 5)) * (RNG.random((7, 5)) > 0.4)
PICTURES = {
    "frayed": FRAYED,
    "row": FRAYED[:1] + 0.1,
    "column": FRAYED[:, :1] + 0.1,
    "white borders": np.pad(FRAYED, 2),
    "one pixel": np.ones((1, 1)),
    "steep": np.array([[1e-12, 1.0], [0.0, 1e-30]]),
    "large": RNG.random((512, 300)) * (RNG.random((512, 300)) > 0.9),
}
every = pytest.mark.parametrize("density", PICTURES.values(), ids=PICTURES)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def pixels_of(z, shape):
    """Counts the codes in each pixel, by the definition: the longer side spans [-1, 1], y up."""
    h, w = shape
    x, y = z.double().numpy().T
    side = max(h, w)
    column, row = np.floor((x * side + w) / 2), np.floor((h - y * side) / 2)
    counts = np.zeros(shape, dtype=int)
    np.add.at(counts, (row.astype(int), column.astype(int)), 1)
    return counts


# ----- the law


@pytest.mark.parametrize("quasi", [False, True])
@dtypes
def test_pixels_are_hit_as_often_as_they_are_dark(dtype, quasi, generator):
    n = 50_000
    z = FromPicture(FRAYED).sample(n, generator, quasi, dtype=dtype)
    counts, expected = pixels_of(z, FRAYED.shape), n * FRAYED / FRAYED.sum()
    dark = FRAYED > 0
    assert (counts[~dark] == 0).all()
    assert stats.chisquare(counts[dark], expected[dark]).pvalue > 0.01


def test_codes_are_uniform_within_a_pixel(generator):
    z = FromPicture(FRAYED).sample(50_000, generator, dtype=torch.float64)
    within = torch.stack(((z[:, 0] * 7 + 5) / 2, (7 - z[:, 1] * 7) / 2), dim=1) % 1
    for place in within.T.numpy():
        assert stats.kstest(place, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(within.T.numpy())[0, 1]) < 0.02


@every
@dtypes
def test_white_is_never_hit(density, dtype, generator):
    prior = FromPicture(density)
    for quasi in (False, True):
        z = prior.sample(20_000, generator, quasi, dtype=dtype)
        assert (pixels_of(z, density.shape)[density == 0] == 0).all()
        assert prior.contains(z).all()


@every
@dtypes
def test_the_corners_of_the_cube_are_in_the_picture(density, dtype):
    ends = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2, 1.0], dtype=dtype)
    prior = FromPicture(density)
    assert prior.contains(prior.from_cube(torch.cartesian_prod(ends, ends))).all()


def test_white_is_not_hit_at_the_ends_of_steps():
    """The u that are the CDF's own values, and their neighbours."""
    density = np.tile([0.0, 0.1, 0.0, 0.1, 0.1, 0.0], (3, 1))
    prior = FromPicture(density)
    ends = torch.cat([prior.column_ends[0], prior.row_ends])
    u = torch.cat([ends, *(ends.nextafter(torch.tensor(to)) for to in (0.0, 1.0))]).clamp(0, 1)
    z = prior.from_cube(torch.cartesian_prod(u, u))
    assert (pixels_of(z, density.shape)[density == 0] == 0).all()


def test_up_is_up_and_the_longer_side_spans_two():
    z = FromPicture([[0.0, 1.0], [0.0, 0.0]]).sample(1000)
    assert (z > 0).all()
    z = FromPicture(np.ones((2, 4))).sample(20_000)
    torch.testing.assert_close(z.abs().amax(dim=0), torch.tensor([1.0, 0.5]), rtol=0, atol=1e-3)


@every
def test_the_density_integrates_to_one(density):
    prior = FromPicture(density)
    h, w = density.shape
    side = max(h, w)
    x, y = (torch.arange(w) * 2 + 1 - w) / side, (h - 1 - torch.arange(h) * 2) / side
    z = torch.cartesian_prod(y, x).flip(1)
    area = (2 / side) ** 2
    share = prior.log_prob(z.double()).exp() * area
    assert share.sum().item() == pytest.approx(1, abs=1e-5)
    expected = (density / density.sum()).flatten()
    np.testing.assert_allclose(share.numpy(), expected, rtol=1e-5, atol=1e-9)


def test_there_is_nothing_beside_the_picture():
    prior = FromPicture(np.ones((2, 4)))
    z = torch.tensor([[0.0, 0.6], [1.1, 0.0], [-1.1, 0.0], [math.nan, 0.0], [math.inf, 0.0]])
    assert not prior.contains(z).any()
    assert (prior.log_prob(z) == -math.inf).all()
    assert prior.contains(z[:0]).shape == (0,)
    assert prior.contains(torch.zeros(3, 4, 2)).shape == (3, 4)


def test_quasi_random_codes_quarter_the_noise(generator):
    """Of the penalty's gradient, in which the prior's draw is the noise."""
    prior = FromPicture(Image.open(HEART))
    z = torch.randn(200, 2, generator=generator) / 2

    def noise(quasi):
        loss = SlicedWassersteinLoss(prior, 20, slices="equispaced", quasi=quasi)
        gradients = []
        for _ in range(30):
            codes = z.clone().requires_grad_()
            gradients.append(torch.autograd.grad(loss(codes, generator=generator), codes)[0])
        return torch.stack(gradients).var(dim=0).sum()

    assert noise(True) < noise(False) / 4


def test_the_likelihood_takes_a_picture():
    z = torch.zeros(3, 2, requires_grad=True)
    LogLikelihood(FromPicture(FRAYED))(z).backward()
    assert z.grad is not None


def test_a_copy_and_a_state_are_the_same_law():
    prior, other = FromPicture(FRAYED), FromPicture(np.ones((7, 5)))
    assert list(prior.state_dict()) == ["pixels"]
    other.load_state_dict(prior.state_dict())
    for law in (other, copy.deepcopy(prior)):
        a, b = (p.sample(9, torch.Generator().manual_seed(1)) for p in (prior, law))
        assert torch.equal(a, b)


# ----- what is dark


def shaded(alpha):
    """A black picture that is opaque on the left half, and as opaque as said on the right."""
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    image.paste((255, 255, 255, alpha), (2, 0, 4, 2))
    return image


def halves(mode, left, right):
    image = Image.new(mode, (4, 2), left)
    image.paste(right, (2, 0, 4, 2))
    return image


SHADES = {
    "gray": (halves("L", 0, 255), (1, 0)),
    "half gray": (halves("L", 51, 204), (0.8, 0.2)),
    "nearly white": (halves("L", 0, 250), (1, 0)),  # 1.96 %
    "hardly gray": (halves("L", 0, 249), (1, 6 / 255)),
    "1 bit": (halves("1", 0, 1), (1, 0)),
    "color": (halves("RGB", (255, 0, 0), (255, 255, 255)), (1 - 76 / 255, 0)),
    "CMYK": (halves("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), (1, 0)),
    "16 bits": (Image.fromarray(np.array([[0, 0, 65535, 65535]] * 2, dtype=np.uint16)), (1, 0)),
    "transparent": (shaded(0), (1, 0)),
    "half transparent": (shaded(128), (1, 128 / 255)),
    "hardly opaque": (shaded(5), (1, 0)),
    "an alpha channel that says nothing": (shaded(255), (1, 0)),
    "everywhere half transparent": (halves("LA", (0, 128), (255, 128)), (128 / 255, 0)),
}


@pytest.mark.parametrize(("image", "shades"), SHADES.values(), ids=SHADES)
def test_darkness(image, shades):
    left, right = shades
    expected = np.array([[left, left, right, right]] * 2)
    np.testing.assert_allclose(darkness(image), expected, atol=0.5 / 255)


def test_a_palette_with_a_transparent_color():
    image = halves("P", 0, 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.info["transparency"] = 1
    np.testing.assert_array_equal(darkness(image), [[1, 1, 0, 0]] * 2)


def test_large_pictures_are_reduced():
    image = Image.new("L", (2 * SIDE, SIDE // 2), 255)
    image.paste(0, (0, 0, SIDE, SIDE // 2))
    shades = darkness(image)
    assert shades.shape == (SIDE // 4, SIDE)
    assert shades.mean() == 0.5


def test_a_lone_dot_survives_the_reduction():
    image = Image.new("L", (8 * SIDE, 8 * SIDE), 255)
    image.paste(0, (0, 0, 8, 8))
    assert darkness(image).sum() == 1


def test_the_heart_is_the_one_that_is_drawn_beside_it():
    spec = importlib.util.spec_from_file_location("heart", HEART.with_suffix(".py"))
    heart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(heart)
    np.testing.assert_array_equal(np.asarray(heart.heart()), np.asarray(Image.open(HEART)))


def test_codes_fill_the_heart():
    prior = FromPicture(Image.open(HEART))
    inside = [(0.0, 0.0), (0.6, 0.5), (-0.6, 0.5), (0.0, -0.9)]
    outside = [(0.0, 0.9), (0.9, -0.7), (-0.9, -0.7), (0.0, -1.0)]
    assert prior.contains(torch.tensor(inside)).all()
    assert not prior.contains(torch.tensor(outside)).any()


@pytest.mark.parametrize(
    ("picture", "error", "sentence"),
    [
        (np.zeros((3, 3)), ValueError, "has to be dark somewhere, but is blank"),
        (Image.new("L", (3, 3), 255), ValueError, "blank: all of it is white, or transparent"),
        (Image.new("L", (3, 3), 251), ValueError, "is blank"),
        (Image.new("RGBA", (3, 3), (0, 0, 0, 0)), ValueError, "is blank"),
        (np.ones((3, 3, 3)), ValueError, r"shape \(height, width\), but has \(3, 3, 3\)"),
        (np.ones((0, 3)), ValueError, r"shape \(height, width\), but has \(0, 3\)"),
        (-np.eye(3), ValueError, "finite densities >= 0"),
        ([[math.nan]], ValueError, "finite densities >= 0"),
        ([[math.inf, 1.0]], ValueError, "finite densities >= 0"),
        (Image.new("F", (3, 3)), ValueError, "32-bit pixels have no known range"),
        ("heart.png", TypeError, r"picture has to be a Pillow image .*Image.open\(path\)"),
        (HEART, TypeError, "picture has to be a Pillow image"),
        (None, TypeError, "but is a NoneType"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_picture(picture, error, sentence):
    with pytest.raises(error, match=sentence):
        FromPicture(picture)


def test_huge_densities_do_not_overflow():
    shares = FromPicture(np.full((2, 2), 1e308)).pixels
    assert torch.equal(shares, torch.full((2, 2), 0.25))


# ----- files


def test_a_picture_from_a_file():
    law = law_of(f"image:{HEART}", 2)
    assert torch.equal(law.pixels, FromPicture(Image.open(HEART)).pixels)


def test_the_first_frame_counts(tmp_path):
    frames = [halves("L", 0, 255), halves("L", 255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    law = law_of(f"image:{tmp_path}/a.gif", 2)
    assert law.pixels.tolist() == [[0.25, 0.25, 0, 0]] * 2


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_samples_from_a_file(tmp_path, suffix):
    z, path = RNG.normal(size=(20, 3)).astype(np.float32), tmp_path / f"codes.{suffix}"
    match suffix:
        case "npy":
            np.save(path, z)
        case "npz":
            np.savez(path, x=z, y=np.arange(20))
        case "csv":
            labelled = np.hstack([z, np.ones((20, 1))])
            np.savetxt(path, labelled, delimiter=",", header="z0,z1,z2,label", comments="")
    law = law_of(f"samples:{path}", 3)
    assert sorted(map(tuple, law.samples.numpy())) == sorted(map(tuple, z))


BAD = {
    "missing": (lambda p: None, ValueError, "There is no file"),
    "folder": (Path.mkdir, DataError, "not a regular file"),
    "text": (lambda p: p.write_text("<html>"), DataError, "not an image of a known format"),
    "empty": (lambda p: p.write_bytes(b""), DataError, "not an image of a known format"),
    "bomb": (lambda p: p.write_bytes(png(60_000, 60_000)), DataError, "exceed"),
    "small bomb": (lambda p: p.write_bytes(png(10_000, 9_999)), DataError, "can't be made"),
    "cut": (lambda p: p.write_bytes(HEART.read_bytes()[:900]), DataError, "can't be made"),
    "blank": (lambda p: Image.new("1", (9, 9), 1).save(p, "PNG"), DataError, "is blank"),
    "FIFO": (os.mkfifo, DataError, "not a regular file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_told_in_sentences(tmp_path, kind):
    damage, error, sentence = BAD[kind]
    path = tmp_path / "a.png"
    damage(path)
    with pytest.raises(error, match=sentence) as caught:
        law_of(f"image:{path}", 2)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda p: p.write_bytes(b"text"), "is no .npy file that NumPy wrote"),
        (lambda p: np.save(p, np.array([{}])), "has to hold codes as numbers, but holds object"),
        (lambda p: np.save(p, np.ones(3)), r"has to hold codes as numbers, \(n, d\)"),
        (lambda p: np.save(p, np.full((3, 2), np.nan)), "row 0 holds NaN"),
    ],
)
def test_bad_samples_are_told_in_sentences(tmp_path, write, sentence):
    path = tmp_path / "codes.npy"
    write(path)
    with pytest.raises(DataError, match=sentence):
        law_of(f"samples:{path}", 2)


@pytest.mark.parametrize(
    ("given", "dim", "error", "sentence"),
    [
        ("image:", 2, ValueError, "wants a file: image:FILE"),
        ("samples", 2, ValueError, "wants a file: samples:FILE"),
        ("picture:heart.png", 2, ValueError, "known are uniform, .*, image:FILE, samples:FILE"),
        (f"image:{HEART}", 3, ValueError, "prior has 2 dimensions, but latent_dim is 3"),
        (np.ones((5, 3)), 2, ValueError, "prior has 3 dimensions, but latent_dim is 2"),
        (7, 2, TypeError, "has to be a name, a Prior, an array .*, but is 7"),
        (Mixture, 2, TypeError, "has to be a name, a Prior, .*, but is <class"),
        (HEART, 2, TypeError, f"has to be a name, a Prior, .* mean 'image:{HEART}'"),
        (Path("z.csv"), 2, TypeError, "has to be a name, a Prior, .* mean 'samples:z.csv'"),
        ("heart.png", 2, ValueError, "no prior 'heart.png'. Did you mean 'image:heart.png'"),
        ("codes.NPY", 2, ValueError, "no prior 'codes.NPY'. Did you mean 'samples:codes.NPY'"),
    ],
)
def test_what_is_no_prior(given, dim, error, sentence):
    with pytest.raises(error, match=sentence):
        law_of(given, dim)


def test_paths_are_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_law("image:a.png") == f"image:{tmp_path}/a.png"
    assert absolute_law(f"samples:{HEART}") == f"samples:{HEART}"
    assert absolute_law("ring:sigma=1") == "ring:sigma=1"
    law = FromSamples([[0.0]])
    assert absolute_law(law) is law
