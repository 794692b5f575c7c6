"""The platform in Airflow: the only package that imports it."""
