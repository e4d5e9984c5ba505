"""The fast sorts, held against torch's: values, orders, ties, and what is not finite."""

import importlib
import math
import multiprocessing
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swae.kernels import cpu
from swae.univariate import match, wasserstein_1d

SIZES = [1, 2, 3, 100, 255, 256, 300, 1000, 4097, 10_000, 70_000]
LAWS = {
    "normal": lambda n: torch.randn(3, n),
    "ties": lambda n: torch.randint(-3, 3, (3, n)).float(),
    "constant": lambda n: torch.full((3, n), 0.5),
    "zeros of both signs": lambda n: torch.zeros(3, n) * torch.randn(3, n),
    "heavy tails": lambda n: torch.randn(3, n) / torch.randn(3, n),
    "one far away": lambda n: torch.cat((torch.rand(3, n - 1), torch.full((3, 1), 1e30)), dim=1),
    "subnormal": lambda n: torch.randn(3, n) * 1e-40,
    "range overflows": lambda n: torch.randn(3, n).sign() * 3e38 * torch.rand(3, n),
    "sorted": lambda n: torch.arange(3.0 * n).reshape(3, n),
    "backwards": lambda n: -torch.arange(3.0 * n).reshape(3, n),
}

sizes = pytest.mark.parametrize("n", SIZES)
laws = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def run(way, x, dtype):
    result = np.empty(x.shape, dtype)
    way(x.numpy(), result)
    return torch.from_numpy(result)


@sizes
@laws
@pytest.mark.parametrize("way", cpu.ORDERS)
def test_orders_are_the_stable_one(way, n, law):
    x = law(n)
    assert torch.equal(run(way, x, np.int64), x.argsort(dim=-1, stable=True))


@sizes
@laws
@pytest.mark.parametrize("way", cpu.VALUES)
def test_values_are_sorted(way, n, law):
    x = law(n)
    assert torch.equal(run(way, x, np.float32), x.sort(dim=-1).values)


@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("n", [5, 300, 5000])
def test_what_is_not_finite_is_kept(n, bad):
    x = torch.randn(3, n)
    x[1, n // 2] = bad
    for way in cpu.VALUES:
        values = run(way, x, np.float32)
        assert torch.equal(values[[0, 2]], x[[0, 2]].sort(dim=-1).values)
        assert values[1].isfinite().sum() == n - 1
    for way in cpu.ORDERS:
        order = run(way, x, np.int64)
        assert torch.equal(order.sort(dim=-1).values, torch.arange(n).expand(3, n))
        finite = x[1][order[1]]
        finite = finite[finite.isfinite()]
        assert torch.equal(finite, finite.sort().values)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 600)),
    permutation=st.permutations(range(3)),
    step=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_any_shape_and_strides(shape, permutation, step, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    x = x.permute(permutation)[..., ::step]
    assert torch.equal(cpu.sort(x), x.sort(dim=-1).values)
    assert torch.equal(cpu.argsort(x), x.argsort(dim=-1, stable=True))
    assert cpu.sort(x).is_contiguous()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 5), (5,)])
def test_batches_without_and_with_one_row(shape):
    x = torch.randn(shape)
    assert torch.equal(cpu.sort(x), x.sort(dim=-1).values)
    assert torch.equal(cpu.argsort(x), x.argsort(dim=-1))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_change_nothing_and_no_setting(monkeypatch):
    monkeypatch.setattr(cpu, "BLOCK", 1000)
    x = torch.randn(700, 300)
    assert x.numel() >= cpu.SMALL
    assert torch.equal(cpu.sort(x), x.sort(dim=-1).values)
    assert torch.equal(cpu.argsort(x), x.argsort(dim=-1, stable=True))
    assert torch.get_num_threads() == 2


def sort_in_child(x, queue):
    queue.put(cpu.sort(x)[0, 0].item())


@pytest.mark.usefixtures("two_threads")
def test_a_forked_process_sorts(monkeypatch):
    """It inherits the pool without its threads, and would wait for them for ever."""
    monkeypatch.setattr(cpu, "BLOCK", 1000)
    x = torch.randn(700, 300)
    least = cpu.sort(x)[0, 0].item()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=sort_in_child, args=(x, queue), daemon=True)
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    assert queue.get() == least


@pytest.mark.parametrize("op", [torch.ops.swae.sort.default, torch.ops.swae.argsort.default])
def test_operators_keep_torchs_rules(op):
    torch.library.opcheck(op, (torch.randn(3, 50),))
    torch.library.opcheck(op, (torch.randn(50, 3).mT,))


def test_the_default_device_is_not_the_result_s():
    x = torch.randn(3, 50)
    with torch.device("meta"):
        values, order = cpu.sort(x), cpu.argsort(x)
    assert torch.equal(values, x.gather(1, order))


