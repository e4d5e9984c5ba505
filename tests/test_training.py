"""Training: schedules, optimisers, records, exact continuation, and what stops it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from swae import Autoencoder, Normal, SlicedWassersteinLoss, Uniform
from swae.data import ArrayBatches, as_samples
from swae.networks import build
from swae.training import (
    DivergedError,
    fabric_for,
    learning_rate,
    make_optimizer,
    train_epochs,
)

OPTIMIZERS = ["adam", "adamw", "rmsprop"]
STEPS = [i / 1000 for i in range(1001)]


def model(shape=(6,), dim=2, prior=Uniform, **settings):
    torch.manual_seed(0)
    penalty = SlicedWassersteinLoss(prior(dim), n_projections=48)
    return Autoencoder(*build(shape, dim), penalty, **settings)


def batches(shape=(6,), n=25, batch_size=10, **settings):
    X = np.random.default_rng(0).random((n, *shape), dtype=np.float32)
    return ArrayBatches(as_samples(X, np.arange(n)), batch_size, **settings)


def train(autoencoder, data, max_epochs=2, optimizer="adam", rate=1e-3, **settings):
    stepper = make_optimizer(optimizer, autoencoder, rate)
    return list(train_epochs(autoencoder, data, stepper, max_epochs=max_epochs, **settings))


def same_weights(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


# ----- the learning rate


@pytest.mark.parametrize(
    ("schedule", "t", "wanted"),
    [
        ("constant", 0, 1),
        ("constant", 1, 1),
        ("cosine", 0, 1),
        ("cosine", 0.5, 0.5),
        ("cosine", 1, 0),
        ("one-cycle", 0, 0.04),
        ("one-cycle", 0.125, 0.52),
        ("one-cycle", 0.25, 1),
        ("one-cycle", 0.625, 0.5),
        ("one-cycle", 1, 0),
    ],
)
def test_schedules_pass_through(schedule, t, wanted):
    assert learning_rate(schedule, t) == pytest.approx(wanted, abs=1e-12)


def test_schedules_rise_and_fall():
    rates = [learning_rate("one-cycle", t) for t in STEPS]
    assert rates.index(max(rates)) == 250
    assert rates[:251] == sorted(rates[:251])
    assert rates[250:] == sorted(rates[250:], reverse=True)
    rates = [learning_rate("cosine", t) for t in STEPS]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_rates_are_those_of_the_schedule(schedule):
    """Of step s out of all that the schedule is made for, and the peak is given back after."""
    autoencoder = model()
    stepper = make_optimizer("adam", autoencoder, 1e-3)
    rates = []
    for epoch in train_epochs(
        autoencoder,
        batches(),
        stepper,
        max_epochs=4,
        schedule=schedule,
        progress=lambda *_: rates.append(stepper.param_groups[0]["lr"]),
    ):
        assert epoch.learning_rate == rates[-1]
        assert stepper.param_groups[0]["lr"] == 1e-3
    assert rates == [1e-3 * learning_rate(schedule, step / 12) for step in range(12)]


def test_schedule_of_another_name():
    with pytest.raises(ValueError, match=r"one of .*'cosine'.* but is 'cosin'"):
        learning_rate("cosin", 0.5)


# ----- optimisers


def test_rmsprop_is_that_of_keras():
    """v <- 0.9 v + 0.1 g^2 and w <- w - rate g / (sqrt(v) + 1e-7), by hand in float64."""
    layer = nn.Linear(3, 1, bias=False).double()
    stepper = make_optimizer("rmsprop", layer, 0.01)
    w, v = layer.weight.detach().clone(), torch.zeros(1, 3).double()
    for x in torch.randn(5, 7, 3, dtype=torch.float64):
        loss = layer(x).square().sum()
        (g,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        v = 0.9 * v + 0.1 * g.square()
        w = w - 0.01 * g / (v.sqrt() + 1e-7)
        torch.testing.assert_close(layer.weight.detach(), w)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_are_torch_s(name, kind):
    assert type(make_optimizer(name, model(), 1e-3)).__name__ == kind


@pytest.mark.parametrize(
    ("name", "rate", "sentence"),
    [
        ("sgd", 1e-3, "optimizer has to be one of .*'rmsprop'.* but is 'sgd'"),
        ("adam", 0, "learning_rate has to be a finite number > 0, but is 0"),
        ("adam", math.nan, "learning_rate has to be .*but is nan"),
        ("adam", math.inf, "learning_rate has to be .*but is inf"),
    ],
)
def test_optimizers_refuse(name, rate, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_optimizer(name, model(), rate)


# ----- an epoch and its record


class Recorded(nn.Module):
    """A loss that is the mean of its batch, and that remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls = []

    def loss(self, x, labels=None, *, generator=None):
        from swae.autoencoder import Loss

        self.calls.append((x, labels, generator.initial_seed(), self.training))
        parts = {"a": x.mean() + 0 * self.weight, "b": labels.float().mean()}
        return Loss(2 * parts["a"] + parts["b"], parts, parts)


