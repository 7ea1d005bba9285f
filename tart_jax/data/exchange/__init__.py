"""Readers and writers of the data formats of the field, and the commands `import` and `export`."""
