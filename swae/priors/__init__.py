r"""Laws that codes can be pulled to.

A prior :math:`q_Z` need not have a density; it has to be sampled. Each built-in one is a map
from a unit cube,

.. math:: z = g(u) , \qquad u \sim \mathcal{U}[0, 1[^k ,

where :math:`k` may exceed the dimension :math:`d` of the codes (the ring takes an angle and two
noises, a mixture a choice and :math:`d` noises). So the same map gives independent samples, and
quasi-random ones, whose points cover the cube more evenly: a Sobol set of fixed points, moved by
one uniform shift modulo 1 that is fresh at each draw. Every point of a shifted set is uniform, so
means over it are unbiased; their variance is what drops (Cranley and Patterson, 1976).

A picture (:class:`FromPicture`) has such a map. The other laws of a user's own
(:class:`FromSamples`, :class:`FromFunction`, most of :class:`FromDistribution`) have none and say
so with ``cube_dim = None``. Samples are spread evenly all the same; a function and a distribution
are drawn independently, whatever is asked for.

Several processes that share a draw each make rows of it (``sample_rows``): of a Sobol set the
points with these numbers, and of a law without a map, where there is no other way, a cut.
"""

__all__ = [
    "Ball",
    "Bowl",
    "Circle",
    "CubePrior",
    "FromDistribution",
    "FromFunction",
    "FromPicture",
    "FromSamples",
    "Mixture",
    "Normal",
    "Prior",
    "Ring",
    "Sphere",
    "Uniform",
    "name_of",
    "prior_from_name",
]

from .given import FromDistribution, FromFunction, FromSamples
from .law import CubePrior, Prior
from .mixture import Mixture
from .names import name_of, prior_from_name
from .picture import FromPicture
from .shapes import Ball, Bowl, Circle, Normal, Ring, Sphere, Uniform
