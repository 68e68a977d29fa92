"""Calls between two applications under one-time pad: what the messenger and the vault have in common."""
