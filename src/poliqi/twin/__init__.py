"""A whole city in one thread: the cores that run in production under virtual time, with seeded faults."""
