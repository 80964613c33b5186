"""Ports: the external dependencies of the flow, as Protocols. Adapters implement them; `wiring` chooses.

Every method may raise `Transient` (a store is down or slow) and `Terminal` (a retry fails, too). Other errors are named
in the docstrings.
"""
