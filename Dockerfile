# The demo: docker build -t human3r . && docker run --rm -p 7860:7860 human3r    (with a GPU: --gpus all)
# Small CPU build: pass --build-arg TORCH_INDEX=URL with the index of CPU wheels that torch's "Get started" page names.
FROM python:3.11-slim

# Package index for torch alone; empty uses the one that pip is configured for.
ARG TORCH_INDEX=

WORKDIR /srv/human3r
COPY packages.txt requirements.txt requirements.lock ./
# packages.txt is the list that a Space installs, too. Versions of system packages come with the base image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && xargs -a packages.txt apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*
# The lock is for the wheels of the package index on x86-64, CUDA included; wheels of another index have other hashes.
# There torch comes first, and the second command then keeps it.
RUN if [ -z "${TORCH_INDEX}" ] && [ "$(uname -m)" = x86_64 ]; then \
        pip install --no-cache-dir --require-hashes -r requirements.lock; \
    else \
        pip install --no-cache-dir ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "torch==2.13.*" \
        && pip install --no-cache-dir -r requirements.txt; \
    fi

COPY app.py README.md NOTICE LICENSE ./
COPY human3r human3r
COPY demo demo
COPY examples examples

RUN useradd --create-home --uid 1000 visitor
USER 1000
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    HUMAN3R_HOME=/home/visitor/.cache/human3r
EXPOSE 7860
# Every address of the container itself: what the world can reach is decided by "docker run -p".
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=8)"]
STOPSIGNAL SIGTERM
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
