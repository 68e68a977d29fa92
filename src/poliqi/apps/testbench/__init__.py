"""Try new hardware and software for encryption: conformance first, then speed beside what there is."""
