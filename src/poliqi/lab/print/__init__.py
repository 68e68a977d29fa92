"""Printing vascularised tissue with light: vessels grown, perfused, hatched, dosed and written for a machine.

The way of the data: a `Domain` (the tissue's outer shape) -> `grow` and `close` -> a `Network` (vessels and their
ports) -> flow and oxygen -> spans of the laser, line by line -> a job for the machine. Lengths are micrometres,
pressures pascals, flows cubic micrometres per second.
"""
