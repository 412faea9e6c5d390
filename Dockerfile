# One image, two roles: `serve` decides, `engine` measures (docs/releases.md). One stage builds with pip and hashes; the
# other holds Python, the packages and nothing that installs or compiles.
#
# The base by digest, as docker-library/repo-info recorded it for this tag on 2026-08-25. For a newer one:
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
FROM python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b AS base

FROM base AS build
WORKDIR /source
# Without a pip of its own: the base's installs into it, and stays behind.
RUN python -m venv --without-pip /opt/otpc-policy
COPY constraints.txt ./
RUN pip --python /opt/otpc-policy/bin/python install --no-cache-dir --require-hashes --requirement constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY otpc_policy ./otpc_policy
# The build backend has done its work then.
RUN pip --python /opt/otpc-policy/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
  && pip --python /opt/otpc-policy/bin/python uninstall --yes setuptools
# What Python packages the image has, in it: /opt/otpc-policy/otpc-policy.cdx.json.
COPY supply ./supply
RUN /opt/otpc-policy/bin/python -m supply.sbom --constraints constraints.txt --without setuptools \
  --output /opt/otpc-policy/otpc-policy.cdx.json

FROM base
# ensurepip holds another pip.
RUN pip uninstall --yes setuptools wheel pip && python -c "import pathlib, shutil, ensurepip; \
  shutil.rmtree(pathlib.Path(ensurepip.__file__).parent)"
COPY --from=build /opt/otpc-policy /opt/otpc-policy
# By number, so that an orchestrator can see that it is not root. It owns no file, and needs no file that it may write:
# the root file system may be read-only, with a tmpfs on /tmp.
USER 10001:10001
ENV PATH=/opt/otpc-policy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 50051 50052 9464
# Asks the operations port of either role, where the command of the container has it; an engine needs --ops-listen.
# It is liveness: give /readyz (otpc-policy probe readyz) to whatever sends traffic.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["otpc-policy", "probe"]
ENTRYPOINT ["otpc-policy"]
# Loopback without TLS unless a configuration says otherwise: mount one and add --config.
CMD ["serve"]
ARG VERSION=unreleased
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="otpc-policy" \
  org.opencontainers.image.description="Does a partner's TLS endpoint meet our transport policy, right now?" \
  org.opencontainers.image.licenses="AGPL-3.0-or-later" \
  org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.created="$CREATED" \
  org.opencontainers.image.source="$SOURCE"
