# The backend, and the migrations, which are a command of the same wheel. Built from the project's root folder:
# compose.yaml says how. The project's tests run the CMD below as a process; no test builds this image.
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /build
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir maturin
COPY . ./
RUN /venv/bin/maturin build --release --locked --out /wheels

FROM python:3.13-slim-bookworm
WORKDIR /app
RUN --mount=from=build,source=/wheels,target=/wheels pip install --no-cache-dir /wheels/*.whl uvicorn websockets
COPY examples/orchestrator_3_stream/backend/ ./
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 UVICORN_HOST=0.0.0.0 UVICORN_PORT=9403 UVICORN_LOG_LEVEL=warning
RUN useradd --system --no-create-home backend
USER backend
EXPOSE 9403
HEALTHCHECK --interval=10s --start-period=20s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9403/health', timeout=3)"]
CMD ["python", "-m", "uvicorn", "main:app"]
