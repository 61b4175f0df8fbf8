"""The published network of Kadow et al. (2020)."""
