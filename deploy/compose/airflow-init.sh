#!/bin/sh
# Prepares the file of the master key, both schemas, the administrator, and the connections, pools and variables of airflow_settings.yaml. Every step
# may be repeated: it runs at each `docker compose up`.
set -eu

# The key goes from this container's environment into a file; the others know only the file.
(umask 077 && printf '%s\n' "$SLUICE_MASTER_KEY" > /var/lib/sluice-key/master.key.new)
mv /var/lib/sluice-key/master.key.new "$SLUICE_MASTER_KEY_FILE"

cd /opt/sluice
sluice migrate
DEVSTACK_STAMP=compose python -m devstack.airflow_init airflow_settings.yaml
sluice grant "$SLUICE_ADMIN_USER" --write --group '*'
