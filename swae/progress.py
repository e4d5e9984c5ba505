r"""Telling a person how far long work is.

On a terminal a bar with rate, remaining time and the loss's parts; in a pipe or a log file the
same as a line every few seconds.
"""

__all__ = ["Reader", "Reporter"]

import sys
import time
from typing import TextIO, final

from tqdm import tqdm


@final
class Reporter:
    r"""Reports training.

    Arguments:
        file: Where to write; standard error if :py:`None`.
        every: The seconds between two lines where the file is no terminal.
        unit: What is counted.
    """

    def __init__(
        self, file: TextIO | None = None, every: float = 5.0, unit: str = "samples"
    ) -> None:
        self.file = file or sys.stderr
        self.every = every
        self.unit = unit
        self.start("", total=0)

    def start(self, text: str, *, total: int, done: int = 0) -> None:
        r"""Begins to count.

        Arguments:
            text: A line to say first.
            total: The number of samples that will have been seen at the end.
            done: The number of samples that were seen before.
        """

        self.bar = tqdm(
            total=total,
            initial=done,
            unit=f" {self.unit}",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.05,
            file=self.file,
            disable=total == 0 or not self.file.isatty(),
        )
        self.total, self.done, self.before = total, done, done
        self.began = self.said = time.monotonic()
        if text:
            self.say(text)

    def __call__(self, step: int | None, samples: int, parts: dict[str, float]) -> None:
        r"""Counts a step, or what has none."""

        self.done += samples
        self.bar.update(samples)
        now = time.monotonic()
        if self.bar.disable and now - self.said >= self.every:
            self.said = now
            print(self.line(step, now, parts), file=self.file, flush=True)
        elif not self.bar.disable:
            self.bar.set_postfix_str(in_words(parts), refresh=False)

    def line(self, step: int | None, now: float, parts: dict[str, float]) -> str:
        rate = (self.done - self.before) / max(now - self.began, 1e-9)
        left = tqdm.format_interval((self.total - self.done) / rate)
        share = self.done / self.total
        place = "" if step is None else f"step {step}  "
        speed = f"{rate:,.0f} {self.unit}/s"
        return f"{share:4.0%}  {place}{speed}  {left} left  {in_words(parts)}".rstrip()

    def say(self, text: str) -> None:
        r"""Writes a line without breaking the bar."""

        self.bar.clear()
        print(text, file=self.file, flush=True)
        self.bar.refresh()

    def close(self) -> None:
        self.bar.close()


@final
class Reader:
    r"""Reports that a folder of images is read, once it is known to be.

    Arguments:
        file: Where to write; standard error if :py:`None`.
        every: The seconds between two lines where the file is no terminal.
    """

    def __init__(self, file: TextIO | None = None, every: float = 5.0) -> None:
        self.report = Reporter(file, every, unit="images")

    def __call__(self, done: int, total: int) -> None:
        r"""Counts up to a number of images."""

        if total != self.report.total or done < self.report.done:
            self.report.start(f"reading {total:,} images", total=total, done=done - 1)
        self.report(None, done - self.report.done, {})
        if done == total:
            self.report.close()


def in_words(parts: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in parts.items())
