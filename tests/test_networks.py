"""Networks: the paper's, to the parameter; and the same for any series, image or volume."""

import hashlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from swae.networks import (
    build,
    convolutional,
    glorot_,
    is_picture,
    memory_format_for,
    mlp,
    resolve,
)
from swae.networks.convolutions import halving, halvings, left_of
from swae.networks.layers import POOL, UpConv, VoxelShuffle, VoxelUnshuffle

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


WEIGHTS_OF_THE_PAPER = {  # the place of each layer in the encoder and in the decoder
    "encoder": (0, 2, 5, 7, 10, 12, 16, 18),
    "decoder": (0, 1, 4, 6, 8, 10, 12, 14, 16),
}


def test_states_of_the_paper_keep_their_names():
    """Stored models know their weights by these."""
    for network, places in zip(build((1, 28, 28), 2), WEIGHTS_OF_THE_PAPER.values(), strict=True):
        names = [f"{i}.{kind}" for i in places for kind in ("weight", "bias")]
        assert list(network.state_dict()) == names


@pytest.mark.parametrize(
    ("shape", "start"),
    [
        ((1, 28, 28), "a8845476633778f2 4cd8b7fe15cde77e"),
        ((3, 64, 64), "fd4ac316a691c802 67306bada3ac5f34"),
        ((3, 33, 17), "5bc2d0f602d8eb49 46dde676be488e40"),
        ((1, 31, 64), "47aa92a894d64f2f bd403b527dc504e5"),
        ((1, 128, 192), "17372531de63234f 4f0a4b80d67d3de2"),
    ],
)
def test_images_start_where_they_always_did(shape, start):
    """Weights and biases of a seed, to the bit; a run goes on from them."""
    d = {(3, 64, 64): 8, (3, 33, 17): 3}.get(shape, 2)
    found = []
    for network in build(shape, d):
        bits = b"".join(t.numpy().tobytes() for t in network.state_dict().values())
        found.append(hashlib.sha256(bits).hexdigest()[:16])
    assert " ".join(found) == start


def test_sides_of_the_paper():
    """28, 14, 7, 4 down; 4, 8, 16, a valid convolution to 14, 28 up."""
    sides = []
    encoder, decoder = build((1, 28, 28), latent_dim=2)
    for layer in (*encoder, *decoder):
        if isinstance(layer, nn.AvgPool2d | UpConv):
            layer.register_forward_hook(lambda *call: sides.append(call[-1].shape[-1]))
    decoder(encoder(torch.rand(1, 1, 28, 28)))
    assert sides == [14, 7, 4, 8, 14, 28]


def test_pooling_is_that_of_keras():
    """Keras pools 7x7 "same": a last odd row is averaged alone, not with zeros."""
    *_, pool = halving(1, 1, (2, 2))
    x = torch.rand(1, 1, 7, 7)
    pooled = pool(x)
    by_hand = [
        [x[0, 0, i : i + 2, j : j + 2].mean() for j in range(0, 7, 2)] for i in range(0, 7, 2)
    ]
    assert pooled.shape == (1, 1, 4, 4)
    torch.testing.assert_close(pooled[0, 0], torch.tensor(by_hand))
    assert not torch.allclose(pooled, F.avg_pool2d(x, 2, padding=1))


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_a_last_odd_row_is_averaged_alone(sides):
    """So pooled ones stay ones, in any number of dimensions."""
    *_, pool = halving(1, 1, (2,) * sides)
    assert torch.equal(pool(torch.ones(1, 1, *[7] * sides)), torch.ones(1, 1, *[4] * sides))


# ----- the transposed convolution

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
UPWARD = [  # sides, padding, scale
    ((2, 2), (1, 1), None),
    ((4, 7), (0, 0), None),
    ((4, 7), (0, 1), None),
    ((3, 5), (1, 0), (1, 2)),
    ((5, 3), (1, 1), (2, 1)),
    ((2,), (1,), None),
    ((9,), (0,), None),
    ((2, 3, 4), (1, 0, 1), None),
    ((5, 2, 3), (0, 1, 1), (2, 1, 2)),
]


