"""Encrypted streams between two applications whose keys come from the quantum network."""
