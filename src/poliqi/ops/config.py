"""LINK.toml: a link as a person writes it ("7 km", "0.3 dB/km", "50 ns"), read into `LinkParameters`.

The structs below are the file's grammar, key by key; docs/reference/link-toml.md explains each of them. A
quantity is text with its unit; a bare number is taken only where there is no unit (a probability, a count).
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel
from poliqi.base.units import parse_quantity
from poliqi.optics.instruments import Instruments
from poliqi.optics.parameters import (
    Attack,
    AttackKind,
    BasisChoice,
    Block,
    ClassicalChannel,
    DeadTimeModel,
    Detector,
    DetectorKind,
    Direction,
    Fibre,
    FrontEnd,
    LinkParameters,
    Pairs,
    PairStatistics,
    Receiver,
    Source,
)
from poliqi.optics.receiver import error_from_extinction, error_from_visibility
from poliqi.proof import ProofName

__all__ = [
    "TABLES",
    "BlockTable",
    "DetectorTable",
    "FibreTable",
    "Number",
    "Quantity",
    "ReceiverTable",
    "SourceTable",
    "Table",
    "default_link",
    "default_link_text",
    "detector_of",
    "device_parameters",
    "fibre_of",
    "link_file",
    "load_link",
    "plain",
    "read_link",
]

_LARGEST: Final = 64 * 1024
_DEFAULT: Final = "leonardo-bovisa.toml"

Number = str | float
"""A probability: 0.01 or "1 %"."""

Quantity = str | float
"""A number with a unit, as text; a bare number is taken in, so that the error can say which unit is missing."""

S = TypeVar("S", bound=msgspec.Struct)


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key in it is an error."""


class SourceTable(Table):
    clock: Quantity
    key_basis: Number
    intensities: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    intensity_noise: Number = 0.0
    pulse_fwhm: Quantity = "0 ps"
    wavelength: Quantity = "1550 nm"
    linewidth: Quantity = "0 nm"


class FibreTable(Table):
    length: Quantity
    attenuation: Quantity = "0.2 dB/km"
    connectors: Quantity = "0 dB"
    mux: Quantity = "0 dB"
    switch: Quantity = "0 dB"
    dispersion: Quantity = "17 ps/(nm km)"


class ReceiverTable(Table):
    error_key: Number | None = None
    extinction: Quantity | None = None
    error_test: Number | None = None
    visibility: Number | None = None
    front_end: FrontEnd = FrontEnd.POLARISATION
    basis_choice: BasisChoice = BasisChoice.PASSIVE
    key_basis: Number | None = None
    loss: Quantity = "0 dB"
    test_loss: Quantity = "0 dB"
    filter_loss: Quantity = "0 dB"
    filter_width: Quantity = "0.8 nm"
    drift: Quantity = "0 rad/sqrt(s)"
    tracking_time: Quantity = "0 s"


class DetectorTable(Table):
    kind: DetectorKind
    efficiency: Number
    dark_rate: Quantity = "0 Hz"
    dark_per_gate: Number = 0.0
    dead_time: Quantity = "0 s"
    dead_time_model: DeadTimeModel = DeadTimeModel.NON_PARALYSABLE
    pixels: int = 1
    afterpulse: Number = 0.0
    afterpulse_time: Quantity = "0 s"
    jitter: Quantity = "0 s"
    window: Quantity | None = None


class PairsTable(Table):
    mean: float
    statistics: PairStatistics = PairStatistics.POISSON
    place: Number = 0.0
    visibility_key: Number = 1.0
    visibility_test: Number = 1.0
    receiver: ReceiverTable | None = None
    detector: DetectorTable | None = None


class ClassicalChannelTable(Table):
    launch: Quantity
    direction: Direction = Direction.FORWARD
    rho: Quantity = "2e-9 /(nm km)"


class AttackTable(Table):
    kind: AttackKind
    fraction: Number = 1.0
    key_basis: Number = 0.5


