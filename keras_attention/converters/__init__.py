"""Weights of other libraries, by name: arrays in, a dict of arrays out."""
