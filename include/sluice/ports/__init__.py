"""What the flow needs from the outside, as Protocols. Adapters implement them; `wiring.py` chooses.

Every method may raise `Transient` (a store is down or slow) and `Terminal` (it will never work); others are named.
"""