@pytest.mark.parametrize(("sides", "padding", "scale"), UPWARD)
def test_upconv_is_an_upsampling_and_a_convolution(sides, padding, scale):
    fast = UpConv(3, 5, padding, scale).double()
    slow = CONVOLUTIONS[len(sides)](3, 5, kernel_size=3, padding=padding).double()
    slow.load_state_dict(fast.state_dict())
    assert list(fast.state_dict()) == ["weight", "bias"]

    xs = [torch.rand(2, 3, *sides, dtype=torch.float64, requires_grad=True)] * 2
    factors = (2,) * len(sides) if scale is None else scale
    ys = [fast(xs[0]), slow(F.interpolate(xs[1], scale_factor=factors, mode="nearest"))]
    cotangent = torch.rand_like(ys[0])
    gradients = [
        torch.autograd.grad(y, (x, *layer.parameters()), cotangent)
        for x, y, layer in zip(xs, ys, (fast, slow), strict=True)
    ]
    torch.testing.assert_close(*ys)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_upconv_starts_as_a_convolution_does(sides):
    state = torch.get_rng_state()
    fast = UpConv(3, 5, padding=(1,) * sides)
    torch.set_rng_state(state)
    slow = CONVOLUTIONS[sides](3, 5, kernel_size=3)
    assert torch.equal(fast.weight, slow.weight)
    assert torch.equal(fast.bias, slow.bias)


def test_blocks_of_voxels_are_those_of_pixels():
    """A volume whose slices are all one image is cut as the image is."""
    image = torch.rand(2, 3, 4, 6)
    volume = image.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    blocks = VoxelUnshuffle(2)(volume)
    assert blocks.shape == (2, 24, 2, 2, 3)
    pixels = nn.PixelUnshuffle(2)(image).unflatten(1, (3, 1, 4)).expand(-1, -1, 2, -1, -1, -1)
    assert torch.equal(blocks[:, :, 0], pixels.flatten(1, 3))
    assert torch.equal(VoxelShuffle(2)(blocks), volume)


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


def trained_once(networks, shape, latent_dim):
    """Asserts that a round trip keeps the shape and that every weight hears of the loss."""
    encoder, decoder = networks
    glorot_(encoder)
    glorot_(decoder)
    x = torch.rand(3, *shape)
    z = encoder(x)
    x_hat = decoder(z)
    assert (z.shape, x_hat.shape) == ((3, latent_dim), x.shape)
    assert torch.isfinite(x_hat).all()
    (x_hat - x).square().sum().backward()
    for network in networks:
        for name, parameter in network.named_parameters():
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name


sides = st.one_of(
    st.tuples(st.integers(1, 300)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 16), st.integers(1, 16), st.integers(1, 16)),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(channels=st.integers(1, 5), sides=sides)
def test_auto_trains_any_shape(channels, sides):
    shape = (channels, *sides)
    trained_once(build(shape, 2), shape, 2)


LONG = [
    (1, 1000),
    (2, 4096),
    (12, 997),
    (1, 8, 200),
    (1, 5, 300),
    (2, 211, 7),
    (1, 4, 61, 16),
    (1, 32, 32, 32),
]


@pytest.mark.parametrize("shape", LONG)
def test_long_samples_leave_little(shape):
    networks = build(shape, 2)
    trained_once(networks, shape, 2)
    assert parameters(networks[0]) < 2_000_000
    assert parameters(networks[1]) < 2_500_000


@settings(max_examples=200, deadline=None, derandomize=True)
@given(sides=st.lists(st.integers(4, 5000), min_size=1, max_size=3))
def test_halvings_leave_a_few_positions(sides):
    """Sides are halved down to 2 at least; nearly equal ones together."""
    times = halvings(sides)
    base = left_of(sides, times)
    assert all(n >= 1 for n in times)
    assert min(base) >= 2
    assert math.prod(base) <= 64
    if len(sides) == 2 and max(sides) <= 4 * min(sides):
        assert len(set(times)) == 1
        assert 2 < min(base) <= 4 or min(sides) == 4


def test_short_sides_are_left_while_the_long_one_is_halved():
    encoder, _ = build((1, 8, 200), 2)
    kernels = [layer.kernel_size for layer in encoder if isinstance(layer, POOL[2])]
    assert kernels == [(2, 2), (1, 2), (1, 2), (1, 2)]


