#!/bin/sh
# Run once by the postgres image on an empty volume: one database for each part that keeps state.
set -eu
for name in catalog mlflow; do
  createdb --username "$POSTGRES_USER" "$name"
done
# Superset's users write SQL: its own role can't see the databases of the others.
psql --username "$POSTGRES_USER" --set password="$SUPERSET_POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE superset LOGIN PASSWORD :'password';
CREATE DATABASE superset OWNER superset;
REVOKE CONNECT ON DATABASE dagster, catalog, mlflow FROM PUBLIC;
SQL
