"""`poliqi lab echem read`: a file of a cycler or potentiostat as one table in BDF names and SI units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.ops.lab_echem_reading import reading_options
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.record import CyclingRecord

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem read"


@click.command()
@click.argument("file", type=PATH)
@reading_options
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Read FILE into one table: time in s, voltage in V, current in A, positive where the cell is charged.

    Formats: BioLogic .mpr and .mpt, Neware .nda and .ndax, Maccor text, Arbin csv and .xlsx, BDF csv and .parquet,
    archives and your own text or .xlsx with named columns. The table is written by -o as .parquet, .csv or .bdf.

    Nothing is guessed: a unit or the sign of the current that the file does not state has to be given; the sign is
    held against the voltage, which rises while a cell is charged. What was decided is printed.

    \b
      poliqi lab echem read cell.mpr -o cell.bdf.parquet --plot cell.svg
      poliqi lab echem read cell.ndax --repeated apart --chemistry graphite-nmc -o cell.csv
      poliqi lab echem read mine.csv --column "time=Zeit [h]" --column "voltage=U [V]" \\
          --column "current=Strom [mA]" --positive discharge -o cell.bdf.parquet
      poliqi lab echem read arbin.xlsx --sheet Channel_11_1
    """
    from dataclasses import replace

    from poliqi.lab.echem.bdf import bdf_bytes, check_bdf
    from poliqi.lab.echem.readers.recordpage import record_page
    from poliqi.ops.lab_echem_reading import read_asked
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of

    outputs = outputs_of(options)
    if outputs.output is not None:
        check_bdf(outputs.output)
    filing = Filing(outputs.store, outputs.tenant, [Read("record", (file,))])
    record, said = read_asked(file, options)
    says_so = ["record"] if record.simulated else []
    record = replace(record, simulated=record.simulated or filing.is_simulated)
    ending = ".parquet" if outputs.output is None else outputs.output.suffix.lower()
    is_written = outputs.output is not None or outputs.store is not None
    files = {f"{_stem(file)}.bdf{ending}": bdf_bytes(record, ending)} if is_written else {}
    page = record_page(record)
    result = Result(
        _told(record),
        [f"{label:<14} {words}" for label, words in page.facts] + [f"note: {note}" for note in page.cautions],
        page,
        files,
        record.simulated,
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=f"Record of {file.name}",
        parameters={**said, "ending": ending},
        keywords=("battery", "cycling"),
        said=says_so,
    )


def _stem(file: Path) -> str:
    """The name without its endings: what "cell.bdf.parquet" and "cell.bdf.gz" have before them."""
    name = file.stem
    return name[: -len(".bdf")] if name.lower().endswith(".bdf") and len(name) > len(".bdf") else name


def _told(record: CyclingRecord) -> dict[str, Any]:
    """What --json prints."""
    from poliqi.lab.echem.readers.recordpage import charges_ah
    from poliqi.lab.echem.record import BDF_NAMES

    charged, discharged = charges_ah(record)
    return {
        "file": record.title,
        "format": record.source_format,
        "points": record.time_s.size,
        "time_s": [float(record.time_s[0]), float(record.time_s[-1])],
        "voltage_v": [float(record.voltage_v.min()), float(record.voltage_v.max())],
        "current_a": [float(record.current_a.min()), float(record.current_a.max())],
        "charged_ah": charged,
        "discharged_ah": discharged,
        "columns": [label for name, label in BDF_NAMES.items() if getattr(record, name) is not None],
        "started_unix_s": record.started_unix_s,
        "notes": list(record.notes),
        "simulated": record.simulated,
    }
