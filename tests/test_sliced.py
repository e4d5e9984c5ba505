"""The sliced distance, held against POT and exact transport, and the penalty made of it.

The predecessors' mistakes have their tests: a penalty that is summed over slices or samples, the
same slices at every call, slices from a source that nobody seeded.
"""

import math
import subprocess
import sys
from functools import partial

import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.utils.checkpoint import checkpoint

import swae.sliced
from swae import Ball, Normal, SlicedWassersteinLoss, Uniform, sliced_wasserstein
from swae.projections import iid, orthogonal

SIZES = [(8, 8), (6, 12), (7, 5)]
EXPONENTS = [1, 1.5, 2, 3]
WEIGHTED = [(False, False), (True, False), (True, True)]

sizes = pytest.mark.parametrize(("n", "m"), SIZES)
exponents = pytest.mark.parametrize("p", EXPONENTS)
weights = pytest.mark.parametrize("weighted", WEIGHTED)


def draw(n, m, d=3, k=5, dtype=torch.float64):
    """Draws x, y and directions."""
    x, y = torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype)
    return x, y, iid(d, k, dtype=dtype)


def masses(x, y, weighted):
    """Draws weights that sum to 1, where wanted."""
    drawn = (
        torch.rand_like(v[:, 0]) if w else None for v, w in zip((x, y), weighted, strict=True)
    )
    return [w if w is None else w / w.sum() for w in drawn]


# ----- the distance


@sizes
@exponents
@weights
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_pot(n, m, p, weighted, dtype):
    x, y, theta = draw(n, m, dtype=dtype)
    a, b = masses(x, y, weighted)
    wanted = ot.sliced.sliced_wasserstein_distance(x, y, a, b, projections=theta, p=p) ** p
    torch.testing.assert_close(sliced_wasserstein(x, y, theta, p, a, b), wanted, rtol=1e-5, atol=0)


@sizes
@exponents
@weights
def test_gradients_are_exact(n, m, p, weighted):
    inputs = [v.requires_grad_() for v in draw(n, m)]
    a, b = masses(*inputs[:2], weighted)
    distance = partial(sliced_wasserstein, p=p, x_weights=a, y_weights=b)
    assert torch.autograd.gradcheck(distance, inputs, fast_mode=True)


@sizes
def test_functional_gradients_are_the_same(n, m):
    x, y, theta = draw(n, m)
    functional = torch.func.grad(sliced_wasserstein)(x, y, theta)
    sliced_wasserstein(x.requires_grad_(), y, theta).backward()
    torch.testing.assert_close(functional, x.grad)


@sizes
@exponents
def test_symmetric_homogeneous_and_order_of_no_account(n, m, p):
    x, y, theta = draw(n, m)
    x.requires_grad_()
    value = sliced_wasserstein(x, y, theta, p)
    others = [
        sliced_wasserstein(y, x, theta, p),
        sliced_wasserstein(x, y, -theta.flip(1), p),
        sliced_wasserstein(x.flip(0), y[torch.randperm(m)], theta, p),
        sliced_wasserstein(3 * x, 3 * y, theta, p) / 3**p,
    ]
    (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
    for other in others:
        torch.testing.assert_close(other, value)
        torch.testing.assert_close(torch.autograd.grad(other, x)[0], gradient)


@pytest.mark.parametrize("d", [1, 2, 10])
def test_never_above_the_wasserstein_distance(d):
    x, y, theta = draw(20, 20, d, k=200)
    costs = torch.cdist(x, y).square()
    exact = costs[linear_sum_assignment(costs)].mean()
    ratio = sliced_wasserstein(x, y, theta) / exact
    assert 0 < ratio <= 1 + 1e-9
    if d == 1:
        torch.testing.assert_close(ratio, torch.ones_like(ratio))


@pytest.mark.parametrize("d", [2, 5, 40])
def test_translation(d):
    """Over all directions the mean of (theta . t)^2 is |t|^2 / d, here over whole bases."""
    x, shift = torch.randn(9, d, dtype=torch.float64), torch.randn(d, dtype=torch.float64)
    theta = orthogonal(d, 3 * d, dtype=torch.float64)
    torch.testing.assert_close(sliced_wasserstein(x, x + shift, theta), shift.square().sum() / d)


@weights
@pytest.mark.parametrize("chunk", [1, 40, 64])
def test_chunks_change_nothing(monkeypatch, weighted, chunk):
    inputs = [v.requires_grad_() for v in draw(7, 5, k=11)]
    a, b = masses(*inputs[:2], weighted)
    results = []
    for size in (swae.sliced.CHUNK, chunk):
        monkeypatch.setattr(swae.sliced, "CHUNK", size)
        value = sliced_wasserstein(*inputs, 1.5, a, b)
        results.append((value, *torch.autograd.grad(value, inputs)))
    torch.testing.assert_close(*results)


def test_autocast_lowers_no_precision():
    x, y, theta = draw(50, 50, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = sliced_wasserstein(x, y, theta)
    assert result.dtype == torch.float32
    assert result == sliced_wasserstein(x, y, theta)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y, theta = (v.to(dtype) for v in draw(50, 50))
    result = sliced_wasserstein(x.requires_grad_(), y, theta)
    result.backward()
    assert result.dtype == torch.float32
    assert result == sliced_wasserstein(x.float(), y.float(), theta.float())
    assert x.grad.dtype == dtype


# ----- the penalty


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"slices": "iid", "quasi": False}])
def test_one_meaning_at_every_number_of_slices_and_batch_size(p, settings):
    """Predecessors summed over slices, or divided by N (N - 1)."""

    def value(n, n_projections, draws):
        penalty = SlicedWassersteinLoss(Uniform(3), n_projections, p, **settings)
        return sum(penalty(Uniform(3).sample(n) / 2).item() for _ in range(draws)) / draws

    wanted = value(n=1000, n_projections=30, draws=10)
    assert value(n=1000, n_projections=6, draws=20) == pytest.approx(wanted, rel=0.1)
    assert value(n=100, n_projections=30, draws=30) == pytest.approx(wanted, rel=0.2)


