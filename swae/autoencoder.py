r"""The sliced-Wasserstein autoencoder.

An encoder :math:`\phi`, a decoder :math:`\psi` and a law :math:`q_Z` of the codes. The loss
(Eq. 16) is a reconstruction cost and a penalty that pulls the codes' law to the prior's,

.. math:: \mathcal{L}(\phi, \psi) = \frac{1}{M} \sum_{m=1}^M c \big( x_m, \psi(\phi(x_m)) \big)
    + \lambda \, SW_p^p \big( \phi(x), z \big) , \qquad z \sim q_Z ,

so that :math:`\psi(z)`, :math:`z \sim q_Z`, generates. The penalty is any module that is called
with codes; :class:`swae.sliced.SlicedWassersteinLoss` is the paper's.

Of several ranks (:mod:`swae.distributed`) each has a part of the batch, and has the loss of the
whole: the reconstruction's mean is over all their samples, each rank's counting by its share
:math:`M_r / M` of the rows.
"""

__all__ = ["Autoencoder", "Loss", "Output", "Reconstruction"]

from collections.abc import Callable
from typing import Literal, NamedTuple, cast, final, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .distributed import mean_of_all, meet, together
from .priors import Prior
from .scaling import Scaling
from .spelling import nearest
from .steering import Steering, check_reg_weight, multiple_of
from .univariate import at_least_single

Output = Literal["sigmoid", "linear"]
r"""What makes a reconstruction of the decoder's logits."""

Reconstruction = Literal["bce+l1", "bce", "l1", "mse"]
r"""The names of the reconstruction costs; each is a sum of means over pixels and samples."""


class Loss(NamedTuple):
    r"""A loss and what it is made of.

    Arguments:
        total: The scalar to descend.
        parts: The terms by name, unweighted: those of the reconstruction and ``penalty``.
        weighted: The same terms as they enter the total.
    """

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]
    weighted: dict[str, Float[Tensor, ""]]


