"""How good a model is: closed forms, null values, and nothing that the measuring changes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swae import (
    Autoencoder,
    Ball,
    Bowl,
    Circle,
    FromFunction,
    FromSamples,
    Mixture,
    Normal,
    Ring,
    SlicedWassersteinLoss,
    Sphere,
    Uniform,
)
from swae.metrics import evaluate, match_prior, reconstruction_errors
from swae.networks import build

PRIORS = [
    Uniform(2),
    Uniform(16),
    Uniform(1),
    Normal(5),
    Ring(),
    Circle(),
    Bowl(),
    Ball(3),
    Sphere(3),
    Mixture.on_circle(),
    FromSamples([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]]),
    FromFunction(lambda n, generator: torch.rand(n, 2, generator=generator), 2),
]


class Constant(nn.Module):
    """Returns the same whatever it gets, and counts the calls in training mode."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.as_tensor(value))
        self.modes, self.dtypes = [], []

    def forward(self, x):
        self.modes.append(self.training)
        self.dtypes.append((x @ x.mT).dtype)
        return self.value.expand(len(x), *self.value.shape)


def constant(logit, **settings):
    """Codes at the origin; data of one pixel that all are rebuilt as the same logit."""
    penalty = SlicedWassersteinLoss(Uniform(2))
    return Autoencoder(Constant([0.0, 0.0]), Constant([float(logit)]), penalty, **settings)


# ----- reconstruction


@pytest.mark.parametrize("batch_size", [3, 7, 1000])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.0])
def test_errors_are_means_over_all_samples(batch_size, logit):
    """A last, smaller batch weighs less."""
    x = torch.linspace(0, 1, 7)[:, None]
    result = evaluate(constant(logit), x, Uniform(2), batch_size=batch_size)
    x_hat = 1 / (1 + math.exp(-logit))
    mse = float((x - x_hat).square().mean())
    cross = -float((x * math.log(x_hat) + (1 - x) * math.log(1 - x_hat)).mean())
    assert result.n == 7
    assert result.bce == pytest.approx(cross, rel=1e-6)
    assert result.l1 == pytest.approx(float((x - x_hat).abs().mean()), rel=1e-6)
    assert result.mse == pytest.approx(mse, rel=1e-6)
    assert result.psnr == pytest.approx(-10 * math.log10(mse), rel=1e-6)


def test_bytes_are_shares():
    x = torch.tensor([[0], [51], [255]], dtype=torch.uint8)
    result = evaluate(constant(0), x, Uniform(2))
    assert result.l1 == pytest.approx((0.5 + 0.3 + 0.5) / 3)
    assert result.bce == pytest.approx(math.log(2))


def test_perfect_reconstruction():
    model = constant(0.25, output="linear", reconstruction="mse")
    result = evaluate(model, torch.full((5, 1), 0.25), Uniform(2))
    assert (result.l1, result.mse, result.psnr) == (0, 0, None)


def test_no_cross_entropy_of_what_has_none():
    """Of a linear output, or of data outside [0, 1], be it in one batch."""
    linear = constant(0, output="linear", reconstruction="mse")
    assert evaluate(linear, torch.rand(5, 1), Uniform(2)).bce is None
    sigmoid = constant(0, reconstruction="mse")
    assert evaluate(sigmoid, torch.rand(5, 1), Uniform(2)).bce == pytest.approx(math.log(2))
    x = torch.tensor([[0.5], [0.5], [1.5]])
    result = evaluate(sigmoid, x, Uniform(2), batch_size=2)
    assert result.bce is None
    assert result.mse == pytest.approx(1 / 3)


def test_errors_are_exact_where_float32_is_not():
    x, logits = torch.rand(1000, 3), 30 * torch.randn(1000, 3)
    bce, l1, mse = reconstruction_errors(x, logits, "sigmoid")
    exact = F.binary_cross_entropy_with_logits(logits.double(), x.double())
    torch.testing.assert_close(bce, exact, rtol=1e-12, atol=0)
    assert bce.dtype == l1.dtype == mse.dtype == torch.float64


# ----- the match


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_the_prior_s_own_codes_score_about_the_null(prior):
    match = match_prior(prior.sample(500), prior, n_projections=200)
    for name in ("sw2", "sw2_axes", "sw2_principal"):
        ratio = getattr(match, name) / getattr(match, f"{name}_null")
        assert 0.3 < ratio < 3
    assert match.outside is None or match.outside < 0.01


@pytest.mark.parametrize("dim", [2, 8])
def test_shifted_codes(dim):
    """SW2 of a shift s is the mean of (theta s)^2, which is |s|^2 / d."""
    prior = Normal(dim)
    z = prior.sample(1000)
    z[:, 0] += 3
    match = match_prior(z, prior, n_projections=500)
    assert match.sw2 == pytest.approx(9 / dim, rel=0.1)
    assert match.sw2_axes == pytest.approx(9 / dim, rel=0.1)


