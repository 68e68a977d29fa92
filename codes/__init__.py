"""How POLIQI's parity-check codes were made: thresholds, base graphs, shifts."""