@final
class Autoencoder(nn.Module):
    r"""Encoder, decoder and penalty.

    Arguments:
        encoder: A network from data, with shape :math:`(n, *)`, to codes, with shape
            :math:`(n, d)`.
        decoder: A network from codes to logits of the data's shape; without a sigmoid of its own.
        penalty: A module that is called as ``penalty(z, generator=...)`` and returns a scalar.
            Its attribute ``prior`` is what :meth:`sample` draws from. One whose attribute
            ``takes_labels`` is true is called as ``penalty(z, labels, generator=...)``. Its
            attribute ``group`` says which ranks share a batch; without one, none do.
        reconstruction: ``bce+l1`` (the paper), ``bce``, ``l1``, ``mse``, or a function of
            reconstructions and data that returns a scalar.
        output: What :meth:`decode` applies to the logits: ``sigmoid`` for data in [0, 1], or
            ``linear``.
        reg_weight: The weight :math:`\lambda` of the penalty; or ``auto``, which finds it in
            training such that the penalty stays at a multiple of its null (``auto:1.5`` states
            which one), see :mod:`swae.steering`. The penalty then has to have a method
            ``null(z, labels, generator)``.
        scaling: What brings data to the scale on which the networks work and the loss is taken,
            and, by its ``inverse``, back. If :py:`None`, that is the data's own.

    Raises:
        ValueError: If a name is unknown, the weight is negative, the decoder ends in an
            activation of its own where ``output`` adds one, a cross-entropy meets a linear
            output, or the penalty has no null to steer by.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018)
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> from swae import SlicedWassersteinLoss, Uniform
        >>> from swae.networks import build
        >>> model = Autoencoder(*build((1, 28, 28), 2), SlicedWassersteinLoss(Uniform(2)))
        >>> loss = model.loss(torch.rand(8, 1, 28, 28))
        >>> loss.total.backward()
        >>> sorted(loss.parts)
        ['bce', 'l1', 'penalty']
        >>> model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        penalty: nn.Module,
        reconstruction: Reconstruction | Callable[[Tensor, Tensor], Tensor] = "bce+l1",
        output: Output = "sigmoid",
        reg_weight: float | str = 10.0,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__()

        check_settings(reconstruction, output, reg_weight)
        check_ends_in_logits(decoder, output)

        self.encoder = encoder
        self.decoder = decoder
        self.penalty = penalty
        self.reconstruction = reconstruction
        self.output: Output = output
        self.steering: Steering | None = None
        self.reg_weight = reg_weight
        self.scaling = scaling

    @property
    def reg_weight(self) -> float:
        r"""The weight :math:`\lambda` as it stands; setting it fixes it, or steers it anew."""

        return self._reg_weight if self.steering is None else float(self.steering.weight)

    @reg_weight.setter
    def reg_weight(self, value: float | str) -> None:
        check_reg_weight(value)
        multiple = multiple_of(value)
        if multiple is None:
            self.steering, self._reg_weight = None, cast(float, value)
        else:
            check_has_null(self.penalty)
            device = next(self.encoder.parameters(), torch.empty(())).device
            self.steering = Steering(multiple).to(device)

    def encode(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        r"""Returns the codes :math:`z = \phi(x)`.

        Arguments:
            x: The data, with shape :math:`(n, *)`.

        Returns:
            The codes, with shape :math:`(n, d)`.
        """

        if not x.is_floating_point():
            raise TypeError(
                f"x has to be floating-point, but is {x.dtype}; swae.data.to_float(x) casts."
            )
        z: Tensor = self.encoder(self.scaled(x))
        return z

    def scaled(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        r"""Returns data on the scale of the networks and the loss, with the same shape."""

        return x if self.scaling is None else self.scaling(x)

    def logits(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        r"""Returns what the decoder gives for codes, before the output's activation and scale."""

        logits: Tensor = self.decoder(z)
        return logits

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        r"""Returns the data :math:`\hat{x} = \psi(z)` of codes.

        Arguments:
            z: The codes, with shape :math:`(n, d)`.

        Returns:
            The data, with shape :math:`(n, *)`; in [0, 1] for a sigmoid output.
        """

        y = self.activate(self.logits(z))
        return y if self.scaling is None else self.scaling.inverse(y)

    def activate(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.output == "sigmoid" else logits

    def reconstruct(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        r"""Returns the reconstructions :math:`\hat{x} = \psi(\phi(x))`, with the data's shape."""

        return self.decode(self.encode(x))

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        r"""Returns the reconstructions, as :meth:`reconstruct`."""

        return self.reconstruct(x)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n ..."]:
        r"""Generates data: decodes codes drawn from the prior.

        Arguments:
            n: The number of samples.
            generator: The source of randomness; torch's global one if :py:`None`.

        Returns:
            The data, with shape :math:`(n, *)`.
        """

        weight = next(self.decoder.parameters())
        prior = cast(Prior, self.penalty.prior)
        return self.decode(prior.sample(n, generator, device=weight.device, dtype=weight.dtype))

    def loss(
        self,
        x: Float[Tensor, "n ..."],
        labels: Int[Tensor, " n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Loss:
        r"""Computes the loss of a batch and its parts.

        In training mode each call is a step of a weight that is steered.

        Arguments:
            x: The data, with shape :math:`(n, *)`.
            labels: The classes, with shape :math:`(n)`, handed on to :meth:`latent_loss`.
            generator: The source of the penalty's randomness; torch's global one if
                :py:`None`.

        Returns:
            The total :math:`\mathcal{L}` and its terms, all in float32 or wider. On each of
            several ranks they are those of the whole batch, and the average of the ranks'
            gradients, which DDP takes, is its gradient.
        """

        z = self.encode(x)
        parts = self.reconstruction_loss(self.scaled(x), self.logits(z))
        parts, n = self.of_all(parts, z)
        parts["penalty"] = self.latent_loss(z, labels, generator=generator)

        weight = self.weigh(z, labels, parts, generator, n)
        weighted = parts | {"penalty": weight * parts["penalty"]}
        total = torch.stack(list(weighted.values())).sum()

        return Loss(total, parts, weighted)

    def reconstruction_loss(
        self, x: Float[Tensor, "n ..."], logits: Float[Tensor, "n ..."]
    ) -> dict[str, Float[Tensor, ""]]:
        r"""Computes the terms of the reconstruction cost, each a mean over pixels and samples.

        Arguments:
            x: The data on the scale of the loss, with shape :math:`(n, *)`; in [0, 1] for a
                cross-entropy.
            logits: The decoder's result for it, with the same shape.

        Returns:
            The terms by name, in float32 or wider.

        Raises:
            ValueError: If the shapes differ.
        """

        if x.shape != logits.shape:
            raise ValueError(
                f"The decoder returned shape {tuple(logits.shape)} for data of shape "
                f"{tuple(x.shape)}."
            )

        with torch.autocast(x.device.type, enabled=False):
            x, logits = at_least_single(x), at_least_single(logits)
            if callable(self.reconstruction):
                return {"reconstruction": self.reconstruction(self.activate(logits), x)}
            return {
                name: self.reconstruction_term(name, x, logits)
                for name in self.reconstruction.split("+")
            }

    def reconstruction_term(self, name: str, x: Tensor, logits: Tensor) -> Tensor:
        match name:
            case "bce":
                # From logits: a sigmoid that rounds to 0 or 1 would cost an infinity.
                return F.binary_cross_entropy_with_logits(logits, x)
            case "l1":
                return F.l1_loss(self.activate(logits), x)
            case _:
                return F.mse_loss(self.activate(logits), x)

    def latent_loss(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""Computes the penalty on codes, unweighted.

        Arguments:
            z: The codes, with shape :math:`(n, d)`.
            labels: The classes, with shape :math:`(n)`, -1 for none; for a penalty that takes
                labels.
            generator: The source of randomness; torch's global one if :py:`None`.

        Returns:
            The penalty, a scalar in float32 or wider.
        """

        known = (labels,) if getattr(self.penalty, "takes_labels", False) else ()
        with torch.autocast(z.device.type, enabled=False):
            penalty: Tensor = self.penalty(at_least_single(z), *known, generator=generator)
            return penalty

    def of_all(
        self, parts: dict[str, Float[Tensor, ""]], z: Float[Tensor, "n d"]
    ) -> tuple[dict[str, Float[Tensor, ""]], int | Tensor]:
        r"""Returns means over the samples of all ranks, and how many these are."""

        group = meet(getattr(self.penalty, "group", "self"), together=together(self.training, z))
        if group is None:
            return parts, len(z)
        means, n = mean_of_all(torch.stack(list(parts.values())), len(z), group)
        return dict(zip(parts, means.unbind(), strict=True)), n

    def weigh(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None,
        parts: dict[str, Float[Tensor, ""]],
        generator: torch.Generator | None,
        n: int | Tensor,
    ) -> float | Float[Tensor, ""]:
        r"""Returns the weight of a batch's penalty, which a steered one adapts to in training."""

        if self.steering is None:
            return self._reg_weight
        if not self.training:
            return self.steering.weight
        null = cast(Callable[..., Tensor], self.penalty.null)(z.detach(), labels, generator)
        *costs, penalty = (cost.detach() for cost in parts.values())
        return self.steering.step(torch.stack(costs).sum(), penalty, null, n)

    def extra_repr(self) -> str:
        return (
            f"reconstruction={self.reconstruction!r}, output={self.output!r}, "
            f"reg_weight={self.reg_weight}"
        )


SHAPING = (nn.Flatten, nn.Unflatten, nn.Identity)
r"""Layers that leave values as they are; the one before them decides."""


def check_settings(
    reconstruction: Reconstruction | Callable[[Tensor, Tensor], Tensor],
    output: Output,
    reg_weight: float | str,
) -> None:
    if not callable(reconstruction) and reconstruction not in get_args(Reconstruction):
        near = nearest(reconstruction, get_args(Reconstruction))
        raise ValueError(
            f"reconstruction has to be one of {get_args(Reconstruction)} or a function, "
            f"but is {reconstruction!r}.{near}"
        )
    if output not in get_args(Output):
        raise ValueError(f"output has to be one of {get_args(Output)}, but is {output!r}.")
    if output != "sigmoid" and isinstance(reconstruction, str) and "bce" in reconstruction:
        raise ValueError(
            f"reconstruction={reconstruction!r} is a cross-entropy, which wants "
            "output='sigmoid'; reconstruction='mse' goes with a linear output."
        )
    check_reg_weight(reg_weight)


def check_has_null(penalty: nn.Module) -> None:
    if not callable(getattr(penalty, "null", None)):
        raise ValueError(
            "reg_weight='auto' wants a penalty with a method null(z, labels, generator), what it "
            f"is for samples of the prior, but {type(penalty).__name__} has none; give "
            "reg_weight a number."
        )


def check_ends_in_logits(decoder: nn.Module, output: Output) -> None:
    leaves = [
        module
        for module in decoder.modules()
        if not list(module.children()) and not isinstance(module, SHAPING)
    ]
    if output == "sigmoid" and leaves and isinstance(leaves[-1], nn.Sigmoid | nn.Tanh):
        raise ValueError(
            f"The decoder ends in its own {type(leaves[-1]).__name__}, and output='sigmoid' would "
            "add another; leave the last activation out, so that the decoder gives logits."
        )
