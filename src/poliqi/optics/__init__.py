"""Physics as pure functions: source, fibre, detectors, closed form, sampler."""
