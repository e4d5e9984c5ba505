"""The latest codes stand beside those of a batch, and only the batch's are pulled."""

import copy

import pytest
import torch

from swae import Autoencoder, Mixture, Normal, SlicedWassersteinLoss, Uniform, sliced_wasserstein
from swae.networks import build
from swae.penalties.conditional import ConditionalSlicedWasserstein
from swae.penalties.queued import QueuedSlicedWasserstein
from swae.seeding import stream


def codes(n, seed=0, scale=1.0):
    return (scale * torch.randn(n, 2, generator=stream(seed, "codes"))).requires_grad_()


def grad(value, z):
    return torch.autograd.grad(value, z)[0]


@pytest.mark.parametrize("n", [1, 8, 40])
def test_without_memory_it_is_the_plain_penalty(n):
    z, plain = codes(n), SlicedWassersteinLoss(Uniform(2))
    queued = QueuedSlicedWasserstein(Uniform(2), memory=0)
    values = [penalty(z, stream(0, "p")) for penalty in (plain, queued)]
    assert values[0] == values[1]
    torch.testing.assert_close(*(grad(value, z) for value in values))


def test_it_is_the_distance_of_all_of_them_with_the_pull_of_a_batch():
    penalty, z = QueuedSlicedWasserstein(Uniform(2), memory=20), codes(5)
    pool = torch.cat((z, penalty.recent[:15]))
    generator = stream(0, "p")
    theta = penalty.whole.directions(pool, generator)
    expected = sliced_wasserstein(pool, Uniform(2).sample(20, generator, quasi=True), theta)
    value = penalty(z, stream(0, "p"))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(grad(value, z), 4 * grad(expected, z))


def test_it_is_the_conditional_one_of_a_single_class():
    """Which remembers by classes: one component, and all codes of it."""
    law = Mixture(torch.zeros(1, 2), 1.0)
    a = QueuedSlicedWasserstein(Normal(2), memory=64)
    b = ConditionalSlicedWasserstein(law, memory=64)
    with torch.no_grad():
        a.recent.copy_(codes(64, 7))
        b.recent[0].copy_(a.recent)
    z = codes(10)
    pulls = []
    for penalty, labels in ((a, ()), (b, (torch.zeros(10, dtype=torch.long),))):
        penalty.eval()  # in which it does not remember, so that all draws are of the same codes
        draws = [penalty(z, *labels, stream(i, "p")) for i in range(20)]
        pulls.append(torch.stack([grad(value, z) for value in draws]).mean(dim=0))
    assert (pulls[0] - pulls[1]).norm() < 0.2 * pulls[0].norm()


def test_the_newest_are_first_and_the_oldest_go():
    penalty = QueuedSlicedWasserstein(Uniform(2), memory=6)
    start = penalty.recent.clone()
    a, b = codes(2, 1), codes(3, 2)
    penalty(a)
    penalty(b)
    assert torch.equal(penalty.recent, torch.cat((b, a, start[:1])))
    large = codes(9, 3)
    penalty(large)
    assert torch.equal(penalty.recent, large[:6])


def test_what_is_remembered_starts_as_the_prior_and_is_stored():
    penalty = QueuedSlicedWasserstein(Uniform(2), memory=50)
    assert Uniform(2).contains(penalty.recent).all()
    before = torch.get_rng_state()
    again = QueuedSlicedWasserstein(Uniform(2), memory=50)
    assert torch.equal(before, torch.get_rng_state())
    penalty(codes(5))
    assert not torch.equal(again.recent, penalty.recent)
    again.load_state_dict(penalty.state_dict())
    assert torch.equal(again(codes(5, 1), stream(0, "p")), penalty(codes(5, 1), stream(0, "p")))


def test_nothing_is_remembered_in_eval_mode_nor_what_is_not_finite():
    penalty = QueuedSlicedWasserstein(Uniform(2), memory=10)
    start = penalty.recent.clone()
    penalty.eval()(codes(3))
    penalty.null(codes(3))
    penalty.train()(torch.full((3, 2), torch.nan))
    assert torch.equal(penalty.recent, start)


def test_its_null_is_that_of_so_many_codes():
    penalty = QueuedSlicedWasserstein(Uniform(2), memory=500)
    few, many = SlicedWassersteinLoss(Uniform(2)), codes(500)
    nulls = [penalty.null(codes(5), generator=stream(i, "p")) for i in range(50)]
    wanted = [few.null(many, generator=stream(i, "p")) for i in range(50)]
    torch.testing.assert_close(torch.stack(nulls).mean(), torch.stack(wanted).mean())


def test_it_drops_into_a_model_and_can_be_steered():
    penalty = QueuedSlicedWasserstein(Uniform(2), memory=30)
    model = Autoencoder(*build((1, 8, 8), 2), penalty, reg_weight="auto")
    for _ in range(2):
        model.loss(torch.rand(4, 1, 8, 8), generator=stream(0, "p")).total.backward()
    assert model.steering.steps == 2
    assert copy.deepcopy(model).penalty.recent.grad_fn is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type(dtype):
    value = QueuedSlicedWasserstein(Uniform(2), memory=10)(codes(3).to(dtype))
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("memory", [-1, 1.5, True, "64"])
def test_what_is_no_memory_is_refused(memory, unchecked):
    with pytest.raises(ValueError, match="memory has to be a whole number >= 0, but is"):
        QueuedSlicedWasserstein(Uniform(2), memory=memory)


@pytest.mark.parametrize("z", [torch.zeros(0, 2), torch.zeros(3), torch.zeros(3, 5)])
def test_codes_of_another_shape_are_refused(z, unchecked):
    with pytest.raises(ValueError, match=r"z has to have shape \(n, 2\)"):
        QueuedSlicedWasserstein(Uniform(2))(z)
