"""Builds all clients from the settings, and gives each operation what it needs. No other package builds clients."""
