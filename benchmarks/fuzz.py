r"""Hostile files for every loader, as many as a time allows.

Run as ``python -m benchmarks.fuzz --seconds 60`` (for each loader). An input is a file that ours
wrote and that was then spoilt, by what :func:`spoilt` draws with hypothesis: flipped, cut,
doubled, filled with numbers that are too large, or with words that mean something to its parser.
Each has to end in a result or in the exception that the loader documents, a :py:`ValueError` or an
:py:`OSError` with a sentence, within :data:`SECONDS` and :data:`WAIT`, in less than :data:`BYTES`
more memory, with no process, no connection, no unpickled name and no file written elsewhere.
"""

import argparse
import io
import json
import pickle
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.timing import machine
from swae import SWAE
from swae.codes import read_codes
from swae.flags import Parser, add_data_flags, add_model_flags, as_flags
from swae.images import Framing, decode_or_reason
from swae.run import Run
from swae.shards import Shards
from swae.sources import load, read_mnist
from swae.storage import FILES

SECONDS = 5
r"""The seconds of processor time that an input may take."""

WAIT = 60
r"""The seconds by the clock, in which a busy machine gives so many."""

BYTES = 200 * 2**20
r"""The memory that an input may take, beyond what there was."""

EVENTS = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
    "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen",
)  # fmt: skip
r"""What no loader does."""


class HarmError(BaseException):
    r"""What no file may bring about; no Exception, so that nobody takes it for one."""


class Loader(NamedTuple):
    r"""A loader and what it reads.

    Arguments:
        name: What it reads, in words.
        files: Sound files by name; the last part of a name is its own.
        read: Reads a folder of them.
        words: What its parser knows, to be put into files.
        allowed: What it may do of :data:`EVENTS`.
    """

    name: str
    files: dict[str, bytes]
    read: Callable[[Path, str], object]
    words: tuple[bytes, ...]
    allowed: tuple[str, ...] = ()


NAMES = (
    "model folder", "images", ".npy and .npz", "codes", "IDX", "settings (YAML)",
    "a run's config.yaml", "CSV and TSV", "Parquet", "metrics.jsonl", "a picture as prior",
    "Parquet shards", "tar shards",
)  # fmt: skip
r"""The names of the loaders."""

NUMBERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
JSON = (
    b"null", b"NaN", b"1e999", b"-1", b"[]", b"{}", b'""', b"9" * 20, b"[[[[[[[[[[[[",
    b'"\\ud800"', b"true", b'"../../x"', b'"/etc/passwd"', b"0", b'"epoch"', b"\x00", b"9" * 5000,
    b"[" * 3000,
)  # fmt: skip
CELLS = (
    b",", b"\n", b"\r", b'"', b'""', b";", b"\t", b"nan", b"inf", b"1e400", b"1,5", b"\xff",
    b"=1+1", b"x" * 5000, b"," * 3000, b"9" * 400, b"\xef\xbb\xbf", b"\xff\xfe", b"_", b"1_0",
)  # fmt: skip
YAML = (
    b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system ['id']", b"!!binary x", b"? ",
    b"[" * 100, b"{" * 50, b"2001-99-99", b"0x", b"1:1:1", b"~", b"- ", b": ", b"\t", b"---\n",
    b"prior: 'image:/dev/zero'", b"batch_size: 1e999", b"device: cuda", b"!!set {a}", b"\x00",
    b"a: &a [x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b]\n", b"config: x.yaml\n", b".inf",
)  # fmt: skip
HEADER = (
    b"'descr'", b"'O'", b"'|V9'", b"(99999999999,)", b"(-1, 2)", b"()", b"'<f16'", b"'<U9'",
    b"[('a', '<f4')]", b"__import__('os')", b"9" * 40, b"'<M8'", b"'<c8'", b"(0, 3)", b"True",
)  # fmt: skip

WAYS = ("flip", "byte", "number", "cut", "insert", "delete", "double", "word", "splice")


