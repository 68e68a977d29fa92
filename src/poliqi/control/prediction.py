"""What a city's links would give before they stand: averages of the channel model put through the finite-key proof.

A prediction is no measurement and no contract. Source settings are the best ones for each device and loss; the
search for them is done once for each device, decibel of loss and doubling of Raman light: that costs less than
0.1 % of the rate, less than 1 % where the key is about to end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.control.city import City, QuantumLink, Site, Span
from poliqi.control.city import ClassicalChannel as PlannedChannel
from poliqi.optics.fibre import transmittance, way_loss_db
from poliqi.optics.optimise import optimise
from poliqi.optics.parameters import ClassicalChannel, Direction, LinkParameters, Source
from poliqi.optics.prediction import Prediction, predict
from poliqi.optics.raman import detected_noise_rate_hz, raman_power_w

__all__ = ["LinkForecast", "Predictor", "link_parameters", "spans_in_order"]

_FARTHEST_DB: Final = 80.0
_FIRST_STEP_DB: Final = 16.0
_CLOSE_DB: Final = 0.03
_PATIENCE_S: Final = 3600.0
_RHO: Final = 2e-9


@dataclass(frozen=True, slots=True)
class LinkForecast:
    """What a link would give. `reach_db`: the loss between its devices, at the same noise, beyond which a block
    gives no key or takes more than an hour.

    `endless_bps` is the rate of a block that never ends; `reason` says why there is no key. QBERs are None where
    nothing is detected.
    """

    link: QuantumLink
    length_km: float
    loss_db: float
    key_rate_bps: float
    endless_bps: float
    qber_key: float | None
    qber_test: float | None
    block_s: float | None
    noise_hz: float
    reason: str | None
    reach_db: float
    source: Source

    @property
    def margin_db(self) -> float:
        """Loss that may still be added before the key ends; negative where there is none."""
        return self.reach_db - self.loss_db


def spans_in_order(city: City, link: QuantumLink) -> list[tuple[Span, bool, Site | None]]:
    """A link's spans as light meets them; whether from the span's first end; the site passed after it."""
    here, found = link.ends[0], list[tuple[Span, bool, Site | None]]()
    for name in link.spans:
        span = city.span[name]
        is_along = span.ends[0] == here
        here = span.ends[1] if is_along else span.ends[0]
        found.append((span, is_along, None if here == link.ends[1] else city.site[here]))
    return found


def link_parameters(city: City, link: QuantumLink, device: LinkParameters) -> LinkParameters:
    """A link of the city over its spans: one fibre of their length, losses, switches and Raman light.

    Alice stands at the link's first end. A link's light has a fibre of its own in the spans' cables, but for the
    classical channels that the spans name. Each span's Raman light loses what lies behind it; over more than one
    span it is written as one forward channel of the same power.
    """
    way = spans_in_order(city, link)
    length = sum(span.length_km for span, _, _ in way)
    glass = sum(span.length_km * span.attenuation_db_km for span, _, _ in way)
    fibre = replace(
        device.fibre,
        length_m=length * 1e3,
        attenuation_db_per_km=glass / length if length > 0.0 else 0.0,
        connectors_db=device.fibre.connectors_db + sum(span.connectors_db for span, _, _ in way),
        switch_db=device.fibre.switch_db
        + sum(site.switch_loss_db or 0.0 for _, _, site in way if site is not None),
    )
    bare = replace(device, name=link.link[:64], fibre=fibre)
    if len(way) == 1:
        span, is_along, _ = way[0]
        return replace(bare, classical_channels=tuple(_channel(c, is_along) for c in span.classical))
    power, behind_db = 0.0, 0.0
    width = device.receiver.filter_width_m
    for span, is_along, site in reversed(way):
        behind_db += (site.switch_loss_db or 0.0) if site is not None else 0.0
        own = replace(fibre, length_m=span.length_km * 1e3, attenuation_db_per_km=span.attenuation_db_km)
        made = sum(raman_power_w(_channel(c, is_along), own, width) for c in span.classical)
        power += made * transmittance(behind_db)
        behind_db += span.loss_db
    if power == 0.0:
        return bare
    unit = raman_power_w(ClassicalChannel(0.0, Direction.FORWARD, _RHO), fibre, width)
    launch_dbm = 10.0 * math.log10(power / unit)
    return replace(bare, classical_channels=(ClassicalChannel(max(-100.0, min(40.0, launch_dbm))),))


def _channel(channel: PlannedChannel, is_along: bool) -> ClassicalChannel:
    """A span's classical channel as the link's light meets it."""
    is_forward = (channel.direction is Direction.FORWARD) == is_along
    return ClassicalChannel(
        channel.launch_dbm, Direction.FORWARD if is_forward else Direction.BACKWARD, channel.rho_per_km_nm
    )


@dataclass(slots=True)
class Predictor:
    """Forecasts of links by `devices`; what was found once is kept.

    `is_optimised` False: the source is set as the device's file says.
    """

    devices: Mapping[str, LinkParameters]
    is_optimised: bool = True
    _settings: dict[tuple[str, int, int | None], Source] = field(
        default_factory=dict[tuple[str, int, int | None], Source]
    )
    _reach: dict[tuple[str, int | None], float] = field(default_factory=dict[tuple[str, int | None], float])

    def forecast(self, city: City, link: QuantumLink) -> LinkForecast:
        """What a link of the city would give. Raises ConfigError where its device is unknown or impossible."""
        if link.device not in self.devices:
            raise ConfigError(f"link {link.link}: there is no device {link.device!r}; add [device.{link.device}]")
        parameters = link_parameters(city, link, self.devices[link.device])
        noise = detected_noise_rate_hz(parameters)
        found = self._predict(parameters, link.device)
        loss = city.loss_db(link)
        length = parameters.fibre.length_m / 1e3
        if isinstance(found, str):
            source = parameters.source
            return LinkForecast(link, length, loss, 0.0, 0.0, None, None, None, noise, found, 0.0, source)
        return LinkForecast(
            link=link,
            length_km=length,
            loss_db=loss,
            key_rate_bps=found.rate_hz,
            endless_bps=found.endless_rate_hz,
            qber_key=found.expectation.qber_key,
            qber_test=found.expectation.qber_test,
            block_s=found.block_s,
            noise_hz=noise,
            reason=found.key.reason,
            reach_db=self._reach_db(parameters, link.device),
            source=found.link.source,
        )

    def _predict(self, parameters: LinkParameters, device: str) -> Prediction | str:
        """The prediction with the device's best settings here, or why nothing can be predicted."""
        try:
            if not self.is_optimised:
                return predict(parameters)
            return predict(replace(parameters, source=self._best(parameters, device)))
        except (ConfigError, DataRefused) as error:
            return str(error)

    def _best(self, parameters: LinkParameters, device: str) -> Source:
        """The best settings at the nearest whole decibel; beyond the reach those of the last one within it."""
        within = math.floor(self._reach_db(parameters, device))
        return self._settings_at(parameters, device, min(round(way_loss_db(parameters.fibre)), within))

    def _settings_at(self, parameters: LinkParameters, device: str, loss_db: int) -> Source:
        key = (device, loss_db, _noise_class(parameters))
        if key not in self._settings:
            start = replace(parameters, source=self._nearest(key) or parameters.source)
            self._settings[key] = optimise(_with_loss(start, float(loss_db)), is_near=True).source
        return self._settings[key]

    def _nearest(self, key: tuple[str, int, int | None]) -> Source | None:
        """Settings of the device at the loss nearest to this, of those that are known."""
        known = [k for k in self._settings if k[0] == key[0] and k[2] == key[2]]
        return self._settings[min(known, key=lambda k: abs(k[1] - key[1]))] if known else None

    def _reach_db(self, parameters: LinkParameters, device: str) -> float:
        """The loss from which on no key comes, in steps that shrink where one fails; length and noise stay.

        Settings are those of the whole decibel below, so that none are looked for where there is no key.
        """
        key = (device, _noise_class(parameters, 16))
        if key not in self._reach:
            loss, step = 0.0, _FIRST_STEP_DB
            while step >= _CLOSE_DB and loss + step <= _FARTHEST_DB:
                source = parameters.source
                if self.is_optimised:
                    source = self._settings_at(parameters, device, math.floor(loss))
                further = replace(_with_loss(parameters, loss + step), source=source)
                if _gives_key(further):
                    loss += step
                else:
                    step /= 2.0
            self._reach[key] = loss
        return self._reach[key]


