"""A batch in parts has the gradient of the whole, and the penalty sees all of its codes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from swae import SWAE, Autoencoder, Mixture, SlicedWassersteinLoss, Uniform
from swae.accumulation import accumulate
from swae.data import ArrayBatches, Samples
from swae.networks import build
from swae.penalties.conditional import ConditionalSlicedWasserstein
from swae.penalties.likelihood import LogLikelihood
from swae.priors import Normal
from swae.scaling import Scaling
from swae.seeding import reseeded, stream
from swae.training import DivergedError, fabric_for, make_optimizer, train_epochs

N, SHAPE = 23, (1, 8, 8)


def model_with(penalty, *networks, **settings):
    encoder, decoder = networks or build(SHAPE, 2)
    return Autoencoder(encoder, decoder, penalty, **settings)


CASES = {
    "plain": lambda: model_with(SlicedWassersteinLoss(Uniform(2))),
    "steered": lambda: model_with(SlicedWassersteinLoss(Uniform(2)), reg_weight="auto"),
    "principal": lambda: model_with(SlicedWassersteinLoss(Uniform(2), slices="principal")),
    "p = 1": lambda: model_with(SlicedWassersteinLoss(Uniform(2), p=1), reconstruction="mse"),
    "conditional": lambda: model_with(ConditionalSlicedWasserstein(Mixture.on_circle(3))),
    "conditional, steered": lambda: model_with(
        ConditionalSlicedWasserstein(Mixture.on_circle(3)), reg_weight="auto:2"
    ),
    "likelihood": lambda: model_with(LogLikelihood(Normal(2))),
    "own cost": lambda: model_with(
        SlicedWassersteinLoss(Uniform(2)), reconstruction=lambda y, x: (y - x).abs().mean()
    ),
    "scaled": lambda: model_with(
        SlicedWassersteinLoss(Uniform(2)),
        reconstruction="mse",
        output="linear",
        scaling=Scaling(SHAPE).fit_([3 * torch.rand(50, *SHAPE) - 1]),
    ),
}


def batch(dtype=torch.float64, n=N):
    generator = stream(0, "test")
    x = torch.rand(n, *SHAPE, generator=generator, dtype=dtype)
    return x, torch.randint(-1, 3, (n,), generator=generator)


def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def one_pass(model, x, labels, **_):
    loss = model.loss(x, labels, generator=stream(0, "penalty"))
    loss.total.backward()
    return loss


def two_passes(model, x, labels, rows=5):
    return accumulate(model, x, labels, rows=rows, generator=stream(0, "penalty"))


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_two_passes_are_one(case, dtype, error):
    x, labels = batch(dtype)
    a = CASES[case]().to(dtype)
    b = copy.deepcopy(a)
    for _ in range(2):  # what the first step leaves behind counts in the second
        for model in (a, b):
            model.zero_grad()
        whole, parts = one_pass(a, x, labels), two_passes(b, x, labels)
        difference = (gradient(a) - gradient(b)).norm() / gradient(a).norm()
        assert difference < error
        for then, now in zip(whole, parts, strict=True):
            torch.testing.assert_close(now, then, rtol=error, atol=error)
    for name, value in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], value, rtol=error, atol=error)


def test_the_gradient_of_parts_alone_is_another():
    """What usual accumulation would give is far from it, or the test above would show nothing."""
    x, labels = batch()
    a = CASES["plain"]().double()
    b = copy.deepcopy(a)
    one_pass(a, x, labels)
    for part in x.split(5):
        loss = b.loss(part, generator=stream(0, "penalty")).total
        (len(part) / len(x) * loss).backward()
    assert (gradient(a) - gradient(b)).norm() > 0.1 * gradient(a).norm()


@pytest.mark.parametrize("rows", [1, 22, 23, 100])
def test_any_number_of_rows(rows):
    x, labels = batch()
    a = CASES["plain"]().double()
    b = copy.deepcopy(a)
    one_pass(a, x, labels)
    two_passes(b, x, labels, rows)
    torch.testing.assert_close(gradient(b), gradient(a), rtol=1e-10, atol=1e-12)


def dropping():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(), nn.Linear(8, 2))
    decoder = nn.Sequential(
        nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, 64), nn.Unflatten(1, SHAPE)
    )
    return encoder, decoder


@pytest.mark.parametrize("weight", [10.0, "auto"])
def test_dropout_draws_the_same_in_both_passes(weight):
    """One graph over all parts, each with the draws of its stream, has the same gradient."""
    x, _ = batch()
    penalty = SlicedWassersteinLoss(Uniform(2))
    a = model_with(penalty, *dropping(), reg_weight=weight).double()
    b = copy.deepcopy(a)
    torch.manual_seed(3)
    parts = two_passes(a, x, None)

    torch.manual_seed(3)
    seed, total, codes = int(torch.randint(2**62, ())), 0, []
    for k, part in enumerate(x.split(5)):
        with reseeded(seed, "part", k, device=x.device):
            codes.append(b.encode(part))
            terms = b.reconstruction_loss(part, b.logits(codes[-1]))
            total = total + len(part) / len(x) * sum(terms.values())
    z = torch.cat(codes)
    generator = stream(0, "penalty")
    value = b.latent_loss(z, generator=generator)
    factor = b.weigh(z, None, {"all": total, "penalty": value}, generator, len(z))
    (total + factor * value).backward()
    torch.testing.assert_close(gradient(a), gradient(b), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(parts.total, (total + factor * value).detach())


def test_draws_differ_from_step_to_step_and_from_part_to_part():
    x = torch.ones(10, *SHAPE)
    model = model_with(SlicedWassersteinLoss(Uniform(2)), *dropping())
    losses = [float(accumulate(model, x, rows=5, generator=stream(0, "p")).total) for _ in "ab"]
    assert losses[0] != losses[1]
    seen = []
    model.encoder.register_forward_hook(lambda module, args, z: seen.append(z.detach()))
    accumulate(model, x, rows=5)
    first, second, again, _ = seen
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_half_precision_loses_no_gradient_that_a_scaler_keeps():
    """The pull on a code may be less than float16 can hold; it is scaled like all else."""
    x, _ = batch(torch.float32)
    a = model_with(SlicedWassersteinLoss(Uniform(2)), reg_weight=1e-6, reconstruction="mse")
    b = copy.deepcopy(a)
    a.reconstruction = b.reconstruction = lambda y, x: 0 * y.mean()
    scale = 2.0**24
    with torch.autocast("cpu", torch.float16):
        whole = a.loss(x, generator=stream(0, "penalty"))
    (scale * whole.total).backward()
    with torch.autocast("cpu", torch.float16):
        accumulate(
            b,
            x,
            rows=5,
            generator=stream(0, "penalty"),
            backward=lambda term: (scale * term).backward(),
        )
    difference = (gradient(a) - gradient(b)).norm() / gradient(a).norm()
    assert difference < 0.01
    assert gradient(b).norm() > 0


def test_activations_of_one_part_are_held():
    """Of the batch only codes are seen whole, in both passes."""
    seen = []
    model = CASES["plain"]()
    model.encoder.register_forward_hook(lambda module, args, z: seen.append(len(args[0])))
    accumulate(model, batch(torch.float32)[0], rows=10)
    assert seen == [10, 10, 3] * 2


def trained(micro_batch_size, start=0, state=None, precision="32", epochs=3):
    torch.manual_seed(0)
    model = model_with(ConditionalSlicedWasserstein(Mixture.on_circle(3)), reg_weight="auto")
    if state is not None:
        model.load_state_dict(state[0])
    optimizer = make_optimizer("rmsprop", model, 1e-3)
    if state is not None:
        optimizer.load_state_dict(state[1])
    x, labels = batch(torch.float32, 50)
    return [
        (epoch.loss, copy.deepcopy((model.state_dict(), optimizer.state_dict())))
        for epoch in train_epochs(
            model,
            ArrayBatches(Samples(x, labels), 20),
            optimizer,
            max_epochs=epochs,
            start=start,
            micro_batch_size=micro_batch_size,
            fabric=fabric_for("cpu", precision),
        )
    ]


@pytest.mark.parametrize(("precision", "error"), [("32", 1e-4), ("bf16", 0.1)])
def test_training_is_the_same(precision, error):
    (a, _), (b, _) = trained(None, precision=precision)[-1], trained(7, precision=precision)[-1]
    assert b == pytest.approx(a, rel=error)


def test_training_resumes_exactly():
    whole = trained(7)
    resumed = trained(7, start=1, state=whole[0][1])
    assert resumed[-1][0] == whole[-1][0]
    for name, value in whole[-1][1][0].items():
        assert torch.equal(resumed[-1][1][0][name], value)


def test_what_diverges_is_refused():
    model = CASES["plain"]()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(torch.nan)
    batches = ArrayBatches(Samples(batch(torch.float32)[0]), 20)
    optimizer = make_optimizer("adam", model, 1e-3)
    with pytest.raises(DivergedError, match="step 0"):
        list(train_epochs(model, batches, optimizer, max_epochs=1, micro_batch_size=7))


def test_the_estimator_takes_parts():
    X = np.random.default_rng(0).random((120, 6), dtype=np.float32)
    settings = {"max_epochs": 2, "batch_size": 40, "learning_rate": 1e-4}
    a, b = (SWAE(micro_batch_size=m, **settings).fit(X) for m in (None, 16))
    np.testing.assert_allclose(a.transform(X), b.transform(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "10"])
def test_what_is_no_number_of_rows_is_refused(rows, unchecked):
    model, (x, _) = CASES["plain"](), batch(torch.float32)
    with pytest.raises(ValueError, match="rows has to be a whole number >= 1, but is"):
        accumulate(model, x, rows=rows)
    with pytest.raises(ValueError, match="micro_batch_size has to be a whole number >= 1"):
        SWAE(micro_batch_size=rows).check()


def test_no_batch_is_refused():
    with pytest.raises(ValueError, match="at least one sample, but is empty"):
        accumulate(CASES["plain"](), torch.zeros(0, *SHAPE), rows=5)
