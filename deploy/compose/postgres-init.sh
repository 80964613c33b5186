#!/bin/bash
# Creates the roles and databases on the first start of an empty volume. The migrations grant rights to the roles other
# than the owner. psql reads the passwords PASSWORD_<ROLE> from the environment and quotes them itself.
set -euo pipefail

run() {
    psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres "$@"
}

# role NAME: creates a role that can log in.
role() {
    run -v role="$1" <<SQL
\getenv password PASSWORD_${1^^}
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

# database NAME OWNER [ROLE...]: creates a database to which only these roles may connect.
database() {
    run -v database="$1" -v owner="$2" <<'SQL'
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
    local guest
    for guest in "${@:3}"; do
        run -v database="$1" -v guest="$guest" <<'SQL'
GRANT CONNECT ON DATABASE :"database" TO :"guest";
SQL
    done
}

for name in airflow sluice_owner sluice_app sluice_analyst sluice_keys marquez; do
    role "$name"
done
database airflow airflow
database sluice sluice_owner sluice_app sluice_analyst
database sluice_keys sluice_keys
database marquez marquez
