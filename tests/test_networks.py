"""Networks: the paper's, to the parameter; and the same drawn for images of any size."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from swae.networks import UpConv2d, build, convolutional, glorot_, halving, mlp

SHAPES = [
    (1, 28, 28),
    (3, 64, 64),
    (3, 8, 8),
    (1, 4, 100),
    (2, 4, 4),
    (1, 5, 7),
    (3, 33, 17),
    (3, 109, 89),
    (1, 31, 64),
]


def round_trip(networks, shape, latent_dim, n=2):
    encoder, decoder = networks
    z = encoder(torch.rand(n, *shape))
    assert z.shape == (n, latent_dim)
    assert decoder(z).shape == (n, *shape)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# ----- the paper's


def test_sizes_of_the_paper():
    encoder, decoder = build((1, 28, 28), latent_dim=2)
    assert (parameters(encoder), parameters(decoder)) == (203_250, 308_193)


def test_sides_of_the_paper():
    """28, 14, 7, 4 down; 4, 8, 16, a valid convolution to 14, 28 up."""
    sides = []
    encoder, decoder = build((1, 28, 28), latent_dim=2)
    for layer in (*encoder, *decoder):
        if isinstance(layer, nn.AvgPool2d | UpConv2d):
            layer.register_forward_hook(lambda *call: sides.append(call[-1].shape[-1]))
    decoder(encoder(torch.rand(1, 1, 28, 28)))
    assert sides == [14, 7, 4, 8, 14, 28]


def test_pooling_is_that_of_keras():
    """Keras pools 7x7 "same": a last odd row is averaged alone, not with zeros."""
    *_, pool = halving(1, 1)
    x = torch.rand(1, 1, 7, 7)
    pooled = pool(x)
    by_hand = [
        [x[0, 0, i : i + 2, j : j + 2].mean() for j in range(0, 7, 2)] for i in range(0, 7, 2)
    ]
    assert pooled.shape == (1, 1, 4, 4)
    torch.testing.assert_close(pooled[0, 0], torch.tensor(by_hand))
    assert not torch.allclose(pooled, F.avg_pool2d(x, 2, padding=1))


# ----- the transposed convolution


@pytest.mark.parametrize("padding", [(1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize("side", [(2, 2), (4, 7)])
def test_upconv_is_an_upsampling_and_a_convolution(padding, side):
    fast = UpConv2d(3, 5, padding).double()
    slow = nn.Conv2d(3, 5, kernel_size=3, padding=padding).double()
    slow.load_state_dict(fast.state_dict())
    assert list(fast.state_dict()) == ["weight", "bias"]

    xs = [torch.rand(2, 3, *side, dtype=torch.float64, requires_grad=True)] * 2
    ys = [fast(xs[0]), slow(F.interpolate(xs[1], scale_factor=2, mode="nearest"))]
    cotangent = torch.rand_like(ys[0])
    gradients = [
        torch.autograd.grad(y, (x, *layer.parameters()), cotangent)
        for x, y, layer in zip(xs, ys, (fast, slow), strict=True)
    ]
    torch.testing.assert_close(*ys)
    torch.testing.assert_close(*gradients)


def test_upconv_starts_as_a_convolution_does():
    state = torch.get_rng_state()
    fast = UpConv2d(3, 5, padding=(1, 1))
    torch.set_rng_state(state)
    slow = nn.Conv2d(3, 5, kernel_size=3)
    assert torch.equal(fast.weight, slow.weight)
    assert torch.equal(fast.bias, slow.bias)


# ----- any size


@pytest.mark.parametrize("shape", SHAPES)
def test_images_come_back_in_their_shape(shape):
    round_trip(build(shape, 3), shape, 3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(4, 40), st.integers(4, 40)),
    stages=st.integers(1, 3),
)
def test_any_image_comes_back_in_its_shape(shape, stages):
    if min(-(-side >> stages) for side in shape[1:]) >= 2:
        round_trip(convolutional(shape, 2, channels=[2] * stages, hidden=4), shape, 2)


@pytest.mark.parametrize("shape", [(1,), (13,), (4, 5), (1, 2, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("hidden", [(), (6,), (8, 7, 6)])
def test_a_perceptron_takes_any_shape(shape, hidden):
    round_trip(mlp(shape, 2, hidden), shape, 2)


def test_auto_takes_convolutions_for_images_alone():
    assert any(isinstance(layer, nn.Conv2d) for layer in build((1, 8, 8), 2)[0])
    for networks in (build((64,), 2), build((8, 8), 2), build((1, 8, 8), 2, "mlp")):
        assert not any(isinstance(layer, nn.Conv2d) for layer in networks[0])


@pytest.mark.parametrize(
    ("create", "argument"), [(convolutional, "channels"), (mlp, "hidden")], ids=["conv", "mlp"]
)
def test_arguments_are_left_as_they_are(create, argument):
    """A predecessor reversed a default list in place, so every second network was another."""
    sizes = [4, 8, 16]
    texts = [repr(create((1, 32, 32), 2, **{argument: sizes})) for _ in range(2)]
    assert texts[0] == texts[1]
    assert sizes == [4, 8, 16]
    assert repr(create((1, 32, 32), 2)) == repr(create((1, 32, 32), 2))


@pytest.mark.parametrize(("shape", "r"), [((3, 64, 64), 2), ((1, 128, 192), 4), ((3, 63, 64), 1)])
def test_large_images_enter_as_blocks(shape, r):
    """No convolution works at full resolution, and the paper's network stays what it is."""
    encoder, decoder = build(shape, 2)
    round_trip((encoder, decoder), shape, 2)
    first = next(layer for layer in encoder if isinstance(layer, nn.Conv2d))
    assert first.in_channels == r * r * shape[0]
    assert isinstance(decoder[-1], nn.PixelShuffle) == (r > 1)


