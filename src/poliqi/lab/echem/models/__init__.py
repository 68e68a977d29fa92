"""Physical models of a cell by PyBaMM: parameter sets, runs, fits, BPX."""