@pytest.mark.parametrize("dim", [0, 1])
def test_vmap(dim):
    x = torch.randn(4, 5, 50)
    for fast, plain in ((cpu.sort, lambda x: x.sort().values), (cpu.argsort, torch.argsort)):
        got, wanted = (torch.vmap(f, in_dims=dim)(x) for f in (fast, plain))
        assert torch.equal(got, wanted)


def test_the_module_can_be_loaded_again():
    importlib.reload(cpu)
    assert torch.equal(cpu.sort(torch.tensor([2.0, 1.0])), torch.tensor([1.0, 2.0]))


@pytest.mark.usefixtures("two_threads")
def test_nobody_waits_for_helpers_of_others(monkeypatch):
    """A caller that has done its work alone goes on, though the helper is still elsewhere."""
    monkeypatch.setattr(cpu, "BLOCK", 1000)
    released = threading.Event()
    busy = cpu.pool(1).submit(released.wait, 60)
    x = torch.randn(700, 300)
    assert torch.equal(cpu.sort(x), x.sort(dim=-1).values)
    assert not busy.done()
    released.set()


# ----- the match, and the distance made of it, against torch's sort


def plain(x, y):
    """As the formula stands: both sides sorted, repeated to one size, and their difference."""
    n, m = x.shape[-1], y.shape[-1]
    x, y = x.sort(dim=-1).values, y.sort(dim=-1).values
    size = math.lcm(n, m)
    x, y = x.repeat_interleave(size // n, -1), y.repeat_interleave(size // m, -1)
    return (x - y).square().mean(dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("sizes", [(40, 40), (40, 120), (120, 40), (30, 40), (700, 700)])
@pytest.mark.parametrize("strided", [False, True])
def test_each_path_is_the_plain_one(dtype, wanted, sizes, strided):
    x, y = (torch.randn(n, 5) if strided else torch.randn(5, n) for n in sizes)
    x, y = (v.to(dtype).mT if strided else v.to(dtype) for v in (x, y))
    x, y = (v.requires_grad_(w) for v, w in zip((x, y), wanted, strict=True))
    values = wasserstein_1d(x, y), plain(*(v.float() if dtype.itemsize < 4 else v for v in (x, y)))
    torch.testing.assert_close(*values)
    inputs = [v for v in (x, y) if v.requires_grad]
    if inputs and dtype.itemsize >= 4:  # half precision has ties, each sort its own way with them
        torch.testing.assert_close(*(torch.autograd.grad(v.sum(), inputs) for v in values))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    k=st.integers(1, 4),
    multiple=st.booleans(),
    wanted=st.sampled_from([(True, False), (False, True), (True, True)]),
    seed=st.integers(0, 2**32),
)
def test_any_sizes(n, m, k, multiple, wanted, seed):
    generator = torch.Generator().manual_seed(seed)
    m = k * n if multiple else m
    x, y = (torch.randn(2, size, generator=generator) for size in (n, m))
    inputs = [v.requires_grad_() for v, w in zip((x, y), wanted, strict=True) if w]
    values = wasserstein_1d(x, y), plain(x, y)
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        *(torch.autograd.grad(v.sum(), inputs) for v in values), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sizes", [(40, 40), (40, 120), (120, 40), (30, 40)])
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_not_finite_reaches_value_and_gradient(bad, sizes, wanted, side, weighted):
    x, y = (torch.randn(n) for n in sizes)
    (x, y)[side][3] = bad
    inputs = [v.requires_grad_() for v, w in zip((x, y), wanted, strict=True) if w]
    weights = torch.rand_like(x) if weighted else None
    value = wasserstein_1d(x, y, 2, weights)
    assert not value.isfinite()
    gradients = torch.autograd.grad(value, inputs)
    assert not torch.cat(gradients).isfinite().all()


def test_ties_share_their_gradient():
    """How a tie is broken is nobody's business; its sum is."""
    x, y = torch.randint(0, 5, (200,)).float(), torch.randn(200)
    sums = []
    for distance in (wasserstein_1d, plain):
        (gradient,) = torch.autograd.grad(distance(x.requires_grad_(), y), x)
        sums.append(torch.zeros(5).index_add(0, x.detach().long(), gradient))
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 8])
def test_match_brings_each_value_its_quantiles(dtype, k):
    x, y = torch.randn(2, 30, dtype=dtype), torch.randn(2, 30 * k, dtype=dtype)
    t = match(x, y)
    ranks = x.argsort().argsort()
    for b in range(2):
        for i in range(30):
            at = k * ranks[b, i]
            assert torch.equal(t[b, :, i], y[b].sort().values[at : at + k])
