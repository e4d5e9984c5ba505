r"""Labels of any kind as components of a mixture, and the shares of these.

The classes are the labels that there are, in order; class :math:`i` is the component :math:`i`.
A sample without a label has -1, NaN or None, which is no class.

The components' weights should be the classes' shares :math:`\pi_c` of all :math:`N` samples, as
codes of a class have to fit into its component. The frequencies :math:`f_c = n_c / n` of
:math:`n` labels drawn from them are off by chance: their squared distance to :math:`\pi` is

.. math:: V = \mathbb{E} \sum_c (f_c - \pi_c)^2
    = \frac{1 - \sum_c \pi_c^2}{n} \, \frac{N - n}{N - 1} ,

which of few labels is more than classes of about one size differ. So frequencies are drawn
towards equal shares by as much of their spread as chance explains (James and Stein),

.. math:: \pi_c \approx \frac{1}{C} + b \Big( f_c - \frac{1}{C} \Big) , \qquad
    b = \max \Big( 0, \; 1 - \frac{V}{\sum_c (f_c - 1/C)^2} \Big) .
"""

__all__ = [
    "Classes",
    "check_components",
    "check_name_of",
    "class_shares",
    "classes_of",
    "component_named",
    "components_for",
    "components_for_batches",
    "known",
    "labelled",
]

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .building import prior_of
from .data import LoaderBatches, Samples
from .priors import Mixture, Prior
from .priors.names import components_in
from .schema import Some
from .settings import setting
from .shards import Shards

Label = int | str
r"""What a class may be called."""


class Classes(NamedTuple):
    r"""What labels say.

    Arguments:
        names: The classes in order.
        labels: The class of each sample, as an index of names; -1 for none.
    """

    names: list[Label]
    labels: Int[Tensor, " n"]


def classes_of(y: Any) -> Classes:  # noqa: ANN401 - labels of any kind
    r"""Numbers labels.

    Arguments:
        y: The labels, with shape :math:`(n)`: whole numbers or strings; -1, NaN, None or what
            pandas calls missing is no label.

    Returns:
        The classes that there are, and the class of each sample.

    Raises:
        ValueError: If the labels have another shape, are of mixed kinds, or there are none.

    Example:
        >>> classes_of(["cat", None, "ant"])
        Classes(names=['ant', 'cat'], labels=tensor([ 1, -1,  0]))
    """

    array = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"y has to have shape (n,), but has {array.shape}.")
    given = [label_of(value) for value in array]
    kinds = {type(name) for name in given if name is not None}
    if not kinds:
        raise ValueError("y has to hold a label at least, but all are -1, NaN or None.")
    if len(kinds) > 1:
        raise ValueError("y has to hold whole numbers or strings, but holds both.")
    names = sorted({name for name in given if name is not None})
    numbers: dict[Label | None, int] = {name: i for i, name in enumerate(names)}
    return Classes(names, torch.tensor([numbers.get(name, -1) for name in given]))


def label_of(value: object) -> Label | None:
    r"""Returns a label as an int or a str, and None for what stands for none."""

    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    if value is getattr(sys.modules.get("pandas"), "NA", None):  # who has one has imported it
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float | np.integer | np.floating) and value % 1 == 0:
        return None if value == -1 else int(value)
    raise ValueError(f"y has to hold whole numbers or strings, but holds {value!r}.")


def class_shares(labels: Int[Tensor, " n"], components: int) -> Float[Tensor, " c"]:
    r"""Estimates the classes' shares of all samples from those that have labels.

    Arguments:
        labels: The classes, with shape :math:`(n)`; -1 for none.
        components: The number C of components.

    Returns:
        The shares :math:`\pi_c`, with shape :math:`(C)`.

    Example:
        >>> class_shares(torch.tensor([0] * 5000 + [1] * 15000 + [-1]), 2)
        tensor([0.2500, 0.7500])
    """

    counts = labels[labels >= 0].bincount(minlength=components).double()
    n, equal = counts.sum(), 1 / components
    shares = counts / n
    spread = (shares - equal).square().sum()
    chance = (1 - shares.square().sum()) / n * (len(labels) - n) / max(1, len(labels) - 1)
    kept = (1 - chance / spread).clamp(min=0) if spread > 0 else 1.0
    return (equal + kept * (shares - equal)).float()


