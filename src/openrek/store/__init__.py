"""Metadata (SQLite or PostgreSQL), objects (a folder of buckets or S3), migrations. Knows no HTTP and no picture."""
