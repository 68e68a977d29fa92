"""The physics of a link as pure functions."""