# ----- values


def test_glorot(generator):
    network = nn.Sequential(
        UpConv2d(4, 6, (1, 1)), nn.Conv2d(4, 6, 5), nn.Linear(40, 60, bias=False)
    )
    state = torch.get_rng_state()
    glorot_(network, generator)
    assert torch.equal(state, torch.get_rng_state())
    for layer, fans in zip(network, ((4 + 6) * 9, (4 + 6) * 25, 100), strict=True):
        bound = math.sqrt(6 / fans)
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or (layer.bias == 0).all()

    weights = [p.clone() for p in network.parameters()]
    glorot_(network, generator.manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(1, 8, 8), (9,)])
def test_codes_are_float32_under_autocast(shape):
    encoder, decoder = build(shape, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = encoder(torch.rand(3, *shape))
        x_hat = decoder(z)
    assert z.dtype == torch.float32
    assert x_hat.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_follow_a_cast(dtype):
    encoder, decoder = (network.to(dtype) for network in build((1, 8, 8), 2))
    assert decoder(encoder(torch.rand(2, 1, 8, 8, dtype=dtype))).dtype == dtype


# ----- errors


@pytest.mark.parametrize(
    ("create", "sentence"),
    [
        (lambda: build((1, 28, 28), 2, "resnet"), "network has to be one of .* but is 'resnet'"),
        (lambda: build((1, 28, 28), 0), "latent_dim has to be a whole number >= 1, but is 0"),
        (lambda: build((1, 28, 28), 2.0), "latent_dim has to be a whole number >= 1, but is 2.0"),
        (lambda: build((), 2), r"shape has to hold sizes >= 1, but is \(\)"),
        (lambda: build((0,), 2), r"shape has to hold sizes >= 1, but is \(0,\)"),
        (lambda: build((1, 3, 28), 2), "at least 4 rows and columns.* Use network='mlp'"),
        (lambda: build((64,), 2, "convolutional"), r"wants images .* have shape \(64,\)"),
        (
            lambda: convolutional((1, 8, 8), 2, channels=[4, 4, 4]),
            "3 stages leave 1x1 of an image of 8x8; .* give fewer channels",
        ),
        (lambda: convolutional((1, 8, 8), 2, channels=[]), "channels has to hold"),
        (lambda: convolutional((1, 8, 8), 2, channels=[4, 0]), "channels has to hold"),
        (lambda: mlp((8,), 2, hidden=[0]), "hidden has to hold"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(create, sentence):
    with pytest.raises(ValueError, match=sentence):
        create()