def test_the_bias_of_two_samples_falls_with_the_batch():
    penalty = SlicedWassersteinLoss(Uniform(2), slices="iid", quasi=False)
    draws = range(100)
    small, large = (sum(penalty(Uniform(2).sample(n)) for _ in draws) for n in (30, 300))
    assert small / large == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize(
    "settings", [{}, {"slices": "iid"}, {"quasi": False}, {"oversampling": 3}]
)
@pytest.mark.parametrize("dim", [1, 2, 5, 16])
def test_draws_are_fresh_and_repeat_by_the_generator(dim, settings):
    penalty, z = SlicedWassersteinLoss(Normal(dim), 7, **settings).eval(), torch.randn(9, dim)

    def value(seed=None):
        return penalty(z, None if seed is None else torch.Generator().manual_seed(seed)).item()

    assert value(1) == value(1) != value(2)
    assert value() != value()
    torch.manual_seed(3)
    first = value()
    torch.manual_seed(3)
    assert value() == first


def test_oversampling_matches_with_means_of_quantiles():
    z, seed = torch.randn(40, 5), torch.Generator()
    penalty = SlicedWassersteinLoss(Normal(5), oversampling=8)
    value = penalty(z, seed.manual_seed(1))

    theta = penalty.directions(z, seed.manual_seed(1))
    samples = penalty.prior.sample(8 * 40, seed, quasi=True)
    quantiles = (samples @ theta).sort(dim=0).values.reshape(40, 8, -1)
    within = quantiles.var(dim=1, correction=0).mean()
    to_means = ((z @ theta).sort(dim=0).values - quantiles.mean(dim=1)).square().mean()
    torch.testing.assert_close(value, to_means + within)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_draws_follow_the_codes_dtype(dtype):
    value = SlicedWassersteinLoss(Ball(16))(torch.rand(5, 16, dtype=dtype))
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.shape == ()


def test_what_follows_the_codes_keeps_no_graph_of_theirs():
    """Or each step would hold on to the codes of all before."""
    penalty = SlicedWassersteinLoss(Normal(16))
    penalty(torch.randn(40, 16, requires_grad=True))
    assert not penalty.covariance.requires_grad


@pytest.mark.parametrize(("dim", "keys"), [(1, []), (2, []), (15, []), (16, ["covariance"])])
def test_state(dim, keys):
    assert list(SlicedWassersteinLoss(Uniform(dim)).state_dict()) == keys


def test_the_covariance_follows_in_training_alone():
    penalty, z = SlicedWassersteinLoss(Uniform(16)), 3 * torch.randn(50, 16)
    for _ in range(100):
        penalty(z)
    followed = penalty.covariance.clone()
    torch.testing.assert_close(followed, z.mT.cov(correction=0), rtol=1e-3, atol=1e-3)

    penalty.eval()(torch.rand(50, 16))
    assert torch.equal(penalty.covariance, followed)

    other = SlicedWassersteinLoss(Uniform(16)).eval()
    other.load_state_dict(penalty.state_dict())
    values = [p(z, torch.Generator().manual_seed(0)) for p in (penalty, other)]
    assert values[0] == values[1]


