"""Tenant pipelines: how a tenant registers its code, and how that code is run."""
