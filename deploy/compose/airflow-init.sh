#!/bin/sh
# Writes the file of the master key, migrates both databases, fetches the model of the embedder, and creates the
# administrator and the connections, pools and variables of airflow_settings.yaml. It runs at each `docker compose up`,
# so every step may be repeated.
set -eu

# Only this container has the key in its environment. The others read the file.
(umask 077 && printf '%s\n' "$SLUICE_MASTER_KEY" > /var/lib/sluice-key/master.key.new)
mv /var/lib/sluice-key/master.key.new "$SLUICE_MASTER_KEY_FILE"

cd /opt/sluice
sluice migrate
sluice models fetch
DEVSTACK_STAMP=compose python -m devstack.airflow_init airflow_settings.yaml
sluice grant "$SLUICE_ADMIN_USER" --write --group '*'
