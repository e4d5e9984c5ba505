r"""Figures in whole pixels, in one style, written whole or not at all.

Places are counted in pixels from the lower left corner, so that one pixel of data becomes a
block of n x n pixels on the screen and a gap between two pictures has the same width everywhere.

Only matplotlib's object-oriented side is used: no `pyplot`, no window, no global setting changed,
hence safe in threads and on machines without a screen.
"""

__all__ = [
    "canvas",
    "dress",
    "framed",
    "key",
    "legend",
    "panel",
    "rendered",
    "save",
    "show",
    "write",
    "write_above",
    "write_left",
]

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .montage import Extent, Pixels
from .writing import write_file

Dashes = tuple[float, Sequence[float]]

DPI = 160  # 128 + 32: for such a number n / DPI * DPI == n in floats, whole pixels stay whole
INK, GREY, PALE = "#2a2e35", "#868d97", "#f1f3f5"
BLUE, ORANGE = "#2f6db3", "#e0752d"
TITLE, TEXT, SMALL = 13, 11, 10  # points
SOLID, DASHED = (0.0, ()), (0.0, (3.0, 1.5))


def canvas(width: int, height: int) -> Figure:
    r"""Returns an empty white figure of a size in pixels."""

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def panel(figure: Figure, left: int, bottom: int, width: int, height: int) -> Axes:
    r"""Adds axes at a place in pixels."""

    w, h = figure.get_size_inches() * DPI
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def framed(picture: Pixels, left: int = 12, caption: str = "") -> Figure:
    r"""Returns a figure of one picture, pixel by pixel, with a margin and a caption below."""

    h, w = picture.shape[:2]
    rows = textwrap.wrap(caption, max(20, w // 13))
    below = 22 + 32 * len(rows) if rows else 12
    figure = canvas(left + w + 12, below + h + 12)
    ax = panel(figure, left, below, w, h)
    ax.set_axis_off()
    if rows:
        write(figure, left, 16, "\n".join(rows))
    show(ax, picture)
    return figure


def show(ax: Axes, picture: Pixels, extent: Extent | None = None) -> None:
    r"""Draws a picture, white for 1 and black for 0; smooths only where pixels must be dropped."""

    exact = ax.get_window_extent().width > picture.shape[1] - 1
    ax.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest" if exact else "antialiased",
        origin="upper",
        extent=extent,
    )


def dress(ax: Axes, title: str, names: Sequence[str], size: int = TEXT) -> None:
    r"""Writes a panel's title and the names of its axes, and pales its lines."""

    ax.set_title(title, loc="left", fontsize=TITLE, color=INK, pad=8)
    ax.set_xlabel(names[0], fontsize=size, color=INK)
    ax.set_ylabel(names[1], fontsize=size, color=INK)
    ax.tick_params(which="both", labelsize=size, labelcolor=INK, color=GREY, width=0.8, length=3)
    ax.tick_params(which="minor", labelsize=SMALL, length=2)
    for spine in ax.spines.values():
        spine.set(color=GREY, linewidth=0.8)


def write(figure: Figure, x: float, y: float, text: str) -> None:
    r"""Writes small print that begins at a place in pixels."""

    w, h = figure.get_size_inches() * DPI
    figure.text(x / w, y / h, text, fontsize=SMALL, color=GREY, linespacing=1.35)


def write_left(figure: Figure, x: float, y: float, text: str) -> None:
    r"""Writes the name of what begins to the right of a place in pixels."""

    w, h = figure.get_size_inches() * DPI
    figure.text(x / w, y / h, text, fontsize=TEXT, color=INK, ha="right", va="center")


def write_above(figure: Figure, x: float, y: float, text: str) -> None:
    r"""Writes the name of what lies around and below a place in pixels."""

    w, h = figure.get_size_inches() * DPI
    figure.text(x / w, y / h, text, fontsize=SMALL, color=INK, ha="center", va="bottom")


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    r"""Names lines in the figure's upper right corner, without a frame."""

    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        frameon=False,
        fontsize=TEXT,
        labelcolor=INK,
        borderaxespad=0.3,
        handlelength=1.6,
        handletextpad=0.6,
        columnspacing=1.6,
    )


def key(name: str, colour: str, dashes: Dashes | None = SOLID) -> Line2D:
    r"""Returns what a legend shows for a line, or without dashes for points."""

    if dashes is None:
        return Line2D([], [], color=colour, label=name, linestyle="none", marker="o", markersize=4)
    return Line2D([], [], color=colour, label=name, linestyle=dashes, linewidth=1.6)


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    r"""Writes a figure to a file, whole or not at all.

    A reader sees the old picture or the new one. Missing folders are made.

    Arguments:
        figure: The figure.
        path: The file, whose suffix names the format: .png, .pdf, .svg or another of
            matplotlib's. Pictures of pixels have 160 to the inch.

    Returns:
        The path.

    Raises:
        ValueError: If matplotlib knows no such suffix.
        OSError: If there is no room.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save(canvas(320, 160), f"{folder}/white.png").name
        'white.png'
    """

    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise ValueError(
            f"path wants a suffix among {', '.join('.' + k for k in sorted(known))}, got {path}."
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, rendered(figure, kind))
    return path


def rendered(figure: Figure, kind: str = "png") -> bytes:
    r"""Returns the bytes of a figure's file, of a format that matplotlib knows.

    Example:
        >>> rendered(canvas(320, 160))[1:4]
        b'PNG'
    """

    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI)
    return buffer.getvalue()
