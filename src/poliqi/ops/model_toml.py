"""Files of rate models: a table [cv_qkd] or [mdi] beside [fibre], in the words and units of a LINK.toml.

`poliqi rate` reads them as it reads a link; nothing else does, since no device or session of that kind is here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.units import parse_quantity
from poliqi.ops.config import (
    DetectorTable,
    FibreTable,
    Number,
    Quantity,
    Table,
    detector_of,
    fibre_of,
    plain,
    read_link,
)
from poliqi.ops.config import link_file as read_file
from poliqi.optics.cvqkd import CvLink
from poliqi.optics.mdi import MdiLink
from poliqi.optics.parameters import LinkParameters

__all__ = ["MODEL_TABLES", "Model", "load_model", "read_model"]

Model = LinkParameters | CvLink | MdiLink


class CvQkdTable(Table):
    symbol_rate: Quantity
    excess_noise: Number
    efficiency: Number
    electronic_noise: Number
    reconciliation: Number = 0.95
    modulation: float | None = None


class CvFile(Table):
    name: str
    fibre: FibreTable
    cv_qkd: CvQkdTable
    note: Quantity = ""


class MdiTable(Table):
    clock: Quantity
    intensities: tuple[float, float] | None = None
    place: Number = 0.5
    hub_loss: Quantity = "0 dB"
    misalignment: Number = 0.015
    correction: float = 1.16


class MdiFile(Table):
    name: str
    fibre: FibreTable
    detector: DetectorTable
    mdi: MdiTable
    note: Quantity = ""


MODEL_TABLES: Final[dict[str, type[Table]]] = {"cv_qkd": CvQkdTable, "mdi": MdiTable}


_MEANT: Final = {"cvqkd": "cv_qkd", "cv": "cv_qkd", "mdi": "mdi", "mdiqkd": "mdi"}


def load_model(path: str | Path) -> Model:
    """Read a LINK.toml or the file of a rate model. Raises ConfigError, with the file and the key in it."""
    return read_model(read_file(path), str(path))


def read_model(text: str, where: str = "LINK.toml") -> Model:
    """Read the text of one; `where` names it in errors. Raises ConfigError."""
    try:
        data = tomllib.loads(text)
        if "cv_qkd" in data and "mdi" in data:
            raise ConfigError("cv_qkd: given together with mdi; keep one of the two")
        for name in data:
            meant = _MEANT.get(name.lower().replace("-", "").replace("_", ""))
            if meant is not None and name != meant:
                raise ConfigError(f"{name[:40]}: there is no such table; did you mean [{meant}]?")
        if "cv_qkd" in data:
            return _cv(msgspec.convert(data, CvFile))
        if "mdi" in data:
            return _mdi(msgspec.convert(data, MdiFile))
    except (tomllib.TOMLDecodeError, RecursionError):
        pass  # read_link says it
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}; docs/reference/rate-models.md lists every key") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return read_link(text, where)


def _cv(t: CvFile) -> CvLink:
    own = t.cv_qkd
    return CvLink(
        name=t.name,
        fibre=fibre_of(t.fibre),
        symbol_hz=parse_quantity(own.symbol_rate, "Hz", "cv_qkd.symbol_rate"),
        excess_noise=plain(own.excess_noise, "cv_qkd.excess_noise"),
        efficiency=plain(own.efficiency, "cv_qkd.efficiency"),
        electronic_noise=plain(own.electronic_noise, "cv_qkd.electronic_noise"),
        reconciliation=plain(own.reconciliation, "cv_qkd.reconciliation"),
        modulation=own.modulation,
    )


def _mdi(t: MdiFile) -> MdiLink:
    own = t.mdi
    return MdiLink(
        name=t.name,
        fibre=fibre_of(t.fibre),
        detector=detector_of(t.detector),
        clock_hz=parse_quantity(own.clock, "Hz", "mdi.clock"),
        intensities=own.intensities,
        place=plain(own.place, "mdi.place"),
        hub_loss_db=parse_quantity(own.hub_loss, "dB", "mdi.hub_loss"),
        misalignment=plain(own.misalignment, "mdi.misalignment"),
        correction=own.correction,
    )
