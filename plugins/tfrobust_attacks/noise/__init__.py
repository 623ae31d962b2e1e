"""Changes that look at no classifier."""
