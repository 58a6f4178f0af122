# The daemon in a container. Mount the documents and the configuration, keep the index in a volume:
#
#   docker build -t reindex .
#   docker run --name reindex -p 127.0.0.1:7700:7700 -e REINDEX_DAEMON__TOKEN=... \
#       -v ./config.toml:/config/config.toml:ro -v ./docs:/documents:ro -v reindex-data:/data reindex
#
# config.toml names the documents as the container sees them ([[sources]] path = "/documents"). A container is
# reached from outside itself, so that every request has to show the token.

FROM python:3.12-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/reindex
COPY pyproject.toml constraints.txt README.md LICENSE ./
# torch first and pinned, as in the Makefile: any other request for it may fetch several GB of GPU libraries.
RUN /opt/reindex/bin/pip install --constraint constraints.txt torch==2.13.0
COPY src ./src
RUN /opt/reindex/bin/pip install --constraint constraints.txt .

FROM python:3.12-slim
RUN groupadd --gid 10001 reindex \
    && useradd --uid 10001 --gid reindex --home-dir /data --no-create-home --shell /usr/sbin/nologin reindex \
    && install --directory --owner=reindex --group=reindex --mode=0700 /data \
    && install --directory --mode=0755 /config /documents
COPY --from=build /opt/reindex /opt/reindex
ENV PATH=/opt/reindex/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    REINDEX_CONFIG=/config/config.toml \
    REINDEX_DATA_DIR=/data \
    REINDEX_DAEMON__HTTP=0.0.0.0:7700
USER reindex
WORKDIR /data
VOLUME /data
EXPOSE 7700
STOPSIGNAL SIGTERM
# A first load may take longer than the start period: the daemon is alive all the while.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:7700/livez', timeout=4)"]
# In exec form, so that the daemon is the process that gets the signals.
ENTRYPOINT ["reindex"]
CMD ["run"]
