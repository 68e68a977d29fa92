"""Pictures of vessels and tissue, and a page with a view in three dimensions that needs nothing else."""
