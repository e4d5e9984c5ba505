"""Walks through codes: exact ends, slerp's closed forms, principal components, and refusals."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from swae import FromSamples, Normal, Ring, Uniform
from swae.latent import Modes, along, inside, interpolate, modes

KINDS = ["linear", "spherical"]


def randn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def norms(z):
    return np.linalg.norm(z, axis=-1)


# Between two codes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_ends_are_exact(kind, dtype, d):
    a, b = randn(4, d).astype(dtype), randn(4, d, seed=1).astype(dtype)
    z = interpolate(a, b, steps=6, kind=kind)
    assert z.shape == (4, 6, d)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z[:, 0], a)
    np.testing.assert_array_equal(z[:, -1], b)


@pytest.mark.parametrize("kind", KINDS)
def test_two_codes_are_a_path(kind):
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0], requires_grad=True)
    z = interpolate(a, b, kind=kind)
    assert z.shape == (1, 9, 2)
    np.testing.assert_array_equal(z, interpolate(a[None], b[None], kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_back_is_the_way_there(kind):
    a, b = randn(5, 3), randn(5, 3, seed=1)
    there, back = interpolate(a, b, kind=kind), interpolate(b, a, kind=kind)
    np.testing.assert_allclose(there, back[:, ::-1], atol=1e-12)


def test_a_line_is_straight_and_even():
    z = interpolate(randn(4, 3), randn(4, 3, seed=1), steps=7)
    np.testing.assert_allclose(np.diff(z, n=2, axis=1), 0, atol=1e-12)


def test_the_norm_of_a_spherical_path_is_linear_and_its_angle_even():
    a, b = randn(20, 6), randn(20, 6, seed=1)
    z = interpolate(a, b, steps=8, kind="spherical")
    np.testing.assert_allclose(norms(z), np.linspace(norms(a), norms(b), 8).T)
    u = z / norms(z)[..., None]
    angles = np.arccos((u[:, 1:] * u[:, :-1]).sum(axis=-1))
    np.testing.assert_allclose(angles, angles[:, :1].repeat(7, axis=1))
    whole = np.arccos((a * b).sum(axis=1) / (norms(a) * norms(b)))
    np.testing.assert_allclose(angles.sum(axis=1), whole)


def test_a_quarter_turn():
    z = interpolate(np.array([2.0, 0.0]), np.array([0.0, 4.0]), steps=3, kind="spherical")
    np.testing.assert_allclose(z[0, 1], 3 * np.sqrt([0.5, 0.5]))


def test_parallel_codes_have_the_line_between_them():
    a = randn(5, 4)
    for b in (2.5 * a, a, a * (1 + 1e-12)):
        z = interpolate(a, b, kind="spherical")
        np.testing.assert_allclose(z, interpolate(a, b), atol=1e-12)


def test_zero_has_the_other_s_direction():
    a = randn(5, 4)
    a[0] = 0
    b = randn(5, 4, seed=1) * (np.arange(5) > 1)[:, None]  # the first path is zero from end to end
    for x, y in ((a[:2], b[:2]), (b[:2], a[:2])):
        np.testing.assert_allclose(
            interpolate(x, y, kind="spherical"), interpolate(x, y), atol=1e-12
        )


@pytest.mark.parametrize("d", [2, 3, 7])
def test_opposite_codes_turn_around_zero(d):
    a = randn(4, d)
    z = interpolate(a, -2 * a, steps=5, kind="spherical")
    np.testing.assert_allclose(norms(z), norms(a)[:, None] * np.linspace(1, 2, 5))
    np.testing.assert_allclose((z[:, 2] * a).sum(axis=1), 0, atol=1e-12)


def test_opposite_codes_turn_towards_an_axis():
    z = interpolate(np.array([0.0, 0, 3]), np.array([0.0, 0, -3]), steps=3, kind="spherical")
    np.testing.assert_allclose(z[0, 1], [3, 0, 0], atol=1e-12)


def test_a_turn_on_a_line_is_linear():
    a, b = np.array([[1.0], [-2.0]]), np.array([[-1.0], [4.0]])
    np.testing.assert_array_equal(interpolate(a, b, kind="spherical"), interpolate(a, b))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_very_small_and_very_large_codes(scale):
    a, b = scale * randn(3, 4), scale * randn(3, 4, seed=1)
    z = interpolate(a, b, kind="spherical") / scale
    np.testing.assert_allclose(z, interpolate(a / scale, b / scale, kind="spherical"))


def test_whole_numbers_are_codes():
    z = interpolate(np.array([0, 0]), np.array([1, 3]), steps=3)
    assert z.tolist() == [[[0, 0], [0.5, 1.5], [1, 3]]]


@pytest.mark.parametrize(
    ("a", "b", "settings", "sentence"),
    [
        (np.ones(2), np.ones(3), {}, r"b has to have the shape of a, \(2,\), but has \(3,\)"),
        (np.ones((2, 2)), np.ones(2), {}, r"b has to have the shape of a, \(2, 2\), but has \(2,"),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2)), {}, r"a .* \(n, d\) or \(d,\), but has \(1, 2, "),
        (np.ones((0, 2)), np.ones((0, 2)), {}, r"a has to have the shape .*, but has \(0, 2\)"),
        (np.ones(2), np.array([1, np.nan]), {}, "b has to be finite, but holds NaN or infinity"),
        (np.ones(2) * 1j, np.ones(2), {}, "a has to hold real numbers, but is of the type compl"),
        (np.ones(2), np.ones(2), {"steps": 1}, "steps has to be at least 2, but is 1"),
        (np.ones(2), np.ones(2), {"kind": "round"}, "kind has to be one of .* but is 'round'"),
    ],
)
def test_paths_are_refused(a, b, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        interpolate(a, b, **settings)


# Modes


@pytest.mark.parametrize(("n", "d"), [(50, 4), (4, 9), (2, 3), (30, 1)])
def test_modes_are_scikit_learn_s(n, d):
    z = randn(n, d) @ randn(d, d, seed=1) + 3
    k = min(n - 1, d)  # of n codes at most n - 1 directions vary
    found, pca = modes(z, k), PCA(k).fit(z)
    np.testing.assert_allclose(found.mean, pca.mean_)
    np.testing.assert_allclose(found.sigma, np.sqrt(pca.explained_variance_))
    np.testing.assert_allclose(found.share, pca.explained_variance_ratio_)
    signs = np.sign((found.directions * pca.components_.T).sum(axis=0))
    np.testing.assert_allclose(found.directions, pca.components_.T * signs, atol=1e-9)


def test_all_modes():
    found = modes(randn(5, 8))
    assert [part.shape for part in found] == [(8,), (5,), (8, 5), (5,)]
    assert found.sigma[-1] == pytest.approx(0, abs=1e-12)
    assert found.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(5), atol=1e-12)


def test_the_largest_entry_is_positive():
    v = modes(-randn(50, 6)).directions
    assert (v[np.abs(v).argmax(axis=0), np.arange(6)] > 0).all()
    np.testing.assert_allclose(modes(randn(50, 6)).directions, v)


def test_constant_codes_have_no_width():
    found = modes(torch.ones(5, 3))
    assert found.sigma.tolist() == found.share.tolist() == [0, 0, 0]
    np.testing.assert_allclose(norms(found.directions.T), 1)
    np.testing.assert_array_equal(along(found), np.ones((3, 7, 3)))


@pytest.mark.parametrize(
    ("z", "k", "sentence"),
    [
        (np.ones((1, 3)), None, "codes has to hold at least 2 codes to vary, but holds 1"),
        (np.ones(3), None, r"codes has to have the shape \(n, d\), but has \(3,\)"),
        (np.ones((5, 3)), 0, "k has to be from 1 to 3 for 5 codes of 3 dimensions, but is 0"),
        (np.ones((2, 3)), 3, "k has to be from 1 to 2 for 2 codes of 3 dimensions, but is 3"),
        (np.full((5, 3), np.inf), None, "codes has to be finite, but holds NaN or infinity"),
    ],
)
def test_modes_are_refused(z, k, sentence):
    with pytest.raises(ValueError, match=sentence):
        modes(z, k)


def test_a_walk_along_a_mode_is_counted_in_standard_deviations():
    z = randn(200, 5) * [1, 2, 3, 4, 5]
    found = modes(z)
    walk = along(found, steps=5, sigmas=2)
    assert walk.shape == (5, 5, 5)
    steps = (walk - found.mean) @ found.directions / found.sigma
    expected = np.array([-2, -1, 0, 1, 2])[:, None] * np.eye(5)[:, None]
    np.testing.assert_allclose(steps, expected, atol=1e-12)
    np.testing.assert_allclose((z @ found.directions).std(axis=0, ddof=1), found.sigma)


@pytest.mark.parametrize("steps", [3, 7, 99])
def test_the_middle_is_the_mean(steps):
    found = modes(randn(9, 2) + 5)
    np.testing.assert_array_equal(along(found, steps=steps)[:, steps // 2], [found.mean] * 2)


def test_modes_can_be_chosen():
    found = modes(randn(20, 4))
    whole = along(found)
    np.testing.assert_array_equal(along(found, 2), whole[[2]])
    np.testing.assert_array_equal(along(found, [3, 0]), whole[[3, 0]])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"index": 2}, "index has to be from 0 to 1, but is 2"),
        ({"index": [0, -1]}, r"index has to be from 0 to 1, but is \[0, -1\]"),
        ({"steps": 1}, "steps has to be at least 2, but is 1"),
        ({"sigmas": 0}, "sigmas has to be a number above 0, but is 0"),
        ({"sigmas": float("nan")}, "sigmas has to be a number above 0, but is nan"),
    ],
)
def test_walks_are_refused(settings, sentence):
    found = Modes(np.zeros(2), np.ones(2), np.eye(2), np.ones(2) / 2)
    with pytest.raises(ValueError, match=sentence):
        along(found, **settings)


# The prior


def test_the_share_inside_the_prior():
    a, b = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    assert inside(interpolate(a, b), Uniform(2)) == 1
    assert inside(interpolate(a, b, steps=5), Ring()) == 2 / 5
    assert inside(interpolate(a, b, steps=5, kind="spherical"), Ring()) == 1
    assert inside(torch.zeros(3, 4, 2), Normal(2)) == 1


def test_a_support_that_is_not_known():
    assert inside(np.zeros((3, 2)), FromSamples(np.zeros((5, 2), dtype=np.float32))) is None


def test_codes_of_another_dimension_are_not_inside():
    sentence = r"codes has to have 3 columns as the prior has, but has the shape \(5, 2\)"
    with pytest.raises(ValueError, match=sentence):
        inside(np.zeros((5, 2)), Uniform(3))
