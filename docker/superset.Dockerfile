# Superset with the dashboards of this repository baked in.
# Build from the root of the repository: docker build -f docker/superset.Dockerfile .

# Checked and compiled here, so that a wrong dashboard breaks the build.
FROM python:3.11.14-slim-bookworm AS assets
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY constraints.txt ./
RUN pip install -c constraints.txt pydantic pydantic-settings python-dotenv pyyaml sqlglot
COPY stock_platform ./stock_platform
COPY dbt/models ./dbt/models
COPY docker/superset ./docker/superset
RUN python -m stock_platform.superset.compile > /assets.json

FROM python:3.11.14-slim-bookworm
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY docker/superset/requirements.txt docker/superset/constraints.txt /opt/superset/
RUN pip install -r /opt/superset/requirements.txt -c /opt/superset/constraints.txt psycopg2-binary==2.9.13 \
    && useradd --system --uid 10002 --create-home --home-dir /var/lib/superset superset
COPY docker/superset/superset_config.py docker/superset/apply_assets.py docker/superset/serve.sh /opt/superset/
COPY --from=assets /assets.json /opt/superset/
ENV SUPERSET_CONFIG_PATH=/opt/superset/superset_config.py \
    SUPERSET_HOME=/var/lib/superset \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/superset
USER 10002
EXPOSE 8088
CMD ["/opt/superset/serve.sh"]
