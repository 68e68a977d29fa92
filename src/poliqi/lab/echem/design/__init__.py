"""Energy against power over the design of a cell."""
