"""Training of the object detector."""
