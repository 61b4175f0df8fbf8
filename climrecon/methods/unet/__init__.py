"""Our U-Nets."""
