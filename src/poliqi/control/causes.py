"""Causes of alarms, in one table: how bad, what it is, what to do next, in English and in Italian.

`lean` and `settle_s` belong to the search for the cause (diagnosis.py): how much likelier or rarer a cause is than
a cut fibre (natural logarithm), and how long its first sign waits for others before the alarm is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.control.events import Severity
from poliqi.control.lines import Language, Value, fill

__all__ = ["CAUSES", "Cause", "CauseRow", "cause_advice", "cause_line"]


class Cause(StrEnum):
    """What an alarm may be about."""

    SPAN_CUT = "span-cut"
    GROUP_CUT = "group-cut"
    DEVICE_FAILED = "device-failed"
    SWITCH_FAILED = "switch-failed"
    SITE_DOWN = "site-down"
    SITE_UNREACHED = "site-unreached"
    CONTROLLER_CUT_OFF = "controller-cut-off"
    PARTITION = "partition"
    PEERS_PARTED = "peers-parted"
    EAVESDROPPER = "eavesdropper"
    PHOTON_SPLITTING = "photon-splitting"
    BLINDING = "blinding"
    TIME_SHIFT = "time-shift"
    TROJAN_HORSE = "trojan-horse"
    JAMMING = "jamming"
    TAMPERING = "tampering"
    UNKNOWN_ATTACK = "unknown-attack"
    QUARANTINED = "quarantined"
    MISALIGNED = "misaligned"
    STRAY_LIGHT = "stray-light"
    TAP_OR_BEND = "tap-or-bend"
    NO_KEY = "no-key"
    LYING_SITE = "lying-site"
    RIVAL_CONTROLLER = "rival-controller"
    CLOCK_SKEW = "clock-skew"
    STORE_FAILED = "store-failed"
    STORE_DAMAGED = "store-damaged"
    PLANNED_WORK = "planned-work"
    DEMAND_GROWTH = "demand-growth"
    STOCK_LOW = "stock-low"


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One row of the table. {site}, {link}, {span} and names of the alarm's values are filled in."""

    severity: Severity
    lean: float
    settle_s: float
    english: str
    italian: str
    advice_english: str
    advice_italian: str


_C = Cause
_S = Severity

