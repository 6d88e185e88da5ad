# Both stages are the same Debian, so that what is built meets the glibc it was built for.
# hadolint global ignore=DL3008
# (DL3008 asks for fixed versions of packages: the release fixes them, and their security updates are wanted.)
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils gcc libc6-dev libpython3.11 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir 'pip>=25.1,<27'
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY deploy/binary deploy/binary
COPY tools/compiled_wheel.py tools/
COPY src src
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=true /venv/bin/pip install --no-cache-dir '.[server,jwt,otel]' --group binary \
    && /venv/bin/pyinstaller --log-level WARN --distpath /opt deploy/binary/bus.spec -- --folder

# A folder rather than the single file: nothing is unpacked, so nothing but the volume is ever written.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /opt/bus/bus /usr/local/bin/bus \
    && groupadd --gid 10001 bus \
    && useradd --uid 10001 --gid bus --home-dir /storage --no-create-home --shell /usr/sbin/nologin bus \
    && install --directory --owner=bus --group=bus --mode=0750 /storage
COPY --from=build /opt/bus /opt/bus
ENV BUS_ADDR=:2021 BUS_PATH=/storage
# By number, so that Kubernetes can tell that it isn't root.
USER 10001:10001
WORKDIR /storage
VOLUME /storage
EXPOSE 2021
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "--spider", "http://127.0.0.1:2021/readyz"]
ENTRYPOINT ["bus"]
CMD ["server"]
