"""The store of a laboratory: content-addressed files, their records and where each came from."""
