r"""The report of a run: one page that shows what was asked for and what came of it.

Everything on the page is read from the folder of the run, so that it can be made again, and the
same folder gives the same bytes. The page is one file and asks for no other: pictures are within
it, curves are drawn as SVG in the colours of the reader's scheme, and its policy
(`Content-Security-Policy`) forbids every request and every script. What the user named, labels,
paths and columns, is text: the templates escape it.

Several runs stand side by side on one page, and the best number of each kind is marked where the
numbers are of one kind: judged on the same samples, and distances by the same prior.
"""

__all__ = [
    "OURS",
    "Account",
    "compare",
    "made_with",
    "page",
    "read_account",
    "write_comparison",
    "write_report",
]

from .accounts import Account, read_account
from .making import made_with
from .pages import OURS, compare, page, write_comparison, write_report
