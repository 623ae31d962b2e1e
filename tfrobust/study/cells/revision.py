"""A hash of the code that decides a cell's figures: another code, another revision.

It covers the rooms of the core that train, attack and measure, and of every plugin that the cell
uses the modules that the plugin loads from its own package, and those of every attack whose name
stands in them as a text. Certificates, diagnoses and attacks that know a defence add the rooms
behind them. Comments, docstrings and layout do not count; neither do the command line, reports,
docs and other plugins. What TensorFlow and other packages compute is told by the cell's `versions`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import tfrobust
from tfrobust import registry
from tfrobust.errors import UsageError
from tfrobust.study.cells.cell import Cell
from tfrobust.study.schema.grid import Condition, Options, Plugin

_CORE = (
    *(f"{room}/**/*.py" for room in ("classifiers", "data", "engine", "norms", "training")),
    "pipeline/**/*.py",
    *(f"evaluation/{room}*.py" for room in ("", "blocks/", "curves/", "streams/")),
    *(f"{contract}.py" for contract in ("attack", "classifier", "defense", "detector", "model")),
    "scenario.py",
    "random.py",
    "results/metrics.py",
    *(f"study/cells/{name}.py" for name in ("compute", "measure", "networks", "trainings")),
    "study/cells/exhibits.py",
    "study/cells/footprint.py",
)
_OF_CERTIFIERS = ("certifier.py", "bounds/**/*.py", "certification/*.py")
_OF_DIAGNOSES = ("diagnosis/**/*.py", "study/cells/diagnosed.py")
_OF_ADAPTIVE = ("adaptive.py", "evaluation/adaptive/*.py")
_OF_SEVERAL = ("results/kinds.py", "study/cells/right.py")
_BOUNDS = "tfrobust.bounds"  # a room of the core that only some plugins compute with
_SHOWN = 16  # hexadecimal digits

Named = tuple[str, str]  # kind and name of a plugin


def revision_of(cell: Cell, trained: Iterable[str]) -> str:
    """Return the revision of a cell: of the code that measures it and that trained its networks.

    Args:
        cell: the cell.
        trained: the revision of each of its networks' trainings; see `training_revision`.
    """
    return _hashed([_revision(_measuring(cell), _more(cell.condition)), *trained])


def current_revision(cell: Cell) -> str:
    """Return the revision that a cell has if it is computed now, from the first training on."""
    return revision_of(cell, map(training_revision, cell.networks_to_train))


def training_revision(cell: Cell) -> str:
    """Return the revision of the code that trains a cell's network, and those it is made of."""
    plugins = (plugin for network in cell.training_order for plugin in _training(network))
    return _revision(tuple(dict.fromkeys(plugins)))


def _training(cell: Cell) -> Iterator[Named]:
    """Yield the plugins of a network's training."""
    if cell.base is None:
        yield "models", str(cell.training["model"])
    yield from _scenario(str(cell.training["scenario"]))
    yield from _all("defenses", cell.defenses)


def _measuring(cell: Cell) -> tuple[Named, ...]:
    """Return the plugins that a cell is measured with."""
    condition, views = cell.condition, cell.study.views
    plugins = [*_scenario(cell.tested_on), *_all("detectors", condition.detectors)]
    plugins += _all("attacks", condition.all_attacks)
    plugins += _all("certifiers", condition.certifiers)
    plugins += (("attacks", name) for name in _attacks_named_in(_more(condition)))
    for view in condition.views:
        plugins += _all("defenses", [cell.plugin(plugin) for plugin in views[view].defenses])
    return tuple(dict.fromkeys(plugins))


def _scenario(name: str) -> Iterator[Named]:
    base, _, shift = name.partition("+")
    yield "scenarios", base
    if shift:
        yield "shifts", shift.partition(".")[0]


def _all(kind: str, plugins: Iterable[Plugin]) -> Iterator[Named]:
    for plugin in plugins:
        yield kind, plugin.name
        yield from _inside(plugin.options)


def _inside(options: Options) -> Iterator[Named]:
    """Yield the attack that a defence's options name."""
    if isinstance(attack := options.get("attack"), str):
        yield "attacks", attack


