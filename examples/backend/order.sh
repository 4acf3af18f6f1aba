#!/bin/sh
# Orders leads, waits until they are delivered, and downloads them, with curl.
#
#   HOLDFAST_URL=http://127.0.0.1:8080 HOLDFAST_KEY=hf_… ./order.sh 100 > leads.csv
set -eu
api="$HOLDFAST_URL/api/v1"
auth="Authorization: Bearer $HOLDFAST_KEY"

# The key makes the request safe to repeat: take the number of your own purchase.
order=$(curl --fail-with-body --silent --show-error "$api/orders?wait=1m" \
  -H "$auth" -H "Idempotency-Key: ${PURCHASE:-purchase-$$-$(date +%s)}" -H "Content-Type: application/json" \
  -d "{\"kind\":\"lead_list\",\"count\":${1:-100}}")
id=$(printf '%s' "$order" | sed 's/^{"id":"\([a-z0-9_]*\)".*/\1/')
echo "Order $id was placed." >&2

# The event stream ends when the order is over; here its first word that the
# list is delivered is enough.
curl --fail-with-body --silent --show-error --no-buffer "$api/orders/$id/events" -H "$auth" |
  grep -m 1 -E '^data:.*"status":"(completed|settled)"' >/dev/null

curl --fail-with-body --silent --show-error "$api/orders/$id/results.csv" -H "$auth"
