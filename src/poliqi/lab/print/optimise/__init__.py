"""Designs within a budget: many are grown and judged, and those that none beats are told."""
