#!/bin/sh
# Generates every secret that docker-compose.yml needs, and prints them as NAME=value lines:
#
#     (umask 077 && sh deploy/compose/secrets.sh >> .env)
#
# Run it once: the databases keep the passwords that they were created with.
set -eu

# random BYTES: prints that many random bytes in base64 (standard alphabet, one line).
random() {
    head -c "$1" /dev/urandom | base64 | tr -d '\n'
}

# word BYTES: the same, with characters that are safe in a URL.
word() {
    random "$1" | tr '+/' '-_' | tr -d '='
}

echo "SLUICE_ADMIN_USER=admin"
for name in \
    SLUICE_ADMIN_PASSWORD \
    SLUICE_POSTGRES_PASSWORD_POSTGRES \
    SLUICE_POSTGRES_PASSWORD_AIRFLOW \
    SLUICE_POSTGRES_PASSWORD_SLUICE_OWNER \
    SLUICE_POSTGRES_PASSWORD_SLUICE_APP \
    SLUICE_POSTGRES_PASSWORD_SLUICE_ANALYST \
    SLUICE_POSTGRES_PASSWORD_SLUICE_KEYS \
    SLUICE_POSTGRES_PASSWORD_MARQUEZ \
    SLUICE_REDIS_PASSWORD \
    SLUICE_QDRANT_API_KEY \
    SLUICE_NEO4J_PASSWORD \
    AIRFLOW__API__SECRET_KEY; do
    echo "$name=$(word 24)"
done
echo "AIRFLOW__API_AUTH__JWT_SECRET=$(word 64)"
# Fernet needs 32 bytes in URL-safe base64 with padding.
echo "AIRFLOW__CORE__FERNET_KEY=$(random 32 | tr '+/' '-_')"
echo "SLUICE_MASTER_KEY=$(random 32)"
