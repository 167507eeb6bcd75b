"""The house rules, held against every file. Exceptions have a name and a reason: architecture_exceptions.toml."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("weighbridge", "pricing", "telemetry", "storage", "gateway")
"""Each may import itself and those before it; the first is what apps import."""
ELSEWHERE = ("tests", "bench", "tools")
MAX_FILE = 500
MAX_FUNCTION = 60
MAX_MEDIAN = 150
BAGS = re.compile(r"^_*(utils?|helpers?|commons?|misc|base\w*|stuff|shared|tools)$")
CONSTANT = re.compile(r"^_{0,2}[A-Z][A-Z0-9_]*$")
CONTAINERS = {
    "list",
    "dict",
    "set",
    "bytearray",
    "defaultdict",
    "deque",
    "OrderedDict",
    "Counter",
    "SimpleQueue",
    "Queue",
}
MUTATORS = {
    "append",
    "add",
    "update",
    "pop",
    "popitem",
    "clear",
    "extend",
    "insert",
    "remove",
    "discard",
    "setdefault",
}
MACHINE = re.compile(r"(?<![\w.$}~-])/(?:" + "|".join(("work", "root", "farm", "tmp")) + r")/[a-z]")
HOSTS = re.compile("|".join(re.escape(".".join(parts)) for parts in (
    ("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"), ("proxy", "golang"), ("deb", "debian"),
)))  # fmt: skip
TRACKERS = re.compile(r"(?i)\bissue #?\d+\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def exceptions() -> dict[str, list[dict[str, str]]]:
    return tomllib.loads((ROOT / "tests/architecture_exceptions.toml").read_text(encoding="utf-8"))


@cache
def sources(*folders: str) -> tuple[Path, ...]:
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources(*PACKAGES))


def functions(root: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(root) if isinstance(node, Function))


def imported(node: ast.stmt, importer: Path) -> Iterator[str]:
    """Modules a statement imports, as far as they are ours down to the module that is meant."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module_of(importer).split(".")[: -node.level or None]
            base = ".".join([*package, base] if base else package)
        for alias in node.names:
            deeper = f"{base}.{alias.name}"
            yield deeper if deeper in modules() else base


def report(rule: str, found: list[str]) -> None:
    assert not found, f"{rule}:\n  " + "\n  ".join(sorted(found))


def allowed(kind: str, file: str, **more: str) -> bool:
    wanted = {"file": file, **more}
    return any(
        all(entry.get(key) == value for key, value in wanted.items()) for entry in exceptions().get(kind, [])
    )


def test_packages_import_to_the_left_only() -> None:
    found = []
    for path in sources(*PACKAGES):
        package = path.relative_to(ROOT).parts[0]
        forbidden = {*PACKAGES[PACKAGES.index(package) + 1 :], *ELSEWHERE}
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found += [
                    f"{name_of(path)}:{node.lineno} imports {target}"
                    for target in imported(node, path)
                    if target.split(".")[0] in forbidden
                ]
    report(f"{' <- '.join(PACKAGES)}: imports go to the left only", found)


def test_there_are_no_import_cycles() -> None:
    edges = {
        module_of(path): sorted(
            {
                target
                for node in ast.walk(tree(path))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for target in imported(node, path)
                if target in modules() and target != module_of(path)
            }
        )
        for path in sources(*PACKAGES)
    }
    done: set[str] = set()
    found: list[str] = []

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for target in edges.get(module, []):
                visit(target, [*trail, module])
            done.add(module)

    for module in edges:
        visit(module, [])
    report("modules must not import each other in a circle", found)


def lazy_imports() -> Iterator[tuple[Path, int, str]]:
    for path in sources(*PACKAGES):
        for function in functions(tree(path)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    for target in imported(node, path):
                        yield path, node.lineno, target


def test_imports_stand_at_the_top() -> None:
    found = [
        f"{name_of(path)}:{line} imports {target} inside a function (move it up, or list it under [[lazy]])"
        for path, line, target in lazy_imports()
        if not allowed("lazy", name_of(path), module=target)
    ]
    report("no import hides in a function", found)


def test_files_and_functions_are_short() -> None:
    found = []
    for path in sources(*PACKAGES, *ELSEWHERE):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE:
            found.append(f"{name_of(path)} has {lines} lines (at most {MAX_FILE})")
        for function in functions(tree(path)):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > MAX_FUNCTION:
                found.append(
                    f"{name_of(path)}:{function.lineno} {function.name} has {length} lines ({MAX_FUNCTION})"
                )
    report("one thing = one file, one function", found)


def test_the_median_file_is_short() -> None:
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*PACKAGES)]
    assert statistics.median(lengths) <= MAX_MEDIAN


def test_no_module_is_a_bag() -> None:
    found = [
        name_of(path) for path in sources(*PACKAGES) if BAGS.match(path.stem) or BAGS.match(path.parent.name)
    ]
    report("a module is named after the one thing in it", found)


def test_every_module_says_what_it_is() -> None:
    found = [name_of(path) for path in sources(*PACKAGES, *ELSEWHERE) if not ast.get_docstring(tree(path))]
    report("a module begins with a docstring", [file for file in found if (ROOT / file).stat().st_size])


def makes_container(value: ast.expr | None) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return called in CONTAINERS


def mutable_names(module: ast.Module) -> Iterator[tuple[str, int]]:
    for node in module.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if makes_container(getattr(node, "value", None)):
            yield from ((target.id, node.lineno) for target in targets if isinstance(target, ast.Name))


