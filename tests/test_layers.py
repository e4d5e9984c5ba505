"""Imports go up the layers or along them, never down and never in a circle."""

import ast
import dataclasses
import graphlib
import importlib
import inspect
from importlib.util import resolve_name
from pathlib import Path

import swae

ROOT = Path(swae.__file__).parent
LAYERS = (
    "faults seeding univariate projections kernels resolution spelling optional",
    "pixels chunked distributed sliced priors penalties steering networks linear scaling",
    "autoencoder accumulation",
    "workers plain_yaml images ingest cache celeba reading columns tables hub shards sources "
    "codes laws data schema joining training metrics writing manifest weights postponing "
    "checkpoint stopping foreign latent anomaly",
    "allocator presets settings feeding building expected classes storage card sharing montage "
    "canvas lines plotting strips tabular drawing estimator paper explorer launching progress "
    "loggers run report flags export parquet commands cli",
)
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names.split()}


def imported(source, package="swae"):
    """Returns the names in swae that the text of a module imports, wherever in it."""
    paths = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            paths += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = resolve_name("." * node.level + (node.module or ""), package)
            paths += [f"{home}.{alias.name}" for alias in node.names]
    names = {path.split(".")[1] for path in paths if path.startswith("swae.")}
    return {swae.HOME_OF.get(name, name) for name in names} - {"__version__"}


def imports():
    """Returns what each module, or folder of modules, imports from the others."""
    graph = {}
    for path in ROOT.rglob("*.py"):
        place, *folders = path.relative_to(ROOT).with_suffix("").parts
        if place != "__init__":
            package = ".".join(("swae", place, *folders[:-1])) if folders else "swae"
            graph.setdefault(place, set()).update(imported(path.read_text(), package) - {place})
    return graph


def violations(graph):
    return [(a, b) for a, bs in graph.items() for b in bs if not LAYER[a] >= LAYER[b]]


def test_every_module_has_a_place():
    assert set(imports()) <= set(LAYER)


def test_imports_stay_within_the_layers():
    graph = imports()
    assert violations(graph) == []
    graphlib.TopologicalSorter(graph).prepare()  # a circle is a CycleError


def test_violations_are_found():
    source = "def f():\n    from .sliced import x\nimport swae.cli\nfrom swae import SWAE, data"
    assert imported(source) == {"sliced", "cli", "estimator", "data"}
    assert imported("from ..sliced import x", "swae.kernels") == {"sliced"}
    assert violations({"univariate": {"sliced"}, "cli": {"data"}}) == [("univariate", "sliced")]


def classes():
    paths = [path.relative_to(ROOT.parent).with_suffix("") for path in ROOT.rglob("[!_]*.py")]
    modules = [importlib.import_module(".".join(path.parts)) for path in paths]
    found = {c for module in modules for c in vars(module).values() if isinstance(c, type)}
    return [c for c in found if c.__module__.startswith("swae.") and not is_record(c)]


def is_record(c):
    """Exceptions, tuples with names, frozen dataclasses and protocols are neither."""
    frozen = dataclasses.is_dataclass(c) and c.__dataclass_params__.frozen
    return frozen or issubclass(c, BaseException | tuple) or getattr(c, "_is_protocol", False)


def test_classes_are_abstract_or_final():
    open_ends = [
        c.__name__
        for c in classes()
        if not (inspect.isabstract(c) or getattr(c, "__final__", False))
    ]
    assert open_ends == []
