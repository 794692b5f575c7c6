"""The batch path: admit files, ingest them, settle what became of them."""
