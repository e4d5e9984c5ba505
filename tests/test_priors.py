"""Priors: every class goes through the same properties; then the moments that are known."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Laplace, MultivariateNormal

from swae import sliced_wasserstein
from swae.priors import (
    Ball,
    Bowl,
    Circle,
    FromDistribution,
    FromFunction,
    FromPicture,
    FromSamples,
    Mixture,
    Normal,
    Prior,
    Ring,
    Sphere,
    Uniform,
    prior_from_name,
)
from swae.projections import iid

MEANS = [[0.0, 2.0, 0.0], [-1.0, 0.0, 0.0]]
PRIORS = {
    "uniform-1": Uniform(1),
    "uniform-3": Uniform(3),
    "normal-3": Normal(3),
    "normal-30": Normal(30),
    "ring": Ring(),
    "ring-noisy": Ring(radius=2.0, sigma=0.3),
    "ring-exact": Ring(sigma=0.0),
    "ring-stratified": Ring(stratified=True),
    "circle": Circle(),
    "bowl": Bowl(),
    "ball-1": Ball(1),
    "ball-2": Ball(2),
    "ball-5": Ball(5),
    "sphere-2": Sphere(2),
    "sphere-5": Sphere(5),
    "mixture": Mixture(MEANS, scales=[0.1, 0.5], weights=[3, 1]),
    "mixture-on-circle": Mixture.on_circle(components=8, dim=3),
    "picture": FromPicture([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [1.0, 0.5, 0.0]]),
    "samples": FromSamples(torch.rand(50, 2).square()),
    "laplace": FromDistribution(Independent(Laplace(torch.zeros(3), torch.ones(3)), 1)),
    "multivariate": FromDistribution(MultivariateNormal(torch.zeros(2), 4 * torch.eye(2))),
    "function": FromFunction(lambda n, g: torch.rand(n, 2, generator=g).cumsum(dim=1), dim=2),
    "named": prior_from_name("ring:sigma=0.1", dim=2),
}
CUBES = {name: prior for name, prior in PRIORS.items() if hasattr(prior, "from_cube")}
TABLE = [
    # prior, statistic of a code, its mean
    (Uniform(3), lambda z: z.mean(dim=-1), 0),
    (Uniform(3), lambda z: z.square().mean(dim=-1), 1 / 3),
    (Normal(3), lambda z: z.mean(dim=-1), 0),
    (Normal(3), lambda z: z.square().mean(dim=-1), 1),
    (Normal(3), lambda z: z.pow(4).mean(dim=-1), 3),
    (Ring(), lambda z: z.norm(dim=-1), 1),
    (Ring(radius=3.0, sigma=0.5), lambda z: z.square().sum(dim=-1), 9 + 2 * 0.25),
    (Circle(), lambda z: z.norm(dim=-1), 1 / 2),
    (Circle(), lambda z: z.square().sum(dim=-1), 1 / 3),
    (Bowl(), lambda z: z.square().sum(dim=-1), 3 / 5),
    *((Ball(d), lambda z: z.square().sum(dim=-1), d / (d + 2)) for d in (1, 2, 3, 10)),
    *((Sphere(d), lambda z: z.square()[..., -1], 1 / d) for d in (2, 3, 10)),
    (Sphere(3), lambda z: z.pow(4)[..., 0], 1 / 5),
    (Mixture(MEANS, 0.5, [3, 1]), lambda z: z[..., 1], 3 / 4 * 2),
    (Mixture(MEANS, [0.1, 0.5], [3, 1]), lambda z: z[..., 2].square(), 0.75 * 0.01 + 0.25 * 0.25),
    (Mixture.on_circle(7, 2.0, 0.1), lambda z: z.square().sum(dim=-1), 4 + 2 * 0.01),
    (PRIORS["laplace"], lambda z: z.abs().mean(dim=-1), 1),
    (PRIORS["multivariate"], lambda z: z.square().mean(dim=-1), 4),
    (FromSamples([[0.0], [1.0], [1.0], [2.0]]), lambda z: z[..., 0].square(), 6 / 4),
]

every = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
quasis = pytest.mark.parametrize("quasi", [False, True])


def sw2(x, y):
    return sliced_wasserstein(x, y, iid(x.shape[1], 100)).item()


def independent(prior):
    """Returns the prior, but a ring's angles are independent."""
    return PRIORS["ring"] if prior is PRIORS["ring-stratified"] else prior


