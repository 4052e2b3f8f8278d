# syntax=docker/dockerfile:1
# One static binary and the certificate authorities it trusts, nothing else: no shell, no package manager.

FROM rust:1.95-bookworm AS build
# musl-gcc is all that a static build needs besides the base image's C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /build

# The dependencies alone, in a layer that only a changed manifest rebuilds. The targets that the manifest names by path
# ([[test]], [[bench]]) are cut out of it here, because their files are not there yet.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN sed -i '/^\[\[/,/^$/d' Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin bucketport --target "$(uname -m)-unknown-linux-musl"

# The crate itself. Copied files keep their times, which may be older than the placeholders' build, so they are touched.
# HTTPS to a store is checked against the system's certificates, so they go along; a private authority is mounted over them.
COPY . .
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin bucketport --target "$(uname -m)-unknown-linux-musl" \
    && install -D -m 0755 "target/$(uname -m)-unknown-linux-musl/release/bucketport" /image/usr/local/bin/bucketport \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && echo 'bucketport:x:65532:65532::/:/sbin/nologin' > /image/etc/passwd \
    && echo 'bucketport:x:65532:' > /image/etc/group \
    && mkdir -p /image/etc/bucketport

FROM scratch
LABEL org.opencontainers.image.title="Bucketport" \
      org.opencontainers.image.description="FTP gateway to object storage" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
WORKDIR /etc/bucketport
# FTP, HTTP (metrics and probes), and the default passive ports.
EXPOSE 2121 8080 50000-50099
ENTRYPOINT ["/usr/local/bin/bucketport"]
CMD ["serve", "--config", "/etc/bucketport/bucketport.toml"]