class InstrumentsTable(Table):
    click_charge: Quantity = "1 pC"
    blinded_current: Quantity = "100 uA"
    current_noise: Quantity = "10 nA"
    mismatch: Number = 0.25
    mismatch_time: Quantity | None = None
    time_resolution: Quantity = "20 ps"
    time_noise: Quantity = "2 ps"
    pilot_noise: Quantity = "0.02 dB"
    isolation: Quantity = "120 dB"
    back_light_noise: Quantity = "0.1 nW"


class BlockTable(Table):
    sifted_key: float = 1e7
    proof: ProofName | None = None
    clamp: bool = True
    epsilon_sec: float = 1e-10
    epsilon_cor: float = 1e-15
    leak_model: LeakModel = LeakModel.BOTH_DIRECTIONS
    efficiency: float = 1.05
    intensity_uncertainty: Number = 0.0
    tolerated_error: Number | None = None


class LinkTable(Table):
    name: str
    source: SourceTable
    fibre: FibreTable
    receiver: ReceiverTable
    detector: DetectorTable
    note: Quantity = ""
    pairs: PairsTable | None = None
    classical_channel: tuple[ClassicalChannelTable, ...] = ()
    attack: AttackTable | None = None
    instruments: InstrumentsTable = msgspec.field(default_factory=InstrumentsTable)
    block: BlockTable = msgspec.field(default_factory=BlockTable)


TABLES: Final[dict[str, type[Table]]] = {
    "": LinkTable,
    "source": SourceTable,
    "fibre": FibreTable,
    "receiver": ReceiverTable,
    "detector": DetectorTable,
    "pairs": PairsTable,
    "classical_channel": ClassicalChannelTable,
    "attack": AttackTable,
    "instruments": InstrumentsTable,
    "block": BlockTable,
}


def load_link(path: str | Path) -> LinkParameters:
    """Read a LINK.toml. Raises ConfigError, with the file and the key in it."""
    return read_link(link_file(path), str(path))


def link_file(path: str | Path) -> str:
    """The text of such a file. Raises ConfigError where it cannot be one."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a LINK.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no LINK.toml")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None


def read_link(text: str, where: str = "LINK.toml") -> LinkParameters:
    """Read the text of a LINK.toml; `where` names it in errors. Raises ConfigError."""
    try:
        data = tomllib.loads(text)
        model = next((name for name in ("cv_qkd", "mdi") if name in data), None)
        if model is not None:
            raise ConfigError(f"{model}: a rate model, for `poliqi rate` alone; there is no such device or session")
        return _link(msgspec.convert(data, LinkTable))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}; docs/reference/link-toml.md lists every key") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def default_link_text() -> str:
    """The text of the link that `poliqi link demo` runs where no file is given."""
    return files("poliqi.ops").joinpath(_DEFAULT).read_text(encoding="utf-8")


def default_link() -> LinkParameters:
    """The link that `poliqi link demo` runs where no file is given; its fibre's figures are invented."""
    return read_link(default_link_text(), _DEFAULT)


def device_parameters(
    name: str, source: SourceTable, receiver: ReceiverTable, detector: DetectorTable, block: BlockTable
) -> LinkParameters:
    """A pair of devices without a fibre between them (length and losses 0), named `name`. Raises ConfigError."""
    return LinkParameters(
        name=name,
        source=_source(source),
        fibre=Fibre(0.0),
        receiver=_receiver(receiver),
        detector=detector_of(detector),
        block=_block(block),
    )


def _link(t: LinkTable) -> LinkParameters:
    attack = Attack()
    if t.attack is not None:
        a = t.attack
        attack = Attack(a.kind, plain(a.fraction, "attack.fraction"), plain(a.key_basis, "attack.key_basis"))
    return LinkParameters(
        name=t.name,
        source=_source(t.source, t.pairs),
        fibre=fibre_of(t.fibre),
        receiver=_receiver(t.receiver),
        detector=detector_of(t.detector),
        pairs=None if t.pairs is None else _pairs(t.pairs),
        classical_channels=tuple(_channel(c) for c in t.classical_channel),
        attack=attack,
        instruments=_instruments(t.instruments),
        block=_block(t.block, ProofName.WIESEMANN if t.pairs is None else ProofName.BBM92),
    )


