"""Make Airflow, coredms and the staging area equal to the committed files, by itself."""
