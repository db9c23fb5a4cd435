# The image for those who have only Docker: `docker build -t thunes:local .`
# With cargo on the machine `deploy/image/build` makes the same image without pulling anything.
ARG RUST_IMAGE=rust:1-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# Statically linked: the image holds no loader and no libraries.
RUN target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --locked --profile image --target "$target" --package thunes \
    && mkdir -p /rootfs/run/guard /rootfs/tmp /rootfs-data \
    && cp -r deploy/image/rootfs/. /rootfs/ \
    && cp "target/$target/image/thunes" /rootfs/thunes \
    && find /rootfs -type d -exec chmod 0755 {} + \
    && find /rootfs/etc -type f -exec chmod 0644 {} + \
    && chmod 1777 /rootfs/tmp

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="THUNES" \
      org.opencontainers.image.description="Trading on Binance Spot with a kill-switch that holds, and drills that prove it" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /rootfs/ /
COPY --from=build --chown=65532:65532 /rootfs-data/ /data/
USER 65532:65532
ENTRYPOINT ["/thunes"]
