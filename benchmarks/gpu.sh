#!/usr/bin/env bash
# The check of mmbench on a GPU, beside a machine's own torch and without a network.
#
#     bash benchmarks/gpu.sh [options of gpu_check.py]
#
# Wheels of packages that the machine lacks may lie in .whl/ (or $WHEELS); they and mmbench itself
# are installed into a folder of their own ($SITE), so that the machine's environment stays as it is. What is
# printed goes to $OUT/gpu.log too, if OUT is set, beside gpu.json and gpu.md.
set -eo pipefail
cd "$(dirname "$0")/.."
export SITE="${SITE:-$(mktemp -d)}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export TOKENIZERS_PARALLELISM=false CUBLAS_WORKSPACE_CONFIG=:4096:8
PYTHON="${PYTHON:-python3}"
install=("$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target)
wheels="${WHEELS-.whl}"
if [ -n "$wheels" ] && compgen -G "$wheels/*.whl" >/dev/null; then
    "${install[@]}" "$SITE" "$wheels"/*.whl
fi
source="$(mktemp -d)" # built beside the tree, which stays as it is
cp -r pyproject.toml README.md LICENSE mmbench tasks baselines "$source"
"$PYTHON" -m pip wheel -q --no-index --no-deps --no-build-isolation "$source" -w "$source/wheel"
"${install[@]}" "$SITE" "$source"/wheel/*.whl
rm -rf "$source"
export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}"
log="${OUT:+$OUT/gpu.log}"
"$PYTHON" benchmarks/gpu_check.py "$@" 2>&1 | tee "${log:-/dev/null}"
