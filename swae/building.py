r"""The untrained model that settings describe.

Weights are drawn from a stream of their own (:mod:`swae.seeding`), so that a model is a function
of its settings and torch's global generator is left alone.
"""

__all__ = [
    "check_fits",
    "model_of",
    "networks_of",
    "penalty_of",
    "prior_of",
    "start_at_data_",
    "stored_model",
]

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .data import Batches
from .feeding import Train, first_of, parts_of
from .laws import law_of
from .linear import LinearDecoder, LinearEncoder, beside_linear, start_at_pca_
from .metrics import evaluating
from .networks import build, glorot_, memory_format_for
from .penalties.conditional import ConditionalSlicedWasserstein
from .penalties.likelihood import LogLikelihood
from .priors import Prior
from .scaling import Scaling
from .seeding import stream_seed
from .settings import setting
from .sliced import SlicedWassersteinLoss

ENOUGH = 20_000
r"""The samples whose PCA a linear path starts at, at most and roughly."""

ENOUGH_BYTES = 2**29
r"""What they may take in float32."""

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
        for network in (encoder, decoder):  # not the scale, whose buffers have other ranks
            network.to(memory_format=form)
    return model


def start_at_data_(model: Autoencoder, settings: Settings, train: Train, batches: Batches) -> None:
    r"""Puts what is not learned where the data have it: the scale, and the linear path.

    Arguments:
        model: The untrained model.
        settings: All settings by name.
        train: The data.
        batches: The same in batches.

    Raises:
        ValueError: If a linear path wants more, or more varied, data.
    """

    if model.scaling is not None:
        model.scaling.fit_(parts_of(train))
    if settings["linear"]:
        # PCA takes three times the memory of its samples for a while.
        enough = min(ENOUGH, ENOUGH_BYTES // (4 * math.prod(batches.shape)))
        x = model.scaled(first_of(batches, enough))
        encoder, decoder = cast(LinearEncoder, model.encoder), cast(LinearDecoder, model.decoder)
        start_at_pca_(encoder, decoder, x, seed=settings["random_state"])


def check_fits(model: Autoencoder, x: Tensor, latent_dim: int) -> None:
    r"""Refuses networks of the user's own that fit neither the data nor each other.

    Arguments:
        model: The model.
        x: Two samples.
        latent_dim: The dimension of the codes.

    Raises:
        ValueError: If a network can't take what it is to be given, or returns another shape.
    """

    with torch.no_grad(), evaluating(model):
        z = taking(model.encode, x, "encoder")
        if z.shape != (len(x), latent_dim):
            raise ValueError(
                f"encoder has to return codes of shape (n, {latent_dim}), as latent_dim is, but "
                f"returned {tuple(z.shape)} for {len(x)} samples."
            )
        y = taking(model.logits, z, "decoder")
        if y.shape != x.shape:
            raise ValueError(
                f"decoder has to return the shape of the samples, {tuple(x.shape[1:])}, but "
                f"returned {tuple(y.shape[1:])}."
            )


def taking(function: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
    try:
        return function(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{name} has to take what has shape (n, {', '.join(map(str, x.shape[1:]))}), but: "
            f"{error}"
        ) from error


def stored_model(
    settings: Settings, shape: Sequence[int], state: Mapping[str, Tensor]
) -> Autoencoder:
    r"""Creates the model of stored weights, which :func:`swae.expected.check_shapes` has judged.

    Raises:
        ValueError: If the weights are of another type, or not finite.
        RuntimeError: If they are of another model, from torch.
    """

    model = model_of(settings, shape)
    for name, own in model.state_dict().items():
        if state[name].is_floating_point() != own.is_floating_point():
            raise ValueError(f"{name} holds {state[name].dtype} and not {own.dtype}.")
    model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(f"{name} holds NaN or infinity.")
    return model
