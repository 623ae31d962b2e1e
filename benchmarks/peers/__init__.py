"""The peers: how each crafts with its own attack on our network."""
