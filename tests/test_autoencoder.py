"""The model: what its loss is made of, and what it hands out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swae import Autoencoder, Normal, SlicedWassersteinLoss, Uniform
from swae.networks import build

COSTS = {
    "bce+l1": ["bce", "l1"],
    "bce": ["bce"],
    "l1": ["l1"],
    "mse": ["mse"],
}
DIRECT = {
    "bce": F.binary_cross_entropy_with_logits,
    "l1": lambda logits, x: (logits.sigmoid() - x).abs().mean(),
    "mse": lambda logits, x: (logits.sigmoid() - x).square().mean(),
}


class Penalty(nn.Module):
    """Returns the codes' mean product, and remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.prior = Uniform(2)
        self.calls = []

    def forward(self, z, generator=None):
        self.calls.append((z, generator))
        return (z @ z.mT).mean()


def model(shape=(6,), penalty=None, **settings):
    return Autoencoder(*build(shape, 2), penalty or SlicedWassersteinLoss(Uniform(2)), **settings)


@pytest.fixture
def x():
    return torch.rand(20, 6)


# ----- the loss


@pytest.mark.parametrize(("cost", "names"), COSTS.items())
@pytest.mark.parametrize("reg_weight", [0, 1, 10.0])
def test_parts_sum_to_the_total(x, cost, names, reg_weight):
    loss = model(reconstruction=cost, reg_weight=reg_weight).loss(x)
    assert list(loss.parts) == list(loss.weighted) == [*names, "penalty"]
    torch.testing.assert_close(loss.total, sum(loss.weighted.values()))
    torch.testing.assert_close(loss.weighted["penalty"], reg_weight * loss.parts["penalty"])
    assert all(torch.equal(loss.parts[name], loss.weighted[name]) for name in names)
    assert all(value.shape == () for value in (loss.total, *loss.parts.values()))


@pytest.mark.parametrize(("cost", "names"), COSTS.items())
def test_costs_are_means_over_pixels_and_samples(x, cost, names):
    autoencoder = model(reconstruction=cost)
    logits = autoencoder.decoder(autoencoder.encoder(x))
    parts = autoencoder.loss(x).parts
    for name in names:
        torch.testing.assert_close(parts[name], DIRECT[name](logits, x))


def test_a_function_is_a_cost(x):
    def huber(x_hat, x):
        return F.smooth_l1_loss(x_hat, x)

    autoencoder = model(reconstruction=huber)
    parts = autoencoder.loss(x).parts
    torch.testing.assert_close(parts["reconstruction"], huber(autoencoder(x), x))


def test_the_gradient_is_that_of_the_weighted_sum(x, generator):
    autoencoder = model(reg_weight=3.0)
    parameters = list(autoencoder.encoder.parameters())
    loss = autoencoder.loss(x, generator=generator)
    wanted = torch.autograd.grad(
        loss.parts["bce"] + loss.parts["l1"] + 3 * loss.parts["penalty"],
        parameters,
        retain_graph=True,
    )
    torch.testing.assert_close(torch.autograd.grad(loss.total, parameters), wanted)


def test_the_cross_entropy_is_not_clipped():
    """Keras' is, at 1e-7; and a sigmoid that rounds to 0 or 1 would make it infinite."""
    autoencoder = model(reconstruction="bce")
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    x = torch.tensor([[0.0], [1.0]])
    bce = autoencoder.reconstruction_loss(x, logits)["bce"]
    bce.backward()
    assert bce == 200
    assert logits.grad.tolist() == [[0.5], [-0.5]]


def test_the_generator_reaches_the_penalty(x, generator):
    penalty = Penalty()
    autoencoder = model(penalty=penalty)
    autoencoder.loss(x, generator=generator)
    assert penalty.calls[0][1] is generator
    torch.testing.assert_close(penalty.calls[0][0], autoencoder.encode(x))

    sliced = model()
    first, second = (sliced.loss(x, generator=generator.manual_seed(s)) for s in (1, 1))
    assert first.total == second.total != sliced.loss(x, generator=generator).total


@pytest.mark.parametrize("cost", [*COSTS, lambda x_hat, x: (x_hat @ x.mT).mean()])
def test_losses_are_float32_under_autocast(x, cost):
    """Products are what autocast would lower: both the penalty and one of the costs have one."""
    penalty = Penalty()
    autoencoder = model(penalty=penalty, reconstruction=cost)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = autoencoder.loss(x)
    loss.total.backward()
    assert penalty.calls[0][0].dtype == torch.float32
    assert {value.dtype for value in (loss.total, *loss.parts.values())} == {torch.float32}


