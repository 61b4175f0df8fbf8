"""Torch modules: partial convolution, the networks, the low-rank posterior, published checkpoints."""
