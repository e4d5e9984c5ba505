"""Wasserstein on the line: held against POT, SciPy, linear programs and closed forms.

A case is a pair of samples with or without weights. ``CASES`` goes through all the couplings:
equal sizes, one size a multiple of the other, sizes without a common divisor, weights on either
side or both, batches.
"""

import math

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.stats import wasserstein_distance

from swae.univariate import uniform_coupling, wasserstein_1d

SIZES = [(8, 8), (6, 12), (7, 5), (1, 9)]
WEIGHTED = [(True, False), (False, True), (True, True)]
CASES = [(sizes, (False, False)) for sizes in SIZES] + [((7, 5), w) for w in WEIGHTED]
EXPONENTS = [1, 1.5, 2, 3]
COSTS = {
    "huber": lambda t: torch.where(t.abs() < 0.5, t.square() / 2, (t.abs() - 0.25) / 2),
    "cosh": lambda t: t.cosh() - 1,
    "asymmetric": lambda t: 3 * t.relu() + (-t).relu(),
}

cases = pytest.mark.parametrize(("sizes", "weighted"), CASES)
exponents = pytest.mark.parametrize("p", EXPONENTS)


def normal(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype)


def draw(sizes, weighted, batch=(), dtype=torch.float64):
    """Draws x, y and, where wanted, their weights."""
    x, y = (normal(*batch, n, dtype=dtype) for n in sizes)
    a, b = (torch.rand_like(v) if w else None for v, w in zip((x, y), weighted, strict=True))
    return x, y, a, b


def pot(x, y, p, a, b):
    """Asks POT, which wants float64, shape (samples, batch) and weights that sum to 1."""
    a, b = (torch.ones_like(v) if w is None else w for v, w in ((x, a), (y, b)))
    x, y, a, b = (v.double().reshape(-1, v.shape[-1]).mT.contiguous() for v in (x, y, a, b))
    return ot.wasserstein_1d(x, y, a / a.sum(dim=0), b / b.sum(dim=0), p=p)


def program(x, y, cost, a, b):
    """Minimises over all plans, monotone or not."""
    n, m = len(x), len(y)
    a, b = (np.ones(len(v)) if w is None else w.numpy() for v, w in ((x, a), (y, b)))
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    marginals = np.concatenate((a / a.sum(), b / b.sum()))
    costs = cost(x[:, None] - y[None, :]).numpy().ravel()
    return linprog(costs, A_eq=np.concatenate((rows, columns)), b_eq=marginals).fun


# ----- against other implementations


@exponents
@cases
@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_agrees_with_pot(p, sizes, weighted, batch, dtype, rtol):
    x, y, a, b = draw(sizes, weighted, batch, dtype)
    result = wasserstein_1d(x, y, p, a, b)
    assert result.shape == batch
    assert result.dtype == dtype
    wanted = pot(x, y, p, a, b).reshape(batch)
    torch.testing.assert_close(result.double(), wanted, rtol=rtol, atol=0)


@cases
def test_agrees_with_scipy(sizes, weighted):
    x, y, a, b = draw(sizes, weighted)
    wanted = wasserstein_distance(x, y, a, b)
    assert wasserstein_1d(x, y, 1, a, b).item() == pytest.approx(wanted, rel=1e-10)


@cases
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_any_convex_cost_is_optimal(sizes, weighted, cost):
    x, y, a, b = draw(sizes, weighted)
    result = wasserstein_1d(x, y, cost, a, b).item()
    assert result == pytest.approx(program(x, y, cost, a, b), rel=1e-7)


@exponents
def test_equal_sizes_are_the_best_assignment(p):
    x, y = normal(12), normal(12)
    costs = (x[:, None] - y[None, :]).abs().pow(p)
    best = costs[linear_sum_assignment(costs)].mean()
    torch.testing.assert_close(wasserstein_1d(x, y, p), best)


# ----- closed forms


@exponents
@cases
def test_translation(p, sizes, weighted):
    x, _, a, _ = draw(sizes, weighted)
    result = wasserstein_1d(x, x - 0.7, p, a, a)
    torch.testing.assert_close(result, torch.tensor(0.7, dtype=x.dtype) ** p)


@exponents
def test_scaling(p):
    x = normal(9)
    result = wasserstein_1d(x, 3 * x, p)
    torch.testing.assert_close(result, (2 * x).abs().pow(p).mean())


@exponents
@cases
def test_is_zero_at_a_match_alone(p, sizes, weighted):
    x, y, a, b = draw(sizes, weighted)
    assert wasserstein_1d(x, x.flip(-1), p, a, a if a is None else a.flip(-1)) < 1e-14
    assert wasserstein_1d(x, y, p, a, b) > 0


@exponents
@pytest.mark.parametrize("sizes", SIZES)
def test_equal_weights_are_none(p, sizes):
    x, y, _, _ = draw(sizes, (False, False))
    a, b = torch.full_like(x, 5), torch.full_like(y, 0.1)
    wanted = wasserstein_1d(x, y, p)
    for weights in ((a, b), (a, None), (None, b)):
        torch.testing.assert_close(wasserstein_1d(x, y, p, *weights), wanted)


