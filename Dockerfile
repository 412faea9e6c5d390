# Two stages: one builds with pip and hashes, the other holds only Python, the packages and a user without rights.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/otpc-policy
COPY constraints.txt ./
RUN /opt/otpc-policy/bin/pip install --no-cache-dir --require-hashes --requirement constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY otpc_policy ./otpc_policy
RUN /opt/otpc-policy/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
# What Python packages the image has, in it: /opt/otpc-policy/otpc-policy.cdx.json.
COPY supply ./supply
RUN /opt/otpc-policy/bin/python -m supply.sbom --constraints constraints.txt \
  --output /opt/otpc-policy/otpc-policy.cdx.json

FROM python:3.11-slim-bookworm
COPY --from=build /opt/otpc-policy /opt/otpc-policy
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin otpc-policy
USER 10001
ENV PATH=/opt/otpc-policy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 50051 9464
# Liveness and readiness are on the operations port; give /readyz to the orchestrator.
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/livez', timeout=1)"]
ENTRYPOINT ["otpc-policy"]
# Loopback without TLS unless a configuration says otherwise: mount one and add --config.
CMD ["serve"]
