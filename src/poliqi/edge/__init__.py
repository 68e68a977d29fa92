"""All IO of the cores and nothing else."""
