#!/usr/bin/env bash
# image.sh operator|consumer - an image around the binary that cargo builds, without daemon, network or base image.
#
#   operator   target/image/c1-operator.tar, localhost/c1-operator:VERSION: the release binary (`make image`)
#   consumer   target/image/c1-simulator.tar, localhost/c1-simulator:e2e: for pods that log in at C1
#
# Nothing is done again while binary, Dockerfile and labels are the same. Needs buildah, and Debian's ca-certificates.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/../dev/lib.sh"
# shellcheck source=tests/controlplane/stale.sh
. "$controlplane/stale.sh"
umask 022 # modes go into the image
image=$target/image most=25000000
mkdir -p "$image"
exec 8>"$image/.lock"; flock 8
command -v buildah >/dev/null || die "buildah is not installed"
megabytes() { bc <<<"scale=1; $1 / 1000000"; }

# Puts the files into an image when they, the Dockerfile or the options have changed.
pack() { # TAR NAME DOCKERFILE OPTIONS -- FILES...
  local tar=$image/$1 name=$2 dockerfile=$3 options=() work; shift 3
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  printf '%s\n' "$name" "${options[@]}" >"$tar.options"
  stale "$tar" "$tar.options" "$dockerfile" "$@" || return 0
  work=$(mktemp -d "$image/.work.XXXXXX")
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf -- '$work'" EXIT
  mkdir "$work/context"
  cp "$@" "$work/context/"
  # A store of its own: nothing is left in the machine's.
  store() { buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"; }
  store bud --isolation chroot --pull-never --quiet --file "$dockerfile" "${options[@]}" --tag "$name" "$work/context" >"$work/id"
  store push --quiet "$name" "oci-archive:$work/image.tar:$name"
  mv "$work/image.tar" "$tar"
  fresh "$tar" "$tar.options" "$dockerfile" "$@"
}

case ${1:-} in
  operator)
    cd "$root"
    # No features: the fault points are not in it.
    cargo build --release --locked --target "$triple" --package c1-operator
    binary=$target/$triple/release/c1-operator
    version=$("$binary" --version); version=${version##* }
    revision=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
    # The time of the commit, so that the same content makes the same image.
    time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
    # Debian's, without what was added on this machine.
    authorities=(/usr/share/ca-certificates/mozilla/*.crt)
    [[ -e ${authorities[0]} ]] || die "no CA certificates in /usr/share/ca-certificates/mozilla: install ca-certificates"
    cat "${authorities[@]}" >"$image/ca-certificates.crt"
    pack c1-operator.tar "localhost/c1-operator:$version" Dockerfile --timestamp "$time" \
      --target prebuilt --build-arg "VERSION=$version" --build-arg "REVISION=$revision" -- "$binary" "$image/ca-certificates.crt"
    size=$(stat -c %s "$image/c1-operator.tar") unpacked=$(($(stat -c %s "$binary") + $(stat -c %s "$image/ca-certificates.crt")))
    echo "localhost/c1-operator:$version: $(megabytes "$size") MB, unpacked $(megabytes "$unpacked") MB: ${image#"$root/"}/c1-operator.tar"
    ((unpacked <= most)) || die "larger than $(megabytes $most) MB"
    ;;
  consumer)
    [[ -x $bin/c1-simulator ]] || die "no $bin/c1-simulator: make build"
    strip -o "$image/c1-simulator" "$bin/c1-simulator"
    pack c1-simulator.tar localhost/c1-simulator:e2e "$root/tests/e2e/Dockerfile.consumer" --timestamp 0 -- "$image/c1-simulator"
    ;;
  *)
    sed -n '2,/^set /{/^set /!p}' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
