# syntax=docker/dockerfile:1

# Three programs, one image each: `docker build --target holdfast|worker|devserver .`
ARG GO_VERSION=1.26
ARG ALPINE_VERSION=3.22

FROM golang:${GO_VERSION}-alpine AS toolchain
ENV CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath"

FROM toolchain AS build
WORKDIR /src
# Modules change seldom: downloaded in a layer of their own.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY activities activities
COPY internal internal
COPY starter starter
COPY worker worker
COPY workflows workflows
# What --version tells: --build-arg COMMIT=$(git rev-parse HEAD) --build-arg DATE=$(git log -1 --format=%cI)
ARG COMMIT="" DATE=""
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    export STAMP="-s -w -X holdfast/internal/build.Commit=$COMMIT -X holdfast/internal/build.Date=$DATE" && \
    go build -ldflags="$STAMP" -o /out/holdfast ./starter && \
    go build -ldflags="$STAMP" -o /out/holdfast-worker ./worker

# The Temporal server is a module of its own, with some 450 dependencies.
FROM toolchain AS build-devserver
WORKDIR /src
COPY devserver/go.mod devserver/go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY devserver ./
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags="-s -w" -o /out/holdfast-devserver .

# Certificates for TLS to PostgreSQL and Temporal, time zones for credit months, a
# user without rights, and a wget for the health checks.
FROM alpine:${ALPINE_VERSION} AS runtime
RUN apk add --no-cache ca-certificates tzdata && adduser -D -H -u 10001 holdfast
USER holdfast

FROM runtime AS devserver
USER root
RUN mkdir /data && chown holdfast /data
USER holdfast
VOLUME /data
EXPOSE 7233 8233
COPY --from=build-devserver /out/holdfast-devserver /usr/local/bin/
ENTRYPOINT ["holdfast-devserver", "--db", "/data/temporal.db", "--address", "0.0.0.0:7233", "--ui-address", "0.0.0.0:8233"]

FROM runtime AS worker
COPY --from=build /out/holdfast-worker /usr/local/bin/
ENTRYPOINT ["holdfast-worker"]

FROM runtime AS holdfast
EXPOSE 8080
COPY --from=build /out/holdfast /usr/local/bin/
ENTRYPOINT ["holdfast"]
CMD ["serve"]
