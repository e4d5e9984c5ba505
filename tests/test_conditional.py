"""The penalty whose labels choose the component of a mixture."""

import math

import pytest
import torch

from swae import Autoencoder, Mixture, SlicedWassersteinLoss, Uniform, sliced_wasserstein
from swae.data import ArrayBatches, Samples
from swae.networks import build
from swae.penalties.conditional import ConditionalSlicedWasserstein
from swae.training import make_optimizer, train_epochs

PRIOR = Mixture([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]], scales=[0.1, 0.2, 0.4], weights=[1, 2, 3])
EYE = {"slices": "equispaced", "n_projections": 8}


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def penalty(prior=PRIOR, **settings):
    return ConditionalSlicedWasserstein(prior, **settings)


# ----- closed forms


@pytest.mark.parametrize("labels", [None, torch.full((40,), -1)])
@pytest.mark.parametrize("settings", [{}, {"p": 1}, {"quasi": False}, {"oversampling": 3}])
def test_without_labels_it_is_the_plain_penalty(labels, settings):
    z = torch.randn(40, 2)
    wanted = SlicedWassersteinLoss(PRIOR, **settings)(z, seeded())
    assert penalty(**settings)(z, labels, seeded()) == wanted


def test_one_class_of_one_component_is_the_plain_penalty():
    """The same law, drawn otherwise: equal but for the noise of the draws."""
    prior = Mixture([[1.0, 2.0]], scales=0.5)
    z = torch.randn(4000, 2)
    value = penalty(prior, **EYE)(z, torch.zeros(4000, dtype=torch.int64))
    wanted = SlicedWassersteinLoss(prior, **EYE)(z)
    torch.testing.assert_close(value, wanted, rtol=0.01, atol=0)


def test_points_at_a_distance_pay_its_square():
    """SW_2^2 of two points is their squared distance over d, here a mean over the classes."""
    prior = Mixture([[0.0, 0.0], [9.0, 9.0]], scales=1e-9)
    z = torch.tensor([[1.0, 0.0], [9.0, 12.0], [9.0, 7.0], [8.0, 9.0]])
    value = penalty(prior, memory=0, **EYE)(z, torch.tensor([0, 1, 1, 1]))
    # The second class as a whole: its points at the mean each.
    assert value.item() == pytest.approx((1 + 9 + 4 + 1) / 4 / 2, rel=1e-5)


@pytest.mark.parametrize(("share", "alpha"), [(0.0, 0.25), (0.5, 0.5), (1.0, 1.0)])
def test_labelled_codes_have_a_share(share, alpha):
    prior = Mixture([[0.0, 0.0], [8.0, 0.0]], scales=1e-9)
    z = torch.tensor([[8.0, 0.0], [0.0, 0.0], [0.0, 0.0], [8.0, 0.0]])
    labels = torch.tensor([0, -1, -1, -1])
    value = penalty(prior, memory=0, share=share, **EYE)(z, labels)
    # All codes lie as the mixture does, but the labelled one in the other component.
    assert value.item() == pytest.approx(alpha * 64 / 2, rel=1e-5)


def test_with_all_labels_the_classes_alone_are_left():
    """Though there are more of one than the mixture has."""
    labels = torch.tensor([0] * 60 + [1] * 3)
    z = PRIOR.sample_components(labels, quasi=True)
    assert penalty()(z, labels) < 0.01
    assert penalty()(z, torch.full((63,), -1)) > 0.5


@pytest.mark.parametrize("memory", [0, 5, 64])
@pytest.mark.parametrize("quasi", [False, True])
def test_the_order_of_a_batch_is_of_no_account(memory, quasi):
    """But for rounding, and for which of a class's codes are remembered first."""
    z, labels = torch.randn(30, 2), torch.randint(-1, 3, (30,))
    order = torch.randperm(30)
    values = [
        penalty(memory=memory, quasi=quasi)(*batch, seeded())
        for batch in ((z, labels), (z[order], labels[order]))
    ]
    torch.testing.assert_close(*values)


# ----- what is remembered