def labelled(samples: Some, y: Any) -> tuple[Some, Classes]:  # noqa: ANN401 - labels
    r"""Gives samples the classes that labels say.

    Arguments:
        samples: The samples; of shards all labels are read.
        y: The labels of any kind; if :py:`None`, those that the samples have, by their names if
            they have names.

    Returns:
        The samples with numbered labels, and the classes, those that there are.

    Raises:
        ValueError: If there are no labels, or not one for each sample, or names do not fit them.

    Example:
        >>> samples = Samples(torch.zeros(2, 3), torch.tensor([2, 0]), classes=("a", "b", "c"))
        >>> labelled(samples, None)[1]
        Classes(names=['a', 'c'], labels=tensor([1, 0]))
    """

    if isinstance(samples, Shards):
        samples = samples.with_labels()
    names = samples.classes if y is None else ()
    y = samples.labels if y is None else y
    if y is None:
        raise ValueError("conditional wants labels, but there are none: give y, -1 for unknown.")
    classes = named(classes_of(y), names)
    if len(classes.labels) != len(samples):
        raise ValueError(
            f"y has to hold a label for each of the {len(samples)} samples, but holds "
            f"{len(classes.labels)}."
        )
    labels = classes.labels
    if isinstance(samples, Samples):
        labels = labels.to(samples.array.device)
    return dataclasses.replace(samples, labels=labels), classes


def named(classes: Classes, names: Sequence[str]) -> Classes:
    r"""Calls classes that are numbers 0, 1, ... by their names, in the numbers' order."""

    if not names:
        return classes
    if not set(classes.names) <= set(range(len(names))) or len(set(names)) < len(names):
        raise ValueError(
            f"classes has to name the labels {known(classes.names)}, from 0 and each once, but is "
            f"{known(names)}."
        )
    return classes._replace(names=[names[int(number)] for number in classes.names])


def components_for(settings: Mapping[str, Any], classes: Classes) -> Mixture:
    r"""Creates the mixture whose components are the classes.

    A mixture that is given by name has a component for each class unless it says how many, and
    if it has just as many, their weights are the classes' shares. A prior object stays as it is.

    Arguments:
        settings: All settings by name.
        classes: The classes and labels of the training data.

    Returns:
        The prior.

    Raises:
        ValueError: If the prior has no components, or fewer than there are classes, or more than
            any sample could be in.
    """

    given, n = setting(settings, "prior"), len(classes.names)
    prior = as_mixture(prior_of({**settings, "prior": with_components(given, n)}))
    if prior.components < n:
        raise ValueError(
            f"The prior has {prior.components} components, but there are {n} classes; "
            f"prior='mixture:components={n}' has one for each."
        )
    if prior.components > n and bool((classes.labels >= 0).all()):
        raise ValueError(
            f"The prior has {prior.components} components, but all samples are of {n} classes, so "
            f"nothing could be in the others; prior='mixture:components={n}' has one for each."
        )
    if isinstance(given, Prior) or prior.components > n:
        return prior
    return Mixture(prior.means, prior.scales, class_shares(classes.labels, n))


def with_components(given: Any, n: int) -> Any:  # noqa: ANN401 - whatever a prior may be
    r"""Returns the name of a mixture with the number of components, if it says none."""

    if isinstance(given, str) and given.startswith("mixture") and "components" not in given:
        return f"{given}{',' if ':' in given else ':'}components={n}"
    return given


def components_for_batches(settings: Mapping[str, Any], batches: LoaderBatches) -> Mixture:
    r"""Creates the mixture for a loader's labels, which are not known before they come.

    So they have to be components, from 0, as they are, and the weights are the prior's own.

    Raises:
        ValueError: If the first batch has no labels, or the prior has no components.
    """

    if next(batches.epoch(0)).labels is None:
        raise ValueError("conditional wants labels, but the items have none: give pairs.")
    return as_mixture(prior_of(settings))


def check_components(names: Sequence[Label], prior: object) -> None:
    r"""Refuses classes of a prior without components, and more of them than it has."""

    if names and not isinstance(prior, Mixture):
        raise ValueError("there are classes, but the prior is no mixture.")
    if isinstance(prior, Mixture) and len(names) > prior.components:
        raise ValueError("there are more classes than components of the prior.")


def check_name_of(prior: object, name: str | None) -> None:
    r"""Refuses a name that the mixture for the classes can't have been made of."""

    n = prior.components if isinstance(prior, Mixture) else 0
    if not n or (name is not None and components_in(with_components(name, n)) != n):
        raise ValueError(f"the prior {name!r} is not the one that is stored.")


def as_mixture(prior: Prior) -> Mixture:
    if not isinstance(prior, Mixture):
        raise ValueError(
            f"Labels choose a component of the prior, but a {type(prior).__name__} has none; "
            "prior='mixture' has."
        )
    return prior


def component_named(names: Sequence[Label], label: Any) -> int:  # noqa: ANN401 - to be judged
    r"""Returns the component of a class.

    Raises:
        ValueError: If there is no such class, with the known ones.

    Example:
        >>> component_named(["ant", "cat"], "cat")
        1
    """

    if not names:
        raise ValueError("label wants a model that was fitted with conditional=True.")
    if label not in names:
        raise ValueError(f"There is no label {label!r}; known are {known(names)}.")
    return list(names).index(label)


def known(names: Sequence[Label]) -> str:
    r"""Lists classes, the first 20 if there are more.

    Example:
        >>> known(["ant", "cat"])
        'ant, cat'
    """

    return ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