def test_records_are_means_over_samples():
    """A last batch of 5 weighs half of one of 10."""
    recorded, data = Recorded(), batches()
    first, second = train(recorded, data, rate=1e-30)
    x, y = data.samples.x, data.samples.labels.float()
    for epoch in (first, second):
        assert list(epoch.parts) == ["a", "b"]
        assert epoch.parts["a"] == pytest.approx(float(x.mean()), rel=1e-5)
        assert epoch.parts["b"] == pytest.approx(float(y.mean()), rel=1e-5)
        assert epoch.loss == pytest.approx(float(2 * x.mean() + y.mean()), rel=1e-5)
        assert epoch.seconds > 0
    assert [(epoch.number, epoch.step) for epoch in (first, second)] == [(1, 3), (2, 6)]


def test_each_step_has_a_stream_of_its_own_and_each_epoch_an_order():
    recorded = Recorded()
    train(recorded, batches())
    seeds = [seed for _, _, seed, _ in recorded.calls]
    assert len(set(seeds)) == 6
    first, second = (
        torch.cat([labels for _, labels, _, _ in recorded.calls[i : i + 3]]) for i in (0, 3)
    )
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(25))
    assert not torch.equal(first, second)


def test_training_mode_is_set_at_each_epoch():
    recorded = Recorded()
    stepper = make_optimizer("adam", recorded, 1e-3)
    for _ in train_epochs(recorded, batches(), stepper, max_epochs=2):
        recorded.eval()
    assert all(training for _, _, _, training in recorded.calls)


def test_progress_hears_of_each_step():
    heard = []
    train(model(), batches(), progress=lambda *news: heard.append(news))
    assert [(step, samples) for step, samples, _ in heard] == [
        (1, 10), (2, 10), (3, 5), (4, 10), (5, 10), (6, 5)
    ]  # fmt: skip
    assert all(set(parts) == {"bce", "l1", "penalty"} for _, _, parts in heard)


def test_a_fixed_batch_is_learnt():
    epochs = train(model(), batches(), max_epochs=60, rate=3e-3)
    assert epochs[-1].loss < 0.9 * epochs[0].loss


def test_global_generators_are_untouched():
    autoencoder = model()
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    train(autoencoder, batches())
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


# ----- exact continuation


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("shape", "dim"), [((6,), 2), ((6,), 16), ((1, 8, 8), 2)])
def test_an_epoch_at_a_time_is_the_same(optimizer, shape, dim):
    """New generators each time; only model and optimiser go on, the running covariance too."""
    data = batches(shape)
    settings = {"max_epochs": 4, "schedule": "one-cycle", "seed": 3}
    whole, parts = model(shape, dim, Normal), model(shape, dim, Normal)
    records = train(whole, data, optimizer=optimizer, **settings)
    stepper = make_optimizer(optimizer, parts, 1e-3)
    for start in range(4):
        epochs = train_epochs(parts, data, stepper, start=start, **settings)
        record = next(epochs)
        epochs.close()
        assert record._replace(seconds=0) == records[start]._replace(seconds=0)
    assert same_weights(whole, parts)


