# syntax=docker/dockerfile:1.7
# One recipe for every function: docker build --build-arg FUNCTION=user --build-arg COMMIT=$(git rev-parse HEAD) .
#
# The dependencies are a layer of their own, the binary is static, and the image holds it, the
# certificates of the public authorities, and nothing else.

ARG RUST=1.95.0

FROM rust:${RUST}-slim-bookworm AS tools
ARG CARGO_CHEF=0.1.78
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates musl-tools make \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
RUN cargo install --locked cargo-chef --version "${CARGO_CHEF}" && rm -rf /usr/local/cargo/registry
WORKDIR /build

# What the dependencies are, without what the code is: this layer changes with the manifests alone.
FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM tools AS build
ARG FUNCTION
ENV SQLX_OFFLINE=true
COPY --from=plan /build/recipe.json .
RUN cargo chef cook --release --locked --target "$(uname -m)-unknown-linux-musl" \
    --package "${FUNCTION:?--build-arg FUNCTION=user}" --recipe-path recipe.json
# The contract's build script asks cargo about the whole workspace, whose packages must be there.
COPY . .
RUN cargo fetch --locked
# Late: another commit builds another binary, and no dependency.
ARG COMMIT=unknown
RUN MAYFLY_COMMIT="${COMMIT}" cargo build --release --locked --offline \
    --target "$(uname -m)-unknown-linux-musl" --package "${FUNCTION}" --bin "${FUNCTION}" \
    && install -D "target/$(uname -m)-unknown-linux-musl/release/${FUNCTION}" /image/function \
    # It starts without a loader, or the image would be of no use.
    && ! readelf --program-headers /image/function | grep --quiet INTERP

FROM scratch
ARG FUNCTION
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="mayfly ${FUNCTION}" \
    org.opencontainers.image.revision="${COMMIT}" \
    org.opencontainers.image.licenses="Apache-2.0"
# An HTTP client does not even start without them.
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/function /function
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65534:65534
EXPOSE 8080 9091
# A release command, `migrate`, replaces what follows the entry point.
ENTRYPOINT ["/function"]
