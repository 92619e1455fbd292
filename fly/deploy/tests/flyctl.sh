#!/bin/sh
# Stands in for flyctl: keeps every call, answers from files in $FAKE, and fails where it is told to.
# `fail` there holds what fails: apps, migrate, halfway, back; `hang` waits for a signal.
set -eu
{
  printf '[%s]' "$@"
  echo
} >>"$FAKE/calls"
fails() { grep -qsx "$1" "$FAKE/fail"; }

image=registry.fly.io/example:new config='' commit='' is_back=no
previous=''
for argument in "$@"; do
  case $previous in
    --image) image=$argument ;;
    --config) config=$argument ;;
    --build-arg) commit=${argument#COMMIT=} ;;
  esac
  [ "$argument" = --skip-release-command ] && is_back=yes
  previous=$argument
done

case "$1 $2" in
  'apps list')
    if fails apps; then
      echo 'Error: no access token available' >&2
      exit 1
    fi
    cat "$FAKE/apps.json"
    ;;
  'apps create') printf '[{"Name": "%s"}]' "$3" >"$FAKE/apps.json" ;;
  'secrets list') cat "$FAKE/secrets.json" ;;
  'machine list') cat "$FAKE/machines.json" ;;
  'config show') cat "$FAKE/config.toml" ;;
  'deploy .')
    if [ -e "$FAKE/hang" ]; then
      trap 'echo interrupted >>"$FAKE/calls"; [ "$(cat "$FAKE/hang")" = deaf ] || exit 1' INT
      echo ready >"$FAKE/ready"
      while :; do sleep 0.1; done
    fi
    if fails migrate && [ $is_back = no ]; then
      echo 'Error: release command failed - aborting deployment' >&2
      exit 1
    fi
    if fails back && [ $is_back = yes ]; then
      exit 1
    fi
    cp "$config" "$FAKE/config.toml"
    [ $is_back = yes ] || cp "$config" "$FAKE/deployed.toml"
    cat >"$FAKE/machines.json" <<END
[{"id": "3287", "state": "started", "region": "ams", "config": {"image": "$image"},
  "image_ref": {"labels": {"org.opencontainers.image.revision": "$commit"}},
  "checks": [{"name": "servicecheck-00-http-8080", "status": "passing"}]}]
END
    if fails halfway && [ $is_back = no ]; then
      exit 1
    fi
    ;;
  *)
    echo "the stand-in knows no $1 $2" >&2
    exit 2
    ;;
esac