def _gives_key(parameters: LinkParameters) -> bool:
    try:
        found = predict(parameters)
    except (ConfigError, DataRefused):
        return False
    return found.rate_hz > 0.0 and found.block_s <= _PATIENCE_S


def _with_loss(parameters: LinkParameters, loss_db: float) -> LinkParameters:
    """The same link with another loss, all of it in connectors, and the Raman light that it has."""
    noise = detected_noise_rate_hz(parameters)
    fibre = replace(
        parameters.fibre, attenuation_db_per_km=0.0, connectors_db=max(0.0, loss_db), mux_db=0.0, switch_db=0.0
    )
    bare = replace(parameters, fibre=fibre)
    if noise == 0.0:
        return replace(bare, classical_channels=())
    unit = detected_noise_rate_hz(replace(bare, classical_channels=(ClassicalChannel(0.0),)))
    launch_dbm = 10.0 * math.log10(noise / unit) if unit > 0.0 else -100.0
    return replace(bare, classical_channels=(ClassicalChannel(max(-100.0, min(40.0, launch_dbm))),))


def _noise_class(parameters: LinkParameters, parts: int = 1) -> int | None:
    """Links whose noise differs by less than an octave, or a part of one, share what is worked out once."""
    noise = detected_noise_rate_hz(parameters)
    return None if noise < 1.0 else round(parts * math.log2(noise))