def _source(t: SourceTable, pairs: PairsTable | None = None) -> Source:
    intensities, probabilities = t.intensities, t.probabilities
    if pairs is not None:
        if intensities or probabilities:
            raise ConfigError("source.intensities: entangled pairs have none; leave them and probabilities out")
        intensities, probabilities = (pairs.mean,), (1.0,)
    return Source(
        clock_hz=parse_quantity(t.clock, "Hz", "source.clock"),
        intensities=intensities,
        probabilities=probabilities,
        key_basis=plain(t.key_basis, "source.key_basis"),
        intensity_noise=plain(t.intensity_noise, "source.intensity_noise"),
        pulse_fwhm_s=parse_quantity(t.pulse_fwhm, "s", "source.pulse_fwhm"),
        wavelength_m=parse_quantity(t.wavelength, "m", "source.wavelength"),
        linewidth_m=parse_quantity(t.linewidth, "m", "source.linewidth"),
    )


def fibre_of(t: FibreTable) -> Fibre:
    """The fibre of a table [fibre]. Raises ConfigError."""
    return Fibre(
        length_m=parse_quantity(t.length, "m", "fibre.length"),
        attenuation_db_per_km=parse_quantity(t.attenuation, "dB/km", "fibre.attenuation"),
        connectors_db=parse_quantity(t.connectors, "dB", "fibre.connectors"),
        mux_db=parse_quantity(t.mux, "dB", "fibre.mux"),
        switch_db=parse_quantity(t.switch, "dB", "fibre.switch"),
        dispersion_ps_nm_km=parse_quantity(t.dispersion, "ps/(nm km)", "fibre.dispersion"),
    )


def _receiver(t: ReceiverTable) -> Receiver:
    extinction = None if t.extinction is None else parse_quantity(t.extinction, "dB", "receiver.extinction")
    visibility = None if t.visibility is None else plain(t.visibility, "receiver.visibility")
    if visibility is not None and not 0.0 <= visibility <= 1.0:
        raise ConfigError(f"receiver.visibility: {visibility:g} is outside 0 to 1")
    return Receiver(
        error_key=_one_of(
            ("receiver.error_key", None if t.error_key is None else plain(t.error_key, "receiver.error_key")),
            ("receiver.extinction", None if extinction is None else error_from_extinction(extinction)),
        ),
        error_test=_one_of(
            ("receiver.error_test", None if t.error_test is None else plain(t.error_test, "receiver.error_test")),
            ("receiver.visibility", None if visibility is None else error_from_visibility(visibility)),
        ),
        front_end=t.front_end,
        basis_choice=t.basis_choice,
        key_basis=None if t.key_basis is None else plain(t.key_basis, "receiver.key_basis"),
        loss_db=parse_quantity(t.loss, "dB", "receiver.loss"),
        test_loss_db=parse_quantity(t.test_loss, "dB", "receiver.test_loss"),
        filter_db=parse_quantity(t.filter_loss, "dB", "receiver.filter_loss"),
        filter_width_m=parse_quantity(t.filter_width, "m", "receiver.filter_width"),
        drift_rad_per_sqrt_s=parse_quantity(t.drift, "rad/sqrt(s)", "receiver.drift"),
        tracking_time_s=parse_quantity(t.tracking_time, "s", "receiver.tracking_time"),
    )


