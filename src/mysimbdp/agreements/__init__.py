"""Service agreements: what a tenant may send, and what the platform gives for it."""