def test_labels_change_nothing_without_classes(x, generator):
    autoencoder = model()
    labels = torch.zeros(20, dtype=torch.int64)
    first = autoencoder.loss(x, generator=generator.manual_seed(1))
    assert autoencoder.loss(x, labels, generator=generator.manual_seed(1)).total == first.total


# ----- codes and data


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8)])
@pytest.mark.parametrize(("output", "cost"), [("sigmoid", "bce+l1"), ("linear", "mse")])
def test_shapes_and_ranges(shape, output, cost):
    autoencoder = model(shape, output=output, reconstruction=cost)
    x = torch.rand(5, *shape)
    z = autoencoder.encode(x)
    assert z.shape == (5, 2)
    assert autoencoder.decode(z).shape == x.shape
    torch.testing.assert_close(autoencoder.decode(z), autoencoder.reconstruct(x))
    torch.testing.assert_close(autoencoder(x), autoencoder.reconstruct(x))
    wanted = autoencoder.logits(z).sigmoid() if output == "sigmoid" else autoencoder.logits(z)
    torch.testing.assert_close(autoencoder.decode(z), wanted)


def test_sample_decodes_the_prior(generator):
    autoencoder = model()
    samples = autoencoder.sample(7, generator)
    z = Uniform(2).sample(7, generator.manual_seed(0))
    assert not samples.requires_grad
    torch.testing.assert_close(samples, autoencoder.decode(z))
    assert autoencoder.double().sample(3).dtype == torch.float64


def test_modes_are_handed_on_and_left_alone(x):
    """The running covariance moves in training alone; sampling and encoding change no mode."""
    autoencoder = Autoencoder(*build((6,), 16), SlicedWassersteinLoss(Normal(16)))
    autoencoder.eval().loss(x)
    covariance = autoencoder.state_dict()["penalty.covariance"].clone()
    assert torch.equal(covariance, torch.eye(16))
    autoencoder.sample(3)
    autoencoder.reconstruct(x)
    assert not autoencoder.training

    autoencoder.train().loss(x)
    autoencoder.sample(3)
    assert autoencoder.training
    assert not torch.equal(autoencoder.penalty.covariance, covariance)


# ----- errors


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.usefixtures("unchecked")
def test_whole_numbers_are_refused(dtype):
    x = torch.ones(3, 6, dtype=dtype)
    for method in (model().encode, model().reconstruct, model().loss):
        with pytest.raises(
            TypeError, match=r"x has to be floating-point, but is torch\..*to_float"
        ):
            method(x)


def test_another_shape_is_refused():
    encoder, _ = build((6,), 2)
    _, decoder = build((5,), 2)
    autoencoder = Autoencoder(encoder, decoder, SlicedWassersteinLoss(Uniform(2)))
    with pytest.raises(
        ValueError, match=r"decoder returned shape \(4, 5\) for data of .*\(4, 6\)"
    ):
        autoencoder.loss(torch.rand(4, 6))


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Tanh()])
def test_a_decoder_that_ends_in_its_own_activation_is_refused(last):
    """Predecessors: a Tanh against data in [0, 1], a cross-entropy of probabilities as logits."""
    encoder, decoder = build((6,), 2)
    ended = nn.Sequential(decoder, last)
    with pytest.raises(ValueError, match=f"ends in its own {type(last).__name__}, and output="):
        Autoencoder(encoder, ended, Penalty())
    with pytest.raises(ValueError, match="ends in its own"):
        Autoencoder(encoder, nn.Sequential(ended, nn.Flatten()), Penalty())
    Autoencoder(encoder, ended, Penalty(), reconstruction="mse", output="linear")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reconstruction": "ssim"}, "reconstruction has to be one of .* but is 'ssim'"),
        ({"output": "tanh"}, "output has to be one of .* but is 'tanh'"),
        ({"output": "linear"}, "'bce.l1' is a cross-entropy, which wants output='sigmoid'"),
        ({"output": "linear", "reconstruction": "bce"}, "reconstruction='mse' goes with a linear"),
        ({"reg_weight": -1.0}, "reg_weight has to be a finite number >= 0, but is -1.0"),
        ({"reg_weight": math.nan}, "reg_weight has to be a finite number >= 0, but is nan"),
        ({"reg_weight": math.inf}, "reg_weight has to be a finite number >= 0, but is inf"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_that_can_not_work(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        model(**settings)
