r"""The untrained model that settings describe.

Weights are drawn from a stream of their own (:mod:`swae.seeding`), so that a model is a function
of its settings and torch's global generator is left alone.
"""

__all__ = ["model_of", "networks_of", "penalty_of", "prior_of"]

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .autoencoder import Autoencoder
from .laws import law_of
from .linear import beside_linear
from .networks import build, glorot_, memory_format_for
from .penalties.conditional import ConditionalSlicedWasserstein
from .penalties.likelihood import LogLikelihood
from .priors import Prior
from .scaling import Scaling
from .seeding import stream_seed
from .settings import setting
from .sliced import SlicedWassersteinLoss

Settings = Mapping[str, Any]


def prior_of(settings: Settings, *, stratified: bool = False) -> Prior:
    r"""Creates the law of the codes from whatever the setting is.

    Raises:
        ValueError: If it is no law of codes with ``latent_dim`` dimensions.
    """

    given, dim = setting(settings, "prior"), settings["latent_dim"]
    return law_of(given, dim, stratified=stratified)


def penalty_of(
    settings: Settings,
) -> SlicedWassersteinLoss | ConditionalSlicedWasserstein | LogLikelihood:
    r"""Creates the penalty that pulls codes to the prior, or each class to its component."""

    if settings["penalty"] == "log-likelihood":
        if settings["conditional"]:
            raise ValueError("conditional wants penalty='sliced-wasserstein'.")
        return LogLikelihood(prior_of(settings))
    kind = ConditionalSlicedWasserstein if settings["conditional"] else SlicedWassersteinLoss
    return kind(
        prior_of(settings, stratified=setting(settings, "stratified")),
        setting(settings, "n_projections"),
        settings["p"],
        setting(settings, "slices"),
        setting(settings, "quasi"),
        setting(settings, "oversampling"),
    )


def networks_of(settings: Settings, shape: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    r"""Creates the built-in networks for samples of a shape, without initial values of ours."""

    networks = build(shape, settings["latent_dim"], settings["network"])
    if not settings["linear"]:
        return networks
    return beside_linear(*networks, shape, prior_of(settings))


def model_of(settings: Settings, shape: Sequence[int]) -> Autoencoder:
    r"""Creates the untrained model.

    Arguments:
        settings: All settings by name, as :func:`swae.settings.resolve` returns them.
        shape: The shape of one sample.

    Returns:
        The model, on the CPU.

    Raises:
        ValueError: If the settings do not fit each other or the shape.
    """

    given = settings["encoder"], settings["decoder"]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(settings["random_state"], "weights"))
        encoder, decoder = copy.deepcopy(given)
        if encoder is None:
            encoder, decoder = networks_of(settings, shape)
            glorot_(encoder)
            glorot_(decoder)
    model = Autoencoder(
        encoder,
        decoder,
        penalty_of(settings),
        settings["reconstruction"],
        settings["output"],
        settings["reg_weight"],
        Scaling(shape) if settings["standardize"] else None,
    )
    if given == (None, None):
        form = memory_format_for(shape)
        model.to(memory_format=form)  # type: ignore[call-overload]
    return model
