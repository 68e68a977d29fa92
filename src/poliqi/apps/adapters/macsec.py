"""MACsec: the configuration that wpa_supplicant takes, with a quantum key as CAK. UNTESTED: written, never run.

The CAK (connectivity association key, IEEE Std 802.1X-2020) is the quantum key, and its name (CKN) the key_ID's 16
bytes, so that both ends know which it is. MKA derives the session keys from it and replaces them by itself.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from poliqi.apps.adapters.software import KEY_BYTES
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.keyanswers import Key

__all__ = ["UNTESTED", "macsec_configuration"]

UNTESTED: Final = "UNTESTED: written after the documentation of wpa_supplicant, run with no MACsec"
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.@+=-]{1,15}")


def macsec_configuration(key: Key, interface: str) -> bytearray:
    """The file for `wpa_supplicant -D macsec_linux -i INTERFACE -c FILE`; it holds the key, which is wiped.

    Raises ConfigError, DataRefused where the key has another size or a key_ID that is no UUID.
    """
    try:
        if _INTERFACE.fullmatch(interface) is None:
            raise ConfigError(f"interface {interface[:40]!r}: write a network interface's name, such as eth1")
        if len(key.value) != KEY_BYTES:
            raise DataRefused(f"key {key.key_id}: has {len(key.value)} bytes; MACsec takes {KEY_BYTES}")
        try:
            name = uuid.UUID(key.key_id).hex
        except ValueError:
            raise DataRefused(f"key_ID {key.key_id[:80]!r}: is no UUID, and the CKN is made of one") from None
        lines = [
            f"# {UNTESTED}.",
            f"# Interface {interface}, key_ID {key.key_id}. Holds a secret: readable by root alone.",
            "ctrl_interface=/run/wpa_supplicant",
            "eapol_version=3",
            "ap_scan=0",
            "network={",
            "    key_mgmt=NONE",
            "    eapol_flags=0",
            "    macsec_policy=1",
            "    macsec_integ_only=0",
            "    macsec_replay_protect=1",
            "    macsec_replay_window=0",
            f"    mka_ckn={name}",
            "    mka_cak=",
        ]
        return bytearray("\n".join(lines).encode()) + bytearray(key.value.view().hex().encode()) + b"\n}\n"
    finally:
        key.value.close()
