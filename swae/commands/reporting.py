r"""Showing runs on a page: one, or several side by side."""

__all__ = ["report"]

from pathlib import Path

from ..flags import Parser
from ..report import OURS, page, read_account, write_comparison
from ..run import Run
from ..writing import write_file


def report(words: list[str]) -> int:
    r"""Shows runs on a page."""

    parser = Parser("swae report", "Show a run, or several side by side, on one page.")
    parser.add_argument("runs", nargs="+", type=str, help="Run folders.")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="File to write, .html; if left out report.html, of one run within its folder, of "
        "several here.",
    )
    parser.add_flag("--overwrite", "Replace the file, were it no report.")
    args = parser.read(words)
    runs = [Path(run) for run in args.runs]

    if len(runs) == 1:
        target = Run(runs[0]).report if args.out is None else Path(args.out)
        account = read_account(runs[0])
        check_target(target, overwrite=args.overwrite)
        write_file(target, page(account).encode())
    else:
        target = Path("report.html" if args.out is None else args.out)
        check_target(target, overwrite=args.overwrite)
        write_comparison(runs, target)
    print(target)
    return 0


def check_target(target: Path, *, overwrite: bool) -> None:
    r"""Refuses what is no page, and to replace a file that is no report."""

    if target.suffix != ".html":
        raise ValueError(f"--out has to end in .html, but is {target}.")
    if not target.parent.is_dir():
        raise ValueError(f"There is no folder {target.parent} to write {target.name} into.")
    if target.is_dir():
        raise ValueError(f"{target} is a folder; --out wants a file.")
    if target.exists() and not overwrite:
        with target.open("rb") as file:
            if OURS not in file.read(2000):
                raise ValueError(
                    f"{target} exists and is no report; choose another --out, or give --overwrite."
                )
