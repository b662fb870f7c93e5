#!/usr/bin/env bash
# Build the OpenTelemetry Collector and Jaeger at pinned versions from Go modules. For machines without containers,
# and for tests/test_jaeger.py. Needs Go 1.25 or newer and, the first time, about ten minutes on two cores.
#
#   deploy/build.sh            build what is missing; print the two binaries' paths, collector first
#   deploy/build.sh --cached   never build: print the paths, or exit 3 when either is missing
#
# Kept under ${XDG_CACHE_HOME:-~/.cache}/engine/tools, named after what they were built from, so that a second run is
# instant and a changed manifest builds anew. GOFLAGS and GOPROXY are yours; BUILD_JOBS sets `go build -p` (1).
# Jaeger's page is not part of its Go module: the binary answers the query API and shows a placeholder. The container
# image in compose.yaml has the page.
set -euo pipefail

BUILDER=v0.161.0
# Jaeger tagged its 2.13.0 as v1.76.0 too, since the module's path has no /v2.
JAEGER=v1.76.0
JAEGER_NAME=v2.13.0

here=$(cd "$(dirname "$0")" && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/engine/tools
manifest=$here/otelcol-builder.yaml
collector=$tools/otelcol-$(cksum <"$manifest" | cut -d' ' -f1)
jaeger=$tools/jaeger-$JAEGER_NAME
jobs=${BUILD_JOBS:-1}

say() { printf '%s\n' "$*" >&2; }

build_collector() {
    say "building the collector (builder $BUILDER) ..."
    GOBIN=$work nice -n 15 go install -p "$jobs" "go.opentelemetry.io/collector/cmd/builder@$BUILDER"
    sed "s|^dist:|dist:\n  output_path: $work/otelcol|" "$manifest" >"$work/manifest.yaml"
    "$work/builder" --config "$work/manifest.yaml" --skip-compilation >&2
    nice -n 15 go build -C "$work/otelcol" -p "$jobs" -trimpath -ldflags='-s -w' -o "$work/otelcol.bin" . >&2
    mv "$work/otelcol.bin" "$collector"
}

# Built inside its own module, with its own go.mod and go.sum: `go install` refuses a module with replacements.
build_jaeger() {
    say "building Jaeger $JAEGER_NAME ..."
    local source
    source=$(cd "$work" && go mod download -json "github.com/jaegertracing/jaeger@$JAEGER" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    nice -n 15 go build -C "$source" -p "$jobs" -trimpath -o "$work/jaeger.bin" \
        -ldflags="-s -w -X github.com/jaegertracing/jaeger/internal/version.latestVersion=$JAEGER_NAME" ./cmd/jaeger >&2
    mv "$work/jaeger.bin" "$jaeger"
}

if [ ! -x "$collector" ] || [ ! -x "$jaeger" ]; then
    [ "${1:-}" != --cached ] || { say "not built yet: run deploy/build.sh"; exit 3; }
    command -v go >/dev/null || { say "Go is not installed: the collector and Jaeger cannot be built here"; exit 4; }
    mkdir -p "$tools"
    exec 9>"$tools/.lock"
    flock 9
    work=$(mktemp -d "$tools/.build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    [ -x "$collector" ] || build_collector
    [ -x "$jaeger" ] || build_jaeger
fi

printf '%s\n%s\n' "$collector" "$jaeger"
