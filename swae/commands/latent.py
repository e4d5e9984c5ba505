r"""Walking through the codes of a run: between two, along the main directions, over the plane."""

__all__ = ["grid", "interpolate", "modes"]

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import latent
from ..codes import read_codes
from ..data import as_samples, to_float
from ..drawing import columns_of, draw_lattice, draw_strips
from ..estimator import SWAE
from ..flags import Parser
from ..latent import check_least, decoded
from ..plotting import extent_of, latent_grid
from ..progress import Reporter
from ..seeding import stream
from ..strips import in_sigmas
from .files import write_result
from .opening import open_model, open_run, run_parser, what_of

PAIRS = 8
r"""The most pairs that are drawn where nobody says how many."""

MODES = 10
r"""The most modes that are drawn where nobody says how many."""

SHOWN = 5000
r"""The samples of the prior whose extent a grid has; few miss the borders."""

MOST = 100_000
r"""The most codes that are walked through: no page has room for more, and few memories."""

AT_ONCE = 1000
r"""The codes that are decoded between two reports, a whole batch of the estimator's."""


def interpolate(words: list[str]) -> int:
    r"""Draws what lies between samples or codes."""

    parser = run_parser("interpolate", "Draw what lies between samples or codes.", data=True)
    parser.add_output("interpolation.png")
    add_pair_flags(parser)
    parser.add_argument("--steps", type=int, default=9, help="Codes on each path, with its ends.")
    parser.add_argument(
        "--kind",
        type=latent.Kind,
        default="linear",
        help="Path between two codes: linear, or spherical, which keeps their norm.",
    )
    args = parser.read(words)
    check_pair_flags(args)
    check_least("--steps", args.steps, 2)
    target = parser.target(args)

    pairs = sampled_pairs if args.codes is None else coded_pairs
    model, (a, b), names, inputs = pairs(args)
    check_most("--steps", args.steps, codes=len(a) * args.steps)
    z = latent.interpolate(a, b, args.steps, args.kind)
    x = decode(model, z)
    share = latent.inside(z, model.prior_)
    if share is not None:
        print(f"{share:.1%} of the {z.shape[0] * z.shape[1]} codes are inside the prior")
    columns = [f"{t:.3g}" for t in np.linspace(0, 1, args.steps)]
    write_result(
        target,
        x,
        lambda x: draw_strips(x, inputs, columns_of(model), left=names, columns=columns),
        z=z,
    )
    return 0


def modes(words: list[str]) -> int:
    r"""Draws the main directions of the codes, and says how wide they are."""

    parser = run_parser("modes", "Draw the main directions of the codes.", data=True)
    parser.add_output("modes.png")
    parser.add_argument(
        "-k",
        type=int | None,
        default=None,
        help=f"Number of modes; if left out {MODES}, or all of fewer.",
    )
    parser.add_argument("--steps", type=int, default=7, help="Codes along each mode.")
    parser.add_argument(
        "--sigma", type=float, default=3.0, help="Standard deviations to either side of the mean."
    )
    args = parser.read(words)
    check_least("--steps", args.steps, 2)
    if not 0 < args.sigma < np.inf:
        raise ValueError(f"--sigma has to be a number above 0, but is {args.sigma}.")
    target = parser.target(args)

    model, samples = open_run(args)
    codes = model.transform(samples)
    found = latent.modes(codes, min(MODES, *codes.shape) if args.k is None else args.k)
    check_most("--steps", args.steps, codes=len(found.sigma) * args.steps)
    say_modes(found, what_of(args, samples))
    z = latent.along(found, steps=args.steps, sigmas=args.sigma)
    left = [f"mode {i} ({share:.0%})" for i, share in enumerate(found.share, start=1)]
    columns = [in_sigmas(t) for t in np.linspace(-args.sigma, args.sigma, args.steps)]
    write_result(
        target,
        decode(model, z),
        lambda x: draw_strips(x, None, columns_of(model), left=left, columns=columns),
        z=z,
        **found._asdict(),
    )
    return 0


def grid(words: list[str]) -> int:
    r"""Draws the map of a latent plane."""

    parser = run_parser("grid", "Draw the map of a latent plane, over the prior's extent.")
    parser.add_output("grid.png")
    parser.add_argument("-n", "--number", type=int, default=25, help="Number of codes a side.")
    args = parser.read(words)
    check_least("--number", args.number, 1)
    check_most("--number", args.number, codes=args.number**2)
    target = parser.target(args)

    model = open_model(args)
    if model.latent_dim != 2:
        raise ValueError(
            f"latent_dim has to be 2 for a grid, but is {model.latent_dim}; 'swae modes' draws "
            "the main directions of any dimension."
        )
    extent = extent_of(model.sample_codes(SHOWN))
    z = latent_grid(extent, args.number).numpy()
    write_result(
        target, decode(model, z), lambda x: draw_lattice(x, extent, columns_of(model)), z=z
    )
    return 0


