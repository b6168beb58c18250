# What the scripts of this folder that make a Debian of their own have in common; they source it.
# shellcheck shell=sh

# For whom that is not possible: exits with 77 and says why. make_possible WHAT
make_possible() {
    impossible=
    if [ "$(id -u)" != 0 ]; then
        impossible="making it needs root"
    elif ! command -v mmdebstrap >/dev/null; then
        impossible="mmdebstrap is not installed"
    # As in a container: what may be unshared is not always allowed to mount.
    elif ! unshare --mount mount -t proc proc /proc 2>/dev/null; then
        impossible="this machine does not allow mounts"
    elif [ "$(df --output=avail -k "${TMPDIR:-/tmp}" | tail -n 1)" -lt 4000000 ]; then
        impossible="it needs 4 GB in ${TMPDIR:-/tmp}"
    fi
    [ -z "$impossible" ] || {
        echo "skipped: $1: $impossible"
        exit 77
    }
}

# The mirror that this machine's apt uses for Debian itself, or nothing.
debian_mirror() {
    # shellcheck disable=SC2016 # apt's own syntax
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Label: Debian' | head -n 1
}

# make_debian WHAT RELEASE FOLDER ARGUMENT...: a minimal system in FOLDER; ARGUMENTs go to mmdebstrap. Where it cannot be
# made, the machine or its network is to blame, not the tests: exits with 77.
make_debian() {
    made_for=$1 made_release=$2 made_folder=$3
    shift 3
    made_mirror=$(debian_mirror)
    # What it mounts goes with it, also when it is killed.
    made_alone=
    if unshare --mount true 2>/dev/null; then made_alone="unshare --mount"; fi
    # Old snapshots on a mirror are no danger here.
    $made_alone mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' "$@" "$made_release" "$made_folder" \
        ${made_mirror:+"$made_mirror"} || {
        echo "skipped: $made_for: Debian $made_release cannot be made here; the lines above say why"
        exit 77
    }
}
