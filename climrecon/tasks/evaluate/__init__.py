"""``task=evaluate``: score methods on known fields seen through real gaps."""
