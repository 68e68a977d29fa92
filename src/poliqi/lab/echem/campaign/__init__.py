"""Test campaigns: which cell is tested when on which channel, and until when."""
