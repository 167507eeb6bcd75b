"""Pure analysis: the same rows give the same answer."""
