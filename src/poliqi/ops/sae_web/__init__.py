"""The pages of an application: send a file, see what came, keep receipts; served at its own site."""

from __future__ import annotations

from poliqi.ops.sae_web.annex import Annex
from poliqi.ops.sae_web.application import SaePages, sae_pages
from poliqi.ops.sae_web.desk import (
    Arrival,
    ArrivedFile,
    Desk,
    DeskView,
    Direction,
    Estimate,
    Neighbour,
    ReceiptView,
    Transfer,
    TransferState,
)
from poliqi.ops.sae_web.limits import PAGE_LIMITS, UploadLimits

__all__ = [
    "PAGE_LIMITS",
    "Annex",
    "Arrival",
    "ArrivedFile",
    "Desk",
    "DeskView",
    "Direction",
    "Estimate",
    "Neighbour",
    "ReceiptView",
    "SaePages",
    "Transfer",
    "TransferState",
    "UploadLimits",
    "sae_pages",
]
