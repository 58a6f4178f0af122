#!/usr/bin/env bash
# Rotate the issuing CA of the parcel lockers.
#
# Runbook: runbooks/lockerd/certificate-rotation.md.  Read it first: this script
# knows the commands, the runbook knows when not to run them.
#
#   publish --ca N              add the chain of CA N to what lockers trust
#   status                      who trusts what, who is missing and why
#   issue --ca N --group G      issue new device certificates from CA N for a group
#   issue --ca N --percent P    ... for P percent of all lockers (5, 25, 100)
#   renew --now [--rate R]      let lockers renew at once, R per minute (default 10)
#   retire --ca N               stop trusting CA N
#
# Needs: bz (logged in with a hardware key), jq, openssl.
#
# No "set -x" here, ever.  It would print the bootstrap token into the build log,
# and the scanner would revoke it within five minutes (DOC-8008).
set -euo pipefail

readonly READY_PERCENT="99.5"     # do not issue from a CA that fewer lockers trust
readonly QUIET_DAYS=7             # do not retire a CA that was seen this recently
readonly MAX_RATE=40              # brokers manage 40 handshakes a minute each beside normal traffic

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

trusted_share() {  # percent of lockers that trust CA $1
  bz locker inventory --json |
    jq -r --argjson ca "$1" '
      ([.[] | select(.trusts | index($ca))] | length) as $have
      | if length == 0 then "0" else ($have * 100 / length | tostring) end'
}

check_chain() {  # the broker must send leaf, intermediate, cross-signed root (LCK-4154)
  local broker=$1 count
  count=$(openssl s_client -connect "$broker" -showcerts </dev/null 2>/dev/null |
    grep -c 'BEGIN CERTIFICATE' || true)
  [[ $count -eq 3 ]] || die "$broker sends $count certificates, expected 3"
}

publish() {
  local ca=$1
  # Firmware below 3.4 replaces its trust store instead of adding to it.  Such a
  # locker would lose the present CA on the spot and never be heard of again
  # (391 visits by technicians in April 2025).
  local old
  old=$(bz locker inventory --json | jq '[.[] | select(.firmware < "3.4")] | length')
  if [[ $old -gt 0 ]]; then
    printf '%s lockers have firmware below 3.4 and are left out; update them first\n' "$old" >&2
  fi
  for broker in mq-eu mq-ca mq-ap; do
    check_chain "$broker.lockers.example.internal:8883"
  done
  bz locker trust add --ca "$ca" --min-firmware 3.4
}

status() {
  bz locker inventory --json | jq -r '
    . as $all
    | (["ca", "trusted_by", "issued_by"] | @tsv),
      ([$all[].trusts[]] | unique[] as $ca
        | [$ca,
           ([$all[] | select(.trusts | index($ca))] | length),
           ([$all[] | select(.issuing_ca == $ca)] | length)]
        | @tsv)'
}

issue() {
  local ca=$1 how=$2 value=$3 share
  share=$(trusted_share "$ca")
  # awk since bash has no fractions
  awk -v have="$share" -v need="$READY_PERCENT" 'BEGIN { exit !(have >= need) }' ||
    die "only $share % of lockers trust CA $ca, $READY_PERCENT % are needed"
  case $how in
    --group) bz locker issue --ca "$ca" --group "$value" ;;
    --percent)
      [[ $value =~ ^(5|25|100)$ ]] || die "percent is 5, 25 or 100"
      bz locker issue --ca "$ca" --percent "$value" ;;
    *) die "issue needs --group or --percent" ;;
  esac
}

renew() {
  local rate=${1:-10}
  (( rate <= MAX_RATE )) || die "rate above $MAX_RATE a minute would starve the brokers"
  bz locker renew --all --per-minute "$rate"
}

retire() {
  local ca=$1 last
  last=$(bz locker last-seen-issuer --ca "$ca" --days)
  (( last >= QUIET_DAYS )) || die "a certificate of CA $ca was seen $last days ago, wait for $QUIET_DAYS"
  bz locker trust remove --ca "$ca"
  echo "Now delete the alert for CA $ca. Last, not first."
}

case ${1:-} in
  publish) [[ ${2:-} == --ca ]] || die "publish --ca N"; publish "$3" ;;
  status)  status ;;
  issue)   [[ ${2:-} == --ca ]] || die "issue --ca N ..."; issue "$3" "$4" "$5" ;;
  renew)   [[ ${2:-} == --now ]] || die "renew --now [--rate R]"; renew "${4:-10}" ;;
  retire)  [[ ${2:-} == --ca ]] || die "retire --ca N"; retire "$3" ;;
  *)       sed -n '2,20p' "$0"; exit 2 ;;
esac
