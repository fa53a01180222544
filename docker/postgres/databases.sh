#!/bin/sh
# Run once by the postgres image on an empty volume: one database for each part that keeps state.
set -eu
for name in catalog mlflow; do
  createdb --username "$POSTGRES_USER" "$name"
done