@st.composite
def spoilt(draw: st.DrawFn, content: bytes, words: tuple[bytes, ...]) -> bytes:
    r"""Draws what becomes of a file."""

    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        # Most of what matters is at the beginning.
        at = min(at, draw(st.sampled_from([64, 512, len(data)])))
        match draw(
            st.sampled_from(
                ["flip", "byte", "number", "cut", "insert", "delete", "double", "word", "splice"]
            )
        ):
            case "flip":
                data[at : at + 1] = bytes(
                    b ^ 1 << draw(st.integers(0, 7)) for b in data[at : at + 1]
                )
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                size = draw(st.sampled_from([1, 2, 4, 8]))
                order = draw(st.sampled_from(["little", "big"]))
                number = draw(st.sampled_from(NUMBERS)) % 256**size
                data[at : at + size] = number.to_bytes(size, order)
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=20))
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
            case "word":
                data[at : at + draw(st.integers(0, 8))] = draw(st.sampled_from(words))
            case "splice":
                data = data[:at] + bytearray(content[draw(st.integers(0, len(content))) :])
    return bytes(data)


@contextmanager
def harmless(folder: Path, allowed: tuple[str, ...]) -> Iterator[None]:
    r"""Ends in :class:`HarmError` what takes too long or too much, or reaches out."""

    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = memory(status, "VmRSS"), time.process_time()
    GUARD.folder, GUARD.seen, GUARD.allowed = folder, None, allowed
    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        GUARD.folder = None
        taken, seconds = memory(status, "VmHWM") - before, time.process_time() - began
        if GUARD.seen:
            raise HarmError(f"reached out: {GUARD.seen}")
        if seconds > SECONDS:
            raise HarmError(f"took {seconds:.1f} s of processor time")
        if taken > BYTES:
            raise HarmError(f"took {taken / 2**20:.0f} MB")


def stop(*_: object) -> None:
    raise HarmError(f"took more than {WAIT} s")


