#!/bin/sh
# Prepares both schemas, the administrator, and the connections, pools and variables of airflow_settings.yaml. Every step
# may be repeated: it runs at each `docker compose up`.
set -eu

cd /opt/sluice
sluice migrate
DEVSTACK_STAMP=compose python -m devstack.airflow_init airflow_settings.yaml
sluice grant "$SLUICE_ADMIN_USER" --write --group '*'
