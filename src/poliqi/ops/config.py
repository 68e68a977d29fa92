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
    Receiver,
    Source,
)
from poliqi.optics.receiver import error_from_extinction, error_from_visibility
from poliqi.proof import ProofName

__all__ = [
    "TABLES",
    "BlockTable",
    "DetectorTable",
    "ReceiverTable",
    "SourceTable",
    "default_link",
    "default_link_text",
    "device_parameters",
    "load_link",
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
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    key_basis: Number
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


class ClassicalChannelTable(Table):
    launch: Quantity
    direction: Direction = Direction.FORWARD
    rho: Quantity = "2e-9 /(nm km)"


class AttackTable(Table):
    kind: AttackKind
    fraction: Number = 1.0
    key_basis: Number = 0.5


class BlockTable(Table):
    sifted_key: float = 1e7
    proof: ProofName = ProofName.WIESEMANN
    clamp: bool = True
    epsilon_sec: float = 1e-10
    epsilon_cor: float = 1e-15
    leak_model: LeakModel = LeakModel.BOTH_DIRECTIONS
    efficiency: float = 1.05
    intensity_uncertainty: Number = 0.0


class LinkTable(Table):
    name: str
    source: SourceTable
    fibre: FibreTable
    receiver: ReceiverTable
    detector: DetectorTable
    note: Quantity = ""
    classical_channel: tuple[ClassicalChannelTable, ...] = ()
    attack: AttackTable | None = None
    block: BlockTable = msgspec.field(default_factory=BlockTable)


TABLES: Final[dict[str, type[Table]]] = {
    "": LinkTable,
    "source": SourceTable,
    "fibre": FibreTable,
    "receiver": ReceiverTable,
    "detector": DetectorTable,
    "classical_channel": ClassicalChannelTable,
    "attack": AttackTable,
    "block": BlockTable,
}


def load_link(path: str | Path) -> LinkParameters:
    """Read a LINK.toml. Raises ConfigError, with the file and the key in it."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a LINK.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no LINK.toml")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    return read_link(text, str(where))


def read_link(text: str, where: str = "LINK.toml") -> LinkParameters:
    """Read the text of a LINK.toml; `where` names it in errors. Raises ConfigError."""
    try:
        return _link(msgspec.convert(tomllib.loads(text), LinkTable))
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
        detector=_detector(detector),
        block=_block(block),
    )


def _link(t: LinkTable) -> LinkParameters:
    attack = Attack()
    if t.attack is not None:
        a = t.attack
        attack = Attack(a.kind, _plain(a.fraction, "attack.fraction"), _plain(a.key_basis, "attack.key_basis"))
    return LinkParameters(
        name=t.name,
        source=_source(t.source),
        fibre=_fibre(t.fibre),
        receiver=_receiver(t.receiver),
        detector=_detector(t.detector),
        classical_channels=tuple(_channel(c) for c in t.classical_channel),
        attack=attack,
        block=_block(t.block),
    )


def _source(t: SourceTable) -> Source:
    return Source(
        clock_hz=parse_quantity(t.clock, "Hz", "source.clock"),
        intensities=t.intensities,
        probabilities=t.probabilities,
        key_basis=_plain(t.key_basis, "source.key_basis"),
        intensity_noise=_plain(t.intensity_noise, "source.intensity_noise"),
        pulse_fwhm_s=parse_quantity(t.pulse_fwhm, "s", "source.pulse_fwhm"),
        wavelength_m=parse_quantity(t.wavelength, "m", "source.wavelength"),
        linewidth_m=parse_quantity(t.linewidth, "m", "source.linewidth"),
    )


def _fibre(t: FibreTable) -> Fibre:
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
    visibility = None if t.visibility is None else _plain(t.visibility, "receiver.visibility")
    if visibility is not None and not 0.0 <= visibility <= 1.0:
        raise ConfigError(f"receiver.visibility: {visibility:g} is outside 0 to 1")
    return Receiver(
        error_key=_one_of(
            ("receiver.error_key", None if t.error_key is None else _plain(t.error_key, "receiver.error_key")),
            ("receiver.extinction", None if extinction is None else error_from_extinction(extinction)),
        ),
        error_test=_one_of(
            ("receiver.error_test", None if t.error_test is None else _plain(t.error_test, "receiver.error_test")),
            ("receiver.visibility", None if visibility is None else error_from_visibility(visibility)),
        ),
        front_end=t.front_end,
        basis_choice=t.basis_choice,
        key_basis=None if t.key_basis is None else _plain(t.key_basis, "receiver.key_basis"),
        loss_db=parse_quantity(t.loss, "dB", "receiver.loss"),
        test_loss_db=parse_quantity(t.test_loss, "dB", "receiver.test_loss"),
        filter_db=parse_quantity(t.filter_loss, "dB", "receiver.filter_loss"),
        filter_width_m=parse_quantity(t.filter_width, "m", "receiver.filter_width"),
        drift_rad_per_sqrt_s=parse_quantity(t.drift, "rad/sqrt(s)", "receiver.drift"),
        tracking_time_s=parse_quantity(t.tracking_time, "s", "receiver.tracking_time"),
    )


def _detector(t: DetectorTable) -> Detector:
    return Detector(
        kind=t.kind,
        efficiency=_plain(t.efficiency, "detector.efficiency"),
        dark_rate_hz=parse_quantity(t.dark_rate, "Hz", "detector.dark_rate"),
        dark_per_gate=_plain(t.dark_per_gate, "detector.dark_per_gate"),
        dead_time_s=parse_quantity(t.dead_time, "s", "detector.dead_time"),
        pixels=t.pixels,
        dead_time_model=t.dead_time_model,
        afterpulse=_plain(t.afterpulse, "detector.afterpulse"),
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


def _block(t: BlockTable) -> Block:
    if not float(t.sifted_key).is_integer():
        raise ConfigError(f"block.sifted_key: {t.sifted_key!r} is not a whole number of bits")
    return Block(
        sifted_key=int(t.sifted_key),
        proof=t.proof,
        clamp=t.clamp,
        epsilon_sec=t.epsilon_sec,
        epsilon_cor=t.epsilon_cor,
        leak_model=t.leak_model,
        efficiency=t.efficiency,
        intensity_uncertainty=_plain(t.intensity_uncertainty, "block.intensity_uncertainty"),
    )


def _plain(value: Number, name: str) -> float:
    return parse_quantity(value, "1", name)


def _one_of(first: tuple[str, float | None], second: tuple[str, float | None]) -> float:
    """The value of whichever of two ways to say one thing was used."""
    given = [v for _, v in (first, second) if v is not None]
    if len(given) != 1:
        how = "missing; give it or" if not given else "given together with"
        raise ConfigError(f"{first[0]}: {how} {second[0]}" + ("" if not given else "; keep one of the two"))
    return given[0]
