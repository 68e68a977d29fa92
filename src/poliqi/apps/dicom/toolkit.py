"""pydicom and pynetdicom as the gateway uses them; importing this imports both.

pynetdicom keeps a few switches for the whole process: data sets are sent from their file as they are, and it logs
nothing of what it carries.
"""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any, Final

from poliqi.apps.dicom.images import Head
from poliqi.base.errors import ConfigError

try:
    import pydicom.uid
    from pydicom.filewriter import write_file_meta_info
    from pynetdicom import _config  # pyright: ignore[reportPrivateUsage]  # the documented place of its switches
    from pynetdicom._globals import ALL_TRANSFER_SYNTAXES  # pyright: ignore[reportPrivateUsage]  # nowhere else
    from pynetdicom.dsutils import create_file_meta
    from pynetdicom.presentation import AllStoragePresentationContexts
except ImportError as error:  # pragma: no cover
    raise ConfigError(f"[dicom] needs {error.name}: pip install 'poliqi[health]'") from None

__all__ = ["COMMITMENT", "PDU_BYTES", "STORAGE_CLASSES", "TRANSFER_SYNTAXES", "VERIFICATION", "preface"]

VERIFICATION: Final = "1.2.840.10008.1.1"
"""The SOP class of C-ECHO."""
COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model."""

PDU_BYTES: Final = 1 << 17
"""The longest P-DATA that is asked for."""
STORAGE_CLASSES: Final = tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
TRANSFER_SYNTAXES: Final = tuple(ALL_TRANSFER_SYNTAXES)

_config.STORE_SEND_CHUNKED_DATASET = True
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
# what matters is told by the gateway; its tracebacks of every broken connection would drown that
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def preface(head: Head) -> bytes:
    """What stands before a data set in a DICOM file (PS3.10 7.1): 128 zeros, "DICM", the file meta information."""
    file: Any = BytesIO()  # pydicom says that it wants more than it uses
    file.write(bytes(128) + b"DICM")
    meta = create_file_meta(
        sop_class_uid=pydicom.uid.UID(head.class_uid),
        sop_instance_uid=pydicom.uid.UID(head.instance_uid),
        transfer_syntax=pydicom.uid.UID(head.syntax_uid),
    )
    write_file_meta_info(file, meta)
    return file.getvalue()
