"""Bytes to text, in isolated worker processes."""
