"""Pulse tests: resistances against the state of charge."""
