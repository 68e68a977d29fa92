"""Datasets as RO-Crates (https://w3id.org/ro/crate/1.1): written for everybody, read from anybody."""
