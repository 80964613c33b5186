"""The stages in order, and the runs, leases and checkpoints around them."""
