"""Densities of the priors, and the penalty that is made of them (Eq. 5)."""

import math

import pytest
import torch
from torch.distributions import Gamma, Independent, MultivariateNormal

from swae import (
    Ball,
    Bowl,
    Circle,
    FromDistribution,
    FromFunction,
    FromSamples,
    Mixture,
    Normal,
    Ring,
    SlicedWassersteinLoss,
    Sphere,
    Uniform,
)
from swae.penalties.likelihood import WALL, LogLikelihood

PLANE = [
    Uniform(2),
    Normal(2),
    Ring(sigma=0.1),
    Circle(),
    Bowl(),
    Ball(2),
    Mixture.on_circle(3, scale=0.3),
    FromDistribution(MultivariateNormal(torch.zeros(2), torch.eye(2))),
    FromDistribution(Independent(Gamma(torch.full((2,), 3.0), torch.full((2,), 3.0)), 1)),
]
NO_DENSITY = [
    Sphere(3),
    Ring(sigma=0.0),
    FromSamples([[0.0, 1.0]]),
    FromFunction(lambda n, generator: torch.zeros(n, 2), dim=2),
]


def name(prior):
    return type(prior).__name__


@pytest.mark.parametrize("prior", PLANE, ids=name)
def test_a_density_integrates_to_one(prior):
    """Polar coordinates tame the pole of the circle's density."""
    r = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000 * 8
    turn = (torch.arange(400, dtype=torch.float64) + 0.5) / 400 * 2 * math.pi
    z = r[:, None, None] * torch.stack((turn.cos(), turn.sin()), dim=-1)
    mass = (prior.log_prob(z).exp() * r[:, None]).sum() * (8 / 2000) * (2 * math.pi / 400)
    assert float(mass) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("prior", [*PLANE, Uniform(5), Normal(5), Ball(5)], ids=name)
def test_samples_are_where_the_density_is(prior, generator):
    density = prior.log_prob(prior.sample(500, generator))
    assert density.shape == (500,)
    assert density.isfinite().all()


@pytest.mark.parametrize("prior", [Uniform(2), Circle(), Bowl(), Ball(2)], ids=name)
def test_there_is_none_outside(prior):
    assert prior.log_prob(torch.tensor([[2.0, 0.0]])).tolist() == [-math.inf]


@pytest.mark.parametrize("prior", NO_DENSITY, ids=name)
def test_a_prior_without_a_density_is_refused(prior):
    assert prior.log_prob(torch.zeros(1, prior.dim)) is None
    with pytest.raises(ValueError, match=f"a prior with a density, but {name(prior)} has none"):
        LogLikelihood(prior)


@pytest.mark.usefixtures("unchecked")
def test_no_prior_is_refused():
    with pytest.raises(TypeError, match="prior has to be a Prior, but is a str"):
        LogLikelihood("normal")


def test_the_penalty_is_the_mean_of_nats():
    z = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert float(LogLikelihood(Normal(2))(z)) == pytest.approx(math.log(2 * math.pi) + 5 / 4)


def test_a_code_outside_pays_and_is_led_back():
    z = torch.tensor([[2.0, 0.0]], requires_grad=True)
    penalty = LogLikelihood(Uniform(2))(z)
    penalty.backward()
    assert penalty.item() == pytest.approx(4 * WALL + math.log(4), rel=0.1)  # the centre is drawn
    assert z.grad[0, 0] == pytest.approx(4 * WALL, rel=0.1)


def test_a_code_outside_is_led_to_a_support_away_from_the_origin():
    """And pays more than any code inside."""
    square = Independent(torch.distributions.Uniform(torch.full((2,), 2.0), 3.0), 1)
    z = torch.tensor([[0.0, 0.0], [2.5, 2.5]], requires_grad=True)
    penalty = LogLikelihood(FromDistribution(square))
    outside, inside = (penalty(z[i : i + 1]) for i in (0, 1))
    assert outside.item() > inside.item()
    outside.backward()
    assert (z.grad[0] < 0).all()


@pytest.mark.parametrize("prior", PLANE, ids=name)
def test_gradients_are_finite_everywhere(prior):
    """In the empty centre of the bowl and the pole of the circle, and outside."""
    z = torch.tensor([[0.0, 0.0], [0.5, 0.5], [3.0, -3.0]], requires_grad=True)
    LogLikelihood(prior)(z).backward()
    assert z.grad.isfinite().all()


def test_a_density_draws_nothing():
    before = torch.get_rng_state()
    prior = FromDistribution(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    LogLikelihood(prior)(torch.zeros(3, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_blind_in_the_cube():
    z = torch.rand(50, 2, requires_grad=True)
    LogLikelihood(Uniform(2))(z).backward()
    assert (z.grad == 0).all()


def descended(penalty, steps=300):
    """Returns free codes after a descent of the penalty alone."""
    z = (0.5 * torch.randn(256, 2)).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        penalty(z).backward()
        optimizer.step()
    return z.detach()


def test_codes_collapse_to_the_mode_where_slices_fill_the_prior():
    prior = Normal(2)
    assert descended(LogLikelihood(prior)).std() < 0.02
    assert descended(SlicedWassersteinLoss(prior)).std() == pytest.approx(1, abs=0.1)
