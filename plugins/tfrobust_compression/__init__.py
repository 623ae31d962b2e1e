"""Deep compression: pruned networks whose weights share a few values."""
