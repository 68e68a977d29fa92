"""Where the detector stands, from frames of a calibrant: no clicks, no starting guess."""
