#!/bin/sh
# Sees to it that PostgreSQL 15+, Java 17+, Maven, Node 20+ and npm are there: installs them when it may (root, with apt-get),
# otherwise names what is missing and fails.
set -eu

has_postgresql() {
    for initdb in /usr/lib/postgresql/*/bin/initdb $(command -v initdb || true); do
        [ -x "$initdb" ] || continue
        major=$("$(dirname "$initdb")/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        [ "$major" -ge 15 ] && return 0
    done
    return 1
}

has_java() {
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ]
}

has_maven() { command -v mvn >/dev/null; }

has_node() {
    major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 20 ]
}

has_npm() { command -v npm >/dev/null; }

list_missing() {
    has_postgresql || echo "postgresql"
    has_java || echo "java"
    has_maven || echo "maven"
    has_node || echo "nodejs"
    has_npm || echo "npm"
}

# The package of each, as the newest Debian and Ubuntu call it and as older ones do.
package() {
    case $1 in
        java) if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
            echo openjdk-17-jre-headless
        else
            echo default-jre-headless
        fi ;;
        *) echo "$1" ;;
    esac
}

missing=$(list_missing)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    packages=$(for one in $missing; do package "$one"; done)
    echo "Installing" $packages
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    missing=$(list_missing)
fi

if [ -n "$missing" ]; then
    echo "Missing: $(echo $missing | sed 's/ /, /g')." >&2
    echo "The tests and \`make demo-kafka\` need PostgreSQL 15+, Java 17+, Maven, Node 20+ and npm. On Debian, as root:" >&2
    echo "    apt-get install postgresql openjdk-17-jre-headless maven nodejs npm" >&2
    exit 1
fi
