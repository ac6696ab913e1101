"""Benchmarks: `python -m bench` (or `make bench`) measures in one run and prints ratios, never absolute promises."""
