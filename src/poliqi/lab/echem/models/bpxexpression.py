"""Functions of one variable in BPX files: checked word by word and calculated without running them as code.

The grammar is that of BPX: numbers, `x`, + - * / **, brackets, exp, tanh and cosh. An exponent is a number, so that
no expression of a few characters can ask for a number of a billion digits.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from poliqi.base.errors import DataRefused

__all__ = ["FUNCTIONS", "Program", "calculated", "program_of"]

FUNCTIONS: Final = ("exp", "tanh", "cosh")
_MOST_CHARACTERS: Final = 8192
_MOST_POWER: Final = 100.0

Program = tuple[tuple[str, float], ...]
"""In reverse Polish order: ("number", 2.5), ("x", 0), ("+", 0), ("exp", 0) ..."""

_BINARY: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}


def program_of(text: str, name: str) -> Program:
    """The expression, to be calculated. `name` is told in errors. Raises DataRefused."""
    if len(text) > _MOST_CHARACTERS:
        raise DataRefused(f"{name}: {len(text)} characters, must be at most {_MOST_CHARACTERS}; give a table")
    if not text.isascii() or any(one in text for one in "\r\n\t#;\\"):
        raise DataRefused(f"{name}: {text!a:.60} is no expression in one line of numbers and x; mend it")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise DataRefused(f"{name}: {text!a:.60} is no expression of x; mend it") from error
    found: list[tuple[str, float]] = []
    waiting: list[tuple[ast.AST, bool]] = [(tree.body, False)]
    while waiting:
        node, is_done = waiting.pop()
        if is_done:
            found.append((_operation(node), 0.0))
            continue
        parts = _parts(node, name)
        if not parts:
            found.append(_leaf(node, name))
            continue
        waiting.append((node, True))
        waiting += [(part, False) for part in reversed(parts)]
    return tuple(found)


def calculated(program: Program, x: Any, functions: Mapping[str, Callable[[Any], Any]]) -> Any:
    """The expression at x, a number, an array or a symbol; `functions` are exp, tanh and cosh for such."""
    stack: list[Any] = []
    for word, number in program:
        match word:
            case "number":
                stack.append(number)
            case "x":
                stack.append(x)
            case "negative":
                stack.append(-stack.pop())
            case "same":
                continue
            case "exp" | "tanh" | "cosh":
                stack.append(functions[word](stack.pop()))
            case _:
                right, left = stack.pop(), stack.pop()
                stack.append(_joined(word, left, right))
    return stack.pop()


def _joined(word: str, left: Any, right: Any) -> Any:
    match word:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case _:
            return left**right


def _parts(node: ast.AST, name: str) -> list[ast.AST]:
    """What is calculated before it; nothing for a number or x."""
    match node:
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            if isinstance(operation, ast.Pow) and not _is_small(right):
                raise DataRefused(f"{name}: an exponent must be a number of at most {_MOST_POWER:g}; mend it")
            return [left, right]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.Call(func=ast.Name(id=called), args=[argument], keywords=[]) if called in FUNCTIONS:
            return [argument]
        case ast.Constant() | ast.Name():
            return []
        case _:
            raise DataRefused(
                f"{name}: holds a {type(node).__name__}; only + - * / ** exp tanh cosh x and numbers may"
            )


def _is_small(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and not isinstance(node.value, bool)
        and node.value <= _MOST_POWER
    )


def _leaf(node: ast.AST, name: str) -> tuple[str, float]:
    if isinstance(node, ast.Name):
        if node.id != "x":
            raise DataRefused(f"{name}: {node.id!a:.40} is unknown; the variable is x")
        return ("x", 0.0)
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataRefused(f"{name}: {value!a:.40} is no number")
    try:
        return ("number", float(value))
    except OverflowError as error:
        raise DataRefused(f"{name}: a number of it is out of range") from error


def _operation(node: ast.AST) -> str:
    match node:
        case ast.BinOp(op=operation):
            return _BINARY[type(operation)]
        case ast.UnaryOp(op=ast.USub()):
            return "negative"
        case ast.Call(func=ast.Name(id=called)):
            return called
        case _:
            return "same"
