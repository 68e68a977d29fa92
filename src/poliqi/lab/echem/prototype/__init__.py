"""Build sheets of cells: amounts, tolerances, materials, carbon."""
