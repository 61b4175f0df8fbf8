"""Prior covariances of the fields, and the posterior given observations."""
