"""Payments between banks as files: ISO 20022 pacs.008.001.08, made and read with pyiso20022.

    python payment.py make 3 payments.xml      three credit transfers
    python payment.py read payments.xml        what is in it; exit code 1 where it is no sound pacs.008

Needs: pip install pyiso20022 xsdata
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pyiso20022.pacs.pacs_008_001_08 import pacs_008_001_08 as iso
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.models.datatype import XmlDate, XmlDateTime

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"
LARGEST = 10_000_000
# the specimen numbers of the Italian and the German banking association: no account has them
DEBTOR, CREDITOR = "IT60X0542811101000000123456", "DE89370400440532013000"


@dataclass(frozen=True)
class Transfer:
    """What a clerk looks at."""

    reference: str
    amount: Decimal
    currency: str
    debtor: str
    creditor: str
    text: str


def is_iban(text: str) -> bool:
    """The check digits of ISO 13616: the number modulo 97 is 1."""
    if not (15 <= len(text) <= 34 and text.isascii() and text.isalnum()):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def make(number: int, name: str = "Mario Rossi") -> bytes:
    """A message with `number` transfers of `name`."""
    transfers = [_transfer(i, name) for i in range(1, number + 1)]
    total = sum((t.intr_bk_sttlm_amt.value for t in transfers), Decimal(0))
    header = iso.GroupHeader93(
        msg_id="POLIQI-0001",
        cre_dt_tm=XmlDateTime(2026, 11, 23, 9, 0, 0),
        nb_of_txs=str(number),
        ttl_intr_bk_sttlm_amt=_euro(total),
        intr_bk_sttlm_dt=XmlDate(2026, 11, 23),
        sttlm_inf=iso.SettlementInstruction7(sttlm_mtd=iso.SettlementMethod1Code.CLRG),
    )
    body = iso.FitoFicustomerCreditTransferV08(grp_hdr=header, cdt_trf_tx_inf=transfers)
    text = XmlSerializer().render(iso.Document(fito_ficstmr_cdt_trf=body), ns_map={"": NAMESPACE})
    return text.encode()


def _transfer(number: int, name: str) -> iso.CreditTransferTransaction39:
    return iso.CreditTransferTransaction39(
        pmt_id=iso.PaymentIdentification7(end_to_end_id=f"INVOICE-{number}", tx_id=f"TX-{number}"),
        intr_bk_sttlm_amt=_euro(Decimal(number) * Decimal("100.25")),
        chrg_br=iso.ChargeBearerType1Code.SLEV,
        dbtr=iso.PartyIdentification135(nm=name),
        dbtr_acct=_account(DEBTOR),
        dbtr_agt=_bank("BCITITMM"),
        cdtr_agt=_bank("COBADEFF"),
        cdtr=iso.PartyIdentification135(nm="Erika Mustermann"),
        cdtr_acct=_account(CREDITOR),
        rmt_inf=iso.RemittanceInformation16(ustrd=[f"Invoice {number}"]),
    )


def _euro(value: Decimal) -> iso.ActiveCurrencyAndAmount:
    return iso.ActiveCurrencyAndAmount(value=value, ccy="EUR")


def _account(iban: str) -> iso.CashAccount38:
    return iso.CashAccount38(id=iso.AccountIdentification4Choice(iban=iban))


def _bank(bic: str) -> iso.BranchAndFinancialInstitutionIdentification6:
    return iso.BranchAndFinancialInstitutionIdentification6(
        fin_instn_id=iso.FinancialInstitutionIdentification18(bicfi=bic)
    )


def read(data: bytes) -> list[Transfer]:
    """The transfers of a message. Raises ValueError where it is no sound pacs.008."""
    if len(data) > LARGEST or b"<!DOCTYPE" in data:
        raise ValueError("it is too large, or declares entities, which no payment needs")
    try:
        document = XmlParser(config=ParserConfig(fail_on_unknown_properties=True)).from_bytes(data, iso.Document)
    except Exception as error:  # the parser's own errors and those of XML
        raise ValueError(f"it is no pacs.008.001.08: {error}") from error
    body = document.fito_ficstmr_cdt_trf
    found = [_read(t) for t in body.cdt_trf_tx_inf]
    if str(len(found)) != body.grp_hdr.nb_of_txs:
        raise ValueError(f"its header says {body.grp_hdr.nb_of_txs} transfers, it holds {len(found)}")
    wrong = [iban for t in found for iban in (t.debtor, t.creditor) if not is_iban(iban)]
    if wrong:
        raise ValueError(f"{wrong[0]} is no IBAN: its check digits do not fit")
    return found


def _read(transfer: iso.CreditTransferTransaction39) -> Transfer:
    return Transfer(
        transfer.pmt_id.end_to_end_id,
        transfer.intr_bk_sttlm_amt.value,
        transfer.intr_bk_sttlm_amt.ccy,
        _iban(transfer.dbtr_acct),
        _iban(transfer.cdtr_acct),
        " ".join(transfer.rmt_inf.ustrd) if transfer.rmt_inf else "",
    )


def _iban(account: iso.CashAccount38 | None) -> str:
    return "" if account is None or account.id.iban is None else account.id.iban


def main(words: list[str]) -> int:
    match words:
        case ["make", number, path]:
            Path(path).write_bytes(make(int(number)))
            return 0
        case ["read", path]:
            try:
                for t in read(Path(path).read_bytes()):
                    print(f"{t.reference}  {t.amount} {t.currency}  {t.debtor} to {t.creditor}  {t.text}")
            except ValueError as error:
                print(f"{path}: {error}", file=sys.stderr)
                return 1
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
