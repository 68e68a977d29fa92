"""Equivalent circuits, written L-R-(R|CPE)-(R-Wo|CPE): `-` in series, `|` in parallel, `-` binding closer.

Elements without a number are numbered by their kind from the left: L1, R1, R2, CPE1 ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.lab.echem.eis.elements import ELEMENTS, Element, Law, j_omega

__all__ = ["Circuit", "parse_circuit"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_MOST_LETTERS: Final = 200
_MOST_ELEMENTS: Final = 16
_TOKEN: Final = re.compile(r"([A-Z][A-Za-z]*)([0-9]{0,3})|([-|()])")
_BINDS: Final = {"|": 1, "-": 2}


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit as it is calculated: elements from the left, and `postfix` of their numbers, "-" and "|"."""

    text: str
    """In the notation that `parse_circuit` reads: as written, without blanks."""
    names: tuple[str, ...]
    elements: tuple[Element, ...]
    postfix: tuple[int | str, ...]

    @property
    def parameters(self) -> tuple[tuple[str, Law], ...]:
        """Name (such as R1, CPE1_n) and law of every parameter, in their order."""
        return tuple(
            (name + law.suffix, law)
            for name, element in zip(self.names, self.elements, strict=True)
            for law in element.laws
        )

    def impedance(self, frequency_hz: Floats, values: Floats) -> Complexes:
        """Z in ohm, (n,), at the frequencies (n,) for the parameters (k,)."""
        return self.with_derivatives(frequency_hz, values)[0]

    def with_derivatives(self, frequency_hz: Floats, values: Floats) -> tuple[Complexes, Complexes]:
        """Z (n,) and dZ by every parameter (n, k)."""
        s = j_omega(frequency_hz)
        slopes = np.empty((s.size, values.size), dtype=np.complex128, order="F")
        parts: list[tuple[Complexes, int, int]] = []  # impedance, first and past the last of its parameters
        made: list[tuple[Complexes, int, int]] = []
        at = 0
        for element in self.elements:
            past = at + len(element.laws)
            z, columns = element.impedance(s, values[at:past])
            for column, slope in enumerate(columns, at):
                slopes[:, column] = slope
            made.append((z, at, past))
            at = past
        for step in self.postfix:
            if isinstance(step, int):
                parts.append(made[step])
                continue
            (right, middle, end), (left, first, _) = parts.pop(), parts.pop()
            if step == "-":
                parts.append((left + right, first, end))
                continue
            whole = left + right
            slopes[:, first:middle] *= ((right / whole) ** 2)[:, None]
            slopes[:, middle:end] *= ((left / whole) ** 2)[:, None]
            parts.append((left * right / whole, first, end))
        return parts[0][0], slopes


def parse_circuit(text: str) -> Circuit:
    """The circuit that is written. Raises ConfigError that points at what is wrong."""
    if len(text) > _MOST_LETTERS:
        raise ConfigError(f"a circuit of {len(text)} letters; write it in at most {_MOST_LETTERS}")
    names: list[str] = []
    elements: list[Element] = []
    postfix: list[int | str] = []
    waiting: list[str] = []
    counts: dict[str, int] = {}
    wants_element, at = True, 0
    squeezed = "".join(text.split())
    for found in _tokens(squeezed):
        kind, number, sign = found.groups()
        at = found.start()
        if bool(kind or sign == "(") is not wants_element:
            raise _wrong(squeezed, at, "an element" if wants_element else "- or |")
        if kind:
            element = ELEMENTS.get(kind)
            if element is None:
                known = ", ".join(ELEMENTS)
                raise ConfigError(f"circuit {squeezed!a}: {kind!a} is no element; there are {known}")
            counts[kind] = counts.get(kind, 0) + 1
            postfix.append(len(names))
            names.append(f"{kind}{number or counts[kind]}")
            elements.append(element)
            wants_element = False
        elif sign == "(":
            waiting.append(sign)
        elif sign == ")":
            while waiting and waiting[-1] != "(":
                postfix.append(waiting.pop())
            if not waiting:
                raise _wrong(squeezed, at, "a ( before it")
            waiting.pop()
        else:
            while waiting and waiting[-1] != "(" and _BINDS[waiting[-1]] >= _BINDS[sign]:
                postfix.append(waiting.pop())
            waiting.append(sign)
            wants_element = True
    if wants_element:
        raise _wrong(squeezed, len(squeezed), "an element")
    if "(" in waiting:
        raise _wrong(squeezed, len(squeezed), "a )")
    if len(names) > _MOST_ELEMENTS:
        raise ConfigError(f"circuit {squeezed!a:.60}: {len(names)} elements; take at most {_MOST_ELEMENTS}")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"circuit {squeezed!a}: {name} stands there twice; number them, or leave numbers out")
    return Circuit(squeezed, tuple(names), tuple(elements), (*postfix, *reversed(waiting)))


def _tokens(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _wrong(text, at, "an element, -, | or a bracket")
        found.append(token)
        at = token.end()
    return found


def _wrong(text: str, at: int, wanted: str) -> ConfigError:
    there = f"{text[at]!a}" if at < len(text) else "the end"
    return ConfigError(
        f"circuit {text!a}: {there} at letter {at + 1} where {wanted} has to stand; write it like "
        "L-R-(R|CPE)-(R-Wo|CPE)"
    )
