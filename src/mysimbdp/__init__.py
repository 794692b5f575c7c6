"""A multi-tenant ingestion platform on Apache Airflow."""

__version__ = "0.1.0"
