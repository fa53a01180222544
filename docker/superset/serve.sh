#!/bin/sh
# The container's command: bring Superset's database to the image's assets, then serve them.
set -eu
python /opt/superset/apply_assets.py </opt/superset/assets.json
exec gunicorn --workers 1 --worker-class gthread --threads 8 --timeout 120 --log-level warning \
  --bind 0.0.0.0:8088 "superset.app:create_app()"
