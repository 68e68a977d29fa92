"""Reconcilers: two strings that differ become one, and every bit said is counted."""