# ----- every prior


@every
@quasis
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_have_shape_and_dtype(prior, quasi, dtype):
    for n in (1, 7):
        z = prior.sample(n, quasi=quasi, dtype=dtype)
        assert z.shape == (n, prior.dim)
        assert z.dtype == dtype
    assert prior.sample(3, quasi=quasi).dtype == torch.float32


@every
@quasis
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_those_of_the_whole_draw(prior, quasi, dtype):
    """Bit by bit, and the generator is where the whole draw leaves it."""
    n = 203
    whole_generator = torch.Generator().manual_seed(3)
    whole = prior.sample(n, whole_generator, quasi, dtype=dtype)
    for rows in (
        slice(0, 1),
        slice(0, 77),
        slice(77, 203),
        slice(150, 151),
        slice(9, 9),
        slice(0),
    ):
        generator = torch.Generator().manual_seed(3)
        part = prior.sample_rows(n, rows, generator, quasi, dtype=dtype)
        assert torch.equal(part, whole[rows])
        assert torch.equal(generator.get_state(), whole_generator.get_state())
    torch.manual_seed(3)
    expected = prior.sample(n, None, quasi, dtype=dtype)[40:50]
    state = torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(prior.sample_rows(n, slice(40, 50), None, quasi, dtype=dtype), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_second_row_is_every_second_row():
    for prior in PRIORS.values():
        whole, part = (torch.Generator().manual_seed(3) for _ in range(2))
        expected = prior.sample(20, whole, quasi=True)[3:18:2]
        assert torch.equal(prior.sample_rows(20, slice(3, 18, 2), part, quasi=True), expected)


@pytest.mark.usefixtures("unchecked")
def test_a_law_that_draws_another_number_has_no_rows():
    class Few(Prior):
        def sample(self, n, generator=None, quasi=False, *, device=None, dtype=None):
            return torch.zeros(n - 1, 2)

        def contains(self, z):
            return None

    sentence = r"draw codes of shape \(5, 2\), but Few drew shape \(4, 2\)"
    with pytest.raises(ValueError, match=sentence):
        Few(2, None).sample_rows(5, slice(2))


@every
@quasis
def test_draws_come_from_the_generator(prior, quasi, generator):
    before = torch.get_rng_state()
    first, second = (prior.sample(9, generator, quasi) for _ in range(2))
    generator.manual_seed(0)
    assert torch.equal(first, prior.sample(9, generator, quasi))
    assert not torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@every
@quasis
def test_draws_without_generator_come_from_torch_alone(prior, quasi):
    numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    state = torch.get_rng_state()
    first, second = (prior.sample(9, quasi=quasi) for _ in range(2))
    torch.set_rng_state(state)
    assert torch.equal(first, prior.sample(9, quasi=quasi))
    assert not torch.equal(first, second)
    assert (numpy == np.random.get_state()[1]).all()  # noqa: NPY002


@every
def test_quasi_random_samples_have_the_same_law(prior):
    x, y, quasi = (prior.sample(1000, quasi=q) for q in (False, False, True))
    assert sw2(quasi, x) < 4 * sw2(y, x) + 1e-6


@every
def test_quasi_random_points_are_uniform_each(prior):
    """A shift that is fresh at each draw makes the first point a draw of the prior."""
    firsts = torch.cat([prior.sample(2, quasi=True)[:1] for _ in range(400)])
    x, y = (independent(prior).sample(400) for _ in range(2))
    assert sw2(firsts, x) < 8 * sw2(y, x) + 1e-6


@every
def test_samples_are_inside(prior):
    inside = prior.contains(prior.sample(10_000))
    assert inside is None or inside.float().mean() >= 0.999
    assert inside is None or inside.shape == (10_000,)


@every
def test_far_codes_are_outside(prior):
    inside = prior.contains(torch.full((4, prior.dim), 1e4))
    everywhere = isinstance(prior, FromDistribution)  # the support of Gaussian tails
    assert inside is None or inside.all() == everywhere


@pytest.mark.parametrize("prior", CUBES.values(), ids=CUBES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_cube_are_finite(prior, dtype):
    for u in (0.0, torch.finfo(dtype).tiny, 0.5, 1 - torch.finfo(dtype).eps / 2, 1.0):
        z = prior.from_cube(torch.full((3, prior.cube_dim), u, dtype=dtype))
        assert z.isfinite().all()
        assert z.shape == (3, prior.dim)


@pytest.mark.parametrize("prior", CUBES.values(), ids=CUBES)
def test_quasi_random_means_vary_less(prior):
    means = torch.stack([prior.sample(512, quasi=True).mean(dim=0) for _ in range(30)])
    noise = means.var(dim=0).mean()
    assert noise < independent(prior).sample(10_000).var(dim=0).mean() / 512 / 5


@every
def test_state_travels(prior):
    other = FromSamples(torch.zeros(50, 2)) if isinstance(prior, FromSamples) else prior
    other.load_state_dict(prior.state_dict())
    a, b = (p.sample(5, torch.Generator().manual_seed(1)) for p in (prior, other))
    assert torch.equal(a, b)


# ----- what is known of each


@pytest.mark.parametrize(("prior", "statistic", "mean"), TABLE)
@quasis
def test_moments(prior, statistic, mean, quasi):
    values = statistic(prior.sample(20_000, quasi=quasi, dtype=torch.float64))
    error = 5 * values.std().item() / math.sqrt(len(values))
    assert values.mean().item() == pytest.approx(mean, abs=error + 1e-6)


@pytest.mark.parametrize("n", [1, 10, 500])
def test_a_stratified_ring_has_evenly_spaced_angles(n):
    x, y = Ring(sigma=0.0, stratified=True).sample(n, dtype=torch.float64).mT
    turns = (torch.atan2(y, x) / (2 * math.pi) + 1e-9) % 1
    torch.testing.assert_close(turns, torch.arange(n).double() / n, rtol=0, atol=1e-8)


def test_a_circle_is_dense_at_its_centre_and_a_bowl_is_not():
    near = {name: PRIORS[name].sample(20_000).norm(dim=1) for name in ("circle", "ball-2", "bowl")}
    shares = [(r < 0.5).float().mean().item() for r in near.values()]
    assert shares == pytest.approx([1 / 2, 1 / 4, 1 / 8], abs=0.015)


def test_a_component_without_weight_is_never_drawn():
    mixture = Mixture([[float(c)] for c in range(8)], 1e-6, [0.0, *[0.1] * 6, 0.0])
    u = torch.tensor([[0.0, 0.5], [1 - 2**-24, 0.5]])
    assert mixture.from_cube(u).round().tolist() == [[1.0], [6.0]]


def test_mixture_state_round_trip():
    mixture, other = PRIORS["mixture"], Mixture(torch.zeros(2, 3))
    other.load_state_dict(mixture.state_dict())
    a, b = (p.sample(5, torch.Generator().manual_seed(1)) for p in (mixture, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize(("many", "n"), [(50, 7), (50, 50), (7, 50), (1, 3), (12, 4)])
def test_no_sample_comes_twice_before_every_other(many, n, generator):
    prior = FromSamples(torch.arange(many)[:, None])
    for _ in range(9):
        counts = prior.sample(n, generator, quasi=True).long().flatten().bincount(minlength=many)
        assert set(counts.tolist()) <= {n // many, -(-n // many)}


def test_each_sample_is_as_likely_at_each_place(generator):
    prior = FromSamples(torch.arange(6)[:, None])
    draws = torch.cat([prior.sample(4, generator, quasi=True) for _ in range(3000)], dim=1)
    counts = torch.stack([(draws == sample).sum(dim=1) for sample in range(6)], dim=1)
    assert (counts - 500).abs().max() < 5 * math.sqrt(500)


@pytest.mark.parametrize(("dim", "gain"), [(1, 30), (2, 10), (8, 1.5)])
def test_samples_are_spread_evenly_on_demand(dim, gain, generator):
    prior = FromSamples(torch.randn(3000, dim, generator=generator))

    def noise(quasi):
        means = [prior.sample(400, generator, quasi).mean(dim=0) for _ in range(30)]
        return torch.stack(means).var(dim=0).mean()

    assert noise(True) < noise(False) / gain


def test_the_order_of_samples_keeps_near_ones_near():
    x = torch.cartesian_prod(*2 * [torch.linspace(0, 1, 64)])
    z = FromSamples(x[torch.randperm(len(x))]).samples
    assert torch.equal(torch.unique(z, dim=0), torch.unique(x, dim=0))
    assert (z[1:] - z[:-1]).norm(dim=1).mean() < 3 / 63
    groups = z.reshape(16, -1, 2)
    assert (groups.amax(dim=1) - groups.amin(dim=1)).max() < 0.26


def test_arrays_are_copied():
    array = np.zeros((4, 2), dtype=np.float32)
    prior = FromSamples(array)
    array[:] = 1
    assert (prior.sample(9) == 0).all()


def test_a_distribution_with_marginals_has_a_map_from_the_cube():
    assert PRIORS["laplace"].cube_dim == 3
    assert PRIORS["multivariate"].cube_dim is None


# ----- names


@pytest.mark.parametrize(
    ("spec", "dim", "prior"),
    [
        ("uniform", 3, Uniform(3)),
        ("normal", 8, Normal(8)),
        ("ring", 2, Ring()),
        ("ring:radius=2,sigma=5e-2", 2, Ring(radius=2.0, sigma=0.05)),
        ("circle", 2, Circle()),
        ("bowl", 2, Bowl()),
        ("ball", 4, Ball(4)),
        ("sphere", 4, Sphere(4)),
        ("mixture", 3, Mixture.on_circle(dim=3)),
        ("mixture:components=4,radius=2,scale=0.3", 2, Mixture.on_circle(4, 2.0, 0.3)),
    ],
)
def test_names(spec, dim, prior):
    named = prior_from_name(spec, dim)
    a, b = (p.sample(5, torch.Generator().manual_seed(1)) for p in (named, prior))
    assert repr(named) == repr(prior)
    assert torch.equal(a, b)


def test_a_named_ring_is_stratified_on_demand():
    assert prior_from_name("ring", 2, stratified=True).stratified
    assert not prior_from_name("ring", 2).stratified


@pytest.mark.parametrize(
    ("spec", "dim", "sentence"),
    [
        ("unifrom", 2, "no prior 'unifrom'; known are uniform, .*. Did you mean 'uniform'?"),
        ("Ring", 2, "Did you mean 'ring'?"),
        ("", 2, "There is no prior ''"),
        ("rung", 2, "known are uniform, .*, mixture, image:FILE, samples:FILE.* mean 'ring'"),
        ("os.system", 2, "There is no prior 'os.system'"),
        (
            "ring:raduis=2",
            2,
            "takes radius=NUMBER, .*'raduis=2'. Did you mean 'radius'",
        ),
        ("ring:dim=3", 2, "prior 'ring' takes radius=NUMBER, .* is given 'dim=3'"),
        ("uniform:radius=2", 2, "'uniform' takes no numbers, but is given 'radius=2'"),
        ("uniform:3", 2, "The prior 'uniform' takes no numbers, but is given '3'"),
        ("mixture:comp=3", 2, "Did you mean 'components'?"),
        ("gaussian", 2, "Did you mean 'normal'?"),
        ("ring:radius=wide", 2, "radius of the prior 'ring' has to be a number, but is 'wide'"),
        ("ring:radius", 2, "radius of the prior 'ring' has to be a number"),
        ("ring:radius=nan", 2, "radius of the prior 'ring' has to be a number"),
        ("ring:radius=-1", 2, "radius has to be a finite number > 0, but is -1"),
        ("ring:sigma=-1", 2, "sigma has to be a finite number >= 0, but is -1"),
        ("ring", 3, "'ring' lives in 2 dimensions, but latent_dim is 3"),
        ("sphere", 1, "A sphere wants dim >= 2"),
        ("mixture", 1, "A mixture on a circle wants dim >= 2"),
        ("mixture:components=0", 2, "components has to be a whole number >= 1, but is 0"),
        ("uniform", 0, "dim has to be a whole number >= 1, but is 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_names_are_told_in_sentences(spec, dim, sentence):
    with pytest.raises(ValueError, match=sentence):
        prior_from_name(spec, dim)


@pytest.mark.parametrize(
    ("create", "error", "sentence"),
    [
        (lambda: Uniform(1.5), ValueError, "dim has to be a whole number >= 1, but is 1.5"),
        (lambda: FromSamples([1.0, 2.0]), ValueError, r"shape \(n, dim\), but has \(2,\)"),
        (lambda: FromSamples(torch.zeros(0, 2)), ValueError, r"samples has to have shape"),
        (lambda: FromSamples([[math.nan]]), ValueError, "samples has to be finite"),
        (lambda: Mixture([0.0]), ValueError, r"means has to have shape \(components, dim\)"),
        (lambda: Mixture([[math.nan]]), ValueError, "means has to be finite"),
        (lambda: Mixture([[0.0]], 0.0), ValueError, "one or 1 finite numbers > 0"),
        (lambda: Mixture([[0.0]], math.inf), ValueError, "one or 1 finite numbers > 0"),
        (lambda: Mixture([[0.0]], 1.0, [-1.0]), ValueError, "1 finite numbers >= 0"),
        (lambda: Mixture([[0.0]], 1.0, [math.inf]), ValueError, "1 finite numbers >= 0"),
        (lambda: Mixture([[0.0]], 1.0, [1.0, 1.0]), ValueError, "1 finite numbers >= 0"),
        (lambda: FromFunction(torch.zeros(2), 2), TypeError, "function has to be callable"),
        (
            lambda: FromFunction(lambda n, g: torch.zeros(n), 2).sample(3),
            ValueError,
            r"prior .* returns codes of shape \(3, 2\), but it returned shape \(3,\)",
        ),
        (lambda: FromFunction(lambda n, g: None, 2).sample(3), TypeError, "prior .* a NoneType"),
        (
            lambda: FromFunction(lambda n, g: torch.full((n, 2), math.nan), 2).sample(3),
            ValueError,
            "prior .* returns finite codes",
        ),
        (
            lambda: FromFunction(lambda n, g: np.zeros((n, 2), complex), 2).sample(3),
            TypeError,
            "prior has to hold real numbers, but holds complex128",
        ),
        (lambda: FromFunction(lambda n: torch.zeros(n, 2), 2), TypeError, r"prior .* f\(n, gen"),
        (lambda: FromSamples(np.zeros((3, 2), complex)), TypeError, "real .* complex128"),
        (lambda: FromSamples(np.array([["a", "b"]])), TypeError, "real numbers, but holds <U1"),
        (lambda: FromSamples(torch.zeros(3, 2) * 1j), TypeError, "real .* torch.complex64"),
        (lambda: FromDistribution(Uniform(2)), TypeError, "distribution has to be a torch"),
        (
            lambda: FromDistribution(Laplace(torch.zeros(2), 1.0)),
            ValueError,
            r"event \(\) and batch \(2,\); torch.distributions.Independent",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_are_sentences(create, error, sentence):
    with pytest.raises(error, match=sentence):
        create()


def test_an_array_that_is_read_only_is_a_prior():
    x = np.zeros((4, 2), dtype=np.float32)
    x.flags.writeable = False
    assert FromSamples(x).sample(3).shape == (3, 2)  # a warning is an error
    assert FromFunction(lambda n, generator: x[:n], 2).sample(3).shape == (3, 2)