def detector_of(t: DetectorTable) -> Detector:
    """The detector of a table [detector]. Raises ConfigError."""
    return Detector(
        kind=t.kind,
        efficiency=plain(t.efficiency, "detector.efficiency"),
        dark_rate_hz=parse_quantity(t.dark_rate, "Hz", "detector.dark_rate"),
        dark_per_gate=plain(t.dark_per_gate, "detector.dark_per_gate"),
        dead_time_s=parse_quantity(t.dead_time, "s", "detector.dead_time"),
        pixels=t.pixels,
        dead_time_model=t.dead_time_model,
        afterpulse=plain(t.afterpulse, "detector.afterpulse"),
        afterpulse_time_s=parse_quantity(t.afterpulse_time, "s", "detector.afterpulse_time"),
        jitter_fwhm_s=parse_quantity(t.jitter, "s", "detector.jitter"),
        window_s=None if t.window is None else parse_quantity(t.window, "s", "detector.window"),
    )


def _channel(t: ClassicalChannelTable) -> ClassicalChannel:
    return ClassicalChannel(
        launch_dbm=parse_quantity(t.launch, "dBm", "classical_channel.launch"),
        direction=t.direction,
        rho_per_km_nm=parse_quantity(t.rho, "1/(nm km)", "classical_channel.rho"),
    )


def _instruments(t: InstrumentsTable) -> Instruments:
    at = t.mismatch_time
    return Instruments(
        click_charge_c=parse_quantity(t.click_charge, "C", "instruments.click_charge"),
        blinded_current_a=parse_quantity(t.blinded_current, "A", "instruments.blinded_current"),
        current_noise_a=parse_quantity(t.current_noise, "A", "instruments.current_noise"),
        mismatch=plain(t.mismatch, "instruments.mismatch"),
        mismatch_time_s=None if at is None else parse_quantity(at, "s", "instruments.mismatch_time"),
        time_resolution_s=parse_quantity(t.time_resolution, "s", "instruments.time_resolution"),
        time_noise_s=parse_quantity(t.time_noise, "s", "instruments.time_noise"),
        pilot_noise_db=parse_quantity(t.pilot_noise, "dB", "instruments.pilot_noise"),
        isolation_db=parse_quantity(t.isolation, "dB", "instruments.isolation"),
        back_light_noise_w=parse_quantity(t.back_light_noise, "W", "instruments.back_light_noise"),
    )


def _pairs(t: PairsTable) -> Pairs:
    return Pairs(
        statistics=t.statistics,
        place=plain(t.place, "pairs.place"),
        visibility_key=plain(t.visibility_key, "pairs.visibility_key"),
        visibility_test=plain(t.visibility_test, "pairs.visibility_test"),
        receiver=None if t.receiver is None else _receiver(t.receiver),
        detector=None if t.detector is None else detector_of(t.detector),
    )


def _block(t: BlockTable, proof: ProofName = ProofName.WIESEMANN) -> Block:
    if not float(t.sifted_key).is_integer():
        raise ConfigError(f"block.sifted_key: {t.sifted_key!r} is not a whole number of bits")
    return Block(
        sifted_key=int(t.sifted_key),
        proof=proof if t.proof is None else t.proof,
        clamp=t.clamp,
        epsilon_sec=t.epsilon_sec,
        epsilon_cor=t.epsilon_cor,
        leak_model=t.leak_model,
        efficiency=t.efficiency,
        intensity_uncertainty=plain(t.intensity_uncertainty, "block.intensity_uncertainty"),
        tolerated_error=None if t.tolerated_error is None else plain(t.tolerated_error, "block.tolerated_error"),
    )


def plain(value: Number, name: str) -> float:
    """A number without a unit, or a percentage. Raises ConfigError."""
    return parse_quantity(value, "1", name)


def _one_of(first: tuple[str, float | None], second: tuple[str, float | None]) -> float:
    """The value of whichever of two ways to say one thing was used."""
    given = [v for _, v in (first, second) if v is not None]
    if len(given) != 1:
        how = "missing; give it or" if not given else "given together with"
        raise ConfigError(f"{first[0]}: {how} {second[0]}" + ("" if not given else "; keep one of the two"))
    return given[0]
