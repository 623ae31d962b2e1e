"""What each stream of a fused classifier sees and weighs: the command `streams`."""