@pytest.mark.parametrize("memory", [0, 4, 16, 64])
def test_each_code_is_pulled_as_in_a_mean_over_the_batch(memory):
    """To a point, whatever is remembered, by 2 (z - mu) / (n d)."""
    prior = Mixture([[0.0, 0.0], [5.0, 5.0]], scales=1e-9)
    law = penalty(prior, memory=memory, **EYE)
    z = torch.randn(12, 2, requires_grad=True)
    labels = torch.tensor([0] * 9 + [1] * 3)
    law(torch.randn(40, 2), torch.randint(0, 2, (40,)))
    law(z, labels).backward()
    torch.testing.assert_close(z.grad, (z.detach() - prior.means[labels]) / 12)


def test_the_value_is_the_distance_of_all_that_is_remembered():
    prior = Mixture([[0.0, 0.0], [5.0, 5.0]], scales=1e-9)
    law = penalty(prior, memory=4, **EYE)
    law(torch.full((3, 2), 2.0), torch.zeros(3, dtype=torch.int64))
    value = law(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))
    assert value.item() == pytest.approx((3 * 4 + 1) / 4, rel=1e-5)


def test_the_latest_codes_are_remembered_in_training_alone():
    law = penalty(memory=3)
    at_first = law.recent.clone()
    z = torch.arange(10.0).reshape(5, 2).requires_grad_()
    labels = torch.tensor([1, 1, -1, 1, 1])

    law.eval()(z, labels)
    assert torch.equal(law.recent, at_first)

    law.train()(z, labels)
    assert torch.equal(law.recent[1], z[[0, 1, 3]])
    assert torch.equal(law.recent[[0, 2]], at_first[[0, 2]])
    assert not law.recent.requires_grad

    law(z[2:3], labels[:1])
    assert torch.equal(law.recent[1], z[[2, 0, 1]])


def test_at_first_samples_of_the_components_are_remembered():
    law = penalty(memory=500)
    torch.testing.assert_close(law.recent.mean(dim=1), PRIOR.means, rtol=0, atol=0.1)
    deviations = PRIOR.scales[:, None].expand(3, 2)
    torch.testing.assert_close(law.recent.std(dim=1), deviations, rtol=0.1, atol=0)
    assert torch.equal(law.recent, penalty(memory=500).recent)


def test_codes_that_are_not_finite_are_told_and_not_remembered():
    law, z = penalty(), torch.rand(4, 2)
    z[0, 0] = math.nan
    assert not law(z, torch.tensor([0, 0, 1, -1])).isfinite()
    assert law.recent.isfinite().all()


def descended(memory):
    """Returns free codes of one class after descents of the penalty, one at a time."""
    prior = Mixture([[1.0, 0.0], [-1.0, 0.0]], scales=0.3)
    law = penalty(prior, memory=memory)
    z = (torch.tensor([1.0, 0.0]) + 0.6 * torch.randn(32, 2)).requires_grad_()
    optimizer = torch.optim.SGD([z], lr=0.3 * 32)
    rows = torch.arange(32).split(1)
    for step in range(8 * len(rows)):
        part = rows[step % len(rows)]
        optimizer.zero_grad()
        value = law(z[part], torch.zeros(len(part), dtype=torch.int32), seeded(step))
        (value * len(part) / 32).backward()
        optimizer.step()
    return z.detach()


def test_memory_keeps_a_class_from_collapsing():
    """One code at a time is nearest to a law at its mean."""
    assert descended(memory=0).std(dim=0).max() < 0.18
    kept = descended(memory=64).std(dim=0)
    torch.testing.assert_close(kept, torch.full((2,), 0.3), rtol=0.25, atol=0)


# ----- where codes go


def test_labelled_codes_reach_their_component_and_all_the_mixture():
    prior = Mixture.on_circle(3, scale=0.1)
    law, labels = penalty(prior), torch.randint(-1, 3, (150,))
    z = torch.randn(150, 2).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        law(z, labels).backward()
        optimizer.step()
    nearest = torch.cdist(z.detach(), prior.means).argmin(dim=1)
    known = labels >= 0
    assert torch.equal(nearest[known], labels[known])
    torch.testing.assert_close(
        nearest.bincount() / 150, torch.full((3,), 1 / 3), rtol=0, atol=0.05
    )
    assert prior.contains(z.detach()).float().mean() > 0.9


