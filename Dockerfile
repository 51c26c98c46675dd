# The image of the operator: one static binary, and the CA certificates of public tenants.
#
#   docker build -t NAME .     compiles here, from the sources
#   make image                 around the binary that cargo built, without network: --target prebuilt
#
# On another architecture: --build-arg TRIPLE=aarch64-unknown-linux-gnu
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM scratch AS base
ARG VERSION=""
ARG REVISION=""
ARG REPOSITORY=""
LABEL org.opencontainers.image.title="c1-operator" \
      org.opencontainers.image.description="Issues ConductorOne personal clients and owns their whole life" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$REPOSITORY" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# A number: of a name Kubernetes cannot tell that it is not root.
USER 65532:65532
ENTRYPOINT ["/c1-operator"]
CMD ["run"]

# The context is a directory with these two files.
FROM base AS prebuilt
COPY ca-certificates.crt /etc/ssl/certs/
COPY c1-operator /

FROM ${RUST_IMAGE} AS build
ARG TRIPLE=x86_64-unknown-linux-gnu
WORKDIR /src
COPY . .
RUN cargo build --release --locked --target "$TRIPLE" --package c1-operator && mv "target/$TRIPLE/release/c1-operator" /

FROM base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /c1-operator /
