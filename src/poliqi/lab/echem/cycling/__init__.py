"""From a record to cycles: capacity, efficiency, dQ/dV, health."""
