r"""Several processes that train one model, and the loss that one process would have.

Rank :math:`r < R` has its own :math:`M_r` rows of a batch of :math:`M = \sum_r M_r`, and its codes
:math:`z_r` of them. A cost that is a mean over samples is a mean over the parts of a batch,

.. math:: C(x) = \frac{1}{M} \sum_m c(x_m) = \sum_r \frac{M_r}{M} \, C(x_r) ,

and averaging the ranks' gradients is right for it, but for parts that differ in size. A penalty
on the codes' law is no such mean. A sort knows all codes: :math:`SW(z, q)` differs from the mean
of :math:`SW(z_r, q)`, each of which is larger by its own, :math:`R` times larger, noise of few
samples, so with more devices :math:`\lambda` would weigh ever more of it, and the gradient
would lead to codes that match the prior within each part, which is more than is asked. So:

- **Gather.** Each rank gets all codes, :math:`z = (z_1, \dots, z_R)` in the order of the ranks.
- **Draw alike.** Each has the same directions and the same samples of the prior, of which there
  are as many as for one process: from a generator in the same state everywhere, or, where none is
  given, from a seed of rank 0.
- **Share out.** The penalty is a mean over directions. Rank :math:`r` sorts along its own
  :math:`\theta_r, \theta_{r+R}, \dots` alone, :math:`P_r`, and the value is the sum
  :math:`P = \sum_r P_r`, on every rank.

**Gradients.** Each operation here is the derivative of what all ranks hold together: gathering is
pulled back to a sum over ranks of which each keeps its rows, a sum over ranks to a sum over ranks.
So a backward pass on every rank computes, for its own parameters, the gradient of
:math:`\sum_s \mathcal{L}_s`, the values of all ranks added. All of them being the global
:math:`\mathcal{L}`, this is :math:`R \nabla_{\theta_r} \mathcal{L}`, where :math:`\theta_r` is
the parameters' copy on rank :math:`r`. DDP, and with it Fabric, Lightning and Accelerate, divides
the sum of the ranks' gradients by :math:`R`,

.. math:: \frac{1}{R} \sum_r R \, \nabla_{\theta_r} \mathcal{L} = \nabla_\theta \mathcal{L} ,

which is one process's gradient. Nothing is to be multiplied there. Whoever adds gradients without
dividing has :math:`R \nabla_\theta \mathcal{L}`, and divides by :math:`R`. For a mean over samples
the same convention makes of a rank's own mean :math:`R M_r / M` times its gradient: its share of
the rows, so that a smaller last batch, cut unevenly, is exact, and an empty part too.

**Evaluation.** A module in eval mode that is asked for no gradient works for itself, as batch
normalisation does. So one rank may evaluate while the others wait.
"""

__all__ = [
    "ALONE",
    "Group",
    "LostRankError",
    "Ranks",
    "agreed",
    "check_group",
    "is_lost_rank",
    "mean_of_all",
    "meet",
    "meet_drawing",
    "together",
    "total_of",
]

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, cast, final

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

Group = dist.ProcessGroup | Literal["self"] | None
r"""The ranks that share batches: all for :py:`None`, a process group, or ``self`` for itself."""


class LostRankError(ConnectionError):
    r"""Another rank has ended, so that this one can't go on."""


