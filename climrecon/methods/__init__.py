"""Everything that turns observations into an estimate, behind one contract."""