@pytest.mark.parametrize("n", [100, 1000])
def test_the_null_of_the_uniform_prior(n):
    """Between two samples on an axis: 2/n times the integral of F(1 - F)/f, which is 4/(3n)."""
    draws = [
        match_prior(torch.zeros(n, 2), Uniform(2), seed=s, n_projections=10) for s in range(10)
    ]
    nulls = [match.sw2_axes_null for match in draws]
    assert sum(nulls) / len(nulls) == pytest.approx(4 / (3 * n), rel=0.25)


def test_codes_at_the_origin():
    """SW2 to a point is the mean of (theta z)^2: the variance of a coordinate, 1/3."""
    match = match_prior(torch.zeros(1000, 4), Uniform(4), n_projections=500)
    for value in (match.sw2, match.sw2_axes, match.sw2_principal):
        assert value == pytest.approx(1 / 3, rel=0.05)


def test_axes_and_principal_directions_see_what_random_ones_do_not():
    """Codes wide along some directions and narrow along others, and the cube's corners."""
    prior, turn = Uniform(64), torch.linalg.qr(torch.randn(64, 64)).Q
    spread = prior.sample(1000) @ turn * torch.linspace(0.3, 1.38, 64) @ turn.mT
    corners = prior.sample(1000).sign() / math.sqrt(3)
    for z, name, factor in ((spread, "sw2_principal", 2), (corners, "sw2_axes", 5)):
        match = match_prior(z, prior, n_projections=200)
        seen, blind = (getattr(match, n) / getattr(match, f"{n}_null") for n in (name, "sw2"))
        assert seen > factor * blind


def test_a_perfect_sample_scores_its_null_along_its_own_principal_directions():
    """They are chosen by it: along directions that know nothing of it the null is a third."""
    prior = Uniform(64)
    match = match_prior(prior.sample(400), prior, n_projections=50)
    assert match.sw2_principal / match.sw2_principal_null == pytest.approx(1, rel=0.1)
    assert match.sw2_principal > 3 * match.sw2_axes_null


def test_outside_is_a_share():
    z = torch.zeros(8, 2)
    z[:3] = 1.5
    assert match_prior(z, Uniform(2)).outside == pytest.approx(3 / 8)
    assert match_prior(z, PRIORS[-1]).outside is None


def test_a_match_repeats_and_the_seed_is_its_own():
    z, prior = Uniform(3).sample(100), Uniform(3)
    before = torch.get_rng_state()
    first = match_prior(z, prior)
    torch.manual_seed(5)
    assert match_prior(z, prior) == first
    assert match_prior(z, prior, seed=1) != first
    torch.set_rng_state(before)
    match_prior(z, prior)
    assert torch.equal(torch.get_rng_state(), before)


# ----- a model


def test_evaluation_leaves_no_trace():
    """Neither in the mode, nor in the running covariance, nor in the generators."""
    model = Autoencoder(*build((6,), 16), SlicedWassersteinLoss(Normal(16)))
    state = {name: t.clone() for name, t in model.state_dict().items()}
    before = torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        results = [evaluate(model, torch.linspace(0, 1, 60).view(10, 6), Normal(16))] * 2
        assert results[0] == results[1]
        assert all(module.training == training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_evaluation_is_in_eval_mode_and_float32():
    model = constant(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        evaluate(model, torch.rand(5, 1), Uniform(2))
    assert model.encoder.modes == model.decoder.modes == [False]
    assert model.encoder.dtypes == model.decoder.dtypes == [torch.float32]


def test_the_mode_is_given_back_after_an_error():
    model = constant(0)
    with pytest.raises(ValueError, match="Target size"):
        evaluate(model, torch.rand(5, 3), Uniform(2))
    assert model.training


def test_no_data():
    with pytest.raises(ValueError, match="x has to hold at least one sample, but is empty"):
        evaluate(constant(0), torch.empty(0, 1), Uniform(2))


def test_one_sample():
    result = evaluate(constant(0), torch.rand(1, 1), Uniform(2))
    assert result.n == 1
    assert math.isfinite(result.match.sw2_principal)


def test_flat_names():
    """What --json prints has at least these, by these names."""
    flat = evaluate(constant(0), torch.rand(5, 1), Uniform(2)).flat()
    assert {"bce", "l1", "mse", "psnr", "sw2", "sw2_null", "n"} <= set(flat)
    assert flat["sw2_ratio"] == flat["sw2"] / flat["sw2_null"]
    assert {f"{n}{s}" for n in ("sw2_axes", "sw2_principal") for s in ("", "_null")} <= set(flat)
    assert "outside" in flat
