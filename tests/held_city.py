"""A city in which a site hears late from some of its peers how far their segments are used."""

from __future__ import annotations

from kme_rig import City, Site

from poliqi.base.ids import KmeId
from poliqi.keys.messages import Offers, decode

__all__ = ["Held"]


class Held(City):
    """Frames from `late` sites to site `at` wait, from the first offer of segments on, until `late` is empty."""

    at = KmeId("a")
    late: frozenset[KmeId] = frozenset()

    def deliver_at(self, site: Site) -> bool:
        if site.name != self.at or not self.late:
            return super().deliver_at(site)
        waiting: set[KmeId] = set()
        for place, (sender, _, frame) in enumerate(site.inbox):
            if sender in self.late and isinstance(decode(frame), Offers):
                waiting.add(sender)
            if sender not in waiting:
                entry = site.inbox[place]
                del site.inbox[place]
                site.inbox.appendleft(entry)
                return super().deliver_at(site)
        return False
