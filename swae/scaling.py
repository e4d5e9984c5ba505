r"""Standardisation as a part of the model.

Columns in their own units, metres beside counts, would weigh in a squared error by those units.
So the networks see

.. math:: y = \frac{x - \mu}{\sigma} , \qquad \hat x = \mu + \sigma \hat y ,

with the mean :math:`\mu` and the deviation :math:`\sigma` of the training data, of each column of
vectors and of each channel of everything else. A matrix that looks like a gray picture is one
channel here as it is for the networks (:func:`swae.networks.is_picture`). The loss is taken of
:math:`y` and :math:`\hat y`, where a squared error of 1 is that of the mean and a weight
:math:`\lambda` means the same for any units. What is constant is only centred.
"""

__all__ = ["Scaling"]

from collections.abc import Iterable, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .networks import is_picture


@final
class Scaling(nn.Module):
    r"""Brings samples to mean 0 and deviation 1, and back.

    Arguments:
        shape: The shape of one sample: :math:`(n)` of a vector, :math:`(h, w)` of a gray picture,
            or channels first.

    Example:
        >>> scaling = Scaling((2,)).fit_([torch.tensor([[1.0, 10.0], [3.0, 30.0]])])
        >>> scaling(torch.tensor([[2.0, 30.0]]))
        tensor([[0., 1.]])
        >>> scaling.inverse(torch.tensor([[0.0, 1.0]]))
        tensor([[ 2., 30.]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()

        channels = 1 if is_picture(shape) else shape[0]
        one = (channels, *(1 for _ in shape[1:]))
        self.register_buffer("mean", torch.zeros(one))
        self.register_buffer("deviation", torch.ones(one))

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        return (x - self.mean) / self.deviation

    def inverse(self, y: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        r"""Brings standardised samples back to the data's units."""

        return self.mean + self.deviation * y

    @torch.no_grad()
    def fit_(self, parts: Iterable[Tensor]) -> "Scaling":
        r"""Takes mean and deviation from data, part by part.

        Arguments:
            parts: The data in parts with shape :math:`(m, *)`.

        Returns:
            The module itself.
        """

        from sklearn.preprocessing import StandardScaler  # a second to import, for this alone

        scaler = StandardScaler()
        for part in parts:
            x = part.unflatten(1, (len(self.mean), -1)).movedim(1, -1)  # in channels, these last
            scaler.partial_fit(x.flatten(0, -2).double().numpy(force=True))
        for buffer, values in ((self.mean, scaler.mean_), (self.deviation, scaler.scale_)):
            buffer.copy_(torch.from_numpy(values).view_as(buffer))
        return self

    def extra_repr(self) -> str:
        return f"{tuple(self.mean.shape)}"
