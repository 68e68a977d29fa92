"""lib3mf sets the process's locale to "C" and leaves it so: files opened afterwards would be read as ASCII."""

from __future__ import annotations

import locale
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["locale_kept"]


@contextmanager
def locale_kept() -> Generator[None]:
    """What is called within may set the locale; afterwards it is as it was."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