# ----- its null


@pytest.mark.parametrize(("settings", "unlabelled"), [({}, 30), ({"memory": 0}, 0), ({}, 60)])
def test_the_null_is_the_mean_value_of_perfect_codes(settings, unlabelled):
    labels = torch.randint(0, 3, (60,))
    labels[:unlabelled] = -1
    law = penalty(**settings)
    nulls, values = [], []
    for i in range(50):
        nulls.append(law.null(torch.zeros(60, 2), labels, seeded(i)))
        z = PRIOR.sample(60)
        z[labels >= 0] = PRIOR.sample_components(labels[labels >= 0])
        values.append(penalty(**settings)(z, labels))
    nulls, values = torch.stack(nulls), torch.stack(values)
    error = math.hypot(nulls.std(), values.std()) / 50**0.5
    assert abs(nulls.mean() - values.mean()) < 4 * error
    assert error < 0.2 * values.mean()


def test_the_null_leaves_everything_as_it_is():
    law = ConditionalSlicedWasserstein(Mixture(torch.eye(16)), memory=4)
    before = {name: value.clone() for name, value in law.state_dict().items()}
    z = torch.randn(9, 16, requires_grad=True)
    value = law.null(z, torch.zeros(9, dtype=torch.int64), seeded())
    assert value == law.null(100 * z, torch.zeros(9, dtype=torch.int64), seeded())
    assert not value.requires_grad
    assert law.training
    for name, tensor in law.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_directions_follow_the_codes_in_training_alone():
    law = ConditionalSlicedWasserstein(Mixture(torch.eye(16)))
    z, labels = 3 * torch.randn(50, 16), torch.zeros(50, dtype=torch.int64)
    law.eval()(z, labels)
    assert torch.equal(law.whole.covariance, torch.eye(16))
    for _ in range(100):
        law.train()(z, labels)
    torch.testing.assert_close(law.whole.covariance, z.mT.cov(correction=0), rtol=1e-3, atol=1e-3)


# ----- in a model


def model():
    torch.manual_seed(0)
    law = penalty(Mixture.on_circle(3), memory=5)
    return Autoencoder(*build((6,), 2), law, reconstruction="mse", output="linear")


def test_a_run_goes_on_where_it_stopped():
    """With the codes that were remembered."""
    batches = ArrayBatches(Samples(torch.rand(60, 6), torch.randint(-1, 3, (60,))), 20)

    def trained(model, start, end, stored=None):
        optimizer = make_optimizer("adam", model, 1e-2)
        if stored:
            model.load_state_dict(stored[0])
            optimizer.load_state_dict(stored[1])
        for epoch in train_epochs(model, batches, optimizer, max_epochs=4, start=start):
            if epoch.number == end:
                break
        return model.state_dict(), optimizer.state_dict()

    straight = trained(model(), 0, 4)[0]
    stopped = trained(model(), 0, 2)
    resumed = trained(model(), 2, 4, stopped)[0]
    assert not torch.equal(straight["penalty.recent"], model().penalty.recent)
    for name, value in straight.items():
        assert torch.equal(resumed[name], value), name


def test_its_weight_can_be_steered():
    """By the null of the batch's labels."""
    steered = model()
    steered.reg_weight = "auto"
    for _ in range(5):
        steered.loss(torch.rand(20, 6), torch.randint(-1, 3, (20,))).total.backward()
    assert 0 < steered.reg_weight < math.inf


def test_a_model_hands_labels_to_a_penalty_that_takes_them():
    x = torch.rand(8, 6)
    with pytest.raises(ValueError, match="holds 3"):
        model().loss(x, torch.tensor([3] * 8))
    plain = Autoencoder(*build((6,), 2), SlicedWassersteinLoss(PRIOR), "mse", "linear")
    plain.loss(x, torch.tensor([3] * 8))


