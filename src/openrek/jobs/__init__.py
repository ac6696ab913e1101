"""Durable asynchronous work: a queue, workers, progress, notifications."""
