"""What texts name."""
