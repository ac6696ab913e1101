"""Computer vision: pictures in, typed results out. Knows no AWS word, no database, no HTTP.

Coordinates are pixels of the upright picture's array, float32, `xyxy`; probabilities are 0..1.
"""
