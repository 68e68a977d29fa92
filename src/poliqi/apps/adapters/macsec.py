"""MACsec: the configuration that wpa_supplicant takes, with a quantum key as CAK. UNTESTED: written, never run.

The CAK (connectivity association key, IEEE Std 802.1X-2020) is the quantum key, and its name (CKN) the key_ID's 16
bytes, so that both ends know which it is. MKA derives the session keys from it and replaces them by itself.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from poliqi.apps.adapters.software import KEY_BYTES
from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.edge.keyanswers import Key

__all__ = ["UNTESTED", "macsec_configuration", "write_macsec"]

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


def write_macsec(out: Path, interface: str, draw: Callable[[], Key], demand: GradeDemand) -> Key:
    """Write the configuration into a new file (mode 600), with the key that `draw` gets; the key, wiped.

    Raises ConfigError, DataRefused, StoreError and what `draw` raises; then there is no file.
    """
    # the file is made first, so that no key is lost to a full disk or a wrong name
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigError(f"--out {out} exists already and is never overwritten; name another file") from None
    except OSError as error:
        raise StoreError(f"--out {out}: cannot be made: {error.strerror}; name another file") from None
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            key = draw()
            why = demand.judge(KeyGrade.read(key.grade))
            if why is not None:
                key.value.close()
                raise DataRefused(f"key {key.key_id}: {why}")
            content = macsec_configuration(key, interface)
            try:
                file.write(content)
            except OSError as error:
                raise StoreError(f"--out {out}: {error.strerror}; this key is used up, ask for another") from None
            finally:
                content[:] = bytes(len(content))
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    return key
