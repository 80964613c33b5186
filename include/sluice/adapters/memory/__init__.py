"""Every port in memory: for tests of the flow, with the semantics of the real adapters."""