def memory(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


class Guard:
    r"""Hears of what Python is asked to do; a hook that is added stays for good."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: str | None = None
        self.added = False
        self.allowed: tuple[str, ...] = ()

    def add(self) -> None:
        if not self.added:
            sys.addaudithook(self)
            self.added = True

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in EVENTS and event not in self.allowed:
            self.seen = f"{event} {args!r:.200}"
        if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            path = str(args[0])
            if not path.startswith((str(self.folder), "/proc", "/dev/null")):
                self.seen = f"write to {path}"


GUARD = Guard()


# --- the loaders


def saved(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any, *, objects: bool = False) -> bytes:  # noqa: ANN401 - an array
    file = io.BytesIO()
    np.save(file, array, allow_pickle=objects)
    return file.getvalue()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('os').system('true')",))


def bomb() -> bytes:
    r"""An archive whose member grows a thousandfold."""

    file = io.BytesIO()
    header = npy(np.zeros((1, 4), np.float32))[:-16].replace(b"(1, 4)", b"(25000000, 4)")
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        member.write(header[:128])
        for _ in range(400):
            member.write(bytes(1_000_000))
    return file.getvalue()


def image(kind: str, mode: str = "RGB", **options: Any) -> bytes:  # noqa: ANN401 - Pillow's
    file = io.BytesIO()
    picture = Image.effect_noise((24, 20), 50).convert(mode)
    picture.save(file, kind, **options)
    return file.getvalue()


def idx(array: Any) -> bytes:  # noqa: ANN401 - an array
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def archive(start: int) -> bytes:
    r"""An archive of three images and their classes."""

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for i in range(start, start + 3):
            for suffix, content in (("png", image("PNG", "L")), ("cls", b"%d" % (i % 2))):
                info = tarfile.TarInfo(f"set/{i:04}.{suffix}")
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return file.getvalue()


def through(folder: Path, name: str) -> int:
    r"""Opens shards and reads all rows and labels."""

    shards = Shards.open(folder)
    return sum(map(len, shards.chunks(4))) + len(shards.with_labels())


def parsed(folder: Path, name: str) -> None:
    r"""Reads settings as ``swae fit --config`` does, up to the model."""

    parser = Parser("swae fit", "")
    parser.add_argument("data", nargs="?", type=str)
    add_data_flags(parser)
    add_model_flags(parser)
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            args = parser.read(["--config", str(folder / name)])
            parser.from_config(args, "data")
            SWAE(**parser.model_settings(args)).check()
    except SystemExit as error:
        if error.code != 2 or not said.getvalue().startswith("swae fit: "):
            raise HarmError(f"{error!r}: {said.getvalue()}") from error
        raise ValueError(said.getvalue()) from error


def loaders() -> dict[str, Loader]:
    r"""Makes the loaders and their files."""

    rng = np.random.default_rng(0)
    x = rng.random((6, 4), dtype=np.float32)
    model = SWAE(max_epochs=1, network="mlp", n_projections=3).fit(rng.random((40, 4)))
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        stored = {name: (Path(folder) / name).read_bytes() for name in FILES}
    flags = yaml.safe_dump(as_flags(model.settings_)).encode()
    frame = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": list("uvwuvw")})
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    csv = b"a,b,kind\n1,2,u\n3.5,4,v\n5,6e3,\n"
    images = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    labels = np.array([1, 2, 3], np.uint8)
    lines = b"".join(
        json.dumps({"epoch": i, "step": 2 * i, "loss": 0.5, "val_sw2": None}).encode() + b"\n"
        for i in range(1, 5)
    )
    mnist = {"train-images-idx3-ubyte": idx(images), "train-labels-idx1-ubyte": idx(labels)}
    made = [
        Loader("model folder", stored, lambda f, n: SWAE.load(f), JSON),
        Loader(
            "images",
            {
                "a.png": image("PNG"), "b.png": image("PNG", "P"), "c.jpg": image("JPEG"),
                "d.gif": image("GIF", "L"), "e.webp": image("WEBP"), "f.bmp": image("BMP"),
                "g.tiff": image("TIFF", compression="tiff_lzw"), "h.ppm": image("PPM"),
                "i.png": image("PNG", "I;16"), "j.png": image("GIF", "L"),
            },
            lambda f, n: decode_or_reason(str(f / n), Framing()),
            (b"IHDR", b"IDAT", b"iCCP", b"tRNS", b"\xff\xd8", b"\xff\xe1", b"Exif\0\0", b"acTL"),
        ),
        Loader(
            ".npy and .npz",
            {
                "a.npy": npy(x), "b.npz": saved(x=x, y=np.arange(6)), "c.npy": npy(images),
                "d.npy": npy(np.array([Evil()], object), objects=True), "e.npz": bomb(),
                "f.npz": saved(x=x, x_test=x, y=np.arange(6)), "g.npy": pickle.dumps(Evil()),
            },
            lambda f, n: load(f / n),
            HEADER,
        ),
        Loader(
            "codes",
            {
                "a.npy": npy(x), "b.npz": saved(x=x, labels=np.arange(6)),
                "c.csv": b"z0,z1,label\n1,2,0\n3,4,1\n", "d.csv": b"1,2\n3,4\n",
                "e.npz": bomb(), "f.npy": npy(np.array([Evil()], object), objects=True),
            },
            lambda f, n: read_codes(f / n),
            HEADER + CELLS,
        ),
        Loader(
            "IDX",
            mnist,
            lambda f, n: read_mnist(*(f / name for name in mnist)),
            (b"\x1f\x8b\x08", b"\0\0\x08\x03", b"\xff\xff\xff\xff"),
        ),
        Loader(
            "settings (YAML)",
            {"a.yaml": flags, "b.yaml": b"data: digits\nseed: 3\n"},
            parsed,
            YAML,
        ),
        Loader(
            "a run's config.yaml",
            {"config.yaml": flags},
            lambda f, n: Run(f).resume_point({"latent_dim": 2, "prior": "uniform"}),
            YAML,
        ),
        Loader("CSV and TSV", {"a.csv": csv, "b.tsv": csv.replace(b",", b"\t")}, table, CELLS),
        Loader(
            "Parquet",
            {"a.parquet": parquet.getvalue()},
            table,
            (b"PAR1", b"\xff" * 8, b"\0" * 8),
            ("subprocess.Popen", "os.posix_spawn", "os.fork"),  # where it is read first
        ),
        Loader(
            "metrics.jsonl",
            {"metrics.jsonl": lines},
            lambda f, n: (Run(f).rows(), Run(f).resume_point({})),
            JSON,
        ),
        Loader(
            "a picture as prior",
            {"a.png": image("PNG", "L"), "b.gif": image("GIF", "L")},
            lambda f, n: SWAE(prior=f"image:{f / n}").check(),
            (b"IHDR", b"IDAT", b"acTL"),
        ),
        Loader(
            "Parquet shards",
            {"0.parquet": parquet.getvalue(), "1.parquet": parquet.getvalue()},
            through,
            (b"PAR1", b"\xff" * 8, b"\0" * 8),
        ),
        Loader(
            "tar shards",
            {"0.tar": archive(0), "1.tar": archive(3)},
            through,
            (b"ustar", b"././@LongLink", b"\0" * 512, b"7" * 11, b"x", b"L", b"S", b".npz"),
        ),
    ]  # fmt: skip
    return {loader.name: loader for loader in made}


def table(folder: Path, name: str) -> object:
    return load(folder / name, label_column="kind")


# --- the runs


def attempt(loader: Loader, name: str, content: bytes, folder: Path) -> str:
    r"""Reads a spoilt file among sound ones, and returns how that ended.

    Raises:
        HarmError: If it did harm, or ended in another exception than one that is documented.
    """

    target = folder / "files"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for other, sound in loader.files.items():
        (target / other).write_bytes(content if other == name else sound)
    try:
        with harmless(target, loader.allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = loader.read(target, name)
    except (ValueError, OSError) as error:
        if len(f"{error}".split()) < 3:
            raise HarmError(f"no sentence: {error!r}") from error
        return "refused"
    except HarmError as error:
        raise HarmError(f"{loader.name}, {name}: {error}") from error
    except Exception as error:
        raise HarmError(f"{loader.name}, {name}: {type(error).__name__}: {error}") from error
    return "refused" if isinstance(result, str) else "read"  # an image's reason


def fuzz(
    loader: Loader,
    *,
    examples: int = 10**9,
    seconds: float = 1e9,
    number: int | None = None,
) -> tuple[Counter[str], list[tuple[str, str, bytes]]]:
    r"""Lets a loader read spoilt files.

    Arguments:
        loader: The loader.
        examples: How many, at most.
        seconds: For how long, at most.
        number: The seed; the same files at each call if :py:`None`.

    Returns:
        How many were read and refused, and what did harm: the sentence, the file's name and what
        it held.
    """

    GUARD.add()
    counts: Counter[str] = Counter()
    harm: list[tuple[str, str, bytes]] = []
    end = time.monotonic() + seconds
    names = [name for name in loader.files if name != "README.md"]
    drawn = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), spoilt(loader.files[name], loader.words))
    )
    with tempfile.TemporaryDirectory() as folder:

        def one(drawn: tuple[str, bytes]) -> None:
            if time.monotonic() > end:
                return
            try:
                counts[attempt(loader, *drawn, Path(folder))] += 1
            except HarmError as error:
                counts["harm"] += 1
                harm.append((f"{error}", *drawn))

        for name in names:  # as they are: the bombs and pickles among them
            one((name, loader.files[name]))
        while time.monotonic() < end and sum(counts.values()) < examples:
            most = min(200, examples - sum(counts.values()))
            test = settings(
                max_examples=most,
                deadline=None,
                database=None,
                derandomize=number is None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(drawn)(one))
            if number is not None:
                number += 1
                test = seed(number)(test)
            test()
    return counts, harm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of a loader's name")
    parser.add_argument("--keep", type=Path, default=None, help="folder for what did harm")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(f"{machine()}; {args.seconds:g} s a loader, seed {args.seed}", flush=True)
    bad = 0
    for name, loader in loaders().items():
        if args.only not in name:
            continue
        counts, harm = fuzz(loader, seconds=args.seconds, number=args.seed)
        total = sum(counts.values())
        print(
            f"{name:<20} {total:>7,} inputs: {counts['read']:,} read, {counts['refused']:,} "
            f"refused, {counts['harm']:,} harm",
            flush=True,
        )
        bad += len(harm)
        for i, (sentence, file, content) in enumerate(harm[:20]):
            print(f"  {sentence[:300]}", flush=True)
            if args.keep is not None:
                args.keep.mkdir(exist_ok=True)
                (args.keep / f"{i}-{file}").write_bytes(content)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