def mutated_names(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that are written into: ``X[k] = v``, ``del X[k]``, ``X += ...``, ``X.append(...)``."""
    for node in ast.walk(module):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield getattr(node.value, "id", ""), node.lineno
        elif isinstance(node, ast.AugAssign):
            yield getattr(node.target, "id", ""), node.lineno
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS
        ):
            yield getattr(node.func.value, "id", ""), node.lineno


def test_no_module_holds_mutable_state() -> None:
    found = []
    for path in sources(*PACKAGES):
        held = dict(mutable_names(tree(path)))
        found += [
            f"{name_of(path)}:{line} {name} (a constant is ALL_CAPS; state belongs to an object)"
            for name, line in held.items()
            if not CONSTANT.match(name) and name != "__all__"
        ]
        found += [
            f"{name_of(path)}:{line} writes into the constant {name}"
            for name, line in mutated_names(tree(path))
            if CONSTANT.match(name)
        ]
        found += [
            f"{name_of(path)}:{node.lineno} uses global"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Global)
        ]
    report("no module-level mutable state", found)


def is_broad(handled: ast.expr | None) -> bool:
    if handled is None:
        return True
    if isinstance(handled, ast.Tuple):
        return any(is_broad(part) for part in handled.elts)
    return getattr(handled, "id", "") in ("Exception", "BaseException")


def broad_excepts() -> Iterator[tuple[Path, int]]:
    for path in sources(*PACKAGES):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and is_broad(node.type):
                yield path, node.lineno
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == "suppress"
            ):
                yield from ((path, node.lineno) for argument in node.args if is_broad(argument))


def test_only_listed_files_catch_everything() -> None:
    found = [
        f"{name_of(path)}:{line} (name the exceptions, or list the file under [[broad]])"
        for path, line in broad_excepts()
        if not allowed("broad", name_of(path))
    ]
    report("broad except only in sinks, jobs and taps", found)


def is_exact(node: ast.BinOp | ast.AugAssign) -> bool:
    """``folder / "name"``, or a division of a ``Decimal``."""
    if not isinstance(node, ast.BinOp):
        return False
    names_file = isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)
    return names_file or "Decimal(" in ast.unparse(node.left)


def floats() -> Iterator[tuple[Path, int, str]]:
    """Floating point where money is made: literals, ``float`` and true division."""
    for path in (*sources("pricing"), ROOT / "gateway/wire/money.py"):
        for node in ast.walk(tree(path)) if path.exists() else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                yield path, node.lineno, f"the literal {node.value}"
            elif isinstance(node, ast.Name) and node.id == "float":
                yield path, node.lineno, "float"
            elif (
                isinstance(node, ast.BinOp | ast.AugAssign)
                and isinstance(node.op, ast.Div)
                and not is_exact(node)
            ):
                yield path, node.lineno, "a true division"


def test_money_is_never_a_float() -> None:
    found = [
        f"{name_of(path)}:{line} uses {what}"
        for path, line, what in floats()
        if not allowed("float", name_of(path))
    ]
    report("prices and costs are integers", found)


def unbounded_caches() -> Iterator[tuple[Path, int]]:
    for path in sources(*PACKAGES):
        for function in functions(tree(path)):
            if not function.args.args and not function.args.kwonlyargs:
                continue
            for decorator in function.decorator_list:
                text = ast.unparse(decorator)
                if re.search(r"\bcache$|lru_cache\(.*None", text):
                    yield path, decorator.lineno


def test_caches_are_bounded() -> None:
    found = [
        f"{name_of(path)}:{line}" for path, line in unbounded_caches() if not allowed("cache", name_of(path))
    ]
    report("a cache has a bound", found)


USES: dict[str, Callable[[], set[Any]]] = {
    "lazy": lambda: {(name_of(path), target) for path, _, target in lazy_imports()},
    "broad": lambda: {(name_of(path),) for path, _ in broad_excepts()},
    "float": lambda: {(name_of(path),) for path, _, _ in floats()},
    "cache": lambda: {(name_of(path),) for path, _ in unbounded_caches()},
}


def test_every_exception_is_needed_and_has_a_reason() -> None:
    found = [f"unknown kind [[{kind}]]" for kind in exceptions() if kind not in USES]
    for kind, find_uses in USES.items():
        uses = find_uses()
        for entry in exceptions().get(kind, []):
            identity = (entry["file"], entry["module"]) if kind == "lazy" else (entry["file"],)
            if identity not in uses:
                found.append(f"[[{kind}]] {' '.join(identity)}: nothing there needs it any more")
            if len(entry.get("why", "")) < 10:
                found.append(f"[[{kind}]] {' '.join(identity)}: say why")
    report("exceptions are few and alive", found)


def test_test_files_have_names_of_their_own() -> None:
    seen: dict[str, Path] = {}
    found = []
    for path in sources("tests"):
        if path.name.startswith("test_") and path.name in seen:
            found.append(f"{name_of(path)} and {name_of(seen[path.name])}")
        seen[path.name] = path
    report("test files need unique names", found)


def test_no_test_is_skipped() -> None:
    found = [
        f"{name_of(path)}:{node.lineno} {ast.unparse(node)}"
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail", "importorskip")
        if ast.unparse(node).startswith("pytest.")
    ]
    report("a skipped test hides a gap", found)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a path of one machine", MACHINE), ("a registry host", HOSTS), ("a tracker", TRACKERS)],
)
def test_tracked_files_speak_of_the_product_alone(what: str, pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{name_of(path)}:{number} {match[0]}"
            for number, line in enumerate(text.splitlines(), 1)
            if (match := pattern.search(line))
        ]
    report(f"{what} does not belong into a file", found)
