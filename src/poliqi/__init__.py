"""POLIQI: from a photon's time tag to a key two parties share."""
