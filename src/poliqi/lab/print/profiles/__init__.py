"""Profiles of machines that come with POLIQI: examples, each figure with its source."""
