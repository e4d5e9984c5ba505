r"""Several processes that train one model, and the loss that one process would have.

Rank :math:`r < R` has its own :math:`M_r` rows of a batch of :math:`M = \sum_r M_r`, and its codes
:math:`z_r` of them. A cost that is a mean over samples is a mean over the parts of a batch,

.. math:: C(x) = \frac{1}{M} \sum_m c(x_m) = \sum_r \frac{M_r}{M} \, C(x_r) ,

and averaging the ranks' gradients is right for it, but for parts that differ in size. A penalty
on the codes' law is no such mean. A sort knows all codes: :math:`SW(z, q)` differs from the mean
of :math:`SW(z_r, q)`, each of which is larger by its own, :math:`R` times larger, noise of few
samples, so with more devices :math:`\lambda` would weigh ever more of it, and the gradient
would lead to codes that match the prior within each part, which is more than is asked. So:

- **Share out.** The penalty is a mean over :math:`L` directions :math:`\theta`. Rank :math:`r`
  sorts along :math:`L_r` of them alone, :math:`\theta_{(r)}`, and the value is the sum
  :math:`P = \sum_r P_r`, on every rank.
- **Draw alike.** Each has the same directions, and the samples of the prior are as many as for one
  process: from a generator in the same state everywhere, or, where none is given, from a seed of
  rank 0. Each makes its own rows of those samples, as it has its own of the codes.
- **Exchange.** What rank :math:`r` sorts are numbers, :math:`\theta_{(r)}^\top z`, of the codes of
  all. Each projects its rows along all directions, and gets what it sorts from the others,

  .. math:: \theta^\top z_r = (\theta_{(1)}^\top z_r; \dots; \theta_{(R)}^\top z_r)
      \; \longmapsto \;
      \theta_{(r)}^\top z = (\theta_{(r)}^\top z_1, \dots, \theta_{(r)}^\top z_R) ,

  and the samples of the prior likewise. So it projects :math:`M_r` codes, receives
  :math:`(M - M_r) L_r` numbers of them, and sorts :math:`M L_r`. With equal parts the one is less
  than :math:`M_r L`, the other just so many: the same for any number of ranks, while the batch
  grows with it and :math:`R \leq L`. A rank beyond the :math:`L`-th has nothing to sort.
- **Gather.** A penalty that looks at the codes themselves, by classes or beside those remembered,
  gets :math:`z = (z_1, \dots, z_R)` in the order of the ranks, all of it on each.

**Gradients.** Each operation here is the derivative of what all ranks hold together: an exchange
is pulled back to the one that returns each number to where it came from, gathering to a sum over
ranks of which each keeps its rows, a sum over ranks to a sum over ranks. So a backward pass on
every rank computes, for its own parameters, the gradient of :math:`\sum_s \mathcal{L}_s`, the
values of all ranks added. All of them being the global :math:`\mathcal{L}`, this is
:math:`R \nabla_{w_r} \mathcal{L}`, where :math:`w_r` is the parameters' copy on rank :math:`r`.
DDP, and with it Fabric, Lightning and Accelerate, divides the sum of the ranks' gradients by
:math:`R`,

.. math:: \frac{1}{R} \sum_r R \, \nabla_{w_r} \mathcal{L} = \nabla_w \mathcal{L} ,

which is one process's gradient. Nothing is to be multiplied there. Whoever adds gradients without
dividing has :math:`R \nabla_w \mathcal{L}`, and divides by :math:`R`. For a mean over samples
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
from itertools import groupby
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

    def exchange(self, x: Float[Tensor, "l n"], times: int = 1) -> Float[Tensor, "k m"]:
        r"""Swaps all directions of own rows for own directions of all rows, with a gradient.

        Arguments:
            x: The values :math:`\theta^\top z_r` of this rank's rows, as :meth:`part` cuts them,
                with shape :math:`(L, t M_r)`.
            times: How many rows :math:`t` there are for one of the batch.

        Returns:
            The values :math:`\theta_{(r)}^\top z` of all rows, with shape :math:`(L_r, t M)`.
        """

        return x if self.group is None else cast(Tensor, Exchange.apply(x, self, times))

    def part(self, times: int = 1) -> slice:
        r"""Returns which rows are this rank's, of so many for each row of the batch."""

        first = sum(self.sizes[: self.rank])
        return slice(times * first, times * (first + self.sizes[self.rank]))

    def mean(self, x: Float[Tensor, "n *rest"]) -> Float[Tensor, "*rest"]:
        r"""Returns the mean over the rows of all ranks, of which each has its own."""

        return x.mean(dim=0) if self.group is None else self.total(x.sum(dim=0)) / self.rows

    def total(self, x: Tensor) -> Tensor:
        r"""Returns the sum over the ranks, with a gradient."""

        return total_of(x, self.group)

    def directions(self, theta: Float[Tensor, "d l"]) -> tuple[Float[Tensor, "d k"], float]:
        r"""Returns this rank's directions, and their share of all.

        For a penalty that gathers. With more ranks than directions some have none; they are given
        one that counts as nothing, so that all do the same.
        """

        if self.group is None:
            return theta, 1.0
        mine = theta.split(self.slices(theta.shape[1]), dim=1)[self.rank]
        return (mine, mine.shape[1] / theta.shape[1]) if mine.shape[1] else (theta[:, :1], 0.0)

    def slices(self, n: int) -> tuple[int, ...]:
        r"""Returns how many of n directions each rank has, equally many or one more."""

        few, more = divmod(n, len(self.sizes))
        return tuple(few + (r < more) for r in range(len(self.sizes)))


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
class Exchange(torch.autograd.Function):
    r"""All directions of own rows for own directions of all rows, pulled back to the return."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks, times: int) -> Tensor:  # noqa: ANN401 - torch's, untyped
        ctx.ranks, ctx.times, ctx.slices = ranks, times, len(x)
        rows, share = [times * m for m in ranks.sizes], ranks.slices(len(x))
        own = share[ranks.rank]
        sent, received = [k * x.shape[1] for k in share], [own * n for n in rows]
        return joined(swapped(x.detach().flatten(), sent, received, ranks), rows, own)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's, untyped
        return cast(Tensor, Return.apply(g, ctx.ranks, ctx.times, ctx.slices)), None, None


@final
class Return(torch.autograd.Function):
    r"""Own directions of all rows for all directions of own rows, pulled back to the exchange."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks, times: int, slices: int) -> Tensor:  # noqa: ANN401 - torch's, untyped
        ctx.ranks, ctx.times = ranks, times
        rows, share = [times * m for m in ranks.sizes], ranks.slices(slices)
        own = rows[ranks.rank]
        sent, received = [len(x) * n for n in rows], [k * own for k in share]
        return swapped(apart(x.detach(), rows), sent, received, ranks).view(slices, own)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401 - torch's, untyped
        return cast(Tensor, Exchange.apply(g, ctx.ranks, ctx.times)), None, None, None


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


