"""The story of `make demo`: data, training, encoding, search, and what instructions change."""