def dropping(checkpointed=False):
    """Own networks that draw from torch's global generators, and again if they forget."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))
    encoder = Forgetful(layers) if checkpointed else layers
    return Autoencoder(encoder, nn.Linear(2, 6), SlicedWassersteinLoss(Uniform(2), 48))


class Forgetful(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return checkpoint(self.layers, x, use_reentrant=False)


def test_dropout_is_a_function_of_seed_and_step():
    models, data = [dropping() for _ in range(3)], batches()
    for i, (autoencoder, seed) in enumerate(zip(models, (5, 5, 6), strict=True)):
        torch.manual_seed(i)  # of which the run knows nothing
        before = torch.get_rng_state()
        train(autoencoder, data, seed=seed)
        assert torch.equal(before, torch.get_rng_state())
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_dropout_draws_anew_at_each_step():
    masks = []
    autoencoder = dropping()
    drop = autoencoder.encoder[2]
    drop.register_forward_hook(lambda _, args, y: masks.append((y != 0) | (args[0] == 0)))
    train(autoencoder, batches(n=20, batch_size=20), max_epochs=2)
    assert not torch.equal(*masks)


def test_dropout_goes_on_where_it_stopped():
    whole, parts, data = dropping(), dropping(), batches()
    train(whole, data, max_epochs=3)
    stepper = make_optimizer("adam", parts, 1e-3)
    for start in range(3):
        torch.manual_seed(start)
        epochs = train_epochs(parts, data, stepper, start=start, max_epochs=3)
        next(epochs)
        epochs.close()
    assert same_weights(whole, parts)


def test_what_is_computed_anew_is_dropped_anew_alike():
    kept, forgetful = dropping(), dropping(checkpointed=True)
    train(kept, batches())
    train(forgetful, batches())
    weights = zip(kept.parameters(), forgetful.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_generators_are_given_back_after_a_loss_that_is_not_finite():
    autoencoder = dropping()
    autoencoder.reconstruction = lambda x_hat, x: math.nan * (x_hat - x).sum()
    before = torch.get_rng_state()
    with pytest.raises(DivergedError):
        train(autoencoder, batches())
    assert torch.equal(before, torch.get_rng_state())


def test_another_seed_is_another_model():
    models = [model(), model(), model()]
    for autoencoder, seed in zip(models, (0, 0, 1), strict=True):
        train(autoencoder, batches(), seed=seed)
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


# ----- precision and device


def test_bfloat16_reaches_the_convolutions_alone():
    """Fabric hands a marked method through without autocast on one device: it is ours to enter."""
    autoencoder = model((1, 8, 8), reconstruction="mse")
    seen = {}
    for name, layer in autoencoder.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o.dtype}))

    codes = []
    autoencoder.penalty.register_forward_hook(lambda m, i, o: codes.append((i[0].dtype, o.dtype)))
    losses = []
    original = autoencoder.reconstruction_loss
    autoencoder.reconstruction_loss = lambda x, logits: (
        losses.append(x.dtype) or original(x, logits)
    )

    (epoch,) = train(
        autoencoder, batches((1, 8, 8)), max_epochs=1, fabric=fabric_for("cpu", "bf16")
    )
    assert {name.split(".")[0] for name in seen} == {"encoder", "decoder"}
    assert set(seen.values()) == {torch.bfloat16}
    assert set(codes) == {(torch.float32, torch.float32)}
    assert set(losses) == {torch.float32}
    assert {p.dtype for p in autoencoder.parameters()} == {torch.float32}
    assert math.isfinite(epoch.loss)


def test_float32_stays_float32():
    autoencoder, seen = model((1, 8, 8)), set()
    for layer in autoencoder.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda m, i, o: seen.add(o.dtype))
    train(autoencoder, batches((1, 8, 8)), max_epochs=1, fabric=fabric_for("cpu", "32"))
    assert seen == {torch.float32}


def test_auto_takes_what_is_there():
    precision = fabric_for("auto", "auto")._precision.precision
    assert precision in ("32-true", "bf16-mixed")


@pytest.mark.parametrize(
    ("device", "precision", "sentence"),
    [
        ("cpu", "64", "precision has to be one of .*'bf16'.* but is '64'"),
        ("cpu", 32, "precision has to be one of .* but is 32"),
        ("cpu", "16", "precision='16' wants a GPU; on a CPU use 'bf16' or '32'"),
        ("gpu", "32", "device has to be auto, cpu, cuda or mps, but is 'gpu'"),
    ],
)
def test_precisions_and_devices_refused(device, precision, sentence):
    with pytest.raises(ValueError, match=sentence):
        fabric_for(device, precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match="device='cuda' is not there; 'auto' takes what is"):
        fabric_for("cuda", "32")


# ----- divergence


def all_finite(autoencoder):
    return all(bool(p.isfinite().all()) for p in autoencoder.parameters())


class Poisoned(nn.Module):
    """A penalty that is NaN from a call on."""

    def __init__(self, after):
        super().__init__()
        self.prior, self.left = Uniform(2), after

    def forward(self, z, generator=None):
        self.left -= 1
        return z.square().mean() * (1 if self.left >= 0 else math.nan)


def test_a_loss_that_is_not_finite_stops_before_its_step():
    autoencoder = model()
    autoencoder.penalty = Poisoned(after=4)
    stepper = make_optimizer("adam", autoencoder, 1e-3)
    epochs = train_epochs(autoencoder, batches(), stepper, max_epochs=2)
    next(epochs)
    sentence = r"loss is nan at step 4 \(epoch 2, batch 2 of 3\), by its term penalty; a lower"
    with pytest.raises(DivergedError, match=sentence):
        next(epochs)
    assert all_finite(autoencoder)


def root(x_hat, x):
    """Finite at 0, with a slope that is not."""
    return (0 * (x_hat - x)).abs().sqrt().mean()


def test_a_gradient_that_is_not_finite_stops_before_its_step():
    autoencoder = model(reconstruction=root)
    before = copy.deepcopy(autoencoder)
    sentence = r"gradient is not finite at step 0 \(epoch 1, batch 1 of 3\), in encoder\..*0\.0"
    with pytest.raises(DivergedError, match=sentence):
        train(autoencoder, batches())
    assert same_weights(before, autoencoder)


def test_a_large_gradient_is_no_infinite_one():
    """Its norm overflows in float32 and it does not."""
    autoencoder = model(reconstruction=lambda x_hat, x: 1e25 * (x_hat - x).abs().mean())
    before = copy.deepcopy(autoencoder)
    train(autoencoder, batches(), max_epochs=1)
    assert all_finite(autoencoder)
    assert not same_weights(before, autoencoder)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_that_overflow_in_the_last_step_are_not_handed_out(optimizer):
    """The loss before them was finite, and there is no loss after them."""
    with pytest.raises(DivergedError, match=r"weights are not finite after step 1, in encoder\."):
        train(model(), batches(batch_size=25), 1, optimizer, rate=3e38)