@final
@dataclass(frozen=True)
class Ranks:
    r"""The ranks that share a batch, as one of them sees them.

    Arguments:
        rank: The number of this one.
        sizes: The rows :math:`M_r` of each.
        group: Their process group; :py:`None` for a process that is alone.

    Example:
        >>> ranks = Ranks(0, (5,))
        >>> ranks.rows, ranks.gather(torch.ones(5, 2)).shape
        (5, torch.Size([5, 2]))
    """

    rank: int = 0
    sizes: tuple[int, ...] = (0,)
    group: dist.ProcessGroup | None = None

    @property
    def rows(self) -> int:
        r"""The rows :math:`M` of the batch as a whole."""

        return sum(self.sizes)

    def gather(self, x: Float[Tensor, "n *rest"]) -> Float[Tensor, "m *rest"]:
        r"""Returns the rows of all ranks, in their order, with a gradient."""

        return x if self.group is None else cast(Tensor, Gather.apply(x, self))

    def own(self, x: Float[Tensor, "m *rest"]) -> Float[Tensor, "n *rest"]:
        r"""Returns this rank's rows of what was gathered."""

        return x if self.group is None else x.split(self.sizes)[self.rank]

    def total(self, x: Tensor) -> Tensor:
        r"""Returns the sum over the ranks, with a gradient."""

        return total_of(x, self.group)

    def directions(self, theta: Float[Tensor, "d l"]) -> tuple[Float[Tensor, "d k"], float]:
        r"""Returns this rank's directions, and their share of all.

        With more ranks than directions some have none; they are given one that counts as nothing,
        so that all do the same.
        """

        if self.group is None:
            return theta, 1.0
        mine = theta[:, self.rank :: len(self.sizes)]
        return (mine, mine.shape[1] / theta.shape[1]) if mine.shape[1] else (theta[:, :1], 0.0)


ALONE = Ranks()
r"""A process for itself."""


def meet(group: Group, *, together: bool) -> dist.ProcessGroup | None:
    r"""Returns the ranks that a group stands for; :py:`None` for a process that is alone.

    Arguments:
        group: The group that a module was given.
        together: Whether the ranks work together now, which they do not while they evaluate.

    Raises:
        ValueError: If it is no group, or this rank is not in it.
    """

    if isinstance(group, str):
        check_group(group)
        return None
    if not together or not dist.is_initialized():
        return None
    group = group or dist.group.WORLD
    if dist.get_rank(group) < 0:
        raise ValueError("group has to be a process group that this rank is in, but it is not.")
    return group if dist.get_world_size(group) > 1 else None


def meet_drawing(
    group: Group,
    z: Float[Tensor, "n *rest"],
    generator: torch.Generator | None,
    *,
    together: bool,
) -> tuple[Ranks, torch.Generator | None]:
    r"""Finds how many rows each rank has, and what all of them draw from.

    Arguments:
        group: The group that a module was given.
        z: This rank's rows.
        generator: The source of randomness; if :py:`None`, ranks that work together draw from a
            seed that rank 0 draws from torch's global generator.
        together: Whether the ranks work together now.

    Returns:
        The ranks, and the generator.

    Raises:
        ValueError: If the generators of the ranks are in different states, or no rank has a row.
            All ranks raise it.
    """

    joint = meet(group, together=together)
    if joint is None:
        return Ranks(0, (len(z),)), generator
    number = int(torch.randint(2**62, ())) if generator is None else state_of(generator)
    mine = torch.tensor([len(z), generator is not None, number], device=z.device)
    rows = [torch.empty_like(mine) for _ in range(dist.get_world_size(joint))]
    dist.all_gather(rows, mine, group=joint)
    sizes, given, numbers = zip(*torch.stack(rows).tolist(), strict=True)
    if len(set(given)) > 1 or (generator is not None and len(set(numbers)) > 1):
        raise ValueError(
            "generator has to be in the same state on all ranks, which draw the same directions, "
            "but is not: leave the rank out of its seed, or give none and rank 0's seed is taken."
        )
    if generator is None:
        generator = torch.Generator().manual_seed(numbers[0])
    return Ranks(dist.get_rank(joint), sizes, joint), generator


def together(training: bool, z: Tensor) -> bool:
    r"""Tells whether ranks work together on codes: in training, or where a gradient is wanted."""

    return training or (z.requires_grad and torch.is_grad_enabled())


def mean_of_all(
    means: Float[Tensor, " k"], n: int, group: dist.ProcessGroup | None
) -> tuple[Float[Tensor, " k"], int | Tensor]:
    r"""Computes means over the samples of all ranks from each rank's own.

    Arguments:
        means: This rank's means :math:`C(x_r)`; whatever they are, where it has no sample.
        n: The number :math:`M_r` of its samples.
        group: The ranks; :py:`None` for a process that is alone.

    Returns:
        The means :math:`\sum_r M_r C(x_r) / M`, with a gradient, and :math:`M`.
    """

    if group is None:
        return means, n
    sums = n * means if n else 0 * means.nan_to_num()  # which a mean of nothing is
    totals = total_of(torch.cat((sums, means.new_tensor([n]))), group)
    return totals[:-1] / totals[-1], totals[-1].detach()


