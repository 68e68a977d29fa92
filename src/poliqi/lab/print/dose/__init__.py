"""Dose: what the light leaves where, what it prints of a design, and radii that print as designed."""
