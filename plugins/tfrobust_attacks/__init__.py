"""Native attacks."""
