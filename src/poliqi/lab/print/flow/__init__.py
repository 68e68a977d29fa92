"""Flow through vessels: fluid, pressures, wall shear, and radii that share the flow evenly."""
