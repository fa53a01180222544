# The one image of the platform: code location, Dagster web server, daemon, app and MLflow server.
# Build from the root of the repository: docker build -f docker/platform.Dockerfile .

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --upgrade -c constraints.txt pip setuptools
# The dependencies change less often than the code: a layer of their own, with an empty package.
RUN mkdir stock_platform && touch stock_platform/__init__.py \
    && pip install --no-build-isolation -c constraints.txt -e ".[docker]"
COPY stock_platform ./stock_platform
COPY dbt ./dbt
COPY docker/superset ./docker/superset
# dbt is parsed here, so that a code location starts fast and a broken project breaks the build.
RUN python -c "from stock_platform.warehouse.manifest import manifest; manifest()"

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/stock-platform platform \
    && mkdir -p /opt/dagster \
    && chown platform /opt/dagster
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=platform /app /app
COPY --chown=platform docker/dagster.yaml docker/workspace.yaml /opt/dagster/
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/opt/dagster \
    STOCK_PLATFORM_ENVIRONMENT=production \
    STOCK_PLATFORM_HOME=/var/lib/stock-platform
WORKDIR /app
USER 10001
EXPOSE 3000 4000 5000 8501
CMD ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", "4000", "-m", "stock_platform.definitions"]
