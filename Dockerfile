# One image for every part: the command says which (`vbpr migrate`, `vbpr publisher`, `vbpr notifier`).

FROM python:3.13-slim AS build
RUN python -m venv /opt/vbpr
ENV PATH=/opt/vbpr/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The pinned dependencies first: this layer is built again only when the lock file changes.
COPY requirements.lock .
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY services services
RUN pip install --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN groupadd --gid 10001 vbpr \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/vbpr --shell /usr/sbin/nologin vbpr \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/vbpr
COPY --from=build /opt/vbpr /opt/vbpr
ENV PATH=/opt/vbpr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VBPR_DATA_DIR=/var/lib/vbpr
# Nothing is written outside /var/lib/vbpr, and there only by `vbpr serve`: the rest may be read-only.
WORKDIR /var/lib/vbpr
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('VBPR_ADMIN_PORT', '8081')}/livez\", timeout=2)"]
CMD ["vbpr", "serve"]
