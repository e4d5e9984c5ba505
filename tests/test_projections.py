"""Directions: unit columns, unbiased, apart from each other, and drawn from the right source.

``draw`` is every way to choose them; what holds for all is asked through it.
"""

import math

import numpy as np
import pytest
import torch

from swae.projections import draw, equispaced, iid, orthogonal, principal

WAYS = [
    ("iid", 5),
    ("orthogonal", 5),
    ("equispaced", 2),
    ("principal", 20),
    ("auto", 2),
    ("auto", 5),
    ("auto", 20),
]
UNBIASED = [(iid, 3), (orthogonal, 3), (lambda _, *rest: equispaced(*rest), 2)]

ways = pytest.mark.parametrize(("slices", "dim"), WAYS)


def spread(dim):
    """A covariance without equal eigenvalues."""
    root = torch.randn(dim, 2 * dim)
    return root @ root.mT


def directions(slices, dim, n_projections=7, generator=None, dtype=None):
    return draw(slices, dim, n_projections, generator, covariance=torch.eye(dim), dtype=dtype)


@ways
@pytest.mark.parametrize("n_projections", [1, 2, 7, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_columns_are_directions(slices, dim, n_projections, dtype):
    theta = directions(slices, dim, n_projections, dtype=dtype)
    assert theta.shape == (dim, n_projections)
    assert theta.dtype == dtype
    torch.testing.assert_close(theta.norm(dim=0), torch.ones(n_projections, dtype=dtype))


@ways
def test_draws_come_from_the_generator(slices, dim, generator):
    state = generator.get_state()
    before = torch.get_rng_state()
    first, second = (directions(slices, dim, generator=generator) for _ in range(2))
    generator.set_state(state)
    assert torch.equal(first, directions(slices, dim, generator=generator))
    assert not torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@ways
def test_draws_without_generator_come_from_torch_alone(slices, dim):
    numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    state = torch.get_rng_state()
    first, second = (directions(slices, dim) for _ in range(2))
    torch.set_rng_state(state)
    assert torch.equal(first, directions(slices, dim))
    assert not torch.equal(first, second)
    assert (numpy == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(("slices", "dim"), [way for way in WAYS if way[1] < 16])
def test_draws_are_made_for_a_device(slices, dim, generator):
    meta = torch.device("meta")
    assert draw(slices, dim, 7, generator, device=meta).device == meta


@pytest.mark.parametrize(("way", "dim"), UNBIASED, ids=["iid", "orthogonal", "equispaced"])
def test_unbiased(way, dim):
    """The mean of theta theta^T is I / d."""
    theta = torch.cat([way(dim, 4) for _ in range(2000)], dim=1)
    second = theta @ theta.mT / theta.shape[1]
    torch.testing.assert_close(second, torch.eye(dim) / dim, rtol=0, atol=0.02)


@pytest.mark.parametrize("way", [iid, orthogonal])
def test_uniform_on_the_sphere(way):
    """Without the signs of R, QR's bases are no Haar ones: E theta would not vanish."""
    theta = torch.cat([way(3, 3) for _ in range(2000)], dim=1)
    assert theta.mean(dim=1).abs().max() < 0.03
    fourth = theta.pow(4).mean(dim=1)
    torch.testing.assert_close(fourth, torch.full((3,), 3 / 15), rtol=0, atol=0.02)


def test_orthogonal_in_blocks():
    theta = orthogonal(4, 10, dtype=torch.float64)
    for block in theta.split(4, dim=1):
        gram = block.mT @ block
        torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype))
    assert not torch.allclose(theta[:, :4], theta[:, 4:8])


@pytest.mark.parametrize("n_projections", [1, 2, 50])
def test_equispaced_angles(n_projections):
    """Gaps of pi / L on the half circle, and one random turn below a gap."""
    turns = []
    for _ in range(200):
        x, y = equispaced(n_projections, dtype=torch.float64)
        angles = torch.atan2(y, x) % math.pi
        gaps = angles.diff()
        torch.testing.assert_close(gaps, torch.full_like(gaps, math.pi / n_projections))
        turns.append(angles[0].item() * n_projections / math.pi)
    assert 0 <= min(turns) < 0.05
    assert 0.95 < max(turns) < 1


@pytest.mark.parametrize("n_projections", [48, 60])
def test_principal_holds_axes_and_eigenvectors(n_projections):
    covariance = spread(16)
    theta = principal(covariance, n_projections)
    for basis in (torch.eye(16), torch.linalg.eigh(covariance).eigenvectors):
        hits = (basis.mT @ theta).abs() > 1 - 1e-5
        assert hits.any(dim=1).all()


def test_principal_takes_a_third_of_each():
    covariance = spread(16)
    theta = principal(covariance, 15)
    axes = (theta.abs() > 1 - 1e-5).any(dim=0)
    images = covariance @ theta
    eigenvectors = images.div(images.norm(dim=0)).mul(theta).sum(dim=0) > 1 - 1e-5
    assert axes.sum() == eigenvectors.sum() == 5
    torch.testing.assert_close(theta.norm(dim=0), torch.ones(15))


@pytest.mark.parametrize(
    ("dim", "choice"),
    [(2, "equispaced"), (3, "orthogonal"), (15, "orthogonal"), (16, "principal")],
)
def test_auto(dim, choice):
    state = torch.get_rng_state()
    auto = directions("auto", dim)
    torch.set_rng_state(state)
    assert torch.equal(auto, directions(choice, dim))


@pytest.mark.parametrize("n_projections", [1, 50])
def test_one_dimension_has_one_direction(n_projections):
    assert draw("auto", 1, n_projections).tolist() == [[1.0]]
    assert draw("orthogonal", 1, n_projections).abs().eq(1).all()
    assert draw("iid", 1, n_projections).abs().eq(1).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gaussian", 2, 5), "slices has to be one of .*'auto'.* but is 'gaussian'"),
        (("equispaced", 3, 5), "'equispaced' exist for d = 2 alone, but d is 3"),
        (("principal", 3, 5), "'principal' need the covariance"),
        (("iid", 0, 5), "dim has to be a whole number >= 1, but is 0"),
        (("iid", 2, 0), "n_projections has to be a whole number >= 1, but is 0"),
        (("orthogonal", 2.0, 5), "dim has to be a whole number >= 1, but is 2.0"),
        (("equispaced", 2, -1), "n_projections has to be a whole number >= 1, but is -1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(*arguments)
