"""Heads for moderation on the shared backbone: weapons, smoking, fire, gambling and drawn pictures."""