def add_pair_flags(parser: Parser) -> None:
    r"""Adds the three ways to say what is walked between."""

    parser.add_argument(
        "--pairs",
        type=int | None,
        default=None,
        help=f"Number of pairs of samples, drawn by --seed; if left out {PAIRS}, or all of fewer.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the pairs.")
    parser.add_argument(
        "--index", type=int, nargs=2, default=None, help="Positions of two samples of the split."
    )
    parser.add_argument(
        "--from",
        dest="codes",
        type=str | None,
        default=None,
        help="Codes instead of samples, one pair after the other: a .npy, .npz (x) or .csv file.",
    )


def check_pair_flags(args: Any) -> None:  # noqa: ANN401 - parsed flags
    r"""Refuses two ways at once, and what no data can have."""

    given = {"--pairs": args.pairs, "--index": args.index, "--from": args.codes}
    both = [name for name, value in given.items() if value is not None]
    if len(both) > 1:
        raise ValueError(f"{' and '.join(both)} exclude each other.")
    if args.codes is not None and args.data is not None:
        raise ValueError(f"data has to be left out with --from, but is {args.data}.")
    if args.pairs is not None:
        check_least("--pairs", args.pairs, 1)


Ends = tuple[NDArray[Any], NDArray[Any]]
Pairs = tuple[SWAE, Ends, list[str] | None, Ends | None]
r"""A model, the first and the last codes, the names of the pairs, and what the codes are of."""


def coded_pairs(args: Any) -> Pairs:  # noqa: ANN401 - parsed flags
    r"""Reads codes, whose first and second are a pair, and third and fourth, ..."""

    model = open_model(args)
    z = as_samples(read_codes(Path(args.codes)), fitting=False).x.float().numpy()
    if len(z) % 2:
        raise ValueError(f"--from has to hold an even number of codes, but holds {len(z)}.")
    return model, (z[::2], z[1::2]), None, None


def sampled_pairs(args: Any) -> Pairs:  # noqa: ANN401 - parsed flags
    r"""Encodes pairs of samples, chosen or drawn."""

    model, samples = open_run(args)
    pairs = chosen(args, len(samples))
    ends = [samples.select(column) for column in pairs.T]  # which know the columns' names
    first, last = (to_float(end.x).numpy() for end in ends)
    names = [f"{i} \N{RIGHTWARDS ARROW} {j}" for i, j in pairs.tolist()]
    return model, (model.transform(ends[0]), model.transform(ends[1])), names, (first, last)


def chosen(args: Any, n: int) -> torch.Tensor:  # noqa: ANN401 - parsed flags
    r"""Returns the positions of pairs among n samples; no sample is in two of those drawn."""

    if args.index is not None:
        if not all(0 <= i < n for i in args.index):
            words = " ".join(map(str, args.index))
            raise ValueError(f"--index has to be from 0 to {n - 1} twice, but is {words}.")
        return torch.tensor([args.index])

    pairs = min(PAIRS, max(1, n // 2)) if args.pairs is None else args.pairs
    if 2 * pairs > n:
        raise ValueError(
            f"{'The data' if args.split == 'all' else f'The {args.split} split'} has to hold "
            f"{2 * pairs} samples for {pairs} pairs, but holds {n}."
        )
    return torch.randperm(n, generator=stream(args.seed, "pairs"))[: 2 * pairs].reshape(-1, 2)


def check_most(option: str, value: int, codes: int) -> None:
    if codes > MOST:
        raise ValueError(
            f"{option} has to ask for at most {MOST:,} codes in all, but {value} asks for "
            f"{codes:,}."
        )


def decode(model: SWAE, z: NDArray[Any]) -> NDArray[Any]:
    r"""Decodes the codes of paths; says how far it is where they are many."""

    if z[..., 0].size <= AT_ONCE:
        return decoded(model.inverse_transform, z)

    def reported(codes: NDArray[Any]) -> NDArray[Any]:
        with closing(Reporter(unit="codes")) as report:
            report.start("", total=len(codes))
            parts = []
            for part in np.split(codes, range(AT_ONCE, len(codes), AT_ONCE)):
                parts.append(model.inverse_transform(part))
                report(None, len(part), {})
        return np.concatenate(parts)

    return decoded(reported, z)


def say_modes(found: latent.Modes, what: str) -> None:
    print(f"{what}\nmode      sigma   share  together")
    for i, (sigma, share) in enumerate(zip(found.sigma, found.share, strict=True), start=1):
        print(f"{i:>4} {sigma:>10.4f} {share:>7.1%} {found.share[:i].sum():>9.1%}")
