"""`poliqi lab store`: what a laboratory keeps, and where each piece of it came from."""

from __future__ import annotations

from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

_COMMANDS: Final = {
    "add": ("lab_store_add", "command", "take files in as a dataset"),
    "export": ("lab_store_crate", "export", "write a dataset as an RO-Crate: a folder or a ZIP file"),
    "get": ("lab_store_data", "get", "copy a dataset out, held against its hashes"),
    "import": ("lab_store_crate", "import_", "take an RO-Crate in, from anybody"),
    "init": ("lab_store_init", "command", "make a new store"),
    "instrument": ("lab_store_things", "instrument", "devices that measure: add, list"),
    "list": ("lab_store_data", "list_", "datasets, newest first; search by words"),
    "provenance": ("lab_store_provenance", "command", "where a dataset came from, back to what was measured"),
    "receive": ("lab_store_receive", "command", "take in the datasets that stand in the inbox"),
    "sample": ("lab_store_things", "sample", "things that are measured: add, list"),
    "send": ("lab_store_send", "command", "send a dataset to another site, with its provenance"),
    "show": ("lab_store_data", "show", "all about a dataset"),
    "tenant": ("lab_store_init", "tenant", "organisations with a part of their own: add, list"),
    "verify": ("lab_store_verify", "command", "read everything and hold it against its hashes"),
}

command = lazy_group(
    _COMMANDS,
    """Samples, datasets, jobs: files named by their BLAKE3, immutable, with where each came from.

    \b
      poliqi lab store init mylab --organisation "Politecnico di Milano"
      export POLIQI_LAB=mylab
      poliqi lab store sample add AgBh-3 --note batch=2026-11
      poliqi lab store add frames/ --title "AgBh, 3 min" --sample AgBh-3 --licence CC-BY-4.0
      poliqi lab store list agbh
      poliqi lab store provenance DATASET
      poliqi lab store send DATASET Bovisa

    A dataset is named by its identifier, or by the first letters of it, at least four.
    """,
)
