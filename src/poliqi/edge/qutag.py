"""quTAG time-to-digital converters (qutools) as a source of tags, through the vendor's own Python wrapper."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.livetags import LiveTags, vendor_module
from poliqi.link.timetags.tags import MAX_TIME_PS, Tagging, Tags

__all__ = ["QutagTags"]

_BUFFER: Final = 1_000_000
_INPUTS: Final = 32


class QutagTags(LiveTags):
    """A quTAG (standard, MC or HR): its inputs keep their numbers; 0 is the start input.

    Its ring of a million tags is emptied at each call. `trigger_v` gives trigger levels by input. Raises
    ConfigError where the module or the instrument is not there.
    """

    def __init__(self, tagging: Tagging, trigger_v: dict[int, float] | None = None) -> None:
        super().__init__(tagging)
        module = vendor_module(
            ("QuTAG", "QuTAG_MC", "QuTAG_HR", "qutag"),
            "quTAG",
            "put the wrapper of qutools' software (userlib) on the Python path",
        )
        if max(self.inputs) >= _INPUTS:
            raise ConfigError(f"quTAG: input {max(self.inputs)} does not exist; the largest is {_INPUTS - 1}")
        try:
            self._device: Any = module.QuTAG()
        except (RuntimeError, OSError) as error:
            raise ConfigError(f"quTAG: {error}; see that it is connected and in no other use") from error
        self._device.enableChannels(self.inputs)
        for number, level in (trigger_v or {}).items():
            self._device.setSignalConditioning(number, 3, 1, level)  # 3: the level below; 1: rising edge
        self._device.setBufferSize(_BUFFER)
        self._step: Final = _picoseconds(float(self._device.getTimebase()))
        self._device.getLastTimestamps(True)

    def _poll(self) -> Tags:
        counts, inputs, valid = self._device.getLastTimestamps(True)
        if self._device.getDataLost() != 0 or valid >= _BUFFER:
            raise DataRefused("quTAG: tags were lost; lower the rate, or read more often, then start the link anew")
        found = np.asarray(counts[:valid], np.int64)
        numbers = np.asarray(inputs[:valid])
        light = numbers < _INPUTS  # what lies beyond are marks of the instrument's own
        found, numbers = found[light], numbers[light].astype(np.uint8)
        step = self._step
        if found.size and int(found[-1]) * step >= MAX_TIME_PS:
            raise DataRefused(
                f"quTAG: a tag at {float(int(found[-1]) * step):g} ps, at most {MAX_TIME_PS}; restart it"
            )
        whole, rest = np.divmod(found, step.denominator)
        return Tags(whole * step.numerator + rest * step.numerator // step.denominator, numbers)

    def _shut(self) -> None:
        if self._device is not None:
            self._device.deInitialize()
            self._device = None


def _picoseconds(timebase_s: float) -> Fraction:
    """The unit of a count, to a femtosecond. Raises ConfigError for one that cannot be."""
    if not 1e-14 <= timebase_s <= 1e-6:
        raise ConfigError(f"quTAG: a time base of {timebase_s:g} s, must be 1e-14 to 1e-6; update its software")
    return Fraction(round(timebase_s * 1e15), 1000)
