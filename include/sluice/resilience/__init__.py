"""Guards of dependencies and time budgets. Which dependency has which limits is in `sluice.wiring.guards`."""