@exponents
def test_a_whole_weight_repeats_its_sample(p):
    x, y = normal(5), normal(7)
    times = torch.tensor([1, 2, 0, 3, 1])
    wanted = wasserstein_1d(x.repeat_interleave(times), y, p)
    torch.testing.assert_close(wasserstein_1d(x, y, p, times.double()), wanted)


@exponents
@pytest.mark.parametrize("k", [2, 3, 8])
def test_a_multiple_of_the_size_repeats_each_sample(p, k):
    x, y = normal(2, 6), normal(2, 6 * k)
    wanted = wasserstein_1d(x.repeat_interleave(k, dim=-1), y, p)
    torch.testing.assert_close(wasserstein_1d(x, y, p), wanted)
    torch.testing.assert_close(wasserstein_1d(y, x, p), wanted)


def test_the_gradient_pulls_each_sample_to_the_mean_of_its_quantiles():
    x, y = normal(6).requires_grad_(), normal(18)
    wasserstein_1d(x, y).backward()
    quantiles = y.sort().values.reshape(6, 3).mean(dim=1)[x.argsort().argsort()]
    torch.testing.assert_close(x.grad, 2 * (x.detach() - quantiles) / 6)


# ----- properties


@exponents
@cases
def test_is_symmetric_and_homogeneous(p, sizes, weighted):
    x, y, a, b = draw(sizes, weighted)
    value = wasserstein_1d(x, y, p, a, b)
    torch.testing.assert_close(wasserstein_1d(y, x, p, b, a), value)
    torch.testing.assert_close(wasserstein_1d(-3 * x, -3 * y, p, a, b), 3**p * value)


@exponents
@cases
def test_order_is_of_no_account(p, sizes, weighted):
    x, y, a, b = draw(sizes, weighted)
    x.requires_grad_()
    order = torch.randperm(len(x))
    value = wasserstein_1d(x, y, p, a, b)
    other = wasserstein_1d(x[order], y, p, None if a is None else a[order], b)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v in (other, value)))


@exponents
@cases
def test_gradients_are_exact(p, sizes, weighted):
    x, y, a, b = draw(sizes, weighted)
    a, b = (w if w is None else w.requires_grad_() for w in (a, b))
    samples = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, y: wasserstein_1d(x, y, p, a, b), samples)


@pytest.mark.parametrize("weighted", WEIGHTED)
def test_no_gradient_reaches_the_weights(weighted):
    x, y, a, b = draw((5, 6), weighted)
    given = [w.requires_grad_() for w in (a, b) if w is not None]
    wasserstein_1d(x.requires_grad_(), y, 2, a, b).backward()
    assert all(w.grad is None for w in given)


@pytest.mark.parametrize("sizes", SIZES)
def test_an_evaluation_in_inference_mode_leaves_training_alone(sizes):
    """Couplings are kept between calls; inference tensors among them would refuse a gradient."""
    uniform_coupling.cache_clear()
    x, y, _, _ = draw(sizes, (False, False))
    with torch.inference_mode():
        value = wasserstein_1d(x, y)
    wasserstein_1d(x.requires_grad_(), y).backward()
    torch.testing.assert_close(wasserstein_1d(x, y).detach(), value)


@pytest.mark.parametrize("p", [1, 1.5, 2, 2.5, 3])
def test_differences_are_not_signed(p):
    """Predecessors: a signed power, negative for p = 3 and NaN for p = 1.5; a mean for p = 1."""
    x, y = torch.tensor([-2.0, 2.0]), torch.tensor([-1.0, 1.0])
    assert wasserstein_1d(x, y, p) == wasserstein_1d(y, x, p) == 1
    assert wasserstein_1d(x, x + 1, p) == wasserstein_1d(x, x - 1, p) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = torch.randn(5000).to(dtype), torch.randn(5000).to(dtype)
    result = wasserstein_1d(x, y)
    assert result.dtype == torch.float32
    assert result == wasserstein_1d(x.float(), y.float())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("sizes", SIZES)
@exponents
def test_what_is_not_finite_stays_so(bad, sizes, p):
    x, y, _, _ = draw(sizes, (False, False))
    x[0] = bad
    assert not wasserstein_1d(x, y, p).isfinite()
    assert not wasserstein_1d(y, x, p, y.abs()).isfinite()


# ----- errors

X = torch.rand(3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((X, X, 0.5), "p has to be a finite number >= 1 or a convex function, but is 0.5"),
        ((X, X, math.nan), "p has to be .* but is nan"),
        ((X, X, math.inf), "p has to be .* but is inf"),
        ((X, X, "2"), "p has to be .* but is '2'"),
        ((X[:0], X), r"x has to hold at least one sample .* has shape \(0,\)"),
        ((X, X[0]), r"y has to hold at least one sample .* has shape \(\)"),
        ((X.long(), X), "x has to be floating-point, but is torch.int64"),
        ((X, X.double()), "x and y have to share a dtype"),
        ((X, X, 2, -X), "x_weights has to be finite and >= 0"),
        ((X, X, 2, None, X * math.nan), "y_weights has to be finite and >= 0"),
        ((X, X, 2, 0 * X), "x_weights has to have a positive sum"),
        ((X, X, 2, None, X[:2]), "y_weights has to hold a weight for each of the 3 samples"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        wasserstein_1d(*arguments)
