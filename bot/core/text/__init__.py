"""Text: secrets redacted, what others wrote made harmless, near misses of what somebody typed."""
