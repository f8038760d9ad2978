#!/usr/bin/env bash
# Installs the services and judges that the tests drive, or only those named. Without root it only says what is missing.
set -euo pipefail
declare -A package=(
  [initdb]=postgresql [redis-server]=redis-server [pdfsig]=poppler-utils [pdftotext]=poppler-utils [pdftoppm]=poppler-utils
  [qpdf]=qpdf [node]=nodejs [npm]=npm [openssl]=openssl [chromium]=chromium
)
missing=()
[ "$#" -gt 0 ] || set -- "${!package[@]}"
for program in "$@"; do
  command -v "$program" >/dev/null 2>&1 && continue
  compgen -G "/usr/lib/postgresql/*/bin/$program" >/dev/null && continue
  missing+=("${package[$program]}")
done
# A push service for the tests: versions and hashes from its lock, no scripts of packages are run.
push_service() {
  cd "$(dirname "$0")/push_service"
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund --silent
}
[ "${#missing[@]}" -eq 0 ] && { push_service; exit 0; }
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" -ne 0 ]; then
  echo "The tests need: ${missing[*]}. Install them: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "Installing for the tests: ${missing[*]} ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
push_service
