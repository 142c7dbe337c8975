# whosings serve with the encoders that ship, for CPUs. docs/service.md says how to run it.
#
# Another base needs Python 3.11 or later and Debian's tools for users; every stage begins with the same one.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-trixie

# What the service stands on. A change of the code leaves these layers as they are.
FROM ${PYTHON_IMAGE} AS dependencies
# For Linux on x86-64, PyPI has torch for CUDA only, with gigabytes of libraries that a CPU never calls. PyTorch's own
# index has a build for CPUs (and .../whl/cu130 and others for GPUs). Nothing but torch is taken from it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH_VERSION=2.13.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# What is removed is for those who test torch or compile against it: 190 MB.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/whosings \
    && pip --python /opt/whosings/bin/python install --no-compile --no-deps \
        --index-url "${TORCH_INDEX}" "torch==${TORCH_VERSION}" \
    && site="$(/opt/whosings/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -r "$site/torch/include" "$site/torch/test" \
    && find "$site/torch/bin" -type f ! -name torch_shm_manager -delete
COPY pyproject.toml ./
# Bytecode is made here, since nothing can be written later. It is not compared with dates, which a copy may change.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
extra = project["optional-dependencies"]; \
print(*project["dependencies"], *extra["serve"], *extra["m4a"], sep="\n")' > requirements.txt \
    && pip --python /opt/whosings/bin/python install --no-compile --requirement requirements.txt \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/(tests|torch/testing/_internal)/' /opt/whosings/lib

FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY beetsplug ./beetsplug
COPY whosings ./whosings
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE}
# A named volume begins as a copy of /data, which therefore belongs to whom the service runs as. Python's own library
# comes without bytecode, which would be made at each start.
RUN groupadd --gid 10001 whosings \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin \
        whosings \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(site-packages|tests?|lib2to3)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=dependencies /opt/whosings /opt/whosings
# Without an index it fails where something is missing.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/whosings/bin/python install --no-cache-dir --no-compile --no-index --find-links /wheels \
        --root-user-action ignore "whosings[serve,m4a]" \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/whosings/lib/python3*/site-packages/whosings
# The models are inside: nothing is asked for on a network. Temporary files, uploads of any size among them, lie in the
# volume, since /tmp counts as memory.
ENV PATH=/opt/whosings/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp \
    TMPDIR=/data
ARG PYTHON_IMAGE
ARG REVISION=""
LABEL org.opencontainers.image.title="whosings" \
      org.opencontainers.image.description="Singer identification for real recordings and for cloned voices" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The whosings maintainers" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
WORKDIR /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-c", "from urllib.request import *; \
build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["whosings"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", \
     "--gallery", "/data/singers.gallery", "--library", "/data/songs.library", "--data", "/data/service", \
     "--tokens", "/run/secrets/whosings_tokens"]
