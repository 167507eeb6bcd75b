"""Money is whole numbers, and pricing is light: no floats, no heavy imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pricing"
FILES = sorted(PACKAGE.rglob("*.py"))


def floats_in(source: str) -> list[str]:
    """Every way a binary fraction could come in."""
    found = []
    for node in ast.walk(ast.parse(source)):
        where = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{where}: literal {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{where}: true division")
        elif isinstance(node, ast.Name) and node.id in ("float", "complex"):
            found.append(f"{where}: {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr in ("timestamp", "total_seconds", "truediv"):
            found.append(f"{where}: .{node.attr}")
        elif isinstance(node, ast.Import | ast.ImportFrom) and "math" in ast.unparse(node).split():
            found.append(f"{where}: math")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_float_anywhere(path: Path) -> None:
    assert floats_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["x = 1.5", "x = 1 / 2", "x /= 2", "x = float(1)", "x = 1e3", "x = d.timestamp()"]
)
def test_the_search_for_floats_finds_them(source: str) -> None:
    assert floats_in(source)


def test_the_price_book_imports_nothing_heavy() -> None:
    code = "import sys, pricing.book; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout
    for heavy in (
        "pydantic",
        "tiktoken",
        "sqlalchemy",
        "aiohttp",
        "asyncio",
        "genai_prices",
        "opentelemetry",
    ):
        assert f"'{heavy}'" not in loaded
