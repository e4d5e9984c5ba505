r"""The gradient of a large batch, taken in parts that fit the memory.

A batch :math:`x` of :math:`M` samples in parts :math:`x_1, x_2, \dots` of :math:`m_k` each has the
loss (Eq. 16)

.. math:: \mathcal{L} = \sum_k \frac{m_k}{M} R_k + \lambda P(z) , \qquad
    z = (z_1, z_2, \dots) , \quad z_k = \phi(x_k) ,

with the mean reconstruction cost :math:`R_k` of a part. To accumulate gradients as usual, of
:math:`R_k + \lambda P(z_k)`, is right for the first term and wrong for the second: a sort knows
all codes, and :math:`P(z_k)` is larger by the noise of its fewer samples
(:mod:`swae.distributed` says the same of devices). But the codes are few numbers. What takes
memory is the networks' activations, and for those the chain rule has a way in parts,

.. math:: \nabla_\theta \mathcal{L} = \sum_k \nabla_\theta \Big( \frac{m_k}{M} R_k
    + \langle g_k, z_k \rangle \Big) , \qquad g = \lambda \nabla_z P(z) \text{ held constant} .

1. **Codes.** All parts are encoded without a gradient, which gives :math:`z`.
2. **Pull.** The penalty of :math:`z` and its gradient :math:`g`: the codes alone are involved.
3. **Parts.** Each part is encoded once more, with a gradient, decoded, and the term above is
   propagated back. The activations of one part are held at a time.

The sum is the gradient of one pass over the batch, but for rounding. It costs the encoder's
forward pass once more. The penalty's state, directions that follow the codes, the codes of classes
that are remembered and a weight that is steered, moves once, as in one pass. A steered weight is
told of the reconstruction cost, so that there the first pass decodes, too.

**On several ranks** (:mod:`swae.distributed`) each has its own rows of the batch, in as many parts
as they make, or none. The penalty of step 2 is that of the codes of all, and its backward pass
gives each rank :math:`R` times the gradient at its own; a part's mean counts by
:math:`R m_k / M`, with :math:`M` the rows of all. So the average of the ranks' gradients, which
:func:`average_gradients` takes, is the gradient above. Ranks meet around step 2 and at the end,
however many parts each has. DDP takes no part: it averages after a pass that it has led itself.

Layers that draw, as dropout, draw the same in both passes: each part has its own stream
(:func:`swae.seeding.reseeded`), whose seed comes from torch's global generator, so that a run is a
function of its seed. The draws are others than those of one pass over all rows.

**Batch normalisation** is the exception: its statistics are those of a part, as with gradient
accumulation anywhere, and in training it moves its running means twice. The built-in networks have
none. A cost of the user's own has to be a mean over samples.
"""

__all__ = ["accumulate", "average_gradients"]

from collections.abc import Callable, Sequence
from numbers import Integral

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from .autoencoder import Autoencoder, Loss
from .distributed import Group, meet, total_of
from .seeding import reseeded
from .univariate import at_least_single

Terms = dict[str, Tensor]


