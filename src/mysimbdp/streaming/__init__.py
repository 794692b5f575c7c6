"""Stream ingestion: messages of a tenant's topics become documents, each once."""
