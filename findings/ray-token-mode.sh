#!/usr/bin/env bash
# Finding: whether a Ray cluster asks for a token depends on what was run before, and its own nodes do not join it then.
#
# Package: ray 2.60.0, Linux, RAY_AUTH_MODE not set. "ray start --head" begins a cluster, and "ray start --address=..."
# adds a node to it, on the same machine, by the same user, one after the other.
#
# One would expect the same whether or not ray.init() was ever called in that home. Seen: in a new home the second node
# joins. ray.init() without a cluster then writes ~/.ray/auth_token; from now on "ray start --head" finds the file and
# asks for a token, and "ray start --address=...", which does not look for it, fails with InvalidAuthToken, though the
# token lies there. With RAY_AUTH_MODE=token (or disabled) set for both it joins. So scripts that begin clusters say
# which they mean.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d /tmp/f.XXXXXX)
export RAY_USAGE_STATS_ENABLED=0 HOME="$folder" RAY_TMPDIR="$folder"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
ray="$folder/venv/bin/ray"
end() { pkill -KILL -f "$folder/venv/lib" || true; sleep 2; }
trap 'end; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ray[default]==2.60.0' 2>/dev/null

joins() { # whether a second node joins a cluster that is begun now
    local answer=yes
    "$ray" start --head --port="$1" --num-cpus=1 --include-dashboard=false --temp-dir="$folder/$1" > "$folder/log" 2>&1
    timeout 90 "$ray" start --address="127.0.0.1:$1" --num-cpus=1 > "$folder/log" 2>&1 || answer=no
    if [ $answer = no ]; then grep -o InvalidAuthToken "$folder/log" | head -1; fi
    echo "$answer"
    end
}

before=$(joins 6411)
"$folder/venv/bin/python" -c 'import ray; ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")' > /dev/null 2>&1
end
after=$(joins 6412)
said=$(RAY_AUTH_MODE=token joins 6413)
echo "a second node joins: $before; after a ray.init(): $(echo $after); with RAY_AUTH_MODE=token: $said"
[ "$before" = yes ] && [ "$(echo $after)" = "InvalidAuthToken no" ] && [ "$said" = yes ]
echo "as described"
