"""Designs for other programs: solids, beam lattices, centre lines, and text for a machine."""
