r"""Commands in processes of their own that start in a hundredth of a second.

Most of the time of ``swae ...`` is imports. A nursery has done them, and forks for each command:
what is forked is a process like any other, with its own signals, limits, locks and exit code. The
nursery itself computes nothing, so that it has no thread that a fork would lose.

Used by ``benchmarks.soak`` and by the tests of faults; run as ``python -m benchmarks.nursery`` it
reads a line of JSON for each command from its standard input.
"""

import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).parents[1]

PRELOADED = (
    "swae.cli",
    "swae.canvas",
    "swae.drawing",
    "swae.commands.fit",
    "swae.commands.use",
    "sklearn.neighbors",
    "torch._dynamo",
    "attr",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
)


class Ended(NamedTuple):
    r"""How a command ended.

    Arguments:
        code: Its exit code; minus the number of the signal that killed it.
        said: What it wrote.
        seconds: How long it ran, or since it was signalled.
    """

    code: int
    said: str
    seconds: float


class Child:
    r"""A command that runs.

    Arguments:
        nursery: Where it was forked.
        pid: Its process.
        log: The file that it writes to.
    """

    def __init__(self, nursery: "Nursery", pid: int, log: Path) -> None:
        self.nursery, self.pid, self.log = nursery, pid, log
        self.began = time.monotonic()

    def send(self, number: int) -> None:
        r"""Sends a signal, and counts the seconds from here on."""

        self.began = time.monotonic()
        os.kill(self.pid, number)

    def dies_after(self, seconds: float, number: int = signal.SIGKILL) -> Ended:
        r"""Signals the command after some seconds, if it still runs."""

        time.sleep(seconds)
        with suppress(ProcessLookupError):
            self.send(number)
        return self.wait()

    def until(self, sentence: str, timeout: float = 60) -> None:
        r"""Waits until the command has written something."""

        end = time.monotonic() + timeout
        while sentence not in self.log.read_text():
            if time.monotonic() > end:
                raise TimeoutError(f"{sentence!r} was not written: {self.log.read_text()}")
            time.sleep(0.01)

    def wait(self, timeout: float = 60) -> Ended:
        r"""Waits for the end; what takes longer is killed, and a :py:`TimeoutError`."""

        code = self.nursery.answer(timeout)
        if code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.nursery.answer(60)
        self.nursery.running = None
        if code is None:
            raise TimeoutError(f"ran for more than {timeout} s: {self.log.read_text()}")
        seconds = time.monotonic() - self.began
        return Ended(code, self.log.read_text(), seconds)


class Nursery:
    r"""A process that forks commands, one at a time.

    Arguments:
        folder: Where commands run.
        env: Further variables.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder, self.count = folder, 0
        self.running: int | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", **(env or {})},
        )

    def start(self, words: Sequence[str], fault: str = "", **options: Any) -> Child:  # noqa: ANN401 - JSON
        r"""Starts a command.

        Arguments:
            words: Its words.
            fault: What is planned for it, see :mod:`swae.faults`.
            options: ``figures`` (bool) to draw them and the report, ``every`` (seconds between
                checkpoints),
                ``cached`` (bool) to read few images through the cache too,
                ``memory`` (bytes that it may take), ``code`` (Python to run in its place).
        """

        if self.running is not None:  # whoever started it did not wait for its end
            os.kill(self.running, signal.SIGKILL)
            self.answer(60)
        self.count += 1
        log = self.folder / f".log-{self.count}"
        log.touch()
        order = {"words": list(words), "fault": fault, "log": str(log), "cwd": str(self.folder)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order | options) + "\n")
        self.process.stdin.flush()
        pid = self.answer(300)  # the first has to wait for the imports
        if pid is None:
            raise TimeoutError("the nursery does not answer")
        self.running = pid
        return Child(self, pid, log)

    def run(self, words: Sequence[str], fault: str = "", **options: Any) -> Ended:  # noqa: ANN401 - JSON
        r"""Runs a command to its end."""

        return self.start(words, fault, **options).wait()

    def answer(self, timeout: float) -> int | None:
        stdout = self.process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], timeout)[0]:
            return None
        return int(stdout.readline())

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    for name in PRELOADED:
        __import__(name)
    gc.freeze()  # which a child would look through at its end, and copy page by page
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            begin(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def begin(order: dict[str, Any]) -> NoReturn:
    r"""Becomes the process of a command."""

    from swae import cache, cli, faults, ingest
    from swae.commands import fit

    file = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, to in ((null, 0), (file, 1), (file, 2)):
        os.dup2(descriptor, to)
    os.chdir(order["cwd"])
    faults.PLAN = faults.planned(order["fault"])
    fit.CHECKPOINT_EVERY = order.get("every", fit.CHECKPOINT_EVERY)
    if order.get("cached"):
        cache.FEW, ingest.BLOCK = 0, 16
    if not order.get("figures"):
        fit.draw_figures = fit.write_report = lambda *_: None
    if "memory" in order:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + order["memory"],) * 2)
    if "code" in order:
        exec(order["code"], {"__name__": "__main__"})
        sys.exit(0)
    sys.argv = ["swae", *order["words"]]
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
