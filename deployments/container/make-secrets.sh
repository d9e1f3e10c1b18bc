#!/bin/sh
# Makes the secrets that docker-compose.yml names, where they are missing. What is there is left as it is.
# Docker hands files to containers with the owner and mode they have here, and the containers run as somebody else:
# so every file is readable, and the folder is not to be entered by anybody but you.
set -eu
umask 077
folder=${1:-secrets}
mkdir -p "$folder/pipelines"
chmod 700 "$folder"
chmod 755 "$folder/pipelines"

put() { # name, content
    [ -e "$folder/$1" ] && return
    printf '%s' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
    echo "made $folder/$1"
}
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
plain() { random | tr -d '=_-'; } # letters and digits: nothing that a configuration file could misread

put redis_password "$(plain)"
put postgres_password "$(plain)"
put prefect_auth "rowrelay:$(plain)"
put prefect_encryption_key "$(random)"
put notify_url ""
put dashboard.toml "# Sign-in for the dashboard: docs/operations.md, One server. Empty: nobody has to sign in.
"
