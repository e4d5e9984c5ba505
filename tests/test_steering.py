"""The weight that is steered: where it goes, what moves it, and what it leaves alone."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from swae import SWAE, Autoencoder, Normal, Ring, SlicedWassersteinLoss, Uniform
from swae.checkpoint import latest_checkpoint
from swae.cli import main
from swae.metrics import evaluating
from swae.networks import build
from swae.penalties.likelihood import LogLikelihood
from swae.run import Run
from swae.seeding import stream
from swae.steering import HIGHEST, LOWEST, MULTIPLE, PACE, Steering, multiple_of


def numbers(*values):
    return [torch.tensor(float(value)) for value in values]


def model(reg_weight="auto", prior=None, **settings):
    torch.manual_seed(0)
    penalty = SlicedWassersteinLoss(prior or Uniform(2), **settings)
    return Autoencoder(*build((6,), 2), penalty, reconstruction="mse", reg_weight=reg_weight)


@pytest.fixture
def x():
    return torch.rand(40, 6)


# ----- where the weight goes


@pytest.mark.parametrize(("reconstruction", "start"), [(6.0, 4.0), (-6.0, 4.0), (0.0, 0.1)])
def test_the_penalty_starts_as_a_tenth_of_the_reconstruction(reconstruction, start):
    weight = Steering(1.5).step(*numbers(reconstruction, 0.15, 0.1), n=10)
    torch.testing.assert_close(weight, torch.tensor(start))


@pytest.mark.parametrize(("penalty", "moved"), [(0.2, PACE), (0.15, 0), (0.1, -PACE)])
def test_it_rises_above_the_bound_and_falls_below(penalty, moved):
    steering = Steering(1.5)
    steering.step(*numbers(1.0, penalty, 0.1))
    steering.log_weight.fill_(-1.0)  # away from the limit
    before = steering.log_weight.clone()
    steering.step(*numbers(1.0, penalty, 0.1))
    assert float(steering.log_weight - before) == pytest.approx(moved, abs=1e-5)


def test_the_error_is_measured_in_the_room_that_the_multiple_leaves():
    for multiple in (1.1, 2.0):
        steering = Steering(multiple)
        nulls = [1, multiple, 1 + 1.5 * (multiple - 1), 9]
        errors = [float(steering.error(*numbers(0.2 * null, 0.2))) for null in nulls]
        assert errors == pytest.approx([-1, 0, 0.5, 1], abs=1e-5)


def follow(multiple, gain, scale=1.0, steps=1200, noise=0.0):
    """Trains codes to their optimum at each step: P = N + a / lambda, at a cost that grows."""
    steering = Steering(multiple)
    weight, generator = scale, stream(0, "test")
    for _ in range(steps):
        factor = 1 + noise * float(torch.randn((), generator=generator))
        penalty = (0.1 + gain * scale / weight) * factor
        weight = float(steering.step(*numbers(scale, penalty, 0.1), n=50))
    return weight


@pytest.fixture
def brisk(monkeypatch):
    """Where the weight ends does not depend on its pace, but how long that takes does."""
    monkeypatch.setattr("swae.steering.PACE", 0.005)


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("multiple", [1.2, 3.0])
@pytest.mark.parametrize("gain", [0.01, 0.1])
def test_it_finds_the_multiplier(multiple, gain):
    """At the bound a / lambda is the room (rho - 1) N."""
    assert follow(multiple, gain) == pytest.approx(gain / (0.1 * (multiple - 1)), rel=0.02)


def test_noise_moves_it_little():
    assert follow(1.5, 0.1, noise=0.3) == pytest.approx(2, rel=0.2)


def test_the_scale_of_the_reconstruction_is_the_scale_of_the_weight():
    assert follow(1.5, 0.1, scale=1000.0) == pytest.approx(1000 * follow(1.5, 0.1), rel=1e-3)


def test_it_trains_a_quadratic_to_its_closed_form():
    """min R(a) = a^2 / 2 subject to (1 - a)^2 <= rho N: a = 1 - sqrt(rho N), lambda = a/(2-2a)."""
    a, steering = torch.zeros((), requires_grad=True), Steering(2.0)
    optimizer = torch.optim.SGD([a], 0.05)
    for _ in range(1500):
        reconstruction, penalty = a.square() / 2, (1 - a).square()
        weight = steering.step(reconstruction, penalty, torch.tensor(0.125))
        optimizer.zero_grad()
        (reconstruction + weight * penalty).backward()
        optimizer.step()
    assert float(a.detach()) == pytest.approx(0.5, abs=1e-3)
    assert float(steering.weight) == pytest.approx(0.5, abs=1e-3)


def test_a_small_batch_counts_as_its_size():
    """With 1/n in penalty and null the ratio is that of whole batches."""
    steering = Steering(1.5)
    for n in (100, 100, 3):
        steering.step(*numbers(1, 2 / n, 1 / n), n=n)
    assert float(steering.ratio) == pytest.approx(2)
    assert float(steering.null) == pytest.approx(1)


# ----- what can't be


@pytest.mark.parametrize("values", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 1)])
def test_zeros_leave_a_finite_weight(values):
    steering = Steering()
    for _ in range(3):
        weight = steering.step(*numbers(*values))
        assert LOWEST * (1 - 1e-4) <= float(weight) <= HIGHEST * (1 + 1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", range(3))
def test_a_number_that_is_not_finite_moves_nothing(bad, place):
    steering = Steering()
    steering.step(*numbers(1, 0.3, 0.1))
    before = {name: t.clone() for name, t in steering.state_dict().items()}
    values = [1, 0.3, 0.1]
    values[place] = bad
    steering.step(*numbers(*values))
    torch.testing.assert_close(dict(steering.state_dict()), before, rtol=0, atol=0)


@pytest.mark.usefixtures("brisk")
def test_a_penalty_that_can_not_be_low_weighs_no_more_than_the_first_reconstruction():
    steering = Steering(1.5)
    steering.step(*numbers(0.5, 1.0, 0.1))
    for _ in range(900):
        weight = steering.step(*numbers(0.01, 0.2, 0.1))
    assert float(weight) == pytest.approx(0.5 / 0.2, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("atuo", "reg_weight has to be .* but is 'atuo'. Did you mean 'auto'?"),
        ("ten", "reg_weight has to be a finite number >= 0, but is 'ten'. 'auto' and"),
        ("auto:", "reg_weight .* finite number > 1 as .*, but is 'auto:'"),
        ("auto:high", "reg_weight .* > 1 as .*, but is 'auto:high'"),
        ("auto:1", "reg_weight .* > 1 as .*, but is 'auto:1'"),
        ("auto:inf", "reg_weight .* > 1 as .*, but is 'auto:inf'"),
        (-1.0, "reg_weight has to be a finite number >= 0, but is -1.0"),
        (math.nan, "but is nan"),
        (True, "but is True"),
    ],
)
def test_other_words_and_numbers_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        model(value)


def test_words_state_the_multiple():
    assert multiple_of("auto") == MULTIPLE == model().steering.multiple
    assert multiple_of("auto:2") == 2 == model("auto:2").steering.multiple
    assert model(10.0).steering is None


@pytest.mark.parametrize("penalty", [LogLikelihood(Normal(2)), nn.Identity()])
def test_a_penalty_without_a_null_is_refused(penalty):
    with pytest.raises(ValueError, match=f"null.*{type(penalty).__name__} has none"):
        Autoencoder(*build((6,), 2), penalty, reconstruction="mse", reg_weight="auto")


# ----- the null


@pytest.mark.parametrize("prior", [Uniform(2), Normal(5), Ring(stratified=True)])
@pytest.mark.parametrize(("quasi", "oversampling"), [(True, 1), (False, 1), (True, 3)])
def test_the_null_is_the_penalty_of_independent_samples(prior, quasi, oversampling, generator):
    penalty = SlicedWassersteinLoss(prior, quasi=quasi, oversampling=oversampling)
    plain = Ring() if isinstance(prior, Ring) else prior
    z = torch.zeros(60, prior.dim)
    nulls = [penalty.null(z, generator=generator) for _ in range(100)]
    own = [penalty(plain.sample(60, generator), generator) for _ in range(100)]
    ratio = torch.stack(nulls).mean() / torch.stack(own).mean()
    assert float(ratio) == pytest.approx(1, abs=0.25)


def test_the_null_moves_no_directions_and_has_no_gradient():
    penalty = SlicedWassersteinLoss(Normal(3), slices="principal")
    z = (torch.randn(30, 3) * torch.tensor([1.0, 2.0, 3.0])).requires_grad_()
    penalty(z)
    before = penalty.covariance.clone()
    assert not penalty.null(z).requires_grad
    assert torch.equal(penalty.covariance, before)
    assert not torch.equal(before, torch.eye(3))


def test_the_null_leaves_the_prior_stratified():
    penalty = SlicedWassersteinLoss(Ring(stratified=True))
    penalty.null(torch.zeros(5, 2))
    assert penalty.prior.stratified


# ----- in the model


def test_a_fixed_weight_draws_what_it_drew(x):
    """The null is drawn after the penalty, so the loss of one batch is the same."""
    steered, fixed = model(), model(3.0)
    losses = [m.loss(x, generator=stream(0, "penalty", 0)) for m in (steered, fixed)]
    assert torch.equal(losses[0].parts["penalty"], losses[1].parts["penalty"])
    assert torch.equal(losses[1].weighted["penalty"], 3.0 * losses[1].parts["penalty"])
    assert not any("steering" in name for name in fixed.state_dict())


def test_the_loss_carries_the_weight_as_it_stands(x):
    autoencoder = model()
    loss = autoencoder.loss(x)
    weight = float((loss.weighted["penalty"] / loss.parts["penalty"]).detach())
    assert weight == pytest.approx(autoencoder.reg_weight, rel=1e-6)
    assert f"reg_weight={autoencoder.reg_weight}" in repr(autoencoder)


def test_the_weight_has_no_gradient(x):
    autoencoder = model()
    autoencoder.loss(x).total.backward()
    assert not autoencoder.steering.weight.requires_grad


def test_evaluation_moves_nothing(x):
    autoencoder = model()
    autoencoder.loss(x)
    before = {name: t.clone() for name, t in autoencoder.steering.state_dict().items()}
    with evaluating(autoencoder):
        loss = autoencoder.loss(x)
    assert dict(autoencoder.steering.state_dict()).keys() == before.keys()
    assert all(torch.equal(t, before[n]) for n, t in autoencoder.steering.state_dict().items())
    torch.testing.assert_close(
        loss.weighted["penalty"], before["log_weight"].exp() * loss.parts["penalty"]
    )


def test_the_weight_travels_with_the_weights(x):
    autoencoder, other = model(), model()
    for _ in range(3):
        autoencoder.loss(x)
    other.load_state_dict(autoencoder.state_dict())
    losses = [m.loss(x, generator=stream(0, "penalty", 9)).total for m in (autoencoder, other)]
    assert torch.equal(*losses)


def test_setting_a_number_ends_the_steering(x):
    autoencoder = model()
    autoencoder.reg_weight = 2.5
    autoencoder.loss(x)
    assert (autoencoder.steering, autoencoder.reg_weight) == (None, 2.5)


@pytest.mark.usefixtures("brisk")
def test_a_plain_loop_under_autocast_leads_the_penalty_to_its_bound(x):
    """The penalty starts far above, falls below and ends about the stated multiple."""
    autoencoder, x = model("auto:2"), torch.rand(60, 6)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    ratios = []
    for step in range(600):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = autoencoder.loss(x, generator=stream(0, "penalty", step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        ratios.append(float(autoencoder.steering.ratio))
    assert loss.total.dtype == torch.float32
    assert ratios[0] > 5
    assert min(ratios) < 1.5
    assert ratios[-1] == pytest.approx(2, rel=0.3)


# ----- in the estimator


def rows(n=60):
    return torch.rand(n, 6, generator=stream(0, "rows")).numpy()


def small(reg_weight="auto:1.5", **params):
    return SWAE(**({"max_epochs": 4, "batch_size": 25, "reg_weight": reg_weight} | params))


def state(estimator):
    return estimator.autoencoder_.state_dict()


@pytest.mark.parametrize("dim", [2, 12])
def test_a_run_that_is_resumed_goes_on_bit_for_bit(tmp_path, dim):
    """In a new process, as it were; last batches are partial, slices principal."""
    whole = small(latent_dim=dim).fit(rows())
    part = small(latent_dim=dim)
    for epoch in part.fit_epochs(rows()):
        if epoch.number == 2:
            part.save_checkpoint(tmp_path)
            break
    part = small(latent_dim=dim)
    checkpoint = latest_checkpoint(tmp_path)
    assert [e.number for e in part.fit_epochs(rows(), checkpoint=checkpoint)] == [3, 4]
    assert all(torch.equal(t, state(part)[name]) for name, t in state(whole).items())
    assert float(state(whole)["steering.steps"]) == part.autoencoder_.steering.steps > 4


def test_the_weight_is_stored_with_a_model(tmp_path):
    fitted = small().fit(rows())
    fitted.save(tmp_path)
    stored = SWAE.load(tmp_path)
    assert stored.reg_weight == "auto:1.5"
    assert stored.autoencoder_.reg_weight == fitted.autoencoder_.reg_weight
    assert stored.autoencoder_.steering.multiple == 1.5


def test_parts_steer_it_too():
    estimator = small().partial_fit(rows())
    steps = int(estimator.autoencoder_.steering.steps)
    estimator.partial_fit(rows())
    assert int(estimator.autoencoder_.steering.steps) == 2 * steps


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reg_weight": "atuo"}, "reg_weight has to be .* 'atuo'. Did you mean 'auto'?"),
        ({"preset": "authors"}, "reg_weight='auto:1.5' .* reg_growth=1.1 .* give reg_growth=1"),
        ({"patience": 3}, "reg_weight='auto:1.5' changes the loss .* leave patience out"),
        ({"penalty": "log-likelihood", "prior": "normal"}, "LogLikelihood has none"),
    ],
)
def test_what_a_steered_weight_can_not_go_with(params, message):
    with pytest.raises(ValueError, match=message):
        small(**params).check()


def test_a_stratified_ring_of_the_paper_is_steered():
    fitted = small(prior="ring", preset="paper", validation_size=0, drop_last=False).fit(rows())
    assert 0 < fitted.autoencoder_.reg_weight != 10


# ----- on the command line


def test_a_flag_states_the_multiple(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=rows())
    assert main(["fit", "data.npz", "--out=run", "--max-epochs=2", "--reg-weight=auto:2"]) == 0
    run = Run(Path("run"))
    weights = [row["reg_weight"] for row in run.rows()]
    assert len(set(weights)) == 2
    assert run.read_config()["reg_weight"] == "auto:2"
    capsys.readouterr()
    assert main(["info", "run"]) == 0
    assert f"{'weight reached':<18} {weights[-1]:.4g}" in capsys.readouterr().out


def test_a_flag_that_is_misspelt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=rows())
    assert main(["fit", "data.npz", "--reg-weight", "atuo"]) == 2
    assert "'atuo'. Did you mean 'auto'?" in capsys.readouterr().err
