"""Files of cyclers and potentiostats, each format a module, all of them one record: `read_record`."""

from poliqi.lab.echem.readers.options import Positive, ReadOptions, Repeated
from poliqi.lab.echem.readers.reading import FORMATS, Format, read_record

__all__ = ["FORMATS", "Format", "Positive", "ReadOptions", "Repeated", "read_record"]
