"""Builds all clients from the settings, and gives each verb what it needs. No other package builds clients."""
