"""A DICOM gateway: takes images at one site, delivers them at another, loses none (docs/spec/dicom-gateway.md).

What needs pydicom and pynetdicom (extra `health`) is imported when a gateway is made, never by reading settings or
looking at a queue.
"""

from __future__ import annotations
