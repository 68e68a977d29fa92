"""A laboratory's pages, under the door of an application of its site: datasets, sending, instruments, invoices."""

from __future__ import annotations

from poliqi.ops.lab_web.room import LabDesk, LabRoom
from poliqi.ops.lab_web.rows import ROWS, lab_annex

__all__ = ["ROWS", "LabDesk", "LabRoom", "lab_annex"]
