r"""The names by which files and flags give a prior: a closed list."""

__all__ = ["FILES", "components_in", "name_of", "prior_from_name"]

import inspect
import math
from collections.abc import Callable

from ..spelling import nearest
from .law import Prior
from .mixture import Mixture
from .shapes import Ball, Bowl, Circle, Normal, Ring, Sphere, Uniform

NAMED: dict[str, Callable[..., Prior]] = {
    "uniform": Uniform,
    "normal": Normal,
    "ring": Ring,
    "circle": Circle,
    "bowl": Bowl,
    "ball": Ball,
    "sphere": Sphere,
    "mixture": Mixture.on_circle,
}
r"""The closed list of the names that files and flags may give."""

OTHERS = {"gaussian": "normal", "gauss": "normal", "gmm": "mixture", "disc": "ball"}
r"""What others call a law of ours."""

FILES = ("image", "samples")
r"""What may stand before a colon and the name of a file, for :mod:`swae.laws` to open."""


def prior_from_name(spec: str, dim: int, *, stratified: bool = False) -> Prior:
    r"""Creates a prior from a name of the closed list and its numbers.

    Arguments:
        spec: ``name`` or ``name:key=number,key=number``: ``uniform``, ``normal``,
            ``ring:radius=1,sigma=0.01``, ``circle``, ``bowl``, ``ball``, ``sphere``,
            ``mixture:components=10,radius=1,scale=0.1``.
        dim: The dimension :math:`d` of the codes.
        stratified: Whether a ring's angles are evenly spaced within a draw.

    Returns:
        The prior.

    Raises:
        ValueError: If a name or a number is unknown, or the prior has another dimension.

    Example:
        >>> prior_from_name("ring:sigma=0.05", dim=2)
        Ring(radius=1.0, sigma=0.05, stratified=False)
    """

    name, settings = numbers_in(spec)
    known = inspect.signature(NAMED[name]).parameters
    given = {"dim": dim, "stratified": stratified}
    settings = {key: value for key, value in given.items() if key in known} | settings

    prior = NAMED[name](**settings)
    if prior.dim != dim:
        raise ValueError(
            f"The prior {name!r} lives in {prior.dim} dimensions, but latent_dim is {dim}."
        )
    return prior


def numbers_in(spec: str) -> tuple[str, dict[str, float]]:
    r"""Splits what gives a prior into its name and the numbers that are stated."""

    name, _, rest = spec.partition(":")
    if name not in NAMED:
        laws = ", ".join([*NAMED, *(f"{kind}:FILE" for kind in FILES)])
        near = nearest(OTHERS.get(name.lower(), name), [*NAMED, *FILES])
        raise ValueError(f"There is no prior {name!r}; known are {laws}.{near}")

    known = inspect.signature(NAMED[name]).parameters
    parsed = [parse_number(part, name, list(known)) for part in rest.split(",") if part]
    if len(dict(parsed)) < len(parsed):
        raise ValueError(f"The prior {spec!r} gives a number twice.")
    return name, dict(parsed)


def components_in(spec: str) -> float:
    r"""Tells how many components a name makes, 0 if none, before anything is made of it.

    Arguments:
        spec: The name with its numbers, as for :func:`prior_from_name`.

    Raises:
        ValueError: If a name or a number is unknown.

    Example:
        >>> components_in("mixture:components=3,radius=2"), components_in("uniform")
        (3, 0)
    """

    name, numbers = numbers_in(spec)
    known = inspect.signature(NAMED[name]).parameters
    if "components" not in known:
        return 0
    components: float = numbers.get("components", known["components"].default)
    return components


def name_of(prior: Prior) -> str | None:
    r"""Returns the name and numbers that :func:`prior_from_name` makes a prior from.

    Arguments:
        prior: The prior.

    Returns:
        The name; :py:`None` for laws that no name makes.

    Example:
        >>> name_of(Ring(sigma=0.05))
        'ring:radius=1.0,sigma=0.05'
    """

    if isinstance(prior, Ring):
        return f"ring:radius={prior.radius},sigma={prior.sigma}"
    return next((name for name, kind in NAMED.items() if type(prior) is kind), None)


def parse_number(part: str, name: str, known: list[str]) -> tuple[str, float]:
    key, equals, value = part.partition("=")
    names = [k for k in known if k not in ("dim", "stratified")]
    if not names:
        raise ValueError(f"The prior {name!r} takes no numbers, but is given {part!r}.")
    if key not in names:
        raise ValueError(
            f"The prior {name!r} takes {', '.join(f'{k}=NUMBER' for k in names)}, but is "
            f"given {part!r}.{nearest(key, names)}"
        )
    try:
        number = float(value) if equals else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{key} of the prior {name!r} has to be a number, but is {value!r}.")

    return key, int(number) if key == "components" and number == int(number) else number
