"""Which arm for this request: the hot path."""