# ----- components of a mixture


def test_codes_of_components():
    c = torch.tensor([2, 0, 1]).repeat(2000)
    z = PRIOR.sample_components(c, seeded())
    for i in range(3):
        torch.testing.assert_close(z[c == i].mean(dim=0), PRIOR.means[i], rtol=0, atol=0.05)
        assert z[c == i].std(dim=0).mean() == pytest.approx(PRIOR.scales[i].item(), rel=0.05)
    assert PRIOR.components == 3


def test_codes_of_components_are_spread_evenly():
    c = torch.ones(64, dtype=torch.int64)
    near, far = (
        torch.stack([PRIOR.sample_components(c, quasi=quasi).mean(dim=0) for _ in range(50)])
        for quasi in (True, False)
    )
    assert near.var(dim=0).sum() < far.var(dim=0).sum() / 5


@pytest.mark.parametrize(("c", "got"), [(3, 3), (-1, -1)])
def test_components_that_are_not_there(c, got):
    with pytest.raises(ValueError, match=f"c has to hold components, 0 to 2, but holds {got}"):
        PRIOR.sample_components(torch.tensor([0, c]))


# ----- errors

Z = torch.rand(4, 2)


@pytest.mark.parametrize(
    ("z", "labels", "error", "sentence"),
    [
        (Z, [0, 1, 2, 3], ValueError, "components of the prior, 0 to 2, or -1 .* but holds 3"),
        (Z, [0, -2, 1, 1], ValueError, "or -1 for none, but holds -2"),
        (Z, [0, 1], ValueError, r"one for each of the 4 codes, but has shape \(2,\)"),
        (Z, [[0, 1, 1, 1]], ValueError, r"one for each of the 4 codes, but has shape \(1, 4\)"),
        (Z, [0.0, 1.0, 1.0, 1.0], TypeError, "whole numbers, but is torch.float32"),
        (Z, [True, False, True, True], TypeError, "whole numbers, but is torch.bool"),
        (Z.long(), [0, 1, 1, 1], TypeError, "z has to be a floating-point torch tensor"),
        (Z[0], [0, 1], ValueError, r"z has to have shape \(n, 2\) for this prior"),
        (Z[:0], [], ValueError, r"z has to have shape \(n, 2\) for this prior"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(z, labels, error, sentence):
    with pytest.raises(error, match=sentence):
        penalty()(z, torch.tensor(labels))
    with pytest.raises(error, match=sentence):
        penalty().null(z, torch.tensor(labels))


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"prior": Uniform(2)}, ValueError, "prior has to be a mixture, but is a Uniform"),
        ({"prior": "mixture"}, TypeError, "prior has to be a Prior, but is a str"),
        ({"memory": -1}, ValueError, "memory has to be a whole number >= 0, but is -1"),
        ({"memory": 1.5}, ValueError, "memory has to be a whole number >= 0, but is 1.5"),
        ({"share": 1.5}, ValueError, r"share has to be in \[0, 1\], but is 1.5"),
        ({"share": math.nan}, ValueError, r"share has to be in \[0, 1\], but is nan"),
        ({"n_projections": 0}, ValueError, "n_projections has to be a whole number >= 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_that_can_not_work(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        penalty(**{"prior": PRIOR} | settings)


# ----- the rest of the contract


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtypes(dtype):
    z = torch.rand(5, 2, dtype=dtype, requires_grad=True)
    value = penalty()(z, torch.tensor([0, 0, 1, -1, -1]))
    value.backward()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert z.grad.isfinite().all()


def test_the_general_distance_is_behind_it():
    """A class with more codes than are remembered, against the plain function."""
    z, labels = torch.randn(100, 2), torch.zeros(100, dtype=torch.int64)
    law = penalty(memory=7)
    value = law(z, labels, seeded())
    source = seeded()
    theta = law.whole.directions(z, source)
    samples = PRIOR.sample_components(labels, source, quasi=True)
    torch.testing.assert_close(value, sliced_wasserstein(z, samples, theta))
