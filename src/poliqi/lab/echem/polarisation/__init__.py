"""Polarisation curves of fuel cells and electrolysers, and their joint fit."""
