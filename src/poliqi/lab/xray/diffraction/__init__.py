"""X-ray powder diffraction: peaks, phases, lattice parameters, crystallite size and strain.

`radiation` and `pattern` say what was measured, `crystal` and `calculated` what a structure would give, `peaks`
what stands in the data, `candidates` which structures fit it; `refinement` and `microstructure` fit whole patterns.
"""