@pytest.mark.parametrize("shape", [(1,), (13,), (4, 5), (1, 2, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("hidden", [(), (6,), (8, 7, 6)])
def test_a_perceptron_takes_any_shape(shape, hidden):
    round_trip(mlp(shape, 2, hidden), shape, 2)


@pytest.mark.parametrize(
    ("shape", "network", "kind"),
    [
        ((1, 8, 8), "convolutional", nn.Conv2d),
        ((3, 5, 300), "convolutional", nn.Conv2d),
        ((1, 3, 8), "mlp", None),
        ((1, 8), "convolutional", nn.Conv1d),
        ((6, 8), "convolutional", nn.Conv1d),
        ((12, 1000), "convolutional", nn.Conv1d),
        ((28, 28), "convolutional", nn.Conv2d),
        ((1, 7), "mlp", None),
        ((2, 4, 4, 4), "convolutional", nn.Conv3d),
        ((1, 3, 16, 16), "mlp", None),
        ((64,), "mlp", None),
        ((2, 8, 8, 8, 8), "mlp", None),
    ],
)
def test_auto_takes_convolutions_for_what_has_neighbours(shape, network, kind):
    assert resolve(shape) == network
    assert resolve(shape, "mlp") == "mlp"
    kinds = {
        type(layer) for layer in build(shape, 2)[0] if isinstance(layer, (*CONVOLUTIONS.values(),))
    }
    assert kinds == ({kind} if kind else set())
    round_trip(build(shape, 2), shape, 2)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (64, 128)])
def test_a_matrix_like_a_picture_is_an_image(shape):
    """It has the weights of the image with one channel, which sees the same."""
    assert is_picture(shape)
    torch.manual_seed(1)
    matrix = build(shape, 2)
    torch.manual_seed(1)
    image = build((1, *shape), 2)
    x = torch.rand(3, *shape)
    torch.testing.assert_close(matrix[0](x), image[0](x[:, None]))
    z = torch.rand(3, 2)
    torch.testing.assert_close(matrix[1](z), image[1](z)[:, 0])


@pytest.mark.parametrize("shape", [(7, 7), (3, 100), (12, 1000), (100, 3), (64,), (1, 8, 8)])
def test_other_shapes_are_no_picture(shape):
    assert not is_picture(shape)


@pytest.mark.parametrize("shape", [(1, 8, 8), (9, 9), (1, 16), (2, 8, 9, 10), (5,), (1, 2, 2, 2)])
def test_weights_take_their_order_in_memory(shape):
    """And codes stay what they were; a wrong order would be refused by torch."""
    encoder, _ = build(shape, 2)
    x = torch.rand(2, *shape)
    z = encoder(x)
    encoder.to(memory_format=memory_format_for(shape))
    torch.testing.assert_close(encoder(x), z)
    last = [p for p in encoder.parameters() if p.ndim > 3 and p.shape[1] > 1]
    assert all(p.is_contiguous(memory_format=memory_format_for(shape)) for p in last)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("network", ["auto", "mlp"])
def test_sizes_of_numpy_are_sizes(network):
    shape = tuple(np.array([1, 8, 9]))
    networks = build(shape, np.int64(2), network)
    round_trip(networks, (1, 8, 9), 2)
    assert repr(networks) == repr(build((1, 8, 9), 2, network))


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
        UpConv(4, 6, (1, 1)),
        nn.Conv2d(4, 6, 5),
        nn.Linear(40, 60, bias=False),
        nn.Conv1d(4, 6, 9),
        nn.Conv3d(4, 6, 3),
        UpConv(4, 6, (1,)),
    )
    state = torch.get_rng_state()
    glorot_(network, generator)
    assert torch.equal(state, torch.get_rng_state())
    for layer, fans in zip(network, (90, 250, 100, 90, 270, 30), strict=True):
        bound = math.sqrt(6 / fans)
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or (layer.bias == 0).all()

    weights = [p.clone() for p in network.parameters()]
    glorot_(network, generator.manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(1, 8, 8), (9,), (1, 16), (1, 4, 4, 4)])
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
        (lambda: build((1, 28, 28), True), "latent_dim has to be a whole number >= 1, but is T"),
        (lambda: build((), 2), r"shape has to hold whole sizes >= 1, but is \(\)"),
        (lambda: build((0,), 2), r"shape has to hold whole sizes >= 1, but is \(0,\)"),
        (lambda: build((1, True), 2), r"shape has to hold whole sizes >= 1, but is \(1, True\)"),
        (lambda: build((1, 8.0), 2), r"shape has to hold whole sizes >= 1, but is \(1, 8.0\)"),
        (
            lambda: build((1, 3, 28), 2, "convolutional"),
            "sides of at least 4, but .* Use network='mlp'",
        ),
        (lambda: build((64,), 2, "convolutional"), r"wants series .* have shape \(64,\)"),
        (lambda: build((1, 4, 4, 4, 4), 2, "convolutional"), "or volumes .* Use network='mlp'"),
        (
            lambda: convolutional((1, 8, 8), 2, channels=[4, 4, 4]),
            "3 stages leave 1x1 of a sample of 8x8; .* give fewer channels",
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