def total_of(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    r"""Computes the sum over ranks, with a gradient.

    Arguments:
        x: This rank's summand.
        group: The ranks; :py:`None` for a process that is alone.
    """

    return x if group is None else cast(Tensor, Total.apply(x, group))


def agreed(value: float, device: torch.device) -> float:
    r"""Returns what rank 0 has of a number, for a decision that all have to take alike."""

    if (group := meet(None, together=True)) is None:
        return value
    tensor = torch.tensor(value, device=device)
    dist.broadcast(tensor, src=0, group=group)
    return float(tensor)


def state_of(generator: torch.Generator) -> int:
    r"""Returns a number that tells the states of two generators apart, and draws nothing."""

    state = generator.get_state().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(state, digest_size=7).digest())


def check_group(group: object) -> None:
    r"""Refuses what is no group.

    Raises:
        ValueError: If it is another word.
        TypeError: If it is neither a word nor a process group.
    """

    if group is None or isinstance(group, dist.ProcessGroup) or group == "self":
        return
    kind = ValueError if isinstance(group, str) else TypeError
    raise kind(
        "group has to be a process group of torch.distributed with this rank in it, None for all "
        f"ranks, or 'self' for each by itself, but is {group!r}."
    )


@final
class Gather(torch.autograd.Function):
    r"""All ranks' rows; the gradient of each row is summed over the ranks, for its owner."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:  # noqa: ANN401 - torch's, untyped
        ctx.ranks = ranks
        # Collectives want equal shapes, so that parts are filled up to the largest.
        mine = padded(x, max(ranks.sizes))
        parts = [torch.empty_like(mine) for _ in ranks.sizes]
        dist.all_gather(parts, mine, group=ranks.group)
        return torch.cat([part[:n] for part, n in zip(parts, ranks.sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's, untyped
        return cast(Tensor, Scatter.apply(g, ctx.ranks)), None


@final
class Scatter(torch.autograd.Function):
    r"""This rank's rows of a sum over the ranks, which pulls back to gathering."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:  # noqa: ANN401 - torch's, untyped
        ctx.ranks = ranks
        if dist.get_backend(ranks.group) == "gloo":  # which has no other way, or a new one
            value = x.detach().clone(memory_format=torch.contiguous_format)
            dist.all_reduce(value, group=ranks.group)
            return value.split(ranks.sizes)[ranks.rank]
        parts = [padded(part, max(ranks.sizes)) for part in x.split(ranks.sizes)]
        mine = torch.empty_like(parts[0])
        dist.reduce_scatter(mine, parts, group=ranks.group)
        return mine[: ranks.sizes[ranks.rank]]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's, untyped
        return cast(Tensor, Gather.apply(g, ctx.ranks)), None


@final
class Total(torch.autograd.Function):
    r"""A sum over the ranks, which pulls back to a sum over the ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:  # noqa: ANN401 - torch's, untyped
        ctx.group = group
        value = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(value, group=group)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's, untyped
        return cast(Tensor, Total.apply(g, ctx.group)), None


def padded(x: Tensor, n: int) -> Tensor:
    r"""Returns rows, filled up with zeros to n of them."""

    if len(x) == n:
        return x.detach().contiguous()
    return torch.cat((x.detach(), x.new_zeros(n - len(x), *x.shape[1:])))


def is_lost_rank(error: BaseException) -> bool:
    r"""Tells whether an error says that another rank has ended, or does not answer.

    Stores and NCCL have classes for it. Gloo raises a bare RuntimeError that names its source
    file, and so does a store in a file, which says what it waited for no longer.
    """

    words = ("gloo/transport", "by peer", "nccl", "tcpstore", "wait timeout")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )
