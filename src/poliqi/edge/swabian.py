"""Swabian Instruments' Time Taggers as a source of tags, through the vendor's own Python module."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.livetags import LiveTags, vendor_module
from poliqi.link.timetags.tags import Tagging, Tags

__all__ = ["SwabianTags"]

_BUFFER: Final = 1 << 22
_TAG: Final = 0
_KINDS: Final = {1: "an error of its clock", 2: "an overflow", 3: "the end of an overflow", 4: "missed tags"}


class SwabianTags(LiveTags):
    """A Time Tagger (20, Ultra, X): its inputs keep their numbers, which start at 1; falling edges (negative
    numbers) are not taken. `trigger_v` gives trigger levels by input.

    Raises ConfigError where the module or the instrument is not there.
    """

    def __init__(self, tagging: Tagging, serial: str = "", trigger_v: dict[int, float] | None = None) -> None:
        super().__init__(tagging)
        self._module: Final = vendor_module(
            ("TimeTagger", "Swabian.TimeTagger"),
            "Swabian Time Tagger",
            "install the Time Tagger software, or pip install Swabian-TimeTagger",
        )
        if 0 in self.inputs:
            raise ConfigError("Swabian Time Tagger: input 0 does not exist; its inputs are numbered from 1")
        try:
            self._tagger: Any = self._module.createTimeTagger(serial)
        except RuntimeError as error:
            raise ConfigError(
                f"Swabian Time Tagger {serial or '(any)'}: {error}; see that it is connected and in no other use"
            ) from error
        for number, level in (trigger_v or {}).items():
            self._tagger.setTriggerLevel(number, level)
        self._stream: Any = self._module.TimeTagStream(self._tagger, _BUFFER, self.inputs)

    def _poll(self) -> Tags:
        data: Any = self._stream.getData()
        times = np.asarray(data.getTimestamps(), np.int64)
        kinds = np.asarray(data.getEventTypes())
        if (kinds != _TAG).any():
            at = int((kinds != _TAG).argmax())
            what = _KINDS.get(int(kinds[at]), f"an event of kind {kinds[at]}")
            raise DataRefused(
                f"Swabian Time Tagger: {what} at {times[at]} ps; lower the rate (a divider, fewer inputs), then "
                f"start the link anew"
            )
        return Tags(times, np.asarray(data.getChannels()).astype(np.uint8))

    def _shut(self) -> None:
        if self._tagger is not None:
            self._stream.stop()
            self._module.freeTimeTagger(self._tagger)
            self._tagger = None
