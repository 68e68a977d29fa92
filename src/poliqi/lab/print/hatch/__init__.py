"""Scan vectors of a print job: every line of the laser met with every vessel exactly, without a mesh."""
