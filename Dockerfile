# One static binary, the certificate authorities it trusts, the licences of what is in it and the list of its parts; no shell,
# no package manager.

# Everything is built with this image, and nothing is installed from elsewhere but crates, whose checksums are in Cargo.lock.
# A tag moves: add `@sha256:…` where two builds at different times have to be the same (docs/operations.md says how).
FROM docker.io/library/rust:1.95-bookworm AS rust
WORKDIR /build

# What reads the dependency tree, a layer each, so that a new version of one builds that one alone. Without the optimisation
# that takes most of the time: each runs for seconds.
FROM rust AS tools
ENV CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=0
RUN cargo install --locked --root /tools cargo-auditable@0.7.7
# hadolint ignore=DL3059
RUN CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo install --locked --root /tools --features cli cargo-about@0.9.3
# hadolint ignore=DL3059
RUN cargo install --locked --root /tools cargo-cyclonedx@0.5.9

# The manifest alone. The targets that it names by path ([[test]], [[bench]]) are cut out, because their files are not there.
FROM rust AS manifest
# The C library is linked in: glibc, as in all tests and measurements, and from 2.34 on the resolver is part of it. Paths of
# the build do not belong into the binary.
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo/registry/src=."
# Kernels for arm64 have pages of 4, 16 or 64 KiB, and jemalloc works with pages up to those that it was built for.
RUN if [ "$(uname -m)" = aarch64 ]; then printf '[env]\nJEMALLOC_SYS_WITH_LG_PAGE = "16"\n' >> "$CARGO_HOME/config.toml"; fi
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN sed -i '/^\[\[/,/^$/d' Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs

# The licences of all that is linked in, and the bill of materials.
FROM manifest AS notices
COPY --from=tools /tools/bin /usr/local/bin
COPY LICENSE about.toml about.hbs ./
RUN mkdir /notices \
    && cargo fetch --locked \
    && cargo about generate --locked --offline --fail --output-file /notices/THIRD-PARTY-LICENSES.txt about.hbs
ARG SOURCE_DATE_EPOCH=0
RUN cargo cyclonedx --format json --spec-version 1.5 --no-build-deps --target "$(uname -m)-unknown-linux-gnu" \
      --override-filename bucketport.cdx \
    && mv bucketport.cdx.json /notices

# The dependencies, in a layer that only a changed manifest rebuilds.
FROM manifest AS build
RUN cargo build --release --locked --bin bucketport --target "$(uname -m)-unknown-linux-gnu"

# The crate itself. Copied files keep their times, which may be older than the placeholders' build, so they are touched.
# `auditable` puts the list of crates into the binary, where scanners of images look for it.
COPY --from=tools /tools/bin/cargo-auditable /usr/local/bin/
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo auditable build --release --locked --bin bucketport --target "$(uname -m)-unknown-linux-gnu"

# Names are looked up in /etc/hosts, then by DNS, and with nothing that would have to be loaded. HTTPS to a store is checked
# against the system's certificates; a private authority is mounted over them.
COPY LICENSE ./
COPY --from=notices /notices /notices
ARG SOURCE_DATE_EPOCH=0
RUN licenses=/image/usr/share/licenses/bucketport \
    && install -D -m 0755 "target/$(uname -m)-unknown-linux-gnu/release/bucketport" /image/usr/local/bin/bucketport \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -D -m 0644 /notices/bucketport.cdx.json /image/usr/share/sbom/bucketport.cdx.json \
    && install -D -m 0644 --target-directory="$licenses" LICENSE /notices/THIRD-PARTY-LICENSES.txt \
    && for package in ca-certificates libc6 libgcc-s1; do \
         install -m 0644 "/usr/share/doc/$package/copyright" "$licenses/$package.txt" || exit 1; \
       done \
    && install -m 0644 /usr/share/common-licenses/LGPL-2.1 "$licenses/LGPL-2.1.txt" \
    && install -m 0644 "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" "$licenses/rust-standard-library.html" \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && echo 'bucketport:x:65532:65532::/:/sbin/nologin' > /image/etc/passwd \
    && echo 'bucketport:x:65532:' > /image/etc/group \
    && mkdir -p /image/etc/bucketport \
    && find /image -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=build /image/ /
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Bucketport" \
      org.opencontainers.image.description="FTP gateway to object storage" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
USER 65532:65532
WORKDIR /etc/bucketport
# FTP, HTTP (metrics and probes), and the default passive ports.
EXPOSE 2121 8080 50000-50099
ENTRYPOINT ["/usr/local/bin/bucketport"]
CMD ["serve", "--config", "/etc/bucketport/bucketport.toml"]