def swapped(x: Tensor, sent: list[int], received: list[int], ranks: Ranks) -> Tensor:
    r"""Sends so many numbers to each rank, in their order, and returns those from each."""

    value = x.new_empty(sum(received))
    dist.all_to_all_single(value, x.contiguous(), received, sent, group=ranks.group)
    return value


def joined(x: Float[Tensor, " km"], widths: list[int], k: int) -> Float[Tensor, "k m"]:
    r"""Puts blocks of k rows, of these widths and one after the other in memory, side by side."""

    groups = alike(widths)
    parts = x.split([n * k * width for n, width in groups])
    blocks = [
        part.view(n, k, width).transpose(0, 1).flatten(1)
        for part, (n, width) in zip(parts, groups, strict=True)
    ]
    return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


def apart(x: Float[Tensor, "k m"], widths: list[int]) -> Float[Tensor, " km"]:
    r"""Lays out blocks of columns one after the other, which :func:`joined` puts side by side."""

    groups = alike(widths)
    parts = x.split([n * width for n, width in groups], dim=1)
    blocks = [
        part.unflatten(1, group).transpose(0, 1).flatten()
        for part, group in zip(parts, groups, strict=True)
    ]
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def alike(widths: list[int]) -> list[tuple[int, int]]:
    r"""Counts neighbours of the same width, which one copy moves: many ranks make few of them."""

    return [(len(list(group)), width) for width, group in groupby(widths)]


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
