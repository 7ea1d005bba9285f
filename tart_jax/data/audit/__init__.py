"""What is wrong with training data: found, counted, shown and, where that is safe, repaired."""
