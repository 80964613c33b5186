"""Measurements: `make bench`. Each section writes bench/results/<section>.json; results.md is generated from them."""
