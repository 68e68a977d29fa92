"""Packages without types, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from poliqi.base.errors import ConfigError

__all__ = ["package"]


def package(name: str) -> Any:
    """The module `name`. Raises ConfigError with the remedy where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f'{name} cannot be imported ({error}); run: pip install "poliqi[xray]"') from error
