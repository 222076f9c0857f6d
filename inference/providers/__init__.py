"""Upstreams that generate or embed: one module per kind of provider."""
