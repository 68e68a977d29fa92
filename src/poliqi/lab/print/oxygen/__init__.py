"""Oxygen in perfused tissue: diffusion, consumption, and what the vessels carry."""
