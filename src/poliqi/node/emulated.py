"""Runs one end of an emulated QSN-d-1 until a signal."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import numpy as np

from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address
from poliqi.edge.qsn_emulator import Ports, QsnEmulator, ReplyFaults
from poliqi.link.qsn.emulated import Emulated, Role, emulated
from poliqi.link.qsn.making import KeyDiscarded, KeyMade

__all__ = ["run_emulated"]


async def run_emulated(
    role: Role,
    chosen: Emulated,
    ports: Ports,
    faults: ReplyFaults,
    *,
    isolated: bool,
    listening: Callable[[Address, Address], None],
    report: Callable[[str], None],
    news: Callable[[KeyMade | KeyDiscarded], None],
) -> None:
    """Until SIGTERM or SIGINT; `listening` is told the main and the LKMS address. Raises ConfigError."""
    loop = asyncio.get_running_loop()
    device = emulated(role, chosen, OperatingSystemEntropy(), 1e3 * (time.time() - loop.time()))
    emulator = QsnEmulator(
        device,
        ports,
        isolated=isolated,
        faults=faults,
        draws=np.random.default_rng(chosen.seed),
        report=report,
        news=news,
    )
    listening(*await emulator.open())
    work = loop.create_task(emulator.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()
