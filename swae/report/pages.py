r"""The pages themselves: what the templates are given, and where a page is written."""

__all__ = ["OURS", "compare", "page", "write_comparison", "write_report"]

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..run import Run, RunError
from ..writing import write_file
from .accounts import Account, Picture, read_account
from .charts import curves, overlaid, style
from .comparing import judges_of, table
from .measures import in_digits, number, numbers_of, strange, verdict
from .words import commands_for, go_on, in_time, in_words, names_of, pace, status

OURS = b'<meta name="generator" content="swae report">'
r"""What each page has near its beginning, and no other file."""

FIRST = (
    *("data", "prior", "latent_dim", "penalty", "reg_weight", "reconstruction", "output"),
    *("network", "conditional", "max_epochs", "batch_size", "learning_rate", "schedule"),
    *("n_projections", "slices", "preset", "seed"),
)
r"""The settings that matter first, in the order of the page."""

SHAPES = ("upright", "broad", "wide")
r"""The shapes of pictures, by the room that they want."""

CAPTIONS = {
    "reconstructions": ("Reconstructions", "What goes in, and what comes out."),
    "triptych": (
        "Prior, codes and what they decode to",
        "Three windows on the same square: samples of the prior, the codes of data, and the "
        "picture that each place decodes to. The codes should fill the prior's shape.",
    ),
    "codes": (
        "Codes beside the prior",
        "Samples of the prior, and the codes of data, which should be spread as they are; of more "
        "than two dimensions along the codes' two widest directions.",
    ),
    "samples": ("Samples", "What codes drawn from the prior decode to."),
    "interpolations": (
        "Interpolations",
        "Paths between the codes of held-out samples, which stand at either end.",
    ),
    "modes": (
        "Modes",
        "A walk along each main direction of the codes, from one side of their mean to the other.",
    ),
}
r"""The heading and the caption of each picture, in the order of the page."""


def page(account: Account) -> str:
    r"""Returns the page of one run.

    Arguments:
        account: What its folder tells.

    Returns:
        The HTML, without any resource outside it.
    """

    return render(
        "run.html",
        account=account,
        title=account.title,
        status=status(account),
        settings=in_order(account.settings),
        first=FIRST,
        numbers=numbers_of(account),
        strange=strange(account),
        judges=number(account.last, "val_n"),
        panels=curves(account),
        pace=pace(account),
        rows=in_rows(account.pictures),
        commands=commands_for(account),
        go_on=go_on(account),
    )


def compare(accounts: Sequence[Account]) -> str:
    r"""Returns the page of several runs, side by side.

    Arguments:
        accounts: What their folders tell, at least two.

    Returns:
        The HTML, without any resource outside it.
    """

    names = names_of(accounts)
    every = dict.fromkeys(name for a in accounts for name in in_order(a.settings))
    same = {n: len({str(a.settings.get(n)) for a in accounts}) == 1 for n in every}
    kinds: dict[str, str] = {}
    for picture in (p for a in accounts for p in a.pictures.values()):
        shapes = (picture.shape, kinds.get(picture.name, SHAPES[0]))
        kinds[picture.name] = max(shapes, key=SHAPES.index)
    return render(
        "runs.html",
        accounts=accounts,
        names=names,
        title=f"{len(accounts)} runs side by side",
        styles=[style(i) for i in range(len(accounts))],
        differing=[name for name, equal in same.items() if not equal],
        equal=[name for name, equal in same.items() if equal],
        table=table(accounts),
        one_judge=len({judges_of(account) for account in accounts}) == 1,
        one_prior=len({(a.prior, a.settings["latent_dim"]) for a in accounts}) == 1,
        panels=overlaid(accounts, names),
        paces=[pace(account) for account in accounts],
        status=status,
        kinds=in_order(kinds, first=CAPTIONS),
    )


def write_report(run: Run) -> Path:
    r"""Writes the page of a run into its folder.

    Arguments:
        run: The run.

    Returns:
        The file.

    Raises:
        RunError: If the folder holds no run with a finished epoch.
        CorruptError: If a file of it is damaged.
        OSError: If it can't be written.
    """

    write_file(run.report, page(read_account(run.path)).encode())
    return run.report


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - what the template shows
    environment = Environment(
        loader=PackageLoader("swae.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(digits=in_digits, duration=in_time, setting=in_words)
    environment.filters.update(verdict=verdict, python=repr)
    css = files("swae.report").joinpath("templates/style.css").read_text("utf-8")
    digest = b64encode(hashlib.sha256(css.encode()).digest()).decode()
    environment.globals.update(css=Markup(css), digest=digest, captions=CAPTIONS)
    return environment.get_template(template).render(**values)


def in_order(named: Mapping[str, Any], first: Any = FIRST) -> dict[str, Any]:  # noqa: ANN401 - settings
    r"""Returns what is named with the first names first."""

    return {n: named[n] for n in [*(n for n in first if n in named), *named]}


def in_rows(pictures: Mapping[str, Picture]) -> list[tuple[bool, list[Picture]]]:
    r"""Returns pictures in the order of the page, those together that lie side by side."""

    every = in_order(pictures, first=CAPTIONS).values()
    return [(wide, list(some)) for wide, some in groupby(every, lambda p: p.shape == "wide")]


def write_comparison(runs: Sequence[Path], target: Path) -> None:
    r"""Writes the page of several runs.

    Raises:
        RunError: If one is none, or is named twice.
        CorruptError: If a file of one is damaged.
        OSError: If the page can't be written.
    """

    seen: dict[str, Path] = {}
    for run in runs:
        real = os.path.realpath(run)
        if real in seen:
            raise RunError(f"{run} and {seen[real]} are the same run; name each once.")
        seen[real] = run
    accounts = [read_account(run) for run in runs]
    write_file(target, compare(accounts).encode())
