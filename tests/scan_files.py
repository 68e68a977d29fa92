"""Files as laboratory diffractometers write them, the least of each that is a whole measurement."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_brml", "write_rasx", "write_raw", "write_xrdml"]

XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.6" status="Completed">
 <sample type="To be analyzed"><id>powder 7</id><name>powder 7</name></sample>
 <xrdMeasurement measurementType="Scan" status="Completed">
  <usedWavelength intended="K-Alpha 1"><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
   <kAlpha2 unit="Angstrom">1.5444260</kAlpha2><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
  <incidentBeamPath><radius unit="mm">240</radius><xRayTube><anodeMaterial>Cu</anodeMaterial></xRayTube>
  </incidentBeamPath>
  <scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="Completed"><dataPoints>
   <positions axis="2Theta" unit="deg"><startPosition>{first}</startPosition><endPosition>{last}</endPosition>
   </positions><commonCountingTime unit="seconds">1.0</commonCountingTime>
   <intensities unit="counts">{counts}</intensities></dataPoints></scan>
 </xrdMeasurement>
</xrdMeasurements>
"""


def write_xrdml(path: Path, x: NDArray[np.float64], counts: NDArray[np.float64], axis: str = "Gonio") -> Path:
    words = " ".join(str(int(count)) for count in counts)
    path.write_text(
        XRDML.format(axis=axis, first=f"{x[0]:.6f}", last=f"{x[-1]:.6f}", counts=words), encoding="utf-8"
    )
    return path


def write_rasx(path: Path, x: NDArray[np.float64], counts: NDArray[np.float64]) -> Path:
    rows = "\r\n".join(f"{at:.5f}\t{int(count)}\t1.0" for at, count in zip(x, counts, strict=True))
    conditions = (
        "<Measurement><GeneralInformation><SampleName>powder 7</SampleName></GeneralInformation><ScanInformation>"
        "<AxisName>TwoThetaTheta</AxisName><Mode>CONTINUOUS</Mode><IntensityUnit>counts</IntensityUnit>"
        "</ScanInformation><HWConfigurations><XrayGenerator><TargetName>Cu</TargetName><WavelengthKalpha1>1.540593"
        "</WavelengthKalpha1><WavelengthKalpha2>1.544414</WavelengthKalpha2></XrayGenerator></HWConfigurations>"
        "</Measurement>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "root.xml",
            '<Root><Data0><ContentHashList Name="Profile0.txt"/><ContentHashList Name="MesurementConditions0.xml"/>'
            "</Data0></Root>",
        )
        archive.writestr("Data0/Profile0.txt", "\ufeff" + rows)
        archive.writestr("Data0/MesurementConditions0.xml", conditions)
    return path


def write_brml(path: Path, x: NDArray[np.float64], counts: NDArray[np.float64]) -> Path:
    rows = "".join(
        f"<Datum>1,1,{at:.5f},{at / 2:.5f},{int(count)}</Datum>" for at, count in zip(x, counts, strict=True)
    )
    raw = (
        '<RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><TubeMaterial>Cu</TubeMaterial><DataRoutes>'
        '<DataRoute RouteFlag="Measured"><ScanInformation ScanName="Coupled TwoTheta/Theta"><ScanAxes>'
        "<ScanAxisInfo "
        'AxisId="TwoTheta" AxisName="TwoTheta"/></ScanAxes></ScanInformation>'
        f"{rows}<DataViews>"
        '<RawDataView xsi:type="FixedRawDataView" Start="0" Length="1" LogicName="MeasuredTime"/>'
        '<RawDataView xsi:type="FixedRawDataView" Start="1" Length="1" LogicName="AbsorptionFactor"/>'
        '<RawDataView xsi:type="VaryingRawDataView" Start="2" Length="2"><Varying>'
        '<FieldDefinitions FieldName="TwoTheta" AxisId="TwoTheta"/><FieldDefinitions FieldName="Theta" '
        'AxisId="Theta"/></Varying></RawDataView>'
        '<RawDataView xsi:type="RecordedRawDataView" Start="4" Length="1"><Recording><Unit Base="Counts"/>'
        "</Recording></RawDataView></DataViews></DataRoute></DataRoutes></RawData>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "Experiment0/DataContainer.xml",
            "<DataContainer><RawDataReferenceList><string>Experiment0/RawData0.xml</string></RawDataReferenceList>"
            "</DataContainer>",
        )
        archive.writestr("Experiment0/RawData0.xml", raw)
    return path


def write_raw(path: Path, x: NDArray[np.float64], counts: NDArray[np.float64]) -> Path:
    """Bruker RAW1.01: one range."""
    head, block = bytearray(712), bytearray(304)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<i", head, 12, 1)
    head[326:334] = b"powder 7"
    head[608:610] = b"Cu"
    struct.pack_into("<ii", block, 0, len(block), x.size)
    struct.pack_into("<d", block, 16, x[0])
    struct.pack_into("<d", block, 176, x[1] - x[0])
    struct.pack_into("<f", block, 192, 1.0)
    struct.pack_into("<d", block, 240, 1.540598)
    struct.pack_into("<iii", block, 248, 0, 4, 0)
    path.write_bytes(bytes(head) + bytes(block) + counts.astype("<f4").tobytes())
    return path
