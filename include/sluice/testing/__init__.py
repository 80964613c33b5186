"""In-memory implementations of ports for tests, and contract tests that the tests of an adapter subclass."""
