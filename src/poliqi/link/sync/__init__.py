"""Synchronisation: from time tags to numbered slots, by the quantum light itself.

`recover` does it for tags at hand, `receiver` for tags as they come.
"""
