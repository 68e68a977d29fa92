"""Active area, crossover and shorting of fuel cells from voltammograms."""