CAUSES: Final[dict[Cause, CauseRow]] = {
    _C.SPAN_CUT: CauseRow(
        _S.CRITICAL,
        0.0,
        0.6,
        "fibre {span} is cut: no light on {links}",
        "la fibra {span} è interrotta: nessuna luce su {links}",
        "Call the fibre's owner and measure from either end with an OTDR; keys that have another way take it.",
        "Chiamare il gestore della fibra e misurare con un OTDR da un estremo; le chiavi che hanno un "
        "altro percorso lo seguono.",
    ),
    _C.GROUP_CUT: CauseRow(
        _S.CRITICAL,
        -0.5,
        0.6,
        "all fibres that share {group} are cut: {spans}",
        "tutte le fibre che condividono {group} sono interrotte: {spans}",
        "Look for works or damage at {group}, then call the fibres' owner.",
        "Cercare lavori o danni presso {group}, poi chiamare il gestore delle fibre.",
    ),
    _C.DEVICE_FAILED: CauseRow(
        _S.ERROR,
        -0.5,
        7.0,
        "the device of {link} at {site} does not work; its fibre is not the cause",
        "il dispositivo di {link} presso {site} non funziona; la fibra non c'entra",
        "At {site} look at the link end's log, the device's power and its process; restart the link end.",
        "Presso {site} controllare il registro dell'estremo, l'alimentazione e il processo; riavviare l'estremo.",
    ),
    _C.SWITCH_FAILED: CauseRow(
        _S.ERROR,
        -1.0,
        0.6,
        "the optical switch at {site} lets no light pass: {links}",
        "lo switch ottico presso {site} non lascia passare luce: {links}",
        "Look at the switch's position and power at {site}; the links that end there work.",
        "Controllare posizione e alimentazione dello switch presso {site}; i collegamenti che vi terminano "
        "funzionano.",
    ),
    _C.SITE_DOWN: CauseRow(
        _S.CRITICAL,
        -0.5,
        2.0,
        "{site} is down: controller, other sites and links no longer hear it",
        "{site} è fuori servizio: né il controllore né gli altri siti né i collegamenti lo sentono",
        "Look at power and network of {site}; start it with `poliqi site run`. Stored keys are not lost.",
        "Controllare alimentazione e rete di {site}; avviarlo con `poliqi site run`. Le chiavi conservate non si "
        "perdono.",
    ),
    _C.SITE_UNREACHED: CauseRow(
        _S.WARNING,
        -0.5,
        7.0,
        "the controller does not reach {site}, which goes on serving keys with its last routes",
        "il controllore non raggiunge {site}, che continua a fornire chiavi con gli ultimi percorsi",
        "Look at the network between the controller and {site}, and at the certificate of its control connection.",
        "Controllare la rete tra il controllore e {site} e il certificato della connessione di controllo.",
    ),
    _C.CONTROLLER_CUT_OFF: CauseRow(
        _S.ERROR,
        -0.5,
        4.0,
        "the controller itself is cut off: it reaches none of {sites}",
        "il controllore stesso è isolato: non raggiunge nessuno tra {sites}",
        "Look at the controller's own network first; the sites go on serving keys without it.",
        "Controllare prima la rete del controllore; i siti continuano a fornire chiavi anche senza.",
    ),
    _C.PARTITION: CauseRow(
        _S.CRITICAL,
        -0.5,
        2.0,
        "the network is split: {sites} have no connection with the others",
        "la rete è divisa: {sites} non hanno connessione con gli altri",
        "Look at the network that joins {sites} to the others; inside each part keys go on.",
        "Controllare la rete che unisce {sites} agli altri; all'interno di ciascuna parte le chiavi continuano.",
    ),
    _C.PEERS_PARTED: CauseRow(
        _S.ERROR,
        -0.5,
        6.0,
        "{site} and {other} have no connection, though both run",
        "{site} e {other} non sono collegati, benché entrambi in funzione",
        "Look at the network, firewall and certificates between {site} and {other}.",
        "Controllare rete, firewall e certificati tra {site} e {other}.",
    ),
    _C.EAVESDROPPER: CauseRow(
        _S.CRITICAL,
        -0.5,
        1.0,
        "somebody may be listening on {span}: the error rate of {link} jumped, its loss did not",
        "qualcuno potrebbe essere in ascolto su {span}: il tasso d'errore di {link} è salito di colpo, la perdita "
        "no",
        "Inform the security officer and inspect {span}. Keys stay safe: the measured errors pay for what was "
        "heard, and above the limit none is made. Where the monitor quarantined {link}, release it afterwards with "
        "`poliqi link release`.",
        "Avvisare il responsabile della sicurezza e ispezionare {span}. Le chiavi restano sicure: gli errori "
        "misurati compensano quanto ascoltato e oltre il limite non se ne producono. Se il monitor ha messo {link} "
        "in quarantena, rilasciarlo poi con `poliqi link release`.",
    ),
    _C.PHOTON_SPLITTING: CauseRow(
        _S.CRITICAL,
        -0.5,
        8.0,
        "somebody may be splitting photons on {span}: {link} makes no key by its decoy states, and its error rate "
        "is as usual",
        "qualcuno potrebbe separare fotoni su {span}: {link} non dà chiave per gli stati esca, e il tasso d'errore "
        "è nella norma",
        "Inform the security officer; check the source's intensities at Alice's end, then inspect {span}. Where "
        "the monitor quarantined {link}, release it afterwards with `poliqi link release`.",
        "Avvisare il responsabile della sicurezza; verificare le intensità della sorgente, poi ispezionare {span}. "
        "Se il monitor ha messo {link} in quarantena, rilasciarlo poi con `poliqi link release`.",
    ),
    _C.BLINDING: CauseRow(
        _S.CRITICAL,
        -0.5,
        1.0,
        "somebody may be steering Bob's detectors on {link} with bright light",
        "qualcuno potrebbe pilotare i rivelatori di {link} con luce intensa",
        "Keep the link in quarantine: no proof covers this. Inspect {span} and Bob's receiver, then release it at "
        "the end that is quarantined (its `poliqi link status` says so): `poliqi link release --state DIR`.",
        "Tenere il collegamento in quarantena: nessuna dimostrazione copre questo caso. Ispezionare {span} e il "
        "ricevitore, poi rilasciarlo all'estremo in quarantena (lo dice il suo `poliqi link status`): "
        "`poliqi link release --state DIR`.",
    ),
    _C.TIME_SHIFT: CauseRow(
        _S.CRITICAL,
        -0.5,
        1.0,
        "light on {link} arrives at other times than before: somebody may be choosing which detector sees it",
        "la luce su {link} arriva in tempi diversi da prima: qualcuno potrebbe scegliere quale rivelatore la vede",
        "Keep the link in quarantine: no proof covers this. Check the gates' timing first, then inspect {span}; "
        "release it at the end that is quarantined (its `poliqi link status` says so): "
        "`poliqi link release --state DIR`.",
        "Tenere il collegamento in quarantena: nessuna dimostrazione copre questo caso. Controllare prima la "
        "temporizzazione, poi ispezionare {span}; rilasciarlo all'estremo in quarantena (lo dice il suo "
        "`poliqi link status`): `poliqi link release --state DIR`.",
    ),
    _C.TROJAN_HORSE: CauseRow(
        _S.CRITICAL,
        -0.5,
        1.0,
        "light enters Alice's device of {link} from the fibre: somebody may be reading her settings",
        "entra luce dalla fibra nel dispositivo di Alice di {link}: qualcuno potrebbe leggerne le impostazioni",
        "Keep the link in quarantine: what its keys leak is unknown. Inspect {span} and Alice's isolators, then "
        "release it at the end that is quarantined (its `poliqi link status` says so): "
        "`poliqi link release --state DIR`.",
        "Tenere il collegamento in quarantena: non si sa quanto trapeli dalle chiavi. Ispezionare {span} e gli "
        "isolatori di Alice, poi rilasciarlo all'estremo in quarantena (lo dice il suo `poliqi link status`): "
        "`poliqi link release --state DIR`.",
    ),
    _C.JAMMING: CauseRow(
        _S.ERROR,
        -0.8,
        1.0,
        "light that is not Alice's floods {link}, and no data channel on {span} explains it: it may be jamming",
        "luce estranea invade {link} e nessun canale dati su {span} la spiega: qualcuno potrebbe disturbare",
        "Look for light sources on {span}; keys made are safe, and the demands that have another way take it.",
        "Cercare sorgenti di luce su {span}; le chiavi prodotte sono sicure e chi ha un altro percorso lo segue.",
    ),
    _C.TAMPERING: CauseRow(
        _S.CRITICAL,
        -0.5,
        0.6,
        "messages between the ends of {link} are changed or repeated on their way: their tags do not fit",
        "i messaggi tra gli estremi di {link} sono alterati o ripetuti: le etichette non corrispondono",
        "No block came of it. Compare the pair ids of both ends (`poliqi link status`); where they agree, inspect "
        "the network between them.",
        "Non ne è nato alcun blocco. Confrontare gli identificativi (`poliqi link status`); se coincidono, "
        "ispezionare la rete tra i due estremi.",
    ),
    _C.UNKNOWN_ATTACK: CauseRow(
        _S.CRITICAL,
        -0.8,
        1.0,
        "{link} behaves as no sound link and no known attack does",
        "{link} si comporta come nessun collegamento sano e nessun attacco noto",
        "Keep the link in quarantine and read its log: the figures that left their place stand there. Then "
        "`poliqi link release --state DIR` at the end that is quarantined (its `poliqi link status` says so). "
        "Where devices were changed, commission the link anew.",
        "Tenere il collegamento in quarantena e leggerne il registro, che riporta le grandezze anomale. Poi "
        "`poliqi link release --state DIR` all'estremo in quarantena (lo dice il suo `poliqi link status`). Se i "
        "dispositivi sono cambiati, ripetere la messa in servizio.",
    ),
    _C.QUARANTINED: CauseRow(
        _S.ERROR,
        -0.5,
        1.0,
        "{link} is quarantined by its own monitor, which names no known attack: {seen}",
        "{link} è in quarantena per decisione del suo monitor, che non indica alcun attacco noto: {seen}",
        "Read the log of both ends: a meter that reads nothing any more, or too few clicks to judge by. Mend it, "
        "then release the link at the end that is quarantined (its `poliqi link status` says so): "
        "`poliqi link release --state DIR`.",
        "Leggere il registro dei due estremi: uno strumento che non misura più, o troppo pochi conteggi. "
        "Rimediare, poi rilasciare il collegamento all'estremo in quarantena (lo dice il suo "
        "`poliqi link status`): `poliqi link release --state DIR`.",
    ),
    _C.MISALIGNED: CauseRow(
        _S.WARNING,
        0.5,
        8.0,
        "{link} drifts out of alignment: its error rate grows slowly",
        "{link} perde l'allineamento: il tasso d'errore cresce lentamente",
        "Run the alignment of the devices of {link}; look at temperature and polarisation control.",
        "Riallineare i dispositivi di {link}; controllare temperatura e controllo di polarizzazione.",
    ),
    _C.STRAY_LIGHT: CauseRow(
        _S.ERROR,
        -1.5,
        1.0,
        "light that is not Alice's reaches {links} over {span}; a data channel on the fibre is the likely source",
        "luce estranea raggiunge {links} attraverso {span}; la causa probabile è un canale dati sulla fibra",
        "Ask who lit a channel on {span}; lower its power, move its wavelength or mend the filter.",
        "Chiedere chi ha acceso un canale su {span}; ridurne la potenza, spostarne la lunghezza d'onda o riparare "
        "il "
        "filtro.",
    ),
    _C.TAP_OR_BEND: CauseRow(
        _S.ERROR,
        0.0,
        10.0,
        "{span} loses more light than before, the error rate did not change: a bend, a connector or a tap",
        "{span} perde più luce di prima, il tasso d'errore non è cambiato: una curva, un connettore o una "
        "derivazione",
        "Measure {span} with an OTDR and inspect the place it shows; keys made are still safe. Where the monitor "
        "quarantined {link}, release it afterwards with `poliqi link release`.",
        "Misurare {span} con un OTDR e ispezionare il punto indicato; le chiavi prodotte restano sicure. Se il "
        "monitor ha messo {link} in quarantena, rilasciarlo poi con `poliqi link release`.",
    ),
    _C.NO_KEY: CauseRow(
        _S.ERROR,
        -2.5,
        2.0,
        "{link} makes no key, and nothing measured says why",
        "{link} non produce chiave e nessuna misura dice perché",
        "Read the reason of the link's latest blocks in its log; look at both devices.",
        "Leggere nel registro il motivo degli ultimi blocchi; controllare i due dispositivi.",
    ),
    _C.LYING_SITE: CauseRow(
        _S.CRITICAL,
        -0.5,
        1.0,
        "{site} reports what others contradict; its reports are not used",
        "{site} comunica dati che altri contraddicono; i suoi rapporti non sono usati",
        "Take {site} out by `drain` until its software and its people are checked; route no key through it.",
        "Escludere {site} con `drain` finché software e personale non sono verificati; non farvi passare chiavi.",
    ),
    _C.RIVAL_CONTROLLER: CauseRow(
        _S.CRITICAL,
        0.5,
        0.3,
        "two controllers run; the sites obey the newer one, epoch {epoch}",
        "sono attivi due controllori; i siti obbediscono al più recente, epoca {epoch}",
        "Stop one of the two, then have the other one take charge: poliqi control take-charge.",
        "Fermarne uno, poi far assumere il comando all'altro: poliqi control take-charge.",
    ),
    _C.CLOCK_SKEW: CauseRow(
        _S.WARNING,
        0.5,
        0.3,
        "the clock of {site} is wrong by {skew_s:.1f} s",
        "l'orologio di {site} è sbagliato di {skew_s:.1f} s",
        "Set the clock of {site} by NTP; certificates and reports depend on it.",
        "Sincronizzare l'orologio di {site} con NTP; ne dipendono certificati e rapporti.",
    ),
    _C.STORE_FAILED: CauseRow(
        _S.CRITICAL,
        0.5,
        1.0,
        "{site} cannot write its key store and serves nothing",
        "{site} non riesce a scrivere l'archivio delle chiavi e non fornisce nulla",
        "Free or replace the disk of {site}, check it by `poliqi site check`, then start the site again.",
        "Liberare o sostituire il disco di {site}, verificare con `poliqi site check`, poi riavviare il sito.",
    ),
    _C.STORE_DAMAGED: CauseRow(
        _S.ERROR,
        0.5,
        1.0,
        "stored keys of {site} are damaged or older than its peer's, and are not used",
        "chiavi conservate presso {site} sono danneggiate o più vecchie di quelle del corrispondente e non sono "
        "usate",
        "Check the disk of {site}, and whether an old backup was restored there; fresh keys replace the lost ones.",
        "Controllare il disco di {site} e se vi è stata ripristinata una copia vecchia; nuove chiavi "
        "sostituiscono le perse.",
    ),
    _C.PLANNED_WORK: CauseRow(
        _S.INFO,
        1.5,
        1.0,
        "planned work at {site}: it was drained before it went away",
        "lavori pianificati presso {site}: è stato svuotato prima di fermarsi",
        "Nothing to do; take {site} back with `poliqi control back` when the work is done.",
        "Nulla da fare; a lavori conclusi riammettere {site} con `poliqi control back`.",
    ),
    _C.DEMAND_GROWTH: CauseRow(
        _S.WARNING,
        -1.0,
        10.0,
        "{demand} wants more key than the network gives, and nothing is broken",
        "{demand} chiede più chiave di quanta la rete ne dia, senza alcun guasto",
        "Lower the demand, or plan a link: `poliqi plan` shows which one serves it at least cost.",
        "Ridurre la richiesta o pianificare un collegamento: `poliqi plan` indica quello meno costoso.",
    ),
    _C.STOCK_LOW: CauseRow(
        _S.WARNING,
        -1.0,
        10.0,
        "{site} has little key left with {other}, and nothing is broken",
        "a {site} resta poca chiave con {other}, senza alcun guasto",
        "Somebody took much key at once: wait for it to be made again, or lower the application's rate.",
        "È stata presa molta chiave in poco tempo: attendere che si riformi o ridurre la frequenza "
        "dell'applicazione.",
    ),
}


def cause_line(cause: Cause | str, values: dict[str, Value], language: Language = Language.ENGLISH) -> str:
    """What the matter is, in one line; a cause of a later version reads as its key."""
    row = CAUSES.get(Cause(cause)) if cause in CAUSES else None
    if row is None:
        return str(cause)
    return fill(row.english if language is Language.ENGLISH else row.italian, values, language)


def cause_advice(cause: Cause | str, values: dict[str, Value], language: Language = Language.ENGLISH) -> str:
    """What to do next; empty for a cause of a later version."""
    row = CAUSES.get(Cause(cause)) if cause in CAUSES else None
    if row is None:
        return ""
    return fill(row.advice_english if language is Language.ENGLISH else row.advice_italian, values, language)