def _more(condition: Condition) -> tuple[str, ...]:
    """Return what a condition is measured by beyond the rooms that measure every cell."""
    return (
        *(_OF_CERTIFIERS if condition.certifiers else ()),
        *(_OF_DIAGNOSES if condition.diagnosed else ()),
        *(_OF_ADAPTIVE if condition.adaptive else ()),
        *(_OF_SEVERAL if condition.attacks else ()),
    )


@functools.lru_cache(maxsize=64)
def _attacks_named_in(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the attacks whose names stand in files of the core as a text."""
    texts = {
        node.value
        for path in _core_files(patterns)
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return tuple(sorted(texts & _attack_modules().keys()))


@functools.lru_cache(maxsize=4096)
def _revision(plugins: tuple[Named, ...], more: tuple[str, ...] = ()) -> str:
    files = dict.fromkeys(_core_files() + _core_files(more))
    for kind, name in plugins:
        files |= dict.fromkeys(_files_of(kind, name))
    digests = sorted({(path.name, _digest(path)) for path in files})
    return _hashed([word for digest in digests for word in digest])


@functools.lru_cache(maxsize=64)
def _core_files(patterns: tuple[str, ...] = _CORE) -> tuple[Path, ...]:
    root = Path(tfrobust.__file__).parent
    return tuple(sorted(path for pattern in patterns for path in root.glob(pattern)))


@functools.lru_cache(maxsize=1024)
def _files_of(kind: str, name: str) -> tuple[Path, ...]:
    """Return the modules that a plugin loads from its package, and those of attacks they name."""
    try:
        module = registry.find(kind, name).target.partition(":")[0]
    except UsageError:  # reported where the cell is computed
        return ()
    found: dict[Path, None] = {}
    waiting = [module]
    while waiting:
        module = waiting.pop()
        path = _module_file(module)
        if path is None or path in found:
            continue
        found[path] = None
        mentioned = _mentioned(path, module)
        waiting += (name for name in mentioned if not name.startswith(_BOUNDS))
        if any(name.startswith(_BOUNDS) for name in mentioned):
            found |= dict.fromkeys(_core_files(("bounds/**/*.py",)))
    return tuple(found)


def _module_file(module: str) -> Path | None:
    """Return the source of a module, without importing it or the package around it."""
    top, *rest = module.split(".")
    if top == "tfrobust":  # the core counts by rooms
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and not rest else None
    place = Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)
    candidates = (
        place.with_suffix(".py") if rest else place / "__init__.py",
        place / "__init__.py",
    )
    return next((path for path in candidates if path.is_file()), None)


def _mentioned(path: Path, module: str) -> list[str]:
    """Return the modules of its package that a module imports, and those of attacks it names."""
    top, imported, modules = module.partition(".")[0], list[str](), list[str]()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, path)
            imported += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            modules += _attack_modules().get(node.value, ())
    own = [name for name in imported if name.partition(".")[0] == top]
    return modules + own + [name for name in imported if name.startswith(_BOUNDS)]


@functools.lru_cache(maxsize=1)
def _attack_modules() -> dict[str, list[str]]:
    return {e.name: [e.target.partition(":")[0]] for e in registry.entries("attacks")}


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    """Return the absolute name of what `from … import` names."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    around = package[: len(package) - node.level + 1]
    return ".".join([*around, *([node.module] if node.module else [])])


@functools.lru_cache(maxsize=4096)
def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError):  # a third-party module that does not load anyway
        return ast.Module(body=[], type_ignores=[])


@functools.lru_cache(maxsize=4096)
def _digest(path: Path) -> str:
    """Return a hash of what a module says, without comments, docstrings and layout."""
    return _hashed(_said(_parsed(path)))


def _said(node: ast.AST) -> Iterator[str]:
    """Yield a syntax tree as words; the same in every version of Python that parses it alike."""
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        if name == "body" and values and _is_text(values[0]):
            values = values[1:]
        for one in values:
            if isinstance(one, ast.AST):
                yield f"{name}("
                yield from _said(one)
                yield ")"
            elif one is not None:
                yield f"{name}={one!r}"


def _is_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _hashed(words: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:_SHOWN]
