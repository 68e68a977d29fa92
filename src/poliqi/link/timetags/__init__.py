"""Time tags: when each detector clicked, in integer picoseconds of the tagger's clock."""
