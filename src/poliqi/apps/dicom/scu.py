"""The gateway as it calls machines of its site: C-STORE of images, reports of commitment, C-ECHO."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pynetdicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.presentation import build_context, build_role

from poliqi.apps.dicom.images import Head, Outcome
from poliqi.apps.dicom.settings import Node
from poliqi.apps.dicom.toolkit import COMMITMENT, PDU_BYTES, VERIFICATION
from poliqi.base.errors import LinkDown

__all__ = ["Courier", "echo", "report_commitment"]

_CONTEXTS_MOST: Final = 120
_SLOWEST_BYTES_S: Final = 1e6
_SUCCESS: Final = 0x0000
_NO_RESOURCES: Final = (0xA700, 0xA7FF)
_TRANSIENT: Final = (0x0110, 0x0213)
_WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"


class Courier:
    """Brings images to one machine, over an association that is kept while it lasts. For one thread."""

    def __init__(self, ae: str, node: Node, timeout_s: float) -> None:
        self._node: Final = node
        self._timeout_s: Final = timeout_s
        self._entity: Final = _entity(ae, timeout_s)
        self._wanted: Final[list[tuple[str, str]]] = []
        self._association: Any = None
        self._number = 0

    def deliver(self, head: Head, path: Path, size_bytes: int) -> tuple[Outcome, int | None, str]:
        """Send the file's data set as it is; what became of it, the DICOM status, and words for people."""
        try:
            self._call(head)
        except LinkDown as error:
            return Outcome.LATER, None, str(error)
        if not self._takes(head):
            return Outcome.REFUSED, None, f"{self._node.ae} does not take {_named(head)}"
        self._number = self._number % 0xFFFF + 1
        self._association.dimse_timeout = self._timeout_s + size_bytes / _SLOWEST_BYTES_S
        try:
            answer = self._association.send_c_store(path, msg_id=self._number)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            self.close()
            return Outcome.LATER, None, f"{self._node.ae} at {self._node.address}: {error}"
        if "Status" not in answer:
            self.close()
            return Outcome.LATER, None, f"{self._node.ae} at {self._node.address} gave no answer"
        return _judge(self._node.ae, int(answer.Status), str(answer.get("ErrorComment", "")))

    def close(self) -> None:
        """Hang up, politely where that is possible."""
        association, self._association = self._association, None
        if association is not None:
            with suppress(Exception):
                association.release() if association.is_established else association.abort()

    def reach(self) -> tuple[Outcome, str]:
        """Whether the machine lets the gateway in; where not, later, and why."""
        if not self._is_open:
            try:
                self._open()
            except LinkDown as error:
                return Outcome.LATER, str(error)
        return Outcome.DELIVERED, ""

    @property
    def _is_open(self) -> bool:
        return self._association is not None and self._association.is_established

    def _call(self, head: Head) -> None:
        """An association that was asked for this kind of image: one context for each, so nothing is re-encoded."""
        kind = head.class_uid, head.syntax_uid
        if self._is_open and kind in self._wanted:
            return
        if kind not in self._wanted:
            self._wanted.append(kind)
            del self._wanted[:-_CONTEXTS_MOST]
        self._open()

    def _open(self) -> None:
        self.close()
        contexts = [build_context(UID(class_uid), UID(syntax_uid)) for class_uid, syntax_uid in self._wanted]
        # the library drops an association that takes nothing it was asked for; C-ECHO is always taken
        contexts.append(build_context(VERIFICATION))
        self._association = _associate(self._entity, self._node, contexts)

    def _takes(self, head: Head) -> bool:
        return any(
            str(c.abstract_syntax) == head.class_uid and str(c.transfer_syntax[0]) == head.syntax_uid
            for c in self._association.accepted_contexts
        )


def _judge(ae: str, status: int, comment: str) -> tuple[Outcome, int, str]:
    """Classes of PS3.4 B.2.3 and PS3.7 C: success and warnings are kept; want of resources and failures while
    processing are tried again; anything else never gets better by itself.
    """
    said = f"{ae} answers 0x{status:04X}" + (f": {comment}" if comment else "")
    if status == _SUCCESS:
        return Outcome.DELIVERED, status, ""
    if status == 0x0001 or 0xB000 <= status <= 0xBFFF:
        return Outcome.DELIVERED, status, said
    if status in _TRANSIENT or _NO_RESOURCES[0] <= status <= _NO_RESOURCES[1]:
        return Outcome.LATER, status, said
    return Outcome.REFUSED, status, said


def _named(head: Head) -> str:
    return f"{UID(head.class_uid).name} in {UID(head.syntax_uid).name}"


def echo(ae: str, node: Node, timeout_s: float) -> None:
    """C-ECHO. Raises LinkDown where the machine does not answer as it should."""
    association = _associate(_entity(ae, timeout_s), node, [build_context(VERIFICATION)])
    try:
        answer = association.send_c_echo()
        if "Status" not in answer or answer.Status != _SUCCESS:
            raise LinkDown(f"{node.ae} at {node.address} does not answer C-ECHO")
    finally:
        with suppress(Exception):
            association.release()


def report_commitment(
    ae: str,
    node: Node,
    transaction_uid: str,
    kept: Collection[tuple[str, str]],
    failed: Collection[tuple[str, str, int]],
    timeout_s: float,
) -> None:
    """N-EVENT-REPORT of storage commitment (PS3.4 J.3.3). Raises LinkDown where it was not accepted."""
    roles = [build_role(COMMITMENT, scp_role=True)]
    contexts = [build_context(COMMITMENT)]
    association = _associate(_entity(ae, timeout_s), node, contexts, roles)
    try:
        information = _event(transaction_uid, kept, failed)
        answer, _ = association.send_n_event_report(
            information, 2 if failed else 1, COMMITMENT, UID(_WELL_KNOWN_INSTANCE)
        )
    except (RuntimeError, ValueError) as error:
        raise LinkDown(f"{node.ae} at {node.address} takes no report of commitment: {error}") from error
    finally:
        with suppress(Exception):
            association.release()
    if "Status" not in answer or answer.Status != _SUCCESS:
        raise LinkDown(f"{node.ae} at {node.address} did not accept a report of commitment")


def _event(
    transaction_uid: str, kept: Collection[tuple[str, str]], failed: Collection[tuple[str, str, int]]
) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction_uid
    if kept:
        information.ReferencedSOPSequence = [_reference(*pair) for pair in kept]
    if failed:
        information.FailedSOPSequence = [_reference(*pair) for pair in failed]
    return information


def _reference(class_uid: str, instance_uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = class_uid
    item.ReferencedSOPInstanceUID = instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def _entity(ae: str, timeout_s: float) -> Any:
    entity = pynetdicom.AE(ae_title=ae)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = timeout_s
    entity.network_timeout = None
    return entity


def _associate(entity: Any, node: Node, contexts: list[Any], roles: list[Any] | None = None) -> Any:
    """An open association. Raises LinkDown."""
    try:
        association = entity.associate(
            node.address.host,
            node.address.port,
            contexts=contexts,
            ae_title=node.ae,
            max_pdu=PDU_BYTES,
            ext_neg=roles or [],
        )
    except (OSError, RuntimeError) as error:
        raise LinkDown(f"{node.ae} at {node.address}: {error}") from error
    if association.is_established:
        return association
    what = "does not let this gateway in" if association.is_rejected else "cannot be reached"
    raise LinkDown(f"{node.ae} at {node.address} {what}")