def accumulate(
    model: Autoencoder,
    x: Float[Tensor, "n ..."],
    labels: Int[Tensor, " n"] | None = None,
    *,
    rows: int,
    generator: torch.Generator | None = None,
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Loss:
    r"""Adds the gradient of a batch's loss to the parameters', a part of the rows at a time.

    It stands for ``loss = model.loss(x, labels, generator=generator)`` and
    ``loss.total.backward()``, with the same result in less memory. An autocast around it is
    followed.

    Arguments:
        model: The model.
        x: The data, with shape :math:`(M, *)`.
        labels: The classes, with shape :math:`(M)`, for a penalty that takes them.
        rows: The samples :math:`m` of a part, of which the last may have fewer.
        generator: The source of the penalty's randomness; torch's global one if :py:`None`.
        backward: What propagates a part's term back: with a gradient scaler
            ``lambda term: scaler.scale(term).backward()``.

    Returns:
        The loss of the whole batch and its terms, as :meth:`Autoencoder.loss` has them, without a
        gradient, which is in the parameters already. On several ranks it is that of the rows of
        all, and :func:`average_gradients` is still to be called.

    Raises:
        ValueError: If no rank has a sample, ``rows`` is no whole number above 0, or there are
            several ranks and a layer that waits for the others.

    References:
        | Scaling Deep Contrastive Learning Batch Size (Gao et al., 2021)
        | https://arxiv.org/abs/2101.06983

    Example:
        >>> from swae import SlicedWassersteinLoss, Uniform
        >>> from swae.networks import build
        >>> model = Autoencoder(*build((1, 8, 8), 2), SlicedWassersteinLoss(Uniform(2)))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> for x in torch.rand(3, 500, 1, 8, 8):
        ...     optimizer.zero_grad()
        ...     loss = accumulate(model, x, rows=100)
        ...     optimizer.step()
        >>> sorted(loss.parts)
        ['bce', 'l1', 'penalty']
    """

    check_rows("rows", rows)
    group = meet(getattr(model.penalty, "group", "self"), together=True)
    ranks = 1 if group is None else dist.get_world_size(group)
    if ranks > 1:
        check_layers(model)
    n = len(x) if group is None else int(total_of(torch.tensor(len(x), device=x.device), group))
    if n == 0:
        raise ValueError("x has to hold at least one sample, but is empty.")
    parts, seed = x.split(rows), int(torch.randint(2**62, ()))
    z, known = first_pass(model, parts, n, seed)
    penalty, weight, g = pull_of(model, z, labels, of_all(known, group), n, generator)

    sums: Terms = {}
    for k, (part, g_k) in enumerate(zip(parts, g.split(rows), strict=True)):
        with reseeded(seed, "part", k, device=x.device):
            z_k = model.encode(part)
            terms = shared(model, part, z_k, n)
            cost = ranks * torch.stack(list(terms.values())).sum()
            backward(cost + (g_k * at_least_single(z_k)).sum())
        add(sums, terms)

    sums = of_all(sums, group)
    weighted = sums | {"penalty": weight * penalty}
    return Loss(torch.stack(list(weighted.values())).sum(), sums | {"penalty": penalty}, weighted)


def check_layers(model: nn.Module) -> None:
    r"""Refuses layers that wait for other ranks in each part, of which ranks may have unlike many.

    Raises:
        ValueError: If there is one.
    """

    if any(isinstance(layer, nn.SyncBatchNorm) for layer in model.modules()):
        raise ValueError(
            "micro_batch_size on several ranks wants layers that work by themselves, but "
            "SyncBatchNorm waits for the others in each part, of which ranks may have unlike "
            "numbers; leave one of the two out."
        )


@torch.no_grad()
def average_gradients(model: nn.Module, group: Group = None) -> None:
    r"""Averages the gradients of a model's copies on several ranks, as DDP does.

    Arguments:
        model: The model, with a gradient of the same parameters on each rank.
        group: The ranks, all of them if :py:`None`. Nothing is done where there is one.
    """

    joint = meet(group, together=True)
    if joint is None:
        return
    for g in (p.grad for p in model.parameters() if p.grad is not None):
        total = g.contiguous()  # which it may be already
        dist.all_reduce(total, group=joint)
        g.copy_(total / dist.get_world_size(joint))


@torch.no_grad()
def first_pass(
    model: Autoencoder, parts: Sequence[Tensor], n: int, seed: int
) -> tuple[Float[Tensor, "n d"], Terms]:
    r"""Encodes all parts, and where a weight is steered returns the reconstruction's terms."""

    codes = []
    terms: Terms = {}
    for k, part in enumerate(parts):
        with reseeded(seed, "part", k, device=part.device):
            codes.append(model.encode(part))
            if model.steering is not None and model.training:
                add(terms, shared(model, part, codes[-1], n))
    # What autocast has cast without a gradient would be taken again in the second pass.
    torch.clear_autocast_cache()
    # In half precision a gradient that no scaler has scaled would vanish.
    return at_least_single(torch.cat(codes)), terms


def pull_of(
    model: Autoencoder,
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"] | None,
    known: Terms,
    n: int,
    generator: torch.Generator | None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, "n d"]]:
    r"""Computes the penalty of all codes, its weight, and the gradient of their product."""

    z = z.requires_grad_()
    with torch.enable_grad():
        penalty = model.latent_loss(z, labels, generator=generator)
    weight = model.weigh(z, labels, known | {"penalty": penalty}, generator, n)
    (g,) = torch.autograd.grad(penalty, z)
    penalty, weight = penalty.detach(), torch.as_tensor(weight).to(penalty)
    return penalty, weight, weight * g


def shared(
    model: Autoencoder, x: Float[Tensor, "m ..."], z: Float[Tensor, "m d"], n: int
) -> Terms:
    r"""Computes a part's terms of the reconstruction cost, times its share of n rows."""

    terms = model.reconstruction_loss(model.scaled(x), model.logits(z))
    if len(x) == 0:  # a mean of nothing is none, and has the gradient 0
        return {name: 0 * value.nan_to_num() for name, value in terms.items()}
    return {name: len(x) / n * value for name, value in terms.items()}


def of_all(terms: Terms, group: dist.ProcessGroup | None) -> Terms:
    r"""Returns the sums over the ranks by name."""

    if not terms:
        return terms
    totals = total_of(torch.stack(list(terms.values())), group)
    return dict(zip(terms, totals.unbind(), strict=True))


def add(sums: Terms, terms: Terms) -> None:
    r"""Adds values by name, without their gradient."""

    for name, value in terms.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()


def check_rows(name: str, rows: object) -> None:
    if not isinstance(rows, Integral) or isinstance(rows, bool) or rows < 1:
        raise ValueError(f"{name} has to be a whole number >= 1, but is {rows!r}.")
