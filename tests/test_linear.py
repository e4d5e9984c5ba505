"""The linear path: it starts at PCA, in both directions, for the two priors that have a map."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from swae import SWAE, Normal, Ring, Uniform
from swae.linear import EDGE, LinearDecoder, LinearEncoder, beside_linear, start_at_pca_
from swae.networks import build


def data(n=200, shape=(1, 8, 8)):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)) @ rng.normal(size=(6, int(np.prod(shape))))
    return torch.from_numpy(x.reshape(n, *shape)).float() + 0.5


@pytest.mark.parametrize("prior", [Uniform(4), Normal(4)], ids=["uniform", "normal"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (10,)])
def test_it_starts_at_pca(prior, shape):
    x = data(shape=shape)
    encoder, decoder = beside_linear(*build(shape, 4), shape, prior)
    start_at_pca_(encoder, decoder, x)
    pca = PCA(4).fit(x.flatten(1).numpy())
    wanted = pca.inverse_transform(pca.transform(x.flatten(1).numpy()))
    with torch.no_grad():
        z = encoder(x)
        torch.testing.assert_close(
            decoder(z).flatten(1), torch.from_numpy(wanted), atol=1e-3, rtol=1e-3
        )
    if isinstance(prior, Uniform):
        assert z.abs().max() < 1
        assert z.std(dim=0).mean() == pytest.approx(3**-0.5, rel=0.1)
    else:
        assert z.std(dim=0).tolist() == pytest.approx([1] * 4, rel=1e-3)


def test_both_networks_learn():
    x = data()
    encoder, decoder = beside_linear(*build((1, 8, 8), 2), (1, 8, 8), Uniform(2))
    start_at_pca_(encoder, decoder, x)
    (decoder(encoder(x)) - x).square().mean().backward()
    last = [[p for p in m.network.parameters() if p.ndim > 1][-1] for m in (encoder, decoder)]
    assert all(p.grad.abs().max() > 0 for p in last)
    assert not encoder.axes.requires_grad


def test_codes_on_the_edge_are_decoded():
    decoder = LinearDecoder(build((5,), 2)[1], (5,), Uniform(2))
    z = torch.tensor([[1.0, -1.0], [1 - EDGE / 2, 0.0]])
    assert decoder(z).isfinite().all()


def test_a_prior_without_a_map_is_refused():
    with pytest.raises(ValueError, match=r"prior uniform or normal.* but the prior is Ring"):
        LinearEncoder(nn.Flatten(), (2,), Ring())
    with pytest.raises(ValueError, match="prior uniform or normal"):
        SWAE(prior="ring", linear=True, output="linear", reconstruction="mse").check()


def test_a_sigmoid_is_refused():
    with pytest.raises(ValueError, match="linear wants output='linear'"):
        SWAE(linear=True, output="sigmoid").check()


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.rand(3, 10), "at least latent_dim = 4 samples and values, but there are 3"),
        (torch.rand(9, 3), "but there are 9 samples of 3 values"),
        (torch.zeros(9, 10), "data that vary in latent_dim = 4 directions"),
    ],
)
def test_too_little_data(x, sentence):
    pair = beside_linear(*build(x.shape[1:], 4), x.shape[1:], Uniform(4))
    with pytest.raises(ValueError, match=sentence):
        start_at_pca_(*pair, x)


def test_an_estimator_with_a_linear_path(tmp_path):
    """It fits near PCA from the first epoch, is stored, and trains to the same bytes twice."""
    x = (data() - data().min()) / (data().max() - data().min())
    params = {"linear": True, "output": "linear", "reconstruction": "mse", "reg_weight": 0.01}
    model = SWAE(4, max_epochs=1, learning_rate=1e-5, **params).fit(x)
    pca = PCA(4).fit(x.flatten(1).numpy())
    floor = np.square(
        pca.inverse_transform(pca.transform(x.flatten(1).numpy())) - x.flatten(1).numpy()
    ).mean()
    assert model.evaluate(x).mse == pytest.approx(floor, rel=0.1)

    model.save(tmp_path / "model")
    loaded = SWAE.load(tmp_path / "model")
    assert loaded.linear
    assert np.array_equal(loaded.transform(x), model.transform(x))
    again = SWAE(4, max_epochs=1, learning_rate=1e-5, **params).fit(x)
    assert np.array_equal(again.transform(x), model.transform(x))