def test_codes_that_are_not_finite_are_told_and_not_remembered():
    penalty, z = SlicedWassersteinLoss(Uniform(16)), torch.rand(5, 16)
    for bad in (math.nan, math.inf):
        z[0, 0] = bad
        assert not penalty(z).isfinite()
    assert penalty.covariance.isfinite().all()


def test_it_drops_into_a_model_under_autocast():
    """Also where the running covariance is multiplied: not in bfloat16."""
    penalty, z = SlicedWassersteinLoss(Uniform(16)), torch.rand(50, 16)
    wanted = SlicedWassersteinLoss(Uniform(16))(z, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert penalty(z, torch.Generator().manual_seed(0)) == wanted
        assert penalty(z.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("z", [torch.ones(5, 2).long(), [[0.0, 0.0]], None])
def test_what_is_no_floating_point_tensor_is_refused(unchecked, z):
    with pytest.raises(TypeError, match="z has to be a floating-point torch tensor, but is"):
        SlicedWassersteinLoss(Uniform(2))(z)
    with pytest.raises(TypeError, match="y has to be a floating-point torch tensor, but is"):
        sliced_wasserstein(torch.rand(5, 2), z, torch.eye(2))


@pytest.mark.parametrize(
    ("dim", "n_projections", "factor"), [(2, 50, 20), (8, 64, 2), (128, 512, 2)]
)
def test_the_gradient_has_little_noise(dim, n_projections, factor):
    """Quasi-random samples and slices that keep apart, against independent ones."""
    z = Uniform(dim).sample(500).requires_grad_()
    noise = []
    for settings in ({}, {"slices": "iid", "quasi": False}):
        penalty = SlicedWassersteinLoss(Uniform(dim), n_projections, **settings).eval()
        gradients = [torch.autograd.grad(penalty(z), z)[0] for _ in range(100)]
        noise.append(torch.stack(gradients).var(dim=0).sum())
    assert noise[1] > factor * noise[0]


# ----- errors

X, THETA = torch.rand(4, 2), torch.eye(2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((X[0], X, THETA), r"x has to have shape \(n, d\) .* but has shape \(2,\)"),
        ((X, X[0], THETA), r"y has to have shape \(m, d\) .* but has shape \(2,\)"),
        ((X, X, THETA[0]), r"projections has to have shape \(d, k\).* but has \(2,\)"),
        ((X, X, THETA[:, :0]), r"projections has to have shape \(d, k\).* but has \(2, 0\)"),
        ((X, X, torch.eye(3)), r"share the dimension d, .* \(4, 2\), \(4, 2\) and \(3, 3\)"),
        ((X, X[:0], THETA), r"y has to .* hold at least one sample, but has shape \(0, 2\)"),
        ((X, X, THETA, 0.5), "p has to be a finite number >= 1"),
        ((X, X, THETA, 2, X[:2, 0]), "x_weights has to hold a weight for each of the 4 samples"),
        ((X, X, THETA, 2, None, -X[:, 0]), "y_weights has to be finite and >= 0"),
        ((X, X.double(), THETA), "x and y have to share a dtype"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        sliced_wasserstein(*arguments)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"prior": "uniform"}, TypeError, "prior has to be a Prior, but is a str"),
        ({"n_projections": 0}, ValueError, "n_projections has to be a whole number >= 1"),
        ({"oversampling": 1.5}, ValueError, "oversampling has to be a whole number >= 1"),
        ({"p": 0.5}, ValueError, "p has to be a finite number >= 1"),
        ({"slices": "random"}, ValueError, "slices has to be one of .* but is 'random'"),
        ({"prior": Uniform(3), "slices": "equispaced"}, ValueError, "exist for d = 2 alone"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_that_can_not_work(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        SlicedWassersteinLoss(**{"prior": Uniform(2)} | settings)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (0, 2), (4, 2, 1)])
@pytest.mark.usefixtures("unchecked")
def test_codes_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"z has to have shape \(n, 2\) for this prior"):
        SlicedWassersteinLoss(Uniform(2))(torch.rand(shape))


# ----- the ways through torch


def chunked(monkeypatch, chunk):
    monkeypatch.setattr(swae.sliced, "CHUNK", chunk)


chunks = pytest.mark.parametrize("chunk", [swae.sliced.CHUNK, 40])


@chunks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_second_derivatives(monkeypatch, chunk, dtype):
    """The Hessian of a match is that of the squared distances: 2 / (n L) sum theta theta^T."""
    x, y, theta = draw(7, 7, k=11, dtype=dtype)
    chunked(monkeypatch, chunk)
    wanted = 2 / (7 * 11) * theta @ theta.mT
    v = torch.randn_like(x)
    (gradient,) = torch.autograd.grad(
        sliced_wasserstein(x.requires_grad_(), y, theta), x, create_graph=True
    )
    (product,) = torch.autograd.grad((gradient * v).sum(), x)
    torch.testing.assert_close(product, v @ wanted)


@chunks
@sizes
def test_second_derivatives_are_exact(monkeypatch, n, m, chunk):
    chunked(monkeypatch, chunk)
    inputs = [v.requires_grad_() for v in draw(n, m, k=11)]
    assert torch.autograd.gradgradcheck(sliced_wasserstein, inputs, fast_mode=True)


@chunks
def test_functional_transforms(monkeypatch, chunk):
    x, y, theta = draw(7, 7, k=11, dtype=torch.float32)
    x.requires_grad_()
    wanted = torch.autograd.grad(sliced_wasserstein(x, y, theta), (x,))
    x = x.detach()
    chunked(monkeypatch, chunk)
    value, pull = torch.func.vjp(lambda x: sliced_wasserstein(x, y, theta), x)
    torch.testing.assert_close(pull(torch.ones_like(value)), wanted)
    torch.testing.assert_close(value, sliced_wasserstein(x, y, theta))


@chunks
def test_it_can_be_computed_again(monkeypatch, chunk):
    """Inside a backward pass, as activation checkpointing does."""
    chunked(monkeypatch, chunk)
    x, y, theta = draw(7, 7, k=11)
    value = checkpoint(sliced_wasserstein, x.requires_grad_(), y, theta, use_reentrant=False)
    (gradient,) = torch.autograd.grad(3 * value, x)
    wanted = torch.autograd.grad(sliced_wasserstein(x, y, theta), x)[0]
    torch.testing.assert_close(gradient, 3 * wanted)


TRANSFORMS = {
    "jvp": lambda f, x, y, theta: torch.func.jvp(lambda x: f(x, y, theta), (x,), (x + y,))[1],
    "jacfwd": lambda f, x, y, theta: torch.func.jacfwd(f)(x, y, theta),
    "jacrev of grad": lambda f, *v: torch.func.jacrev(torch.func.grad(f, 0), (0, 1, 2))(*v),
    "jvp of grad": lambda f, x, y, theta: torch.func.jvp(
        lambda y: torch.func.grad(f)(x, y, theta), (y,), (x + y,)
    )[1],
    "hessian": lambda f, *v: torch.func.hessian(f)(*v),
    "vmap over x": lambda f, x, y, theta: torch.vmap(f, (0, None, None))(
        x.expand(4, 7, 3), y, theta
    ),
    "vmap of grad": lambda f, x, y, theta: torch.vmap(torch.func.grad(f), (None, 0, None))(
        x, torch.stack((y, 2 * y)), theta
    ),
    "grad of vmap": lambda f, x, y, theta: torch.func.grad(
        lambda xs: torch.vmap(f, (0, None, None))(xs, y, theta).sum()
    )(torch.stack((x, 2 * x))),
}


def by_sort(x, y, theta):
    """As the formula stands."""
    return ((x @ theta).sort(dim=0).values - (y @ theta).sort(dim=0).values).square().mean()


@chunks
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_all_transforms(monkeypatch, chunk, dtype, transform):
    """No tensor says there that it is tracked, at which level and how."""
    chunked(monkeypatch, chunk)
    inputs = draw(7, 7, k=11, dtype=dtype)
    torch.testing.assert_close(transform(sliced_wasserstein, *inputs), transform(by_sort, *inputs))


@chunks
def test_vmap_is_seen_through(monkeypatch, chunk):
    """By an ordinary gradient with respect to what went into it."""
    chunked(monkeypatch, chunk)
    x, y, theta = draw(7, 7, k=11, dtype=torch.float32)
    xs = torch.stack((x, 2 * x)).requires_grad_()
    gradients = [
        torch.autograd.grad(torch.vmap(lambda x, f=f: f(x, y, theta))(xs).sum(), xs)
        for f in (sliced_wasserstein, by_sort)
    ]
    torch.testing.assert_close(*gradients)


@chunks
def test_a_cost_may_have_parameters_of_its_own(monkeypatch, chunk):
    chunked(monkeypatch, chunk)
    x, y, theta = draw(7, 7, k=11)
    w = torch.tensor(2.0, dtype=x.dtype, requires_grad=True)
    value = 3 * sliced_wasserstein(x.requires_grad_(), y, theta, lambda t: w * t.square())
    assert w.grad is None
    value.backward()
    torch.testing.assert_close(w.grad, value.detach() / 2)

    def gradient(weigh):  # by something of the graph of x itself
        return torch.autograd.grad(weigh(x.std()), x)

    torch.testing.assert_close(
        gradient(lambda s: sliced_wasserstein(x, y, theta, lambda t: (t / s).square())),
        gradient(lambda s: sliced_wasserstein(x, y, theta) / s.square()),
    )


@chunks
def test_samples_without_gradient_are_no_business_of_the_backward_pass(monkeypatch, chunk):
    """Those of a prior may be made in inference mode, and their memory used again."""
    chunked(monkeypatch, chunk)
    x, y, theta = draw(7, 7, k=11)
    wanted = torch.autograd.grad(sliced_wasserstein(x.requires_grad_(), y, theta), x)
    with torch.inference_mode():
        inferred = y + 0
    values = [sliced_wasserstein(x, inferred, theta), sliced_wasserstein(x, y, theta)]
    y.add_(1)
    for value in values:
        torch.testing.assert_close(torch.autograd.grad(value, x), wanted)


@chunks
def test_a_derivative_under_autocast_is_as_good(monkeypatch, chunk):
    chunked(monkeypatch, chunk)
    x, y, theta = draw(70, 70, k=11, dtype=torch.float32)

    def gradient():
        value = sliced_wasserstein(x, y, theta)
        return torch.autograd.grad(value, x, create_graph=True)[0]

    x.requires_grad_()
    wanted = gradient().detach()
    with torch.autocast("cpu", torch.bfloat16):
        got = gradient().detach()
    # The matches are the same; the last product is in the precision of whoever asks for it.
    assert (got - wanted).norm() < 0.003 * wanted.norm()


@chunks
def test_gradients_reach_only_who_wants_them(monkeypatch, chunk):
    chunked(monkeypatch, chunk)
    x, y, theta = draw(7, 5, k=11)
    sliced_wasserstein(x, y.requires_grad_(), theta).backward()
    assert x.grad is None
    assert theta.grad is None
    assert y.grad is not None
    with torch.no_grad():
        assert not sliced_wasserstein(x, y, theta).requires_grad


COMPILED = """
import torch
from swae import sliced_wasserstein

x, y, theta = torch.randn(20, 3, requires_grad=True), torch.randn(20, 3), torch.eye(3)
compiled = torch.compile(sliced_wasserstein, backend="aot_eager", fullgraph=True)
values = [f(x, y, theta) for f in (compiled, sliced_wasserstein)]
torch.testing.assert_close(*values)
torch.testing.assert_close(*(torch.autograd.grad(value, x) for value in values))
"""


def test_compiled():
    """In one graph; in a process without the shape checks, which are no users' and break it."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)


@pytest.mark.parametrize(
    ("cost", "error", "sentence"),
    [
        (lambda t: t.abs().sqrt(), ValueError, "p has to be a convex function"),
        (torch.sin, ValueError, "p has to be a convex function"),
        (lambda t: -t.square(), ValueError, "p has to be a convex function"),
        (lambda t: t.sum(), ValueError, "p has to be an elementwise function"),
        (lambda t: None, TypeError, "p has to return a tensor"),
    ],
)
def test_a_cost_that_is_not_convex_is_refused(cost, error, sentence):
    with pytest.raises(error, match=sentence):
        SlicedWassersteinLoss(Uniform(2), p=cost)


@pytest.mark.parametrize(
    "cost",
    [
        torch.square,
        torch.abs,
        torch.exp,
        torch.cosh,
        lambda t: t.relu(),
        lambda t: t,
        lambda t: 1e-6 * t.pow(4),
        lambda t: (t.square() + 1e-6).sqrt(),
        lambda t: torch.nn.functional.huber_loss(t, 0 * t, reduction="none"),
    ],
)
def test_a_convex_cost_is_taken(cost):
    SlicedWassersteinLoss(Uniform(2), p=cost)
