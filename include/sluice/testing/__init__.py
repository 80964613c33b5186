"""Stand-ins for stores, in memory, and the contracts that an adapter's tests subclass."""
