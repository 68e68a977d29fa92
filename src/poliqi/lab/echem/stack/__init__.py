"""Stacks sized to a load, with a battery beside them."""
