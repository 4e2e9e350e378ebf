"""liverseg: liver and liver tumors in abdominal CT, for teaching. Not for diagnosis."""
