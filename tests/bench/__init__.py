"""Benchmarks: each is a module run by `make bench` that prints `metric <name> <value>` lines; none is a test."""
