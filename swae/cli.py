r"""The command line.

Every flag of ``swae fit`` that configures a model is made from the signature of
:class:`swae.estimator.SWAE`, its help from the docstring. A flag beats the file that ``--config``
names, which beats the preset. The list of commands is told without importing torch.

Exit codes: 0 well; 2 usage or configuration; 3 bad data; 4 diverged; 5 storage; 6 out of memory;
129 hung up, as by a terminal that is closed; 130 interrupted; 143 terminated. A message is a
sentence; ``--debug`` adds the traceback.
"""

__all__ = ["main"]

import atexit
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

from .commands import HOME
from .faults import point
from .spelling import nearest

COMMANDS = {
    "fit": "train an autoencoder on data",
    "evaluate": "measure reconstruction and match of a run on held-out data",
    "reconstruct": "draw data above its reconstructions",
    "sample": "generate data from the prior",
    "encode": "write the codes of data",
    "decode": "write the data of codes",
    "interpolate": "draw what lies between samples or codes",
    "modes": "draw the main directions of the codes",
    "grid": "draw the map of a latent plane",
    "report": "show a run, or several side by side, on one page",
    "info": "say what a run is",
    "export": "write a run's model as ONNX, or the codes of data as Parquet",
    "paper": "draw the figures of the paper",
    "import-keras": "turn the authors' Keras weights into a run",
}

HELP = f"""\
usage: swae COMMAND ... [--debug]

Sliced-Wasserstein autoencoders: codes of any shape that can be sampled.

commands:
{chr(10).join(f"  {name:<13} {what}" for name, what in COMMANDS.items())}

  swae COMMAND --help   the options of a command
  swae --version        the version

Try: swae fit digits
"""

GOES_ON = {
    "fit": "; --resume goes on from the last checkpoint, if there is one.",
    "paper": "; the same command goes on from the last checkpoint.",
}
r"""What to do after an interruption of a command that keeps what it has done."""


WORDS = {
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupted",
    signal.SIGHUP: "hung up",
}
r"""The signals that end a command, and what it says of them."""


class EndedError(BaseException):
    r"""A signal was received that ends a command."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signal.Signals(signum)


def main(argv: Sequence[str] | None = None) -> int:
    r"""Runs a command.

    Arguments:
        argv: The words of the command line; those of the process if :py:`None`.

    Returns:
        The exit code.
    """

    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]

    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if words else 2
    if words[0] == "--version":
        print(f"swae {importlib.import_module('swae').__version__}")
        return 0
    if words[0] not in COMMANDS:
        hint = nearest(words[0], COMMANDS, "'swae {}'") or " 'swae --help' lists them."
        print(f"swae: there is no command {words[0]!r}.{hint}", file=sys.stderr)
        return 2

    previous = listen(leave if argv is None else stop)
    if argv is None:  # registered first, so called last, when nothing is left that may wait
        atexit.register(answer, previous, signal.SIG_IGN)
    code = 1
    try:
        code = run(words[0], words[1:])
        sys.stdout.flush()
        answer(previous, signal.SIG_IGN)  # all is written and said: there is nothing to interrupt
        point("command.done")
    except BaseException as error:
        answer(previous, signal.SIG_DFL)
        if debug and not isinstance(error, SystemExit):
            raise
        code = explain(error, words[0])
    finally:
        if argv is None:  # what Python clears up at its end, nobody waits for
            answer(previous, lambda signum, frame: os._exit(code))
        else:
            for number, handler in previous.items():
                signal.signal(number, handler)
    return code


def run(command: str, words: list[str]) -> int:
    home = importlib.import_module(f"swae.commands.{HOME[command]}")
    answer([n for n in WORDS if signal.getsignal(n) is leave], stop)
    result: int = getattr(home, command.replace("-", "_"))(words)
    return result


def listen(handler: Any) -> dict[signal.Signals, Any]:  # noqa: ANN401 - of signal
    r"""Has a handler answer the signals that end a command, and returns those until now.

    Who has started this may have chosen that one is ignored, as a shell does with SIGINT in the
    background, and nohup with SIGHUP.
    """

    usual = (signal.SIG_DFL, signal.default_int_handler)
    previous = {n: signal.getsignal(n) for n in WORDS}
    previous = {n: h for n, h in previous.items() if n == signal.SIGTERM or h in usual}
    answer(previous, handler)
    return previous


def answer(numbers: Iterable[signal.Signals], handler: Any) -> None:  # noqa: ANN401 - of signal
    for number in numbers:
        signal.signal(number, handler)


def leave(signum: int, frame: FrameType | None) -> None:
    r"""Ends the process while it is importing: nothing is done yet, and half of torch is none."""

    os.write(sys.stderr.fileno(), f"swae: {WORDS[signal.Signals(signum)]}.\n".encode())
    os._exit(128 + signum)


def stop(signum: int, frame: FrameType | None) -> None:
    r"""Unwinds at the first signal; a second is the system's, which ends the process at once."""

    answer([n for n in WORDS if signal.getsignal(n) is stop], signal.SIG_DFL)
    raise KeyboardInterrupt if signum == signal.SIGINT else EndedError(signum)


def explain(error: BaseException, command: str) -> int:
    r"""Prints a sentence for an error and returns its exit code."""

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 2
    signum = signal.SIGINT if isinstance(error, KeyboardInterrupt) else None
    signum = error.signum if isinstance(error, EndedError) else signum
    if signum is not None:
        print(f"swae: {WORDS[signum]}{GOES_ON.get(command, '.')}", file=sys.stderr)
        return 128 + signum
    code = exit_code(error)
    if code is None:
        raise error
    if isinstance(error, BrokenPipeError):  # whoever read has had enough; nothing to say to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    print(f"swae: {message(error, code)}", file=sys.stderr)
    return code


def exit_code(error: BaseException) -> int | None:
    r"""Returns the exit code of an error; None for one that is a fault of ours."""

    from .images import DataError
    from .training import DivergedError

    kinds: dict[type[BaseException], int] = {
        DataError: 3,
        DivergedError: 4,
        MemoryError: 6,
        OSError: 5,
        ValueError: 2,
        TypeError: 2,
    }
    if isinstance(error, RuntimeError) and "memory" in str(error).lower():
        return 6  # torch has no class of its own for a CPU that is out of memory
    return next((code for kind, code in kinds.items() if isinstance(error, kind)), None)


def message(error: BaseException, code: int) -> str:
    if code == 6:
        return "out of memory; a smaller --batch-size, or fewer samples (-n), need less."
    return str(error).strip() or type(error).__name__


if __name__ == "__main__":
    code = main()
    if "RANK" in os.environ:  # others wait for it to be gone, and Python takes a second to unload
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
