# Airflow with the platform in it: one image for every Airflow program and for the registrar.
# Agreements, tenants' code, DAGs and plugins are mounted from the tree (docker-compose.yaml).
FROM apache/airflow:3.3.2-python3.11

USER root
# The volume of the platform's state takes over the owner of this folder.
RUN install -d -o airflow -g root -m 0770 /var/lib/mysimbdp

USER airflow
COPY --chown=airflow:root requirements/production.txt /opt/mysimbdp/requirements/
RUN pip install --no-cache-dir --require-hashes -r /opt/mysimbdp/requirements/production.txt

COPY --chown=airflow:root pyproject.toml README.md /opt/mysimbdp/
COPY --chown=airflow:root requirements/runtime.in /opt/mysimbdp/requirements/
COPY --chown=airflow:root src /opt/mysimbdp/src
RUN pip install --no-cache-dir --no-deps --no-build-isolation /opt/mysimbdp

WORKDIR /opt/mysimbdp
