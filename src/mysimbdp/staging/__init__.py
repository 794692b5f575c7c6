"""The staging area: where a tenant's files land, and where they go."""
