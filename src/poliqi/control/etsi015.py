"""The data model of ETSI GS QKD 015 V2.1.1 as structs: their JSON is yang-data+json (RFC 7951).

Names are the standard's. What is not known is left out (`UNSET`). `STATE` marks what no one can configure, `KEY`
the key of a list; packaging/yang/etsi-qkd-sdn-node.yang says the same in YANG, and a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = [
    "KEY",
    "MODULE",
    "STATE",
    "AppQos",
    "AppStatistics",
    "AppStatus",
    "AppType",
    "Attachment",
    "End",
    "InterfaceStatus",
    "LinkStatus",
    "LinkType",
    "NodeStatus",
    "Performance",
    "PerformanceType",
    "PhysicalPerformance",
    "QkdApp",
    "QkdApplications",
    "QkdInterface",
    "QkdInterfaces",
    "QkdLink",
    "QkdLinks",
    "QkdNode",
    "QkdnCapabilities",
    "Statistics",
    "Technology",
]

MODULE: Final = "etsi-qkd-sdn-node"
_TYPES: Final = "etsi-qkd-node-types:"

STATE: Final = Meta(extra={"config": False})
"""A leaf that only the node sets."""
KEY: Final = Meta(extra={"key": True})
"""The leaf that tells entries of a list apart."""


class NodeStatus(StrEnum):
    """qkdn_status."""

    NEW = _TYPES + "NEW"
    OPERATING = _TYPES + "OPERATING"
    DOWN = _TYPES + "DOWN"
    FAILURE = _TYPES + "FAILURE"
    OUT = _TYPES + "OUT"


class AppStatus(StrEnum):
    """app_status."""

    ON = _TYPES + "ON"
    DISCONNECTED = _TYPES + "DISCONNECTED"


class AppType(StrEnum):
    """app_type."""

    CLIENT = _TYPES + "CLIENT"
    INTERNAL = _TYPES + "INTERNAL"


class Technology(StrEnum):
    """qkdi_type."""

    DV_QKD = _TYPES + "DV-QKD"


class InterfaceStatus(StrEnum):
    """qkdi_status."""

    ENABLED = _TYPES + "ENABLED"
    FAILED = _TYPES + "FAILED"


class LinkStatus(StrEnum):
    """qkdl_status."""

    ACTIVE = _TYPES + "ACTIVE"
    PASSIVE = _TYPES + "PASSIVE"
    PENDING = _TYPES + "PENDING"
    OFF = _TYPES + "OFF"


class LinkType(StrEnum):
    """qkdl_type."""

    PHYS = _TYPES + "PHYS"
    VIRT = _TYPES + "VIRT"


class PerformanceType(StrEnum):
    """perf_type."""

    QBER = _TYPES + "QBER"


class _Yang(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A container, or an entry of a list."""


class QkdnCapabilities(_Yang, frozen=True):
    link_stats_support: bool = True
    application_stats_support: bool = True
    key_relay_mode_enable: bool = True


class AppQos(_Yang, frozen=True):
    """Bandwidths in bit/s, `ttl` in s."""

    max_bandwidth: int | UnsetType = UNSET
    ttl: int | UnsetType = UNSET
    clients_shared_path_enable: bool = False
    clients_shared_keys_required: bool = False


class Statistics(_Yang, frozen=True):
    """What an application took in a period; times are those of RFC 3339."""

    end_time: Annotated[str, KEY]
    start_time: str
    consumed_bits: int


class AppStatistics(_Yang, frozen=True):
    statistics: tuple[Statistics, ...] = ()


class QkdApp(_Yang, frozen=True):
    """An association: the same `app_id` at the nodes of both ends."""

    app_id: Annotated[str, KEY]
    app_status: Annotated[AppStatus, STATE]
    app_type: AppType
    server_app_id: str
    client_app_id: tuple[str, ...]
    local_qkdn_id: str
    remote_qkdn_id: str
    app_priority: int = 0
    app_qos: AppQos = AppQos()
    app_statistics: Annotated[AppStatistics | UnsetType, STATE] = UNSET
    backing_qkdl_id: tuple[str, ...] | UnsetType = UNSET


class QkdApplications(_Yang, frozen=True):
    qkd_app: tuple[QkdApp, ...] = ()


class Attachment(_Yang, frozen=True):
    device: str
    port: int


class QkdInterface(_Yang, frozen=True):
    """One end of a quantum channel."""

    qkdi_id: Annotated[int, KEY]
    qkdi_model: str | UnsetType = UNSET
    qkdi_type: Technology | UnsetType = UNSET
    qkdi_att_point: Attachment | UnsetType = UNSET
    qkdi_status: Annotated[InterfaceStatus | UnsetType, STATE] = UNSET


class QkdInterfaces(_Yang, frozen=True):
    qkd_interface: tuple[QkdInterface, ...] = ()


class End(_Yang, frozen=True):
    """Of a link: a node, and its interface where a quantum channel ends there."""

    qkdn_id: str
    qkdi_id: int | UnsetType = UNSET


class PhysicalPerformance(_Yang, frozen=True):
    perf_type: Annotated[PerformanceType, KEY]
    value: str


class Performance(_Yang, frozen=True):
    """Rates in bit/s."""

    expected_consumption: int
    skr: int
    eskr: int
    phys_perf: tuple[PhysicalPerformance, ...] | UnsetType = UNSET


class QkdLink(_Yang, frozen=True):
    """A stock of key that is shared with another node."""

    qkdl_id: Annotated[str, KEY]
    qkdl_status: Annotated[LinkStatus, STATE]
    qkdl_local: End
    qkdl_remote: End
    qkdl_type: LinkType
    qkdl_performance: Annotated[Performance, STATE]
    qkdl_enable: bool = True
    qkdl_applications: tuple[str, ...] | UnsetType = UNSET
    virt_prev_hop: str | UnsetType = UNSET
    virt_next_hop: tuple[str, ...] | UnsetType = UNSET
    virt_bandwidth: int | UnsetType = UNSET
    phys_channel_att: str | UnsetType = UNSET


class QkdLinks(_Yang, frozen=True):
    qkd_link: tuple[QkdLink, ...] = ()


class QkdNode(_Yang, frozen=True):
    """The tree under etsi-qkd-sdn-node:qkd_node."""

    qkdn_id: str
    qkdn_status: Annotated[NodeStatus, STATE]
    qkdn_version: str
    qkdn_location_id: str = ""
    qkdn_capabilities: QkdnCapabilities = QkdnCapabilities()
    qkd_applications: QkdApplications = QkdApplications()
    qkd_interfaces: QkdInterfaces = QkdInterfaces()
    qkd_links: QkdLinks = QkdLinks()
