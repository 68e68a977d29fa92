"""A Python file of somebody else's, run with this process's rights: a device's driver, a bench's candidate."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from poliqi.base.errors import ConfigError, words_of

__all__ = ["load_file"]

_MOST_BYTES: Final = 1 << 20


def load_file(path: Path, what: str) -> ModuleType:
    """Run the file and give its module, whose name begins with `what`, one word. Raises ConfigError."""
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(f"{what} {path}: there is no Python file of this name; give one that ends with .py")
    if path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{what} {path}: {path.stat().st_size} bytes are too many, at most {_MOST_BYTES} are run")
    spec = importlib.util.spec_from_file_location(f"poliqi_{what}_{path.stem}", path)
    assert spec is not None  # of a .py file there always is one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # code of others: whatever it raises is why it cannot be had
        raise ConfigError(f"{what} {path} cannot be imported: {words_of(error)}") from error
    return module
