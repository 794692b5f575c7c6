"""The embedded stack: MongoDB, Airflow, a mailbox and the registrar on one machine."""
