"""Growing vessels: constrained constructive optimisation of trees in a domain, and the judge of their contacts."""
